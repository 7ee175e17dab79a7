"""Relays one protocol session between cosigners, in lockstep: begin, hellos, then round by round to the end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog

from coordinator.cosigners import Cosigners
from coordinator.relayed import Relayed, minority
from oms_core.encoding import decode, decode_one_of, encode
from oms_core.errors import Blame, CountersealError, Malformed, ProofInvalid, Reason, Unavailable
from oms_core.evidence import Request, SignedRefusal, request_digest
from oms_core.log.entries import spells_a_key
from oms_core.protocol.accuse import CASE_LIMIT, Equivocation, SignedCase
from oms_core.protocol.identity import verify_identity
from oms_core.protocol.judge import Verdict, judge
from oms_core.protocol.packets import SessionSpec
from oms_core.refusals import PASSING
from oms_core.workspace import Workspace, identities, member
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

MAX_ROUNDS = 32
_WORDS = 300  # characters of what a node says of its failure
_ACCUSATIONS: tuple[type[Any], ...] = (SignedCase, Equivocation)
BEGIN_SECONDS = 30.0
BEGIN_KEY_SECONDS = 600.0  # a node may still be looking for safe primes
ROUND_SECONDS = 60.0
ALERT_SECONDS = 600.0  # the proofs that name who made a presignature fail are large

Progress = Callable[[str, int, float], None]
"""(step, round, seconds since the session began)."""


@dataclass
class SessionFailed(Exception):
    """Why a session ended without a result, per cosigner."""

    refusals: dict[int, SignedRefusal]
    blames: tuple[Blame, ...]
    silent: set[int]
    detail: str
    proven: list[tuple[Verdict, bytes]] = field(default_factory=list)
    """Verdicts that anybody comes to from the evidence beside them."""
    stale: bool = False
    """A node no longer holds the presignature: nobody's fault."""
    outdated: bool = False
    """A node went over to another version of the workspace in the meantime, or says so."""
    parties: tuple[int, ...] = ()
    """Who took part."""

    @property
    def passes(self) -> bool:
        """Whether nothing stood in the way but what passes by itself."""
        said = {Reason(no.refusal.reason) for no in self.refusals.values()}
        return (bool(said) or self.outdated) and said <= PASSING and not self.blames

    @property
    def suspects(self) -> set[int]:
        """Whom it may have been: silent, or named without proof."""
        return self.silent | {blame.culprit for blame in self.blames}

    def __str__(self) -> str:
        return self.detail


def new_spec(
    protocol: str,
    level: str,
    key: tuple[bytes, int, bytes],
    threshold: int,
    parties: tuple[int, ...],
    request: Request,
    **more: Any,
) -> SessionSpec:
    """A spec with a fresh session id; ``key`` is (key id, epoch, epoch hash), ``more`` further fields of the spec."""
    key_id, epoch, epoch_hash = key
    return SessionSpec(
        session_id=secrets.token_bytes(32),
        protocol=protocol,
        level=level,
        key_id=key_id,
        epoch=epoch,
        epoch_hash=epoch_hash,
        threshold=threshold,
        parties=parties,
        subject=request_digest(request),
        **more,
    )


async def run_session(
    cosigners: Cosigners,
    workspace: Workspace,
    spec: SessionSpec,
    request: Request,
    progress: Progress | None = None,
    checkpoint: bytes = b"",
) -> dict[int, bytes]:
    """Relay to the end; returns each party's result. Raises `SessionFailed`.

    ``checkpoint`` is the note that vouches for the request's entry in the log, where nodes ask for one.
    """
    try:
        return await _relay(cosigners, workspace, spec, request, progress, checkpoint)
    except SessionFailed as failed:
        failed.parties = spec.parties
        await _abort_all(cosigners, spec)
        raise
    except BaseException:
        await _abort_all(cosigners, spec)
        raise


