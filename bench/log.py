"""What the log costs: an entry in a step's transaction, and a large log's heads, proofs and verification.

`python -m bench.log --entries 1000000` fills a log of a million entries on SQLite and on PostgreSQL, where it is there.
"""

from __future__ import annotations

import asyncio
import glob
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.report import Figure, command, peak
from coordinator import staging
from coordinator.calls import Call
from coordinator.database import one, open_database
from coordinator.journal import Journal, append
from coordinator.store import Store
from coordinator.tables import log_items, orders
from oms_core.lifecycle import State
from oms_core.log.entries import SALT, Record, item, read_entry, read_record
from oms_core.log.note import read_note, verify_log
from oms_core.log.tree import Frontier, leaf_hash, verify_consistency, verify_inclusion
from tests.postgres import Postgres

ROUNDS = 200
ORIGIN = "log.example/bench"
ENTRIES = 50_000
SAID = Record("desk", b"key-1", "by cosigners 1, 2, 3", (bytes(400),))
_CHUNK, _BATCH = 5000, 20


def log(entries: int = ENTRIES) -> Iterator[Figure]:
    """Appending, heads, proofs and verification on both databases."""
    with tempfile.TemporaryDirectory(prefix="cs-bench-") as folder:
        yield from asyncio.run(_figures("sqlite", f"sqlite:///{Path(folder) / 'log.sqlite'}", entries))
    if glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        server = Postgres()
        try:
            yield from asyncio.run(_figures("postgresql", server.url, entries))
        finally:
            server.stop()


