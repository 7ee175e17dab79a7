"""The way of an order: review, approvals, execution, signing, broadcast, confirmation. Each part is a durable step.

Every step reads where the order stands and does what is left, so that running it again after a crash repeats nothing
that has an effect: the execution is kept before it is signed, the signed bytes before they are sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import RowMapping

from coordinator import durable
from coordinator.approving import Approving
from coordinator.authorizing import Authorizing
from coordinator.calls import Call
from coordinator.chain.evm import EvmChain, any_execution
from coordinator.cosigners import Cosigners
from coordinator.news import News
from coordinator.objections import refusers, warn
from coordinator.orders import RETRY, execution_of, intent_of, proposal_of
from coordinator.outcomes import Outcomes
from coordinator.preparing import Preparing
from coordinator.presigning import Presigning
from coordinator.sending import LONGEST_PAUSE, Sending
from coordinator.sessions import SessionFailed, new_spec, run_session
from coordinator.standing import Standing
from coordinator.store import Store
from coordinator.wallets import Wallets
from oms_core.approvals import Approval
from oms_core.authorize import review
from oms_core.chains.evm import (
    assemble,
    is_message,
    message_signature,
    sender,
    transaction_hash,
    what_is_signed,
)
from oms_core.chains.intent import Intent, Proposal, subject_digest
from oms_core.crypto import ecdsa
from oms_core.crypto.bip32 import derive as public_key_at
from oms_core.crypto.curve import Point
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason, Unavailable
from oms_core.evidence import Refusal, SignRequest
from oms_core.lifecycle import IllegalTransition, State
from oms_core.log.cover import Mode
from oms_core.policy.spends import spends
from oms_core.readings import plain_decision
from oms_core.refusals import NOT_FINAL

log = structlog.get_logger()

MAX_FAILED_SESSIONS = 10
_TO_SIGN = (State.PENDING_APPROVAL, State.APPROVED, State.SIGNING)


@dataclass(frozen=True, slots=True)
class Session:
    """What is asked of whom, with which presignature of theirs (empty: without), and the note that vouches for it.

    ``mode`` is what the note is enough for.
    """

    request: SignRequest
    quorum: tuple[int, ...]
    presignature: bytes
    checkpoint: bytes
    mode: Mode

    def passes(self, refusal: Refusal) -> bool:
        """Whether a no in it is one that passes: also that a part of a limit is used up, where only a part counts."""
        reason = Reason(refusal.reason)
        return reason in NOT_FINAL or (reason is Reason.VELOCITY_EXCEEDED and self.mode is Mode.DEGRADED)


class Desk(Preparing, Sending):
    """All orders under way."""

    def __init__(
        self,
        store: Store,
        standing: Standing,
        cosigners: Cosigners,
        wallets: Wallets,
        approving: Approving,
        outcomes: Outcomes,
        presigning: Presigning,
        authorizing: Authorizing,
        chain: EvmChain,
        depth: int,
        news: News,
    ) -> None:
        self._authorizing, self._looked = authorizing, {}
        self._outcomes, self._presigning = outcomes, presigning
        self._store, self._standing, self._cosigners, self._wallets = store, standing, cosigners, wallets
        self._approving, self._chain, self._depth, self._news = approving, chain, depth, news

    def steps(self) -> tuple[durable.Step, ...]:
        """The order's way."""
        return (
            ("review", self.review),
            ("approvals", self.approvals),
            ("prepare", self.prepare),
            ("sign", self.sign),
            ("broadcast", self.broadcast),
            ("confirm", self.confirm),
        )

    async def submit(self, order_id: str, proposal: Proposal, call: Call) -> None:
        """Take a new order on. Malformed or unsigned ones raise, and nothing is kept of them."""
        await self._store.add_order(await self.admitted(order_id, proposal), call)

    async def admitted(self, order_id: str, proposal: Proposal) -> dict[str, Any]:
        """What is kept of a new order that can be taken on."""
        intent = proposal.subject
        if not isinstance(intent, Intent):
            raise Malformed("an order's subject is an intent")
        if intent.chain != self._chain.name:
            raise Malformed(f"this coordinator does not serve {intent.chain[:40]}", Reason.CHAIN_MISMATCH)
        now = int(time.time())
        review(proposal, self._workspace, await self._store.facts(now))
        what_is_signed(intent, None if is_message(intent) else any_execution(intent))
        await self._wallets.active(intent.wallet_id)
        return {
            "order_id": order_id,
            "wallet_id": intent.wallet_id,
            "proposal": encode(proposal),
            "subject": subject_digest(intent),
            "by": (intent.initiator, proposal.key_id.encode()),
            "adds": spends(self._workspace, intent, now),
        }

    async def sign(self, order_id: str) -> None:
        """APPROVED → SIGNED with any quorum, trying others as nodes refuse, lie or fall silent.

        An order that goes back to its people on the way is still in this step, also after a crash.
        """
        failures = passing = 0
        while (row := await self._store.order(order_id))["state"] in _TO_SIGN:
            if row["state"] == State.PENDING_APPROVAL:
                await self.approvals(order_id)
                continue
            if row["state"] == State.SIGNING:
                await self._move(order_id, State.SIGNING, State.APPROVED)
                continue
            if await self._expired(row):
                return
            if (end := await self._ending(row)) is not None:
                await self._reject(row, end)
                return
            if not await self._still(row):
                continue
            try:
                session = await self._agreed(row, pooled=not passing)
            except IllegalTransition:
                continue  # it was withdrawn meanwhile
            except Unavailable as error:
                await self._wait(order_id, error.reason, error.message)
                continue
            except CountersealError as error:
                await self._end(row, State.REJECTED, error.reason, error.message)
                return
            if session is None:
                continue
            how = "with a presignature" if session.presignature else "interactively"
            names = ", ".join(map(str, session.quorum))
            await self._move(order_id, State.APPROVED, State.SIGNING, f"cosigners {names}, {how}")
            try:
                await self._sign_with(row, session)
            except SessionFailed as failed:
                passes = [no.refusal for no in failed.refusals.values() if session.passes(no.refusal)]
                self._pause(order_id, passes)
                for refusal in failed.refusals.values():
                    await self._store.add_refusal(order_id, refusal)
                    warn(order_id, refusal.refusal)
                passing += bool(passes)
                guilty = await self._outcomes.failed(order_id, failed)
                failures += not (failed.refusals or failed.stale or guilty)
                why = Reason(passes[0].reason) if passes else None
                await self._after_failure(order_id, failed, failures, passing if passes else 0, why)
            except Unavailable:  # ours, as when nothing may be written down: the step is done again
                raise
            except CountersealError as error:
                log.warning("signing failed", order=order_id, reason=error.reason, detail=error.message)
                await self._move(order_id, State.SIGNING, State.REJECTED, reason=error.reason, detail=error.message)

    async def _agreed(self, row: RowMapping, pooled: bool) -> Session | None:
        """Who is asked to sign what, under which note of the log: written down there before anybody is asked.

        None if the order had to wait, or is not what it was by now. Raises `Unavailable` for what is missing.
        """
        order_id = row["order_id"]
        await self._check_attached(row)
        if not await self._mode_allows(row):
            return None
        before = row["execution"]
        await self.prepare(order_id)
        row = await self._store.order(order_id)
        if row["state"] != State.APPROVED or row["execution"] != before:
            return None  # what people have named may be another transaction
        request = await self.request(row)
        cover = await self._authorizing.cover(await self._authorizing.order(order_id, request))
        if cover.mode is Mode.DEGRADED and (missing := await self._missing(row))[1]:
            raise Unavailable(missing[1], missing[0])
        chosen = await self._quorum(row, pooled, set(cover.cosigners))
        if chosen is None:
            text = f"too few of cosigners {', '.join(map(str, cover.cosigners))}, who vouch for the log, can sign"
            raise Unavailable(text, Reason.QUORUM_UNAVAILABLE)
        return Session(request, *chosen, cover.note, cover.mode)

    async def _check_attached(self, row: RowMapping) -> None:
        """That enough are there. Raises `Unavailable`."""
        wallet = await self._wallets.active(row["wallet_id"])
        without = refusers(await self._refusals(row))
        if self._cosigners.quorum(wallet.parties, wallet.threshold, without) is None:
            there = len((self._cosigners.willing() & set(wallet.parties)) - without)
            text = f"{there} of {len(wallet.parties)} holders of the key can sign, and it takes {wallet.threshold}"
            raise Unavailable(text, Reason.QUORUM_UNAVAILABLE)

    async def _quorum(self, row: RowMapping, pooled: bool, of: set[int]) -> tuple[tuple[int, ...], bytes] | None:
        """Who ``of`` these is asked to sign, and with which presignature of theirs (empty: without); None: too few."""
        wallet, intent = await self._wallets.active(row["wallet_id"]), intent_of(row)
        decision, _ = await self._approving.standing_now(row["order_id"], intent)
        without = refusers(await self._refusals(row)) | (set(wallet.parties) - of)
        if pooled:
            taken = await self._presigning.take(row["wallet_id"], wallet, intent.path, without, decision.cosigners)
            if taken is not None:
                return taken.quorum, taken.presignature_id
        quorum = self._cosigners.quorum(wallet.parties, wallet.threshold, without, decision.cosigners)
        return None if quorum is None else (quorum, b"")

    def _pause(self, order_id: str, said: list[Refusal]) -> None:
        """Choose those last whose no passes, and let go of what they will go on refusing."""
        for one in said:
            self._cosigners.strike(one.index)
            if one.reason == Reason.HALTED:
                self._cosigners.stands_still(one.index, one.detail)
            elif one.reason == Reason.VELOCITY_EXCEEDED:
                self._authorizing.give_up(order_id)

    async def _after_failure(
        self, order_id: str, failed: SessionFailed, failures: int, passing: int, why: Reason | None
    ) -> None:
        """Go on, unless there were too many failures; a no that passes by itself is waited out, longer each time."""
        if failures >= MAX_FAILED_SESSIONS:
            text = f"{failures} sessions failed, the last: {failed.detail}"[:500]
            await self._move(order_id, State.SIGNING, State.QUARANTINED, reason=Reason.SESSION_FAILED, detail=text)
            return
        reason = Reason.CULPRIT_IDENTIFIED if failed.proven else Reason.SESSION_FAILED
        await self._move(order_id, State.SIGNING, State.APPROVED, reason=why or reason, detail=failed.detail[:500])
        await asyncio.sleep(min(RETRY * 2**passing, LONGEST_PAUSE) if passing else RETRY * min(failures, 5))

    async def _sign_with(self, row: RowMapping, session: Session) -> None:
        wallet, path = await self._wallets.active(row["wallet_id"]), intent_of(row).path
        request, quorum = session.request, session.quorum
        assert isinstance(request.proposal.subject, Intent)
        tx, digest = what_is_signed(request.proposal.subject, request.execution)  # as every cosigner does it again
        spec = new_spec(
            "sign-online" if session.presignature else "sign",
            wallet.level,
            wallet.key,
            wallet.threshold,
            quorum,
            request,
            path=path,
            digest=digest,
            presignature=session.presignature,
        )
        results = await run_session(self._cosigners, self._workspace, spec, request, checkpoint=session.checkpoint)
        key = public_key_at(wallet.public_key, wallet.chain_code, path).public_key
        signature = self._signature(results, key, digest)
        raw, tx_hash = message_signature(signature), ""
        if tx is not None:
            raw = assemble(tx, signature)
            if sender(raw) != await self._wallets.account(row["wallet_id"], path):
                raise Malformed("the signed transaction is not the wallet's", Reason.SIGNATURE_INVALID)
            tx_hash = "0x" + transaction_hash(raw).hex()
        await self._move(
            row["order_id"],
            State.SIGNING,
            State.SIGNED,
            f"by cosigners {', '.join(map(str, quorum))}",
            raw=raw,
            hash=tx_hash,
            signers=json.dumps(quorum),
        )

    async def request(self, row: RowMapping) -> SignRequest:
        """The evidence that is presented to every cosigner of the quorum."""
        _, approvals = await self._approving.standing_now(row["order_id"], intent_of(row))
        decision = plain_decision(intent_of(row), self._workspace)
        return SignRequest(proposal_of(row), execution_of(row), self._standing.digest, _in_order(approvals), decision)

    def _signature(self, results: dict[int, bytes], key: Point, digest: bytes) -> ecdsa.Signature:
        """The first that verifies: who reports another one is suspected. Raises `SessionFailed` if none does."""
        valid = {}
        for index, data in results.items():
            with contextlib.suppress(Malformed, ProofInvalid):
                signature = decode(ecdsa.Signature, data, 512)
                ecdsa.verify(key, digest, signature)
                valid[index] = signature
        for index in set(results) - set(valid):
            self._cosigners.strike(index)
        if not valid:
            raise SessionFailed({}, (), set(results), "nobody reports a valid signature", parties=tuple(results))
        return next(iter(valid.values()))


def _in_order(approvals: tuple[Approval, ...]) -> tuple[Approval, ...]:
    return tuple(sorted(approvals, key=lambda approval: approval.claim.approver))
