"""Reading and writing side by side, on SQLite and on PostgreSQL: who reads waits for nobody, and sees one moment."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.anchorbook import AnchorBook
from coordinator.calls import Call
from coordinator.chainbook import SCHEDULING, ChainBook
from coordinator.database import reading
from coordinator.journal import append
from coordinator.keybook import KeyBook
from coordinator.store import Store
from coordinator.tables import orders, requests
from oms_core.errors import NotFound
from oms_core.lifecycle import State
from oms_core.log.entries import Record

PATIENCE = 30.0  # seconds; whoever waits for the writer waits for ever
WRITERS = 30
SAID = Record("desk", b"", "", ())
REQUEST = {"method": "SubmitIntent", "body": b"", "object_id": ""}


@pytest.fixture
async def store(engine: AsyncEngine) -> Store:
    """With one order."""
    made = Store(engine)
    order = {"order_id": "txn_1", "wallet_id": "wal_1", "proposal": b"", "subject": b"1"}
    await made.add_order(order, Call("1", "SubmitIntent", b""))
    return made


async def everything(engine: AsyncEngine) -> list[object]:
    """One read of each kind, of what nothing follows from but by a transaction that looks again."""
    store, keys, chain = Store(engine), KeyBook(engine), ChainBook(engine)
    with pytest.raises(NotFound):
        await chain.approved("wsc_1")
    return [
        (await store.order("txn_1"))["state"],
        [row["order_id"] for row in await store.list_orders("", 10, "")],
        [row["state"] for row in await store.stages("txn_1")],
        (await store.facts(0)).spent,
        await store.orders_in(State.PENDING_APPROVAL),
        await store.decisions("txn_1"),
        await store.refusals("txn_1"),
        await store.nonce_of("txn_1"),
        await store.free_nonce("eip155:1", "aa", 7),
        await store.count_open(),
        await store.wallets(),
        await keys.changes(),
        await keys.receipts("chg_1"),
        await keys.owing("chg_1"),
        await keys.verdicts(),
        await chain.changes(),
        await chain.kept(b"", SCHEDULING),
        await chain.versions(0),
        await AnchorBook(engine).newest(),
    ]


async def test_reads_go_on_while_a_writer_holds_its_transaction_and_see_it_once_it_has_committed(
    engine: AsyncEngine, store: Store
) -> None:
    before = await everything(engine)
    async with asyncio.timeout(PATIENCE), engine.begin() as connection:
        await connection.execute(update(orders).values(state=State.PENDING_APPROVAL))
        await append(connection, "order.pending_approval", "txn_1", SAID)
        assert await everything(engine) == before
    assert (await store.order("txn_1"))["state"] == State.PENDING_APPROVAL
    assert [row["order_id"] for row in await store.orders_in(State.PENDING_APPROVAL)] == ["txn_1"]


async def test_reads_go_on_while_many_wait_to_write_and_those_take_turns_as_they_came(
    engine: AsyncEngine, store: Store
) -> None:
    done: list[int] = []

    async def write(number: int) -> None:
        async with engine.begin() as connection:
            await connection.execute(insert(requests).values(request_id=f"w{number}", **REQUEST))
            done.append(number)

    async with asyncio.timeout(PATIENCE):
        async with engine.begin():
            waiting = [asyncio.create_task(write(number)) for number in range(WRITERS)]
            await asyncio.sleep(0)  # all of them have come
            for _ in range(WRITERS):
                assert (await store.order("txn_1"))["state"] == State.SUBMITTED
            assert done == []
        await asyncio.gather(*waiting)
    assert done == list(range(WRITERS))


async def test_all_queries_of_a_transaction_that_reads_see_one_moment(engine: AsyncEngine, store: Store) -> None:
    count = select(func.count()).select_from(orders)
    async with asyncio.timeout(PATIENCE), reading(engine) as connection:
        assert (await connection.execute(count)).scalar_one() == 1
        order = {"order_id": "txn_2", "wallet_id": "wal_1", "proposal": b"", "subject": b"2"}
        await store.add_order(order, Call("2", "SubmitIntent", b""))
        assert (await connection.execute(count)).scalar_one() == 1
        assert await store.count_open() == 2


async def test_nothing_is_written_in_a_transaction_that_reads(engine: AsyncEngine, store: Store) -> None:
    async def write() -> None:
        async with reading(engine) as connection:
            await connection.execute(update(orders).values(state=State.CANCELLED))

    if engine.dialect.name == "postgresql":
        with pytest.raises(DBAPIError, match="read-only transaction"):
            await write()
    else:  # there nobody refuses; it is undone
        await write()
    assert (await store.order("txn_1"))["state"] == State.SUBMITTED
    await store.move("txn_1", State.SUBMITTED, State.APPROVED)  # the connection is as good as any other again
