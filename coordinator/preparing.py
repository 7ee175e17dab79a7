"""Nonce, gas and fees: chosen once people have approved, or before they are asked, where they have to name them.

While enough cosigners vouch for the log, an execution is chosen after the approvals, with a nonce that is held from
then on: it takes seconds. In degraded mode people approve the exact transaction, which may take hours, and nobody else
is held up for so long: several orders may name the same next nonce, the first that is approved gets it, and the others
are chosen anew, so that their people are asked once more.
"""

from __future__ import annotations

import time

import structlog
from sqlalchemy import RowMapping

from coordinator.authorizing import Authorizing
from coordinator.chain.evm import EvmChain
from coordinator.chain.rpc import RpcError
from coordinator.orders import RETRY, execution_of, intent_of
from coordinator.reviewing import Reviewing
from oms_core.approvals import Approval, Verdict
from oms_core.authorize import execution_digest
from oms_core.chains.evm import derive, is_message, to_checksum
from oms_core.encoding import decode, encode
from oms_core.errors import Reason, Refused, Unavailable
from oms_core.evidence import Refusal
from oms_core.lifecycle import State
from oms_core.log.cover import Mode
from oms_core.log.quorum import share
from oms_core.policy.judge import Outcome

log = structlog.get_logger()

LOOK = 10.0  # seconds between looks whether what people are asked to name can still be sent
GRACE = 15.0  # seconds in degraded mode before approvals that name nothing are asked for anew: nodes may be coming back


