"""What has not ended goes on after a start, also where durable execution knows nothing of it, or thinks it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbos import DBOS

from coordinator import durable
from coordinator.calls import Call
from coordinator.chainbook import ChainBook
from coordinator.database import open_database
from coordinator.keybook import KeyBook
from coordinator.server import under_way
from coordinator.store import Store
from oms_core.chains.intent import subject_digest
from oms_core.encoding import encode
from oms_core.keys import Change
from oms_core.lifecycle import State
from oms_core.workspace.lifecycle import ChangeState
from tests.people import change, following, intent, propose, reform, wish


class Steps:
    """A way of one step, which ends when it is told to."""

    def __init__(self) -> None:
        self.begun, self.go = list[str](), asyncio.Event()

    async def step(self, subject_id: str) -> None:
        self.begun.append(subject_id)
        await self.go.wait()

    async def until(self, *begun: str) -> None:
        async with asyncio.timeout(60):
            while self.begun != list(begun):
                await asyncio.sleep(0.01)


@pytest.fixture
async def steps(tmp_path: Path) -> AsyncIterator[Steps]:
    made = Steps()
    durable.launch("tests", f"sqlite:///{tmp_path / 'durable.sqlite'}", "one", {"order": (("step", made.step),)})
    yield made
    made.go.set()
    await asyncio.to_thread(durable.close)


async def test_what_is_not_on_its_way_is_begun_and_what_is_goes_on_alone(steps: Steps) -> None:
    await durable.resume("order", "txn_1")
    await steps.until("txn_1")
    await durable.resume("order", "txn_1")
    await durable.begin("order", "txn_1")
    await durable.resume("order", "txn_2")
    await steps.until("txn_1", "txn_2")


async def test_what_durable_execution_thinks_is_done_begins_again_if_it_has_not_ended(steps: Steps) -> None:
    steps.go.set()
    await durable.begin("order", "txn_1")
    await steps.until("txn_1")
    async with asyncio.timeout(60):
        while len(steps.begun) < 2:  # as soon as its end is written
            await durable.resume("order", "txn_1")
            await asyncio.sleep(0.01)


async def test_the_last_step_begins_with_those_before_it_where_tables_were_put_back_to_before_they_were_done(
    tmp_path: Path,
) -> None:
    done, again = list[str](), asyncio.Event()

    async def first(subject_id: str) -> None:
        done.append("first")

    async def last(subject_id: str) -> None:
        done.append("last")
        again.set()

    ways = {"order": (("first", first), ("last", last))}
    durable.launch("tests", f"sqlite:///{tmp_path / 'durable.sqlite'}", "one", ways)
    await durable.begin("order", "txn_1")
    async with asyncio.timeout(60):
        await again.wait()
    await asyncio.to_thread(durable.close)
    assert done == ["first", "first", "last"]


async def test_what_the_database_does_not_know_is_not_tried_for_ever_and_begins_again_once_it_is_known(
    tmp_path: Path,
) -> None:
    engine, done = await open_database(f"sqlite:///{tmp_path / 'books.sqlite'}"), list[str]()
    store = Store(engine)

    async def step(subject_id: str) -> None:
        await store.order(subject_id)
        done.append(subject_id)

    url = f"sqlite:///{tmp_path / 'durable.sqlite'}"
    durable.launch("tests", url, "one", {"order": (("step", step),)})
    await durable.begin("order", "txn_1")
    order = {"order_id": "txn_1", "wallet_id": "wal_1", "proposal": encode(propose(intent()))}
    async with asyncio.timeout(60):
        while (await DBOS.get_workflow_status_async("order-txn_1")).status != "SUCCESS":  # type: ignore[union-attr]
            await asyncio.sleep(0.01)
        await store.add_order({**order, "subject": subject_digest(intent())}, Call("one", "SubmitIntent", b""))
        await durable.resume("order", "txn_1")
        while not done:
            await asyncio.sleep(0.01)
    await asyncio.to_thread(durable.close)
    await engine.dispose()


async def test_whatever_has_not_ended_is_under_way(tmp_path: Path) -> None:
    engine = await open_database(f"sqlite:///{tmp_path / 'books.sqlite'}")
    store, book, chain_book = Store(engine), KeyBook(engine), ChainBook(engine)
    for number, end in enumerate((None, State.REJECTED)):
        name, subject = f"txn_{number}", intent(amount=number + 1)
        order = {"order_id": name, "wallet_id": "wal_1", "proposal": encode(propose(subject))}
        await store.add_order({**order, "subject": subject_digest(subject)}, Call(name, "SubmitIntent", b""))
        if end is not None:
            await store.move(name, State.SUBMITTED, end)
    for wallet_id, state in (("wal_1", "GENERATING"), ("wal_2", "ACTIVE"), ("wal_3", "SUSPENDED")):
        wanted = wish(wallet_id=wallet_id)
        call = Call(wallet_id, "CreateWallet", b"")
        await store.add_wallet(wallet_id, state, encode(propose(wanted)), subject_digest(wanted), 3, call)
    for change_id, kind, state in (("chg_1", Change.REFRESH, "RUNNING"), ("chg_2", Change.SUSPEND, "DONE")):
        asked = change(kind)
        row = {"change_id": change_id, "wallet_id": "wal_1", "state": state, "proposal": encode(propose(asked))}
        await book.add_change({**row, "subject": subject_digest(asked)}, Call(change_id, "ChangeKey", b""))
    for change_id, name in (("wch_1", "one"), ("wch_2", "two")):
        asked_for = reform(following(name=name))
        row = {"change_id": change_id, "proposal": encode(propose(asked_for)), "subject": subject_digest(asked_for)}
        await chain_book.add({**row, "version": 1, "digest": b"d"}, Call(change_id, "ProposeWorkspace", b""))
    await chain_book.move("wch_2", ChangeState.PROPOSED, ChangeState.EXPIRED)
    found = await under_way(store, book, chain_book)
    assert found == [("order", "txn_0"), ("wallet", "wal_1"), ("change", "chg_1"), ("workspace", "wch_1")]
    await engine.dispose()
