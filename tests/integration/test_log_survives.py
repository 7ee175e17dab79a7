"""Replicas that append at once, and processes that are killed at any moment: the log stays whole, nothing is lost."""

from __future__ import annotations

import asyncio
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.calls import Call
from coordinator.journal import Journal
from coordinator.store import Store
from coordinator.tables import log_items, orders
from oms_core.log.entries import read_entry
from oms_core.log.note import read_note, verify_log
from oms_core.log.tree import Frontier, leaf_hash
from tests.integration.appender import KEY
from tests.logs import ORIGIN

KILLS = 4


async def appender(url: str, name: str) -> asyncio.subprocess.Process:
    module = (sys.executable, "-m", "tests.integration.appender", url, name)
    return await asyncio.create_subprocess_exec(*module, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2])


async def told(process: asyncio.subprocess.Process, least: int, others: asyncio.Barrier | None = None) -> list[str]:
    """What it says to have done until it is killed, after so many steps of its own and of each of the `others`."""
    assert process.stdout is not None
    said: list[str] = []
    reached: asyncio.Task[int] | None = None
    try:
        async with asyncio.timeout(300):
            while reached is None or not reached.done():
                line = (await process.stdout.readline()).decode()
                assert line, "it has ended by itself"
                said.append(line.strip())
                if len(said) == least:
                    reached = asyncio.ensure_future((others or asyncio.Barrier(1)).wait())
                    await asyncio.sleep(0)
    finally:
        process.kill()
    rest = (await process.stdout.read()).decode()
    await process.wait()
    return [*said, *rest.split("\n")[:-1]]


async def at_rest(engine: AsyncEngine) -> None:
    """What somebody who was killed had asked PostgreSQL to commit is done by now, or never will be."""
    others = "datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    query = text(f"SELECT count(*) FROM pg_stat_activity WHERE {others} AND state <> 'idle'")
    async with asyncio.timeout(300):
        while engine.dialect.name == "postgresql":
            async with engine.begin() as connection:
                if not (await connection.execute(query)).scalar_one():
                    return
            await asyncio.sleep(0.02)


async def whole(engine: AsyncEngine, said: list[str]) -> int:
    """Every step that somebody was told of is there with its entry, no entry without its step, and no index missing."""
    await at_rest(engine)
    async with engine.begin() as connection:
        rows = (await connection.execute(select(log_items.c.entry).order_by(log_items.c.index))).scalars().all()
        done = set((await connection.execute(select(orders.c.order_id))).scalars())
    entries = [read_entry(bytes(one)) for one in rows]
    assert [entry.index for entry in entries] == list(range(len(entries)))
    assert {entry.subject for entry in entries} == done
    assert len(entries) == len(done)
    assert {one for one in said if one.startswith("txn_")} <= done
    journal = Journal(engine, Ed25519PrivateKey.from_private_bytes(KEY), ORIGIN)
    note, size = await journal.checkpoint()
    head = verify_log(read_note(note), journal.verifier)
    assert size == head.size == len(rows)
    assert head.root == Frontier().extended(leaf_hash(bytes(one)) for one in rows).root()
    return len(rows)


@pytest.mark.covers("L09")
async def test_a_process_that_is_killed_at_any_moment_leaves_a_whole_log(engine: AsyncEngine, database: str) -> None:
    said, sizes = list[str](), [0]
    for number in range(KILLS):
        said += await told(await appender(database, str(number)), 8 + 5 * number)
        sizes.append(await whole(engine, said))
    assert sizes == sorted(set(sizes))


async def test_two_replicas_at_once_lose_no_entry_and_leave_no_gap(engine: AsyncEngine, database: str) -> None:
    """On SQLite these are two processes of one machine; the database's lock is all that they share."""
    replicas = [await appender(database, name) for name in ("a", "b")]
    both = asyncio.Barrier(2)
    said = await asyncio.gather(*(told(one, 60, both) for one in replicas))
    size = await whole(engine, [*said[0], *said[1]])
    assert size >= 100
    heads = [[int(one.split()[1]) for one in lines if one.startswith("head")] for lines in said]
    assert all(one == sorted(set(one)) for one in heads)
    async with engine.begin() as connection:
        subjects = (await connection.execute(select(log_items.c.subject).order_by(log_items.c.index))).scalars().all()
    turns = sum(before[4] != after[4] for before, after in pairwise(subjects))
    assert turns > 2, f"{turns} turns: they did not work at the same time"


async def test_many_at_once_in_one_process_get_indices_without_gaps(engine: AsyncEngine) -> None:
    store = Store(engine)

    async def submit(number: int) -> None:
        order = {"order_id": f"txn_{number}", "wallet_id": "wal_1", "proposal": b"p", "subject": bytes([number])}
        await store.add_order(order, Call(f"call {number}", "SubmitIntent", b""))

    await asyncio.gather(*(submit(number) for number in range(40)))
    assert await whole(engine, [f"txn_{number}" for number in range(40)]) == 40
