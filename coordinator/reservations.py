"""What orders count against limits: reserved when they are submitted, released if they fail.

What was authorised counts as of its entry in the log, whatever became of it, as it does at every cosigner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.database import reading
from coordinator.tables import log_items, orders, spends
from oms_core.lifecycle import WITHDRAWN, State
from oms_core.policy.facts import Spend
from oms_core.policy.rows import COLUMNS, rows_of, spend_of

RESERVED = (State.SUBMITTED, State.PENDING_APPROVAL, State.APPROVED, State.SIGNING)
RELEASED = (State.REJECTED, State.DENIED, State.EXPIRED, State.FAILED_ON_CHAIN, *WITHDRAWN)
_ORDER = ("order_id", "state", "authorized_at", "created_at")
_COUNTED = select(*(orders.c[name] for name in _ORDER), *(spends.c[name] for name in COLUMNS)).join_from(
    orders, spends, orders.c.subject == spends.c.subject
)
_NEWEST = select(log_items.c.index, log_items.c.leaf).order_by(log_items.c.index.desc()).limit(1)
_SPARE = 3600  # seconds that are kept beyond what is asked for: who asks next may have looked at the clock before


async def reserve(connection: AsyncConnection, adds: Iterable[Spend]) -> None:
    """Keep what a new order adds."""
    for row in rows_of(adds):
        await connection.execute(insert(spends).values(row))


@dataclass(frozen=True, slots=True)
class _Order:
    state: State
    authorized: bool
    age: tuple[float, str]
    spends: list[Spend]


class Reservations:
    """What orders count for, in memory as of an entry of the log: no order changes without one.

    So what has changed since, in whichever process, is all that is read; the rest only where the log is another one.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._turn = engine, asyncio.Lock()
        self._orders: dict[str, _Order] = {}
        self._size, self._leaf = 0, b""
        self._since: float = float("inf")  # Unix seconds: what is authorised and not older is all there

    async def counted(
        self, now: int, ahead_of: str, back: int, unsure: tuple[State, ...] = (State.SUBMITTED,)
    ) -> tuple[Spend, ...]:
        """Reservations, as of now however old they are, and what was authorised within ``back`` seconds.

        Where ``ahead_of`` names an order, others that were submitted later and are not reviewed yet (``unsure``) do not
        stand in its way: it will stand in theirs. Otherwise two that come together could each refuse the other.
        """
        since, mine = now - back, (float("inf"), "")
        async with self._turn, reading(self._engine) as connection:
            await self._catch_up(connection, since)
            if ahead_of:
                query = select(orders.c.created_at).where(orders.c.order_id == ahead_of)
                mine = ((await connection.execute(query)).scalar() or 0.0, ahead_of)
        found: list[Spend] = []
        for order in self._orders.values():
            if order.state not in RESERVED:
                found += [spend for spend in order.spends if spend.at > since]
            elif order.authorized or order.state not in unsure or order.age <= mine:
                found += [replace(spend, at=now) for spend in order.spends]
        return tuple(found)

    async def _catch_up(self, connection: AsyncConnection, since: int) -> None:
        """Take in what has happened to orders by now: all that counts later than ``since`` is there then."""
        held = select(log_items.c.leaf).where(log_items.c.index == self._size - 1)
        leaf = bytes((await connection.execute(held)).scalar() or b"")
        newest = (await connection.execute(_NEWEST)).first()
        size, last = (newest[0] + 1, bytes(newest[1])) if newest is not None else (0, b"")
        if since < self._since or leaf != self._leaf:
            query = _COUNTED.where(orders.c.state.in_(RESERVED) | (spends.c.at > since - _SPARE))
            rows = (await connection.execute(query)).all()
            self._orders, self._since = {}, float("inf")  # until all of them are in
            self._take(rows)
            self._since = since - _SPARE
        elif size > self._size:
            changed = select(log_items.c.subject).where(log_items.c.index >= self._size)
            self._take((await connection.execute(_COUNTED.where(orders.c.order_id.in_(changed)))).all())
        self._size, self._leaf = size, last
        if since > self._since + 2 * _SPARE:
            self._since = since - _SPARE
            self._orders = {name: one for name, one in self._orders.items() if _counts(one, self._since)}

    def _take(self, rows: Sequence[Sequence[Any]]) -> None:
        for order_id, *_ in rows:
            self._orders.pop(order_id, None)
        for order_id, state, authorized_at, created_at, *spend in rows:
            if authorized_at or state not in RELEASED:
                if (order := self._orders.get(order_id)) is None:
                    order = _Order(State(state), authorized_at > 0, (created_at, order_id), [])
                    self._orders[order_id] = order
                order.spends.append(spend_of(*spend))


def _counts(order: _Order, since: int) -> bool:
    return order.state in RESERVED or any(spend.at > since for spend in order.spends)
