"""Rows as the API shows them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator

from sqlalchemy import RowMapping

from coordinator.cosigners import Cosigners
from coordinator.objections import hold, read_refusals
from coordinator.preflight import lines_of
from coordinator.standing import Standing
from coordinator.store import numbers
from coordinator.wallets import confirmed
from coordinator.witnessing import Witnessing
from oms_core.approvals import Approval
from oms_core.chains.evm import address_of, to_checksum
from oms_core.chains.intent import Allow, Call, CreateWallet, Intent, Proposal, Subject, Transfer, subject_digest
from oms_core.chains.render import render
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError
from oms_core.evidence import SignedRefusal
from oms_core.lifecycle import State
from oms_core.policy.judge import Need
from oms_core.words import in_words
from oms_core.workspace import Workspace
from proto import oms_pb2 as pb

_UNSIGNED = (State.SUBMITTED, State.PENDING_APPROVAL, State.APPROVED, State.SIGNING)


def wallet(row: RowMapping) -> pb.Wallet:
    """A wallet."""
    wish = decode(Proposal, row["proposal"]).subject
    assert isinstance(wish, CreateWallet)
    shown = pb.Wallet(
        wallet_id=row["wallet_id"],
        label=wish.label,
        state=row["state"],
        key_id=row["key_id"],
        threshold=row["threshold"],
        parties=wish.parties,
        level=wish.level,
        drill=wish.drill,
        reason=row["reason"],
        detail=row["detail"],
    )
    if signed := confirmed(row):
        said = signed[0].confirmation
        shown.public_key, shown.epoch = said.public_key.to_bytes(), said.epoch
        shown.chain_code = said.chain_code
        shown.parties[:] = [one.confirmation.index for one in signed]
        shown.address = to_checksum(address_of(said.public_key))
        shown.confirmations.extend(encode(one) for one in signed)
    return shown


def transaction(
    row: RowMapping,
    workspace: Workspace,
    needs: Iterable[Need],
    stages: Iterable[RowMapping],
    refusals: Iterable[bytes],
    readings: list[pb.CosignerReading],
    decided: Iterable[RowMapping] = (),
) -> pb.Transaction:
    """An order with its way, its rules' trace, who read it how, and who refused it."""
    subject, refusals = decode(Proposal, row["proposal"]).subject, list(refusals)
    reason, detail = _why(row, refusals)
    return pb.Transaction(
        transaction_id=row["order_id"],
        state=row["state"],
        reason=reason,
        detail=detail,
        proposal=row["proposal"],
        subject_digest=row["subject"],
        lines=sentences(subject, workspace),
        stages=[pb.Stage(state=stage["state"], at=stage["at"], note=stage["note"]) for stage in stages],
        hash=row["hash"],
        block_number=row["block_number"],
        signers=numbers(row["signers"]),
        refusals=refused(refusals, workspace),
        needs=[
            pb.ApprovalNeed(
                rule_id=need.rule_id,
                role=need.whom,
                required=need.required,
                given=need.given,
                eligible=need.eligible,
            )
            for need in needs
        ],
        trace=json.loads(row["trace"]),
        confirmations=row["confirmations"],
        raw=row["raw"] or b"",
        check_words=in_words(row["subject"]),
        readings=readings,
        agreement=in_one_sentence(readings, len(workspace.roster)),
        replaces=row["replaces"],
        decisions=decisions(decided, int(time.time())),
    )


def sentences(subject: Subject, workspace: Workspace) -> tuple[str, ...]:
    """What a subject means; where that can no longer be said under this version, why, and what it says itself.

    A workspace goes on, and what was done before has still to be shown: a token may have left the list since.
    """
    try:
        return render(subject, workspace).lines
    except CountersealError as error:
        why = f"{error.reason}: {error.message}"
        said = (
            f"WARNING: this cannot be read under version {workspace.version} of the workspace: {why}.",
            f"Its digest is {subject_digest(subject).hex()}.",
            *_plain(subject),
            f"Asked for by {subject.initiator}.",
            f"Reason given: {subject.purpose or 'none'}.",
        )
        return tuple("".join(letter if letter.isprintable() else "?" for letter in line) for line in said)


def _plain(subject: Subject) -> Iterator[str]:
    """What the fields of an order say, without any name of the workspace."""
    if not isinstance(subject, Intent):
        return
    kind = type(subject.action).__name__
    yield f"{kind} from wallet {subject.wallet_id} on {subject.chain}, order {subject.intent_id}."
    match subject.action:
        case Transfer(asset, to, amount):
            yield f"Exactly {amount} base units of {asset} to {to_checksum(to)}."
        case Allow(asset, spender, amount):
            yield f"Exactly {amount} base units of {asset} may be taken by {to_checksum(spender)}."
        case Call(to, value, data):
            yield f"Exactly {value} wei and {len(data)} bytes to {to_checksum(to)}: 0x{data[:260].hex()}."