async def _relay(
    cosigners: Cosigners,
    workspace: Workspace,
    spec: SessionSpec,
    request: Request,
    progress: Progress | None,
    checkpoint: bytes,
) -> dict[int, bytes]:
    started, relayed = time.monotonic(), Relayed(spec, identities(workspace))
    begin = pb.Begin(spec=encode(spec), request=encode(request), checkpoint=checkpoint)
    seconds = BEGIN_KEY_SECONDS if spec.protocol in ("create-key", "aux") else BEGIN_SECONDS
    answers = await _ask_all(
        cosigners, workspace, spec, {i: pb.ToCosigner(begin=begin) for i in spec.parties}, "begun", seconds
    )
    hellos = {i: answer.begun.hello for i, answer in answers.items()}
    if bad := relayed.hellos(hellos):
        raise SessionFailed({}, (), bad, f"hellos of cosigners {sorted(bad)} cannot be used")
    start = pb.Start(session_id=spec.session_id, hellos=hellos)
    requests = {i: pb.ToCosigner(start=start) for i in spec.parties}
    seconds = ROUND_SECONDS
    for number in range(1, MAX_ROUNDS):
        answers = await _ask_all(cosigners, workspace, spec, requests, "round_out", seconds)
        if all(answer.WhichOneof("body") == "finished" for answer in answers.values()):
            return {i: answer.finished.result for i, answer in answers.items()}
        _check_round(relayed, number, answers)
        step = next(iter(answers.values())).round_out.step
        if progress is not None:
            progress(step, number, time.monotonic() - started)
        seconds = ALERT_SECONDS if step.endswith("-alert") or step == "presign.3.echo" else ROUND_SECONDS
        requests = {i: pb.ToCosigner(deliver=_regroup(spec, answers, i)) for i in spec.parties}
    raise SessionFailed({}, (), set(), "the session did not end")


def _check_round(relayed: Relayed, number: int, answers: dict[int, pb.FromCosigner]) -> None:
    """Nobody gets what its sender cannot have meant. Raises `SessionFailed`."""
    ended = {i for i, answer in answers.items() if answer.WhichOneof("body") == "finished"}
    if ended:
        odd = minority({i: i in ended for i in answers})
        raise SessionFailed({}, (), odd, f"cosigners {sorted(ended)} end before the others do")
    bad, double = relayed.round(number, {i: answer.round_out for i, answer in answers.items()})
    if double:
        text = "signed two different contents of one round"
        proven = [(Verdict(one.first.sender, one.first.step, text), encode(one)) for one in double]
        raise SessionFailed({}, (), bad, f"cosigners {sorted({v.culprit for v, _ in proven})} {text}", proven)
    if bad:
        raise SessionFailed({}, (), bad, f"packets of cosigners {sorted(bad)} are not as they have to be")


def _verdicts(workspace: Workspace, spec: SessionSpec, documents: Iterable[bytes]) -> list[tuple[Verdict, bytes]]:
    """What the evidence that a node hands in comes to; unsigned or unreadable evidence to nothing."""
    found: list[tuple[Verdict, bytes]] = []
    for document in list(documents)[: 2 * len(spec.parties)]:
        try:
            accusation: Any = decode_one_of(_ACCUSATIONS, document, CASE_LIMIT)
            if isinstance(accusation, SignedCase) and accusation.case.spec != spec:
                raise Malformed("the accusation is about another session")
            found.append((judge(accusation, identities(workspace)), document))
        except (ProofInvalid, Malformed) as error:
            log.warning("evidence that does not hold", detail=error.message)
    return found


def _regroup(spec: SessionSpec, answers: dict[int, pb.FromCosigner], receiver: int) -> pb.Deliver:
    """The packets for one receiver, by sender."""
    sent = {i: answer.round_out for i, answer in answers.items() if i != receiver}
    packets = {i: out.packets[receiver] for i, out in sent.items() if receiver in out.packets}
    number = answers[receiver].round_out.round
    return pb.Deliver(session_id=spec.session_id, round=number, packets=packets)