class Preparing(Reviewing):
    """From APPROVED to an execution that is kept; and before it, where people have to name it."""

    _chain: EvmChain
    _authorizing: Authorizing
    _looked: dict[str, float]

    async def prepare(self, order_id: str) -> None:
        """Choose nonce, gas and fees, and keep them: what is signed later is this and nothing else.

        A message needs none of them. What people have named is kept while it can be sent.
        """
        if is_message(intent_of(await self._store.order(order_id))):
            return
        while (row := await self._store.order(order_id))["state"] == State.APPROVED and not await self._holds(row):
            intent = intent_of(row)
            if await self._expired(row):
                return
            if await self._waits_unnamed(row):
                continue
            try:
                account = await self._wallets.account(intent.wallet_id, intent.path)
                least = await self._chain.next_nonce(account)
                nonce = await self._store.reserve_nonce(intent.chain, account.hex(), order_id, least)
                if nonce is None:
                    text = "an order before it has the account's next nonce, and is not sent"
                    await self._store.note(order_id, reason=str(Reason.NONCE_CONFLICT), detail=text)
                    await self._news.wait(intent.wallet_id, RETRY)
                    continue
                await self._choose(row, account, nonce)
            except Unavailable as error:
                await self._wait(order_id, error.reason, error.message)
            except RpcError as error:  # what the chain is asked here is not about the order
                await self._wait(order_id, Reason.CHAIN_UNAVAILABLE, error.message)
            except Refused as error:
                await self._end(row, State.REJECTED, error.reason, error.message)

    async def _waits_unnamed(self, row: RowMapping) -> bool:
        """Whether nobody has approved it while approvals have to name the bytes: then it takes nobody's nonce."""
        if self._authorizing.witnessing.mode() is not Mode.DEGRADED or row["authorized_at"]:
            return False
        return not await self._store.decisions(row["order_id"]) and not await self._mode_allows(row)

    async def _holds(self, row: RowMapping) -> bool:
        """Whether it has an execution, and its nonce is its own. What is authorised is never chosen anew."""
        execution = execution_of(row)
        if execution is None:
            return False
        return bool(row["authorized_at"]) or await self._store.nonce_of(row["order_id"]) == execution.nonce

    async def _choose(self, row: RowMapping, account: bytes, nonce: int) -> None:
        """Keep an execution with this nonce: the one that there is, if it can be sent, or a new one."""
        intent, held = intent_of(row), execution_of(row)
        if held is not None and await self._chain.sendable(held, nonce):
            await self._store.note(row["order_id"], reason="", detail="")
            return
        execution = await self._chain.execution(intent, account, nonce)
        derive(intent, execution)
        await self._store.note(row["order_id"], execution=encode(execution), reason="", detail="")
        await self._void_others(row["order_id"], execution_digest(execution), b"")
        if held is not None:
            log.info("execution chosen anew", order=row["order_id"], nonce=nonce)

    async def _release(self, row: RowMapping) -> None:
        """An order that goes back to people holds no nonce meanwhile, unless cosigners may know of it."""
        if not row["authorized_at"]:
            await self._store.release_nonce(row["order_id"])
            self._news.ring(row["wallet_id"])

    async def _may_be_paid(self, order_id: str) -> str:
        """Where cosigners were asked to sign it, and its nonce is used: its bytes went out, and a database was lost.

        While it holds its nonce, no other order of its account has that one. Raises `Unavailable` or `RpcError`.
        """
        row = await self._store.order(order_id)
        execution, intent = execution_of(row), intent_of(row)
        if execution is None or not row["authorized_at"] or await self._store.nonce_of(order_id) != execution.nonce:
            return ""
        account = await self._wallets.account(intent.wallet_id, intent.path)
        if await self._chain.next_nonce(account) <= execution.nonce:
            return ""
        return f"it may be paid, nonce {execution.nonce} of {to_checksum(account)} is used on the chain"

    async def _refusals(self, row: RowMapping) -> tuple[Refusal, ...]:
        """Without those that are about the windows of an entry under which nobody is asked any more."""
        said = await super()._refusals(row)
        if not row["authorized_at"] or self._authorizing.logged_at(row["order_id"]) is not None:
            return said
        return tuple(one for one in said if one.reason != Reason.VELOCITY_EXCEEDED)

    # Degraded mode

    async def _in_degraded_mode(self, row: RowMapping) -> None:
        """While an order waits for people in degraded mode: have them asked about an exact transaction."""
        if self._authorizing.witnessing.mode() is not Mode.DEGRADED or is_message(intent_of(row)):
            return
        order_id, now = row["order_id"], time.monotonic()
        if row["execution"] is not None and now - self._looked.get(order_id, 0.0) < LOOK:
            return
        self._looked = {key: at for key, at in self._looked.items() if now - at < LOOK} | {order_id: now}
        intent = intent_of(row)
        try:
            if not row["authorized_at"]:
                account = await self._wallets.account(intent.wallet_id, intent.path)
                least = await self._chain.next_nonce(account)
                nonce = await self._store.free_nonce(intent.chain, account.hex(), least)
                await self._choose(row, account, nonce)
        except (Unavailable, Refused, RpcError) as error:
            await self._store.note(order_id, reason=str(error.reason), detail=error.message[:500])
        await self._exact(row)
        self._news.ring(order_id)

    async def _exact(self, row: RowMapping) -> bool:
        """Whether its approvals name the exact transaction; those that do not are void once degraded mode lasts."""
        row = await self._store.order(row["order_id"])
        named = execution_digest(execution_of(row))
        rows = await self._store.decisions(row["order_id"])
        claims = [decode(Approval, one["approval"]).claim for one in rows if one["verdict"] == Verdict.APPROVE]
        if named and claims and all(claim.execution == named for claim in claims):
            return True
        if self._authorizing.witnessing.degraded_for() > GRACE:
            await self._void_others(row["order_id"], *filter(None, (named,)))
        return False

    async def _void_others(self, order_id: str, *good: bytes) -> None:
        """Approvals that name something else than what is ``good`` count no more; their people may decide anew."""
        for row in await self._store.decisions(order_id):
            if row["verdict"] == Verdict.APPROVE and decode(Approval, row["approval"]).claim.execution not in good:
                await self._store.void(order_id, row["person_id"], str(Reason.EXACT_BYTES_NEEDED))
                log.info("approval void", order=order_id, person=row["person_id"])
                self._news.ring(order_id)

    async def _mode_allows(self, row: RowMapping) -> bool:
        """Whether so many vouch for the log as this order needs; if not, it says what is missing, and waits a little.

        Whoever waits holds no nonce. What people have named stays good when more vouch for the log again.
        """
        mode, *_, words = self._authorizing.witnessing.status()
        if mode is Mode.FULL:
            return True
        reason, text = Reason.NOT_LOGGED, ""
        if mode is Mode.DEGRADED:
            reason, text = await self._missing(row)
            if not text:
                return True
        await self._release(row)
        await self._wait(row["order_id"], reason, "; ".join(filter(None, (words, text)))[:500])
        return False

    async def _missing(self, row: RowMapping) -> tuple[Reason, str]:
        """Why an order cannot be signed in degraded mode, in words; empty if it can.

        It is held against what nodes will hold it against: the windows of its entry while that is in use. If they are
        too full, it is logged anew as soon as the windows of then are not.
        """
        order_id, n = row["order_id"], len(self._workspace.roster)
        at = self._authorizing.logged_at(order_id)
        facts = await self._store.facts(int(time.time()), ahead_of=order_id, share=share(n), logged_at=at)
        decision, approvals = await self._approving.standing(order_id, intent_of(row), facts)
        if decision.outcome is Outcome.DENY:
            self._authorizing.give_up(order_id)
            return decision.objections[0].reason, decision.detail
        if is_message(intent_of(row)) or await self._exact(row):
            return Reason.EXACT_BYTES_NEEDED, ""
        whose = "its approvals do not" if approvals else "nobody has to approve this order, so it waits for them"
        return Reason.EXACT_BYTES_NEEDED, whose
