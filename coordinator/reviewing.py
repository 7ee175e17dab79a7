"""The first part of an order's way: the rules, what the cosigners read, and what people decide."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from sqlalchemy import RowMapping

from coordinator.approving import GOES_ON, Approving
from coordinator.objections import Ending, alert, can_sign, ending, read_refusals, refusers, without_quorum
from coordinator.orders import Orders, intent_of, proposal_of
from coordinator.wallets import Wallets
from oms_core.authorize import review
from oms_core.errors import Malformed, NotFound, Reason, Refused
from oms_core.evidence import Refusal
from oms_core.lifecycle import State
from oms_core.policy.judge import Decision, Outcome
from oms_core.readings import readings_needed


class Reviewing(Orders):
    """SUBMITTED to APPROVED, or to an end."""

    _approving: Approving
    _wallets: Wallets

    async def review(self, order_id: str) -> None:
        """SUBMITTED → REJECTED, PENDING_APPROVAL or APPROVED: by the rules, and where people are needed, by cosigners.

        Nobody is asked to approve before as many cosigners as will sign have read the order, and said so.
        """
        while (row := await self._store.order(order_id))["state"] == State.SUBMITTED:
            if await self._expired(row):
                return
            facts = await self._store.facts(int(time.time()), ahead_of=order_id)
            try:
                _, decision = review(proposal_of(row), self._workspace, facts)
            except (Refused, Malformed, NotFound) as error:  # it was taken on under an earlier version
                await self._end(row, State.REJECTED, error.reason, error.message)
                return
            trace = {"trace": told(decision)}
            if decision.outcome is Outcome.DENY:
                await self._end(row, State.REJECTED, decision.objections[0].reason, decision.detail, **trace)
            elif unmet := await self._unsignable(row, decision):
                await self._end(row, State.REJECTED, Reason.QUORUM_UNAVAILABLE, unmet, **trace)
            elif decision.outcome in GOES_ON:
                await self._move(order_id, State.SUBMITTED, State.APPROVED, **trace)
                self._show_meanwhile(row)
            elif (end := await self._objected(row)) is not None:
                await self._reject(row, end, **trace)
            elif missing := await self._unread(row):
                await self._store.note(order_id, **trace)
                await self._wait(order_id, Reason.READINGS_MISSING, missing)
            else:
                await self._move(order_id, State.SUBMITTED, State.PENDING_APPROVAL, **trace)

    async def approvals(self, order_id: str) -> None:
        """PENDING_APPROVAL → APPROVED, DENIED, REJECTED or EXPIRED, by what people decide."""
        while (row := await self._store.order(order_id))["state"] == State.PENDING_APPROVAL:
            facts = await self._store.facts(int(time.time()), ahead_of=order_id)
            decision, _ = await self._approving.standing(order_id, intent_of(row), facts)
            if text := await self._approving.denial(order_id):
                await self._end(row, State.DENIED, Reason.APPROVAL_DENIED, text)
            elif facts.now >= intent_of(row).valid_until:
                await self._end(row, State.EXPIRED, Reason.EXPIRED, "not approved in time")
            elif decision.outcome is Outcome.DENY:
                await self._end(row, State.REJECTED, decision.objections[0].reason, decision.objections[0].text)
            elif decision.outcome in GOES_ON:
                await self._move(order_id, State.PENDING_APPROVAL, State.APPROVED)
                self._approving.preflight.forget(order_id)
            elif (end := await self._objected(row)) is not None:
                await self._reject(row, end)
            else:
                await self._in_degraded_mode(row)
                await self._news.wait(order_id)

    async def _still(self, row: RowMapping) -> bool:
        """Whether an approved order is what the rules permit now: approvals end, and the workspace changes.

        If not, it is rejected, or people are asked once more.
        """
        order_id = row["order_id"]
        facts = await self._store.facts(int(time.time()), ahead_of=order_id)
        decision, _ = await self._approving.standing(order_id, intent_of(row), facts)
        if decision.outcome is Outcome.DENY:
            await self._end(row, State.REJECTED, decision.objections[0].reason, decision.detail)
        elif text := await self._approving.denial(order_id):  # it came while the last approval was counted
            await self._ask_again(row, reason=Reason.APPROVAL_DENIED, detail=text[:500])
        elif decision.outcome is Outcome.NEEDS_APPROVAL:
            needed = "; ".join(need.words for need in decision.needs if need.missing)
            await self._ask_again(row, reason=Reason.APPROVAL_MISSING, detail=needed[:500], trace=told(decision))
        else:
            return True
        return False

    async def _ask_again(self, row: RowMapping, **values: Any) -> None:
        await self._move(row["order_id"], State.APPROVED, State.PENDING_APPROVAL, **values)
        await self._release(row)
        await self.approvals(row["order_id"])

    async def _in_degraded_mode(self, row: RowMapping) -> None:
        """What is to be done while an order waits for people, and too few vouch for the log."""

    async def _release(self, row: RowMapping) -> None:
        """What an order gives back that goes back to people."""

    async def _objected(self, row: RowMapping) -> Ending | None:
        """Show the order to cosigners that have not read it; why it ends then, if it does."""
        await self._approving.preflight.show(row["order_id"], proposal_of(row))
        return await self._ending(row)

    async def _ending(self, row: RowMapping) -> Ending | None:
        """Why an order ends by what cosigners refused so far, if it does: too many did, or too few are left."""
        said = await self._refusals(row)
        end = ending(said, self._workspace)
        if end is not None or not (gone := refusers(said)):
            return end
        wallet = await self._wallets.active(row["wallet_id"])
        decision, _ = await self._approving.standing_now(row["order_id"], intent_of(row))
        left = can_sign(self._workspace, set(wallet.parties) - gone, wallet.threshold, decision.cosigners)
        return None if left else without_quorum(said)

    async def _refusals(self, row: RowMapping) -> tuple[Refusal, ...]:
        """What cosigners have said against the order as it is asked for now."""
        return read_refusals(await self._store.refusals(row["order_id"]))

    async def _reject(self, row: RowMapping, end: Ending, **values: Any) -> None:
        alert(row["order_id"], end)
        await self._end(row, State.REJECTED, end.reason, end.text, **values)

    async def _unsignable(self, row: RowMapping, decision: Decision) -> str:
        """Why no quorum of the wallet's could ever sign it by these rules; empty if one could."""
        wallet = await self._wallets.active(row["wallet_id"])
        if can_sign(self._workspace, set(wallet.parties), wallet.threshold, decision.cosigners):
            return ""
        wanted = (
            f"rules want cosigners {list(decision.cosigners)}" if decision.cosigners else "operators have to differ"
        )
        return f"{wanted}, and {wallet.threshold} of {list(wallet.parties)} sign: no quorum fits"

    async def _unread(self, row: RowMapping) -> str:
        """What is missing until people may be asked; empty if nothing is.

        Whoever reads something else has read it, too: people see the difference, and their tools refuse to press.
        """
        wallet = await self._wallets.active(row["wallet_id"])
        needed = readings_needed(self._workspace, wallet.threshold)
        there = await self._approving.preflight.readings(row["order_id"])
        if len(there) >= needed:
            return ""
        return f"{len(there)} of at least {needed} cosigners have read it"

    def _show_meanwhile(self, row: RowMapping) -> None:
        """An order that nobody need approve waits for no reading; they are kept with it all the same."""
        task = asyncio.create_task(self._approving.preflight.show(row["order_id"], proposal_of(row)))
        _meanwhile.add(task)
        task.add_done_callback(_meanwhile.discard)


_meanwhile: set[asyncio.Task[None]] = set()  # the loop itself would let them be collected


def told(decision: Decision) -> str:
    """The trace as it is kept: a JSON list of one line a rule."""
    return json.dumps([f"{t.kind} {t.rule_id}: {'' if t.applies else 'no, '}{t.text}" for t in decision.trace])
