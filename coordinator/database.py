"""The coordinator's database: whoever writes takes his turn, and whoever reads waits for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Engine, RowMapping, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from coordinator.tables import metadata

_LOCK = 0x636F756E74657273  # any number that nobody else in this database locks


class Database(AsyncEngine):
    """Whoever writes takes his turn, also among the replicas; one at a time here, so that readers find connections."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that holds the write lock from its beginning, and is on disk when it ends."""
        async with self._turn, super().begin() as connection:
            yield connection


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that only reads. It waits for no writer and holds none up.

    All its queries see what had been committed when the first one began. What decides a write is read in the
    transaction that writes.
    """
    async with engine.connect() as connection:
        yield await connection.execution_options(counterseal_reads=True)


async def read(engine: AsyncEngine, query: Any) -> list[RowMapping]:
    """All rows of one query, in a transaction of its own that only reads."""
    async with reading(engine) as connection:
        return list((await connection.execute(query)).mappings())


async def read_one(engine: AsyncEngine, query: Any) -> RowMapping | None:
    """As `read`: the first row, if there is one."""
    async with reading(engine) as connection:
        return await one(connection, query)


async def one(connection: AsyncConnection, query: Any) -> RowMapping | None:
    """The first row, if there is one, in the caller's transaction."""
    return (await connection.execute(query)).mappings().first()


async def open_database(url: str) -> AsyncEngine:
    """Connect and make missing tables. See `Database` for transactions that write, and `reading`."""
    if url.startswith("sqlite:///"):
        engine = create_async_engine(url.replace("sqlite:///", "sqlite+aiosqlite:///", 1))
        event.listen(engine.sync_engine, "connect", _on_connect)
        event.listen(engine.sync_engine, "begin", _on_begin_sqlite)
    else:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
        event.listen(engine.sync_engine, "begin", _on_begin_postgresql)
    database = Database(engine.sync_engine)
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    return database


def _on_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=60000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN" if _reads(connection) else "BEGIN IMMEDIATE")


def _on_begin_postgresql(connection: Any) -> None:
    """What BEGIN IMMEDIATE is there: transactions that read and then write follow each other, on all replicas."""
    one_snapshot = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
    connection.exec_driver_sql(one_snapshot if _reads(connection) else f"SELECT pg_advisory_xact_lock({_LOCK})")


def _reads(connection: Any) -> bool:
    return bool(connection.get_execution_options().get("counterseal_reads"))
