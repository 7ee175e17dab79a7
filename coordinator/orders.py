"""What every step of an order's way needs: to move it, to end it, to say what it waits for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog
from sqlalchemy import RowMapping

from coordinator.cosigners import Cosigners
from coordinator.news import News
from coordinator.standing import Stands
from coordinator.store import Store
from oms_core.chains.intent import Execution, Intent, Proposal
from oms_core.encoding import decode
from oms_core.errors import Reason
from oms_core.lifecycle import TERMINAL, State

log = structlog.get_logger()

_UNPAID = (State.REJECTED, State.DENIED, State.EXPIRED)
RETRY = 1.0  # seconds between attempts at what is not available


class Orders(Stands):
    """One order's row, state by state."""

    _store: Store
    _news: News
    _cosigners: Cosigners

    def ended(self, row: RowMapping) -> bool:
        """Whether nothing more will happen to the order."""
        return State(row["state"]) in TERMINAL

    async def _expired(self, row: RowMapping) -> bool:
        if time.time() < intent_of(row).valid_until:
            return False
        await self._end(row, State.EXPIRED, Reason.EXPIRED, row["detail"] or "not signed in time")
        return True

    async def _end(self, row: RowMapping, to: State, reason: Reason, text: str, **values: Any) -> None:
        await self._move(row["order_id"], State(row["state"]), to, reason=reason, detail=text, **values)

    async def _move(self, order_id: str, was: State, to: State, note: str = "", **values: Any) -> None:
        if to in _UNPAID and (text := await self._may_be_paid(order_id)):
            values["detail"] = f"{to}: {values.get('detail', '')}; {text}"
            to = State.QUARANTINED
        await self._store.move(order_id, was, to, note, **values)
        if to in TERMINAL or to is State.BROADCAST:
            self._news.ring((await self._store.order(order_id))["wallet_id"])
        log.info("order", order=order_id, state=str(to), reason=str(values.get("reason", "")))
        self._news.ring(order_id)

    async def _may_be_paid(self, order_id: str) -> str:
        """Why an order that nobody seems to have signed may be paid all the same; empty if it cannot be."""
        return ""

    async def _wait(self, order_id: str, reason: Reason, text: str) -> None:
        """Say what is missing, then pause: the order stays where it is."""
        await self._store.note(order_id, reason=reason, detail=text)
        self._news.ring(order_id)
        try:
            async with asyncio.timeout(RETRY):
                await self._cosigners.changed.wait()
        except TimeoutError:
            pass


def proposal_of(row: RowMapping) -> Proposal:
    """The order as it was submitted."""
    return decode(Proposal, row["proposal"])


def intent_of(row: RowMapping) -> Intent:
    """Its intent."""
    subject = proposal_of(row).subject
    assert isinstance(subject, Intent)
    return subject


def execution_of(row: RowMapping) -> Execution | None:
    """What was chosen for it, if this is an order and something was."""
    return decode(Execution, row["execution"]) if row.get("execution") is not None else None
