"""A coordinator's log with its witnesses, whose database is put back to an earlier state."""

from __future__ import annotations

import asyncio

from sqlalchemy import delete, select

from coordinator.recovering import Recovered, recover
from coordinator.tables import log_checkpoints, log_items, log_tiles
from coordinator.tiling import extend
from oms_core.log.entries import Item
from tests.unit.coordinator.witnesses import ALL, LogDesk, witnessed


async def put_back(desk: LogDesk, size: int) -> None:
    """The database as it was with so many entries."""
    async with desk.engine.begin() as connection:
        await connection.execute(delete(log_items).where(log_items.c.index >= size))
        await connection.execute(delete(log_checkpoints).where(log_checkpoints.c.size > size))
        await connection.execute(delete(log_tiles))
        while await connection.run_sync(extend) < size:
            pass


async def items(desk: LogDesk) -> list[Item]:
    async with desk.engine.begin() as connection:
        query = select(log_items.c.entry, log_items.c.record, log_items.c.salt).order_by(log_items.c.index)
        return [Item(*map(bytes, row)) for row in await connection.execute(query)]


async def grown(desk: LogDesk, count: int) -> list[Item]:
    """So many entries more, followed and cosigned by all that are there; the whole log."""
    last = [await desk.append(subject=f"txn_{number}") for number in range(count)][-1]
    async with witnessed(desk):
        assert (await desk.witnessing.covered(last, 4, 120)).count >= 4
        while (newest := await desk.journal.newest())[1] <= last or not newest[2]:  # its cosignatures are kept
            await asyncio.sleep(0.02)
    return await items(desk)


async def back(desk: LogDesk, *indices: int, told: list[str] | None = None) -> Recovered:
    links, say = {index: desk.nodes[index] for index in indices or ALL}, [] if told is None else told
    return await recover(desk.journal, links, desk.standing, say.append)  # type: ignore[arg-type]


def again(desk: LogDesk) -> LogDesk:
    """The coordinator after a restart, with the same nodes and database."""
    fresh = LogDesk(desk.engine, 10.0)
    fresh.nodes = desk.nodes
    fresh.cosigners._links = dict(desk.nodes)  # type: ignore[arg-type]
    return fresh