async def _figures(database: str, url: str, entries: int) -> list[Figure]:
    engine = await open_database(url)
    journal = Journal(engine, Ed25519PrivateKey.generate(), ORIGIN)
    label: dict[str, object] = {"database": database}
    try:
        found = [Figure(name, unit, value, label) async for name, unit, value in _appending(engine)]
        for size in (entries // 10, entries):
            await _fill(engine, size)
            there = await journal.length()  # appending has left some thousands
            at = {**label, "entries": there}
            found += [Figure(name, unit, value, at) async for name, unit, value in _large(engine, journal, there)]
        return found
    finally:
        await engine.dispose()


Row = tuple[str, str, float]


async def _appending(engine: AsyncEngine) -> AsyncIterator[Row]:
    async def single() -> None:
        async with engine.begin() as connection:
            await append(connection, "order.signed", f"txn_{secrets.token_hex(8)}", SAID)

    async def batch() -> None:
        async with engine.begin() as connection:
            for _ in range(_BATCH):
                await append(connection, "order.signed", f"txn_{secrets.token_hex(8)}", SAID)

    took = await _timed(single)
    yield "log_append_p50", "ms to append an entry, on disk", took[ROUNDS // 2]
    yield "log_append_p99", "ms to append an entry, on disk", took[ROUNDS * 99 // 100]
    yield "log_appends", "entries a second, one a transaction", 1000 * ROUNDS / sum(took)
    took = await _timed(batch)
    yield "log_appends_batched", f"entries a second, {_BATCH} a transaction", 1000 * ROUNDS * _BATCH / sum(took)
    began = time.perf_counter()
    await asyncio.gather(*(single() for _ in range(ROUNDS)))
    yield "log_appends_at_once", f"entries a second, {ROUNDS} at once", ROUNDS / (time.perf_counter() - began)
    fast, slow, in_turn = await _read_beside(engine, single)
    yield "log_read_p50", f"ms to read an order while {_BATCH} append at once", fast
    yield "log_read_p99", f"ms to read an order while {_BATCH} append at once", slow
    yield "log_read_ratio", "time of that, median, over the same in a turn of its own among the writers", fast / in_turn
    with_log, without = await _step(Store(engine))
    yield "log_step_ratio", "time of an order's step with its entry over the same without the log", with_log / without


async def _read_beside(engine: AsyncEngine, write: Callable[[], Awaitable[None]]) -> tuple[float, float, float]:
    """ms to read an order while others write: median and p99 as it is done, and the median in a writer's turn."""
    store, stop = Store(engine), asyncio.Event()
    order = {"order_id": "txn_read", "wallet_id": "wal_1", "proposal": bytes(400), "subject": b"read"}
    await store.add_order(order, Call("read", "SubmitIntent", b""))

    async def keep_writing() -> None:
        while not stop.is_set():
            await write()

    async def in_turn() -> None:
        async with engine.begin() as connection:
            await one(connection, select(orders).where(orders.c.order_id == "txn_read"))

    writers = [asyncio.create_task(keep_writing()) for _ in range(_BATCH)]
    took, waited = await _timed(lambda: store.order("txn_read")), await _timed(in_turn)
    stop.set()
    await asyncio.gather(*writers)
    return took[ROUNDS // 2], took[ROUNDS * 99 // 100], waited[ROUNDS // 2]


async def _step(store: Store) -> tuple[float, float]:
    """ms of an order's step, with its entry and without: in turns, since disks have moods."""
    took: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * ROUNDS):
        logged, order_id = number % 2 == 0, f"txn_{number}"
        order = {"order_id": order_id, "wallet_id": "wal_1", "proposal": bytes(400), "subject": order_id.encode()}
        await store.add_order(order, Call(order_id, "SubmitIntent", b""))
        with mock.patch.object(staging, "append", append if logged else mock.AsyncMock()):
            began = time.perf_counter()
            await store.move(order_id, State.SUBMITTED, State.APPROVED)
            took[logged].append((time.perf_counter() - began) * 1000)
    return sorted(took[True])[ROUNDS // 2], sorted(took[False])[ROUNDS // 2]


async def _large(engine: AsyncEngine, journal: Journal, size: int) -> AsyncIterator[Row]:
    """Of a log with so many entries, whose tiles are not made yet."""
    began = time.perf_counter()
    with peak() as grown:
        note, _ = await journal.checkpoint()
    yield "log_checkpoint_all", "s to make all new tiles and sign the head", time.perf_counter() - began
    yield "log_checkpoint_memory", "MiB that memory grew by in that", grown[0]
    head = verify_log(read_note(note), journal.verifier)
    places = [secrets.randbelow(size) for _ in range(ROUNDS)]
    took = await _timed(lambda: journal.inclusion(places[0], size))
    yield "log_inclusion_p50", "ms to make the proof of an entry", took[ROUNDS // 2]
    took = await _timed(lambda: journal.consistency(max(1, places[1]), size))
    yield "log_consistency_p50", "ms to make the proof that the log grew", took[ROUNDS // 2]
    began = time.perf_counter()
    with peak() as grown:
        assert await _recomputed(journal, size, records=False) == head.root
    yield "log_verify", "entries a second to recompute the tree from", size / (time.perf_counter() - began)
    yield "log_verify_memory", "MiB that memory grew by in that", grown[0]
    began, some = time.perf_counter(), min(size, 20_000)
    await _recomputed(journal, some, records=True)
    yield "log_verify_records", "entries a second, with their records", some / (time.perf_counter() - began)
    for at in places[:10]:
        [one] = await journal.items(at, at + 1, 1)
        verify_inclusion(leaf_hash(one.entry), at, size, await journal.inclusion(at, size), head.root)
    old = verify_log(read_note(await journal.sign_at(size // 3)), journal.verifier)
    verify_consistency(old.size, old.root, size, head.root, await journal.consistency(old.size, size))
    took = []
    for _ in range(ROUNDS // 4):
        async with engine.begin() as connection:
            await append(connection, "order.signed", "txn_next", SAID)
        began = time.perf_counter()
        await journal.checkpoint()
        took.append((time.perf_counter() - began) * 1000)
    yield "log_checkpoint_p50", "ms to sign the next head, one entry later", sorted(took)[len(took) // 2]


async def _recomputed(journal: Journal, size: int, records: bool) -> bytes:
    tree = Frontier()
    while tree.size < size:
        items = await journal.items(tree.size, size, 4 << 20)
        if records:
            assert all(read_record(read_entry(one.entry), one) is not None for one in items)
        tree = tree.extended(leaf_hash(one.entry) for one in items)
    return tree.root()


async def _fill(engine: AsyncEngine, size: int) -> None:
    """Entries up to this size, as appending makes them, but many in a statement."""
    async with engine.begin() as connection:
        there = int((await connection.execute(select(func.count()).select_from(log_items))).scalar_one())
    for start in range(there, size, _CHUNK):
        rows = []
        for index in range(start, min(size, start + _CHUNK)):
            salt, subject = secrets.token_bytes(SALT), f"txn_{index // 12:020}"
            one = item(index, int(time.time()), "order.signed", subject, max(-1, index - 1), SAID, salt)
            row = {"index": index, "entry": one.entry, "record": one.record, "salt": salt, "at": int(time.time())}
            rows.append({**row, "subject": subject, "leaf": leaf_hash(one.entry)})
        async with engine.begin() as connection:
            await connection.execute(insert(log_items), rows)


async def _timed(work: Callable[[], Awaitable[object]]) -> list[float]:
    """ms of each round, the shortest first."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


if __name__ == "__main__":
    command(log, ENTRIES)()
