"""The way of an order: review, approvals, execution, signing, broadcast, confirmation. Each part is a durable step.

Every step reads where the order stands and does what is left, so that running it again after a crash repeats nothing
that has an effect: the execution is kept before it is signed, the signed bytes before they are sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import structlog
from sqlalchemy import RowMapping

from coordinator import durable
from coordinator.approving import Approving
from coordinator.chain.evm import EvmChain, any_execution
from coordinator.chain.rpc import RpcError
from coordinator.cosigners import Cosigners
from coordinator.news import News
from coordinator.outcomes import Outcomes
from coordinator.presigning import Presigning
from coordinator.sessions import SessionFailed, new_spec, run_session
from coordinator.standing import Standing, Stands
from coordinator.store import Call, Store
from coordinator.wallets import Wallets
from oms_core.approvals import Approval, Verdict
from oms_core.authorize import review
from oms_core.chains.evm import (
    assemble,
    derive,
    is_message,
    message_signature,
    sender,
    transaction_hash,
    what_is_signed,
)
from oms_core.chains.intent import Execution, Intent, Proposal, subject_digest
from oms_core.crypto import ecdsa
from oms_core.crypto.bip32 import derive as public_key_at
from oms_core.crypto.curve import Point
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason, Refused, Unavailable
from oms_core.evidence import SignedRefusal, SignRequest
from oms_core.lifecycle import TERMINAL, State
from oms_core.policy.judge import Outcome
from oms_core.workspace import workspace_digest

log = structlog.get_logger()

RETRY = 1.0  # seconds between attempts at what is not available
MAX_FAILED_SESSIONS = 10


class Desk(Stands):
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
        chain: EvmChain,
        depth: int,
        news: News,
    ) -> None:
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
        intent = proposal.subject
        if not isinstance(intent, Intent):
            raise Malformed("an order's subject is an intent")
        if intent.chain != self._chain.name:
            raise Malformed(f"this coordinator does not serve {intent.chain[:40]}", Reason.CHAIN_MISMATCH)
        review(proposal, self._workspace, await self._store.facts(int(time.time())))
        what_is_signed(intent, None if is_message(intent) else any_execution(intent))
        await self._wallets.active(intent.wallet_id)
        await self._store.add_order(
            {
                "order_id": order_id,
                "wallet_id": intent.wallet_id,
                "proposal": encode(proposal),
                "subject": subject_digest(intent),
            },
            call,
        )

    async def review(self, order_id: str) -> None:
        """SUBMITTED → REJECTED, PENDING_APPROVAL or APPROVED, by the rules."""
        row = await self._store.order(order_id)
        if row["state"] != State.SUBMITTED:
            return
        _, decision = review(_proposal(row), self._workspace, await self._store.facts(int(time.time())))
        trace = json.dumps([f"{t.kind} {t.rule_id}: {'' if t.applies else 'no, '}{t.text}" for t in decision.trace])
        if decision.outcome is Outcome.DENY:
            first = decision.objections[0]
            text = "; ".join(f"{o.rule_id}: {o.text}" if o.rule_id else o.text for o in decision.objections)
            await self._move(order_id, State.SUBMITTED, State.REJECTED, reason=first.reason, detail=text, trace=trace)
        elif decision.outcome is Outcome.NEEDS_APPROVAL:
            await self._move(order_id, State.SUBMITTED, State.PENDING_APPROVAL, trace=trace)
        else:
            await self._move(order_id, State.SUBMITTED, State.APPROVED, trace=trace)

    async def approvals(self, order_id: str) -> None:
        """PENDING_APPROVAL → APPROVED, DENIED, REJECTED or EXPIRED, by what people decide."""
        while (row := await self._store.order(order_id))["state"] == State.PENDING_APPROVAL:
            denials = [d for d in await self._store.decisions(order_id) if d["verdict"] == Verdict.DENY]
            facts = await self._store.facts(int(time.time()))
            decision, _ = await self._approving.standing(order_id, _intent(row), facts)
            if denials:
                text = f"denied by {denials[0]['user_id']}: {denials[0]['comment'] or 'no reason given'}"
                await self._end(row, State.DENIED, Reason.APPROVAL_DENIED, text)
            elif facts.now >= _intent(row).valid_until:
                await self._end(row, State.EXPIRED, Reason.EXPIRED, "not approved in time")
            elif decision.outcome is Outcome.DENY:
                await self._end(row, State.REJECTED, decision.objections[0].reason, decision.objections[0].text)
            elif decision.outcome is Outcome.PERMIT:
                await self._move(order_id, State.PENDING_APPROVAL, State.APPROVED)
            else:
                await self._news.wait(order_id)

    async def prepare(self, order_id: str) -> None:
        """Choose nonce, gas and fees, and keep them: what is signed later is this and nothing else.

        A message needs none of them.
        """
        if is_message(_intent(await self._store.order(order_id))):
            return
        while (row := await self._store.order(order_id))["state"] == State.APPROVED and row["execution"] is None:
            intent = _intent(row)
            if await self._expired(row):
                return
            try:
                account = await self._wallets.account(intent.wallet_id, intent.path)
                least = await self._chain.next_nonce(account)
                nonce = await self._store.reserve_nonce(intent.chain, account.hex(), order_id, least)
                if nonce is None:
                    await self._news.wait(intent.wallet_id, RETRY)
                    continue
                execution = await self._chain.execution(intent, account, nonce)
                derive(intent, execution)
            except Unavailable as error:
                await self._wait(order_id, error.reason, error.message)
            except (Refused, RpcError) as error:
                await self._end(row, State.REJECTED, error.reason, error.message)
            else:
                await self._store.note(order_id, execution=encode(execution), reason="", detail="")

    async def sign(self, order_id: str) -> None:
        """APPROVED → SIGNED with any quorum, trying others as nodes refuse, lie or fall silent."""
        refused: set[int] = set()
        failures = 0
        while (row := await self._store.order(order_id))["state"] in (State.APPROVED, State.SIGNING):
            if row["state"] == State.SIGNING:
                await self._move(order_id, State.SIGNING, State.APPROVED)
                continue
            if await self._expired(row):
                return
            wallet = await self._wallets.active(row["wallet_id"])
            if len(wallet.parties) - len(refused) < wallet.threshold:
                await self._end(row, State.REJECTED, *await self._why(order_id))
                return
            taken = await self._presigning.take(row["wallet_id"], wallet, _intent(row).path, refused)
            quorum = taken.quorum if taken else self._cosigners.quorum(wallet.parties, wallet.threshold, refused)
            if quorum is None:
                text = f"{len(self._cosigners.attached())} of {len(wallet.parties)} cosigners are attached"
                await self._wait(order_id, Reason.QUORUM_UNAVAILABLE, text)
                continue
            how = "with a presignature" if taken else "interactively"
            names = ", ".join(map(str, quorum))
            await self._move(order_id, State.APPROVED, State.SIGNING, f"cosigners {names}, {how}")
            try:
                await self._sign_with(row, quorum, taken.presignature_id if taken else b"")
            except SessionFailed as failed:
                for refusal in failed.refusals.values():
                    await self._store.add_refusal(order_id, refusal)
                refused |= set(failed.refusals)
                guilty = await self._outcomes.failed(order_id, failed)
                failures += not (failed.refusals or failed.stale or guilty)
                await self._after_failure(order_id, failed, failures)
            except CountersealError as error:
                log.warning("signing failed", order=order_id, reason=error.reason, detail=error.message)
                await self._move(order_id, State.SIGNING, State.REJECTED, reason=error.reason, detail=error.message)

    async def _after_failure(self, order_id: str, failed: SessionFailed, failures: int) -> None:
        if failures >= MAX_FAILED_SESSIONS:
            text = f"{failures} sessions failed, the last: {failed.detail}"[:500]
            await self._move(order_id, State.SIGNING, State.QUARANTINED, reason=Reason.SESSION_FAILED, detail=text)
            return
        reason = Reason.CULPRIT_IDENTIFIED if failed.proven else Reason.SESSION_FAILED
        await self._move(order_id, State.SIGNING, State.APPROVED, reason=reason, detail=failed.detail[:500])
        await asyncio.sleep(RETRY * min(failures, 5))

    async def _sign_with(self, row: RowMapping, quorum: tuple[int, ...], presignature: bytes) -> None:
        wallet, path = await self._wallets.active(row["wallet_id"]), _intent(row).path
        request = await self.request(row)
        tx, digest = what_is_signed(_intent(row), request.execution)
        spec = new_spec(
            "sign-online" if presignature else "sign",
            wallet.level,
            wallet.key,
            wallet.threshold,
            quorum,
            request,
            path=path,
            digest=digest,
            presignature=presignature,
        )
        results = await run_session(self._cosigners, self._workspace, spec, request)
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
        facts = await self._store.facts(int(time.time()))
        _, approvals = await self._approving.standing(row["order_id"], _intent(row), facts)
        execution = decode(Execution, row["execution"]) if row["execution"] is not None else None
        return SignRequest(_proposal(row), execution, workspace_digest(self._workspace), _in_order(approvals))

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

    async def broadcast(self, order_id: str) -> None:
        """SIGNED → BROADCAST: the same bytes, as often as it takes. A message has reached its end when it is signed."""
        while (row := await self._store.order(order_id))["state"] == State.SIGNED:
            if is_message(_intent(row)):
                await self._move(order_id, State.SIGNED, State.CONFIRMED, "a message goes to no chain")
                return
            try:
                await self._chain.broadcast(row["raw"])
            except Unavailable as error:
                await self._wait(order_id, error.reason, error.message)
            except RpcError as error:
                await self._end(row, State.QUARANTINED, Reason.BROADCAST_REJECTED, error.message)
            else:
                await self._move(order_id, State.SIGNED, State.BROADCAST)

    async def confirm(self, order_id: str) -> None:
        """BROADCAST → MINED → CONFIRMED, and back when a reorganisation takes the block away."""
        while (row := await self._store.order(order_id))["state"] in (State.BROADCAST, State.MINED):
            try:
                standing = await self._chain.standing(row["hash"])
                if standing is None and row["state"] == State.MINED:
                    await self._move(order_id, State.MINED, State.BROADCAST, "its block is gone", block_number=0)
                elif standing is None:
                    await self._chain.broadcast(row["raw"])
                    await self._news.wait(order_id, RETRY)
                elif row["state"] == State.BROADCAST:
                    await self._move(order_id, State.BROADCAST, State.MINED, block_number=standing.block)
                elif standing.depth < self._depth:
                    await self._store.note(order_id, confirmations=standing.depth, block_number=standing.block)
                    await self._news.wait(order_id, 0.25)
                else:
                    await self._finish(row, standing.succeeded, standing.depth)
            except Unavailable as error:
                await self._wait(order_id, error.reason, error.message)
            except RpcError as error:
                await self._wait(order_id, error.reason, error.message)

    async def _finish(self, row: RowMapping, succeeded: bool, depth: int) -> None:
        if succeeded:
            await self._move(row["order_id"], State.MINED, State.CONFIRMED, confirmations=depth)
        else:
            await self._end(row, State.FAILED_ON_CHAIN, Reason.FAILED_ON_CHAIN, "the chain reverted it")

    async def _expired(self, row: RowMapping) -> bool:
        if time.time() < _intent(row).valid_until:
            return False
        await self._end(row, State.EXPIRED, Reason.EXPIRED, row["detail"] or "not signed in time")
        return True

    async def _why(self, order_id: str) -> tuple[Reason, str]:
        said = [decode(SignedRefusal, data).refusal for data in await self._store.refusals(order_id)]
        text = "; ".join(f"cosigner {r.index}: {r.reason} {r.detail}" for r in said)
        return (Reason(said[0].reason) if said else Reason.QUORUM_UNAVAILABLE), text[:1000]

    async def _end(self, row: RowMapping, to: State, reason: Reason, text: str) -> None:
        await self._move(row["order_id"], State(row["state"]), to, reason=reason, detail=text)

    async def _move(self, order_id: str, was: State, to: State, note: str = "", **values: Any) -> None:
        await self._store.move(order_id, was, to, note, **values)
        if to in TERMINAL and was in (State.APPROVED, State.SIGNING):
            await self._store.release_nonce(order_id)
        if to in TERMINAL or to is State.BROADCAST:
            self._news.ring((await self._store.order(order_id))["wallet_id"])
        log.info("order", order=order_id, state=str(to), reason=str(values.get("reason", "")))
        self._news.ring(order_id)

    async def _wait(self, order_id: str, reason: Reason, text: str) -> None:
        """Say what is missing, then pause: the order stays where it is."""
        await self._store.note(order_id, reason=reason, detail=text)
        self._news.ring(order_id)
        try:
            async with asyncio.timeout(RETRY):
                await self._cosigners.changed.wait()
        except TimeoutError:
            pass

    def ended(self, row: RowMapping) -> bool:
        """Whether nothing more will happen to the order."""
        return State(row["state"]) in TERMINAL


def _proposal(row: RowMapping) -> Proposal:
    return decode(Proposal, row["proposal"])


def _intent(row: RowMapping) -> Intent:
    subject = _proposal(row).subject
    assert isinstance(subject, Intent)
    return subject


def _in_order(approvals: tuple[Approval, ...]) -> tuple[Approval, ...]:
    return tuple(sorted(approvals, key=lambda approval: approval.claim.approver))