async def _ask_all(
    cosigners: Cosigners,
    workspace: Workspace,
    spec: SessionSpec,
    requests: dict[int, pb.ToCosigner],
    expected: str,
    seconds: float,
) -> dict[int, pb.FromCosigner]:
    async def ask(index: int) -> pb.FromCosigner | CountersealError:
        try:
            return await cosigners.link(index).ask(requests[index], seconds)
        except Unavailable as error:
            return error

    asked = dict(zip(requests, await asyncio.gather(*(ask(i) for i in requests)), strict=True))
    answers, refusals, silent, details, stale, outdated = {}, {}, set(), [], False, False
    blames: list[Blame] = []
    proven: list[tuple[Verdict, bytes]] = []
    for i, answer in asked.items():
        if isinstance(answer, CountersealError):
            silent.add(i)
            details.append(answer.message)
            continue
        body = answer.WhichOneof("body")
        if body in (expected, "finished"):
            answers[i] = answer
        elif body == "refused":
            refusals[i] = _refusal(workspace, spec, i, answer.refused.signed_refusal)
            details.append(f"cosigner {i} refused: {refusals[i].refusal.reason}")
        elif body == "aborted":
            blames.extend(Blame(b.culprit, b.step, b.reason) for b in answer.aborted.blames)
            proven.extend(await asyncio.to_thread(_verdicts, workspace, spec, answer.aborted.accusations))
            details.append(f"cosigner {i} aborted: {_words(answer.aborted.detail)}")
        elif spec.presignature and body == "failed" and answer.failed.reason == Reason.PRESIGNATURE_UNKNOWN:
            stale = True
            details.append(f"cosigner {i} does not hold the presignature")
        else:
            silent.add(i)
            outdated |= body == "failed" and answer.failed.reason == Reason.POLICY_VERSION_MISMATCH
            details.append(f"cosigner {i} failed: {_words(f'{answer.failed.reason} {answer.failed.detail}')}")
    if len(answers) != len(requests):
        detail = "; ".join(details)
        log.warning("session failed", session=spec.session_id.hex()[:16], detail=detail[:500])
        raise SessionFailed(refusals, tuple(blames), silent, detail, proven, stale, outdated)
    return answers


def _words(said: str) -> str:
    """What a node says of itself, as far as every database and screen can hold it."""
    return "".join(one if one.isprintable() else "?" for one in said[:_WORDS])


def _refusal(workspace: Workspace, spec: SessionSpec, index: int, data: bytes) -> SignedRefusal:
    """A refusal counts as this cosigner's only under its identity key and for this session."""
    try:
        signed = decode(SignedRefusal, data, 4096)
        verify_identity(member(workspace, index).identity, "refusal", encode(signed.refusal), signed.signature)
        if (signed.refusal.session_id, signed.refusal.index) != (spec.session_id, index):
            raise Malformed("the refusal is for another session")
        if spells_a_key(data):
            raise Malformed("a refusal that no log can hold")
        Reason(signed.refusal.reason)
    except (Malformed, ProofInvalid, ValueError) as error:
        raise SessionFailed({}, (), {index}, f"cosigner {index} sent a refusal that does not hold") from error
    return signed


async def _abort_all(cosigners: Cosigners, spec: SessionSpec) -> None:
    message = pb.Abort(session_id=spec.session_id, reason=Reason.SESSION_FAILED)

    async def abort(index: int) -> None:
        with contextlib.suppress(Unavailable):
            await cosigners.link(index).ask(pb.ToCosigner(abort=message), 5)

    await asyncio.gather(*(abort(i) for i in spec.parties))


def agree(results: dict[int, bytes]) -> bytes:
    """The one result that all parties report. Raises `SessionFailed` if they differ."""
    if len(set(results.values())) != 1:
        raise SessionFailed({}, (), set(), "the parties report different results", parties=tuple(results))
    return next(iter(results.values()))
