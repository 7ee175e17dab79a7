"""Erases what stands beside the tree: people may ask for it, and the tree does not notice.

An entry holds its record by a salted hash. Without the salt nobody can try what the record may have said.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.database import one
from coordinator.journal import OPERATOR, append
from coordinator.tables import log_items
from oms_core.errors import Conflict, NotFound, Reason, Refused
from oms_core.log.entries import KEPT, Entry, Record, read_entry


async def erase(engine: AsyncEngine, index: int, reason: str) -> int:
    """Erase the record of an entry; returns the index of the entry that says so.

    Raises `NotFound`, `Refused` (NOT_ELIGIBLE) for what cosigners keep, `Conflict` if it is erased already. What
    orders are shown by, backups, and archives of the database's own log are not touched.
    """
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        lite = engine.dialect.name == "sqlite"
        if lite:
            await driver.execute("PRAGMA secure_delete=ON")
        async with connection.begin():
            made = await _erase(connection, index, reason)
        await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)" if lite else "VACUUM log_items")
    return made


async def entry_at(engine: AsyncEngine, index: int) -> Entry:
    """An entry, to be looked at before its record goes. Raises `NotFound`."""
    async with engine.connect() as connection:
        row = await one(connection, select(log_items).where(log_items.c.index == index))
    if row is None:
        raise NotFound(f"the log has no entry {index}")
    return read_entry(bytes(row["entry"]))


async def _erase(connection: AsyncConnection, index: int, reason: str) -> int:
    row = await one(connection, select(log_items).where(log_items.c.index == index))
    if row is None:
        raise NotFound(f"the log has no entry {index}")
    entry = read_entry(bytes(row["entry"]))
    if entry.event in KEPT:
        raise Refused(f"cosigners keep the records of {entry.event}: it stays", Reason.NOT_ELIGIBLE)
    if not row["record"]:
        raise Conflict(f"the record of entry {index} is erased already", Reason.WRONG_STATE)
    gone = update(log_items).where(log_items.c.index == index)
    await connection.execute(gone.values(record=b"", salt=b""))
    return await append(connection, "log.erased", entry.subject, Record(OPERATOR, b"", f"entry {index}: {reason}", ()))
