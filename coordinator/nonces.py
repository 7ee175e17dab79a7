"""An account's nonces: which one is free, and giving one back. Inside a transaction of the store's."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.staging import record
from coordinator.tables import nonces


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
