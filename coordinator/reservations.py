"""What orders count against limits: reserved when they are submitted, released if they fail.

What was authorised counts as of its entry in the log, whatever became of it, as it does at every cosigner.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import RowMapping, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.tables import orders, spends
from oms_core.lifecycle import WITHDRAWN, State
from oms_core.policy.facts import Provenance, Spend
from oms_core.policy.rules import Action

RESERVED = (State.SUBMITTED, State.PENDING_APPROVAL, State.APPROVED, State.SIGNING)
RELEASED = (State.REJECTED, State.DENIED, State.EXPIRED, State.FAILED_ON_CHAIN, *WITHDRAWN)
_PLAIN = ("subject", "operation", "action", "wallet_id", "initiator", "chain", "destination", "protocol", "asset", "at")


async def reserve(connection: AsyncConnection, adds: Iterable[Spend]) -> None:
    """Keep what a new order adds."""
    for number, spend in enumerate(adds):
        row = {name: getattr(spend, name) for name in _PLAIN}
        row |= {"number": number, "amount": str(spend.amount), "usd_micro": str(spend.usd_micro)}
        await connection.execute(insert(spends).values(row))


async def counted(
    connection: AsyncConnection, now: int, ahead_of: str, back: int, unsure: tuple[State, ...] = (State.SUBMITTED,)
) -> tuple[Spend, ...]:
    """Reservations, as of now however old they are, and what was authorised within ``back`` seconds.

    Where ``ahead_of`` names an order, others that were submitted later and are not reviewed yet (``unsure``) do not
    stand in its way: it will stand in theirs. Otherwise two that come together could each refuse the other.
    """
    query = select(spends, orders.c.state).join(orders, orders.c.subject == spends.c.subject)
    query = query.where(orders.c.state.in_(RESERVED) | (spends.c.at > now - back))
    query = query.where(orders.c.state.not_in(RELEASED) | (orders.c.authorized_at > 0))
    if ahead_of:
        mine = select(orders.c.created_at).where(orders.c.order_id == ahead_of).scalar_subquery()
        later = (orders.c.created_at > mine) | ((orders.c.created_at == mine) & (orders.c.order_id > ahead_of))
        query = query.where(~(orders.c.state.in_(unsure) & (orders.c.authorized_at == 0) & later))
    return tuple(_spend(row, now) for row in (await connection.execute(query)).mappings())


def _spend(row: RowMapping, now: int) -> Spend:
    plain = {name: row[name] for name in _PLAIN} | {"action": Action(row["action"]), "provenance": Provenance.OWN}
    if row["state"] in RESERVED:
        plain["at"] = now
    return Spend(**plain, amount=int(row["amount"]), usd_micro=int(row["usd_micro"]))