def _name(index: int, workspace: Workspace) -> str:
    """A cosigner's name; empty for one that the roster has no more."""
    return next((one.name for one in workspace.roster if one.index == index), "")


def _why(row: RowMapping, refusals: Iterable[bytes]) -> tuple[str, str]:
    """Reason and detail: before the signature, what cosigners say is wrong comes before what the order waits for."""
    held = hold(read_refusals(refusals)) if row["state"] in _UNSIGNED else None
    if held is None:
        return row["reason"], row["detail"]
    return held.reason, "; ".join(filter(None, (f"on hold with these: {held.text}", row["detail"])))


def readings(rows: Iterable[RowMapping], workspace: Workspace, same: Iterable[int]) -> list[pb.CosignerReading]:
    """What cosigners read; ``same`` are those that read what we do."""
    return [
        pb.CosignerReading(
            index=row["cosigner"],
            name=_name(row["cosigner"], workspace),
            same=row["cosigner"] in same,
            signed_reading=row["reading"],
            lines=lines_of(row),
        )
        for row in rows
    ]


def in_one_sentence(read: list[pb.CosignerReading], roster: int) -> str:
    """Whether the cosigners agree; empty before any has read it."""
    if not read:
        return ""
    if others := [f"{one.index} {one.name}" for one in read if not one.same]:
        return f"cosigners {', '.join(others)} read this DIFFERENTLY"
    return f"{len(read)} of {roster} cosigners read this the same way"


def refused(refusals: Iterable[bytes], workspace: Workspace) -> list[pb.CosignerRefusal]:
    """Cosigners' signed refusals."""
    return [_refusal(data, workspace) for data in refusals]


def decisions(rows: Iterable[RowMapping], now: int) -> list[pb.PersonDecision]:
    """What people decided, and whether it still counts."""
    shown = []
    for row in rows:
        over = decode(Approval, row["approval"]).claim.expires_at <= now
        state = "INVALIDATED" if row["void"] else "EXPIRED" if over else "VALID"
        one = pb.PersonDecision(user_id=row["user_id"], verdict=row["verdict"], at=row["at"], state=state)
        one.reason, one.comment = row["void"], row["comment"]
        shown.append(one)
    return shown


def _refusal(data: bytes, workspace: Workspace) -> pb.CosignerRefusal:
    refusal = decode(SignedRefusal, data).refusal
    return pb.CosignerRefusal(
        index=refusal.index,
        name=_name(refusal.index, workspace),
        reason=refusal.reason,
        detail=refusal.detail,
        signed_refusal=data,
    )


def log_status(witnessing: Witnessing) -> pb.LogStatus:
    """The log, and who vouches for it."""
    now = witnessing.status()
    return pb.LogStatus(
        size=now.size,
        root=now.root,
        age_seconds=now.age,
        cosignatures=now.cosignatures,
        mode=now.mode,
        detail=now.words,
        conflict="; ".join(witnessing.conflicts.open),
    )


def cosigners(standing: Standing, attached: Cosigners, witnessing: Witnessing) -> list[pb.CosignerStatus]:
    """The whole roster, attached or not."""
    links, now = attached.present(), time.monotonic()
    shown = []
    for one in standing.current.roster:
        status = pb.CosignerStatus(index=one.index, name=one.name, operator=one.operator, state="ABSENT")
        status.quarantined = one.index in attached.quarantined
        status.rolled_back = attached.rolled_back.get(one.index, "")
        status.halted = attached.halted.get(one.index, "")
        status.log_size = witnessing.sizes.get(one.index, 0)
        status.log_mode, status.log_detail = attached.logs.get(one.index, ("", ""))
        status.log_detail = witnessing.troubles.get(one.index, status.log_detail)
        if link := links.get(one.index):
            ahead = link.version > standing.current.version
            status.state = "ATTACHED" if link.workspace == standing.digest else "AHEAD" if ahead else "BEHIND"
            status.version = link.version
            status.last_heard_seconds = now - link.heard
            status.latency_ms = link.latency * 1000
            for held in attached.stock.get(one.index, ()):
                status.stock.append(pb.Stock.FromString(held.SerializeToString()))
        shown.append(status)
    return shown
