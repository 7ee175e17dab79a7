"""An account's nonces: which one is free, taking it, and giving it back. Inside a transaction of the store's."""

from __future__ import annotations

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.database import one
from coordinator.staging import record
from coordinator.tables import nonces, orders
from oms_core.lifecycle import State

_UNSENT = (State.PENDING_APPROVAL, State.APPROVED, State.SIGNING, State.SIGNED)


async def free(connection: AsyncConnection, chain: str, account: str, least: int) -> int:
    """The next nonce from ``least`` on that no order holds."""
    mine = (nonces.c.chain == chain) & (nonces.c.account == account) & (nonces.c.nonce >= least)
    taken = set((await connection.execute(select(nonces.c.nonce).where(mine))).scalars())
    return next(n for n in range(least, least + len(taken) + 1) if n not in taken)


async def give_back(connection: AsyncConnection, order_id: str) -> None:
    """The order holds none any more."""
    gone = await connection.execute(nonces.delete().where(nonces.c.order_id == order_id))
    if gone.rowcount:
        await record(connection, order_id, "nonce_released")


async def reserve(connection: AsyncConnection, chain: str, account: str, order_id: str, least: int) -> int | None:
    """The order's nonce: the one it has, or the next free one from ``least`` on, which is the account's next.

    None while another order of the account has a nonce and is not broadcast: nonces are given out one by one, so that
    an order which comes to nothing leaves no gap behind which others would wait. One that has ended with signed bytes
    that the chain has not taken is such a gap: what were signed behind it could not be mined, and it itself still may.
    """
    held = await one(connection, select(nonces).where(nonces.c.order_id == order_id))
    if held is not None:
        return int(held["nonce"])
    unused = (orders.c.state == State.QUARANTINED) & (nonces.c.nonce >= least)
    ahead = select(nonces.c.order_id).join(orders, orders.c.order_id == nonces.c.order_id)
    ahead = ahead.where(nonces.c.chain == chain, nonces.c.account == account)
    if await one(connection, ahead.where(orders.c.state.in_(_UNSENT) | unused)) is not None:
        return None
    nonce = await free(connection, chain, account, least)
    values = {"chain": chain, "account": account, "nonce": nonce, "order_id": order_id}
    await connection.execute(insert(nonces).values(values))
    await record(connection, order_id, "nonce", f"{nonce} of {account} on {chain}")
    return nonce
