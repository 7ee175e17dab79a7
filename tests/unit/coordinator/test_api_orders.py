"""Orders as clients are shown them: one, all, and one as it goes its way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from coordinator import durable, orders, reviewing
from coordinator.api_orders import OrderCalls
from coordinator.calls import Call
from coordinator.ids import KEY, ORDER, WORKSPACE, kind_of, new_id
from oms_core.chains.intent import Proposal, subject_digest
from oms_core.encoding import encode
from oms_core.errors import NotFound, Unauthenticated
from oms_core.lifecycle import State
from proto import oms_pb2 as pb
from tests.people import NOW, intent, propose
from tests.unit.coordinator.readers import ALL, Way, reads
from tests.unit.coordinator.test_api_log import OMS, asked_by

PATIENT = 120.0  # seconds; nobody waits for them but a test that fails


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    made = await Way.open(tmp_path)
    yield made
    await made.desk.engine.dispose()


@pytest.fixture
def calls(way: Way) -> OrderCalls:
    made: Any = OrderCalls()
    made._store, made._approving, made._news, made._standing = way._store, way._approving, way._news, way._standing
    made._desk = SimpleNamespace(ended=way.ended)
    return made  # type: ignore[no-any-return]


async def test_orders_are_listed_newest_first_with_what_they_wait_for_by_one_look_at_what_counts(
    way: Way, calls: OrderCalls
) -> None:
    for number, amount in enumerate((50, 500, 60)):
        await way.submitted(intent(amount, intent_id=f"int_{number}"), f"txn_{number}")
    with mock.patch.object(way._store, "facts", wraps=way._store.facts) as looked:
        shown = (await calls.ListTransactions(pb.ListTransactionsRequest(), OMS)).transactions
    assert looked.call_count == 1
    assert [one.transaction_id for one in shown] == ["txn_2", "txn_1", "txn_0"]
    assert [[need.required for need in one.needs] for one in shown] == [[], [2], []]
    one = await calls.GetTransaction(pb.GetTransactionRequest(transaction_id="txn_1"), OMS)
    assert one == shown[1]
    page = await calls.ListTransactions(pb.ListTransactionsRequest(limit=1, before="txn_2"), OMS)
    assert [one.transaction_id for one in page.transactions] == ["txn_1"]


async def test_a_reading_that_comes_while_an_order_is_shown_does_not_look_like_a_different_one(
    way: Way, calls: OrderCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviewing, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(orders, "time", SimpleNamespace(time=lambda: NOW))
    way.desk.attach({index: reads(index) for index in ALL})
    order_id = await way.submitted()
    await way.review(order_id)
    preflight = way.desk.preflight
    kept = preflight.readings
    looks = itertools.count(4)

    async def one_more_each_time(subject_id: str) -> Any:
        return (await kept(subject_id))[: next(looks)]

    monkeypatch.setattr(preflight, "readings", one_more_each_time)
    shown = await calls.GetTransaction(pb.GetTransactionRequest(transaction_id=order_id), OMS)
    assert shown.agreement == "4 of 5 cosigners read this the same way"
    assert [one.same for one in shown.readings] == [True] * 4


async def test_an_order_that_is_submitted_twice_at_a_time_is_one_order_and_goes_its_way(
    way: Way, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, began = asyncio.Barrier(2), []

    async def submit(order_id: str, proposal: Proposal, call: Call) -> None:
        await both.wait()
        row = {"order_id": order_id, "wallet_id": "wal_1", "proposal": encode(proposal)}
        await way._store.add_order({**row, "subject": subject_digest(proposal.subject)}, call)

    async def begin(kind: str, order_id: str) -> None:
        began.append((kind, order_id))

    calls._desk.submit = submit
    monkeypatch.setattr(durable, "begin", begin)
    request = pb.SubmitIntentRequest(request_id="once", proposal=encode(propose(intent(50))))
    async with asyncio.timeout(PATIENT):
        first, second = await asyncio.gather(*(calls.SubmitIntent(request, OMS) for _ in range(2)))
    assert first == second
    assert began == [("order", first.transaction_id)] * 2  # which is one way
    assert (await calls.SubmitIntent(request, OMS)).transaction_id == first.transaction_id


async def test_whoever_watches_an_order_is_shown_each_change_once_and_its_end(way: Way, calls: OrderCalls) -> None:
    await way.submitted(intent(50))
    states = []
    async with asyncio.timeout(PATIENT):
        async for shown in calls.WatchTransaction(pb.GetTransactionRequest(transaction_id="txn_1"), OMS):
            states.append(shown.state)
            way._news.ring("txn_1")  # also when nothing has changed
            if shown.state == State.SUBMITTED:
                await way._store.move("txn_1", State.SUBMITTED, State.APPROVED)
            elif shown.state == State.APPROVED:
                await way._store.move("txn_1", State.APPROVED, State.REJECTED)
    assert states == [State.SUBMITTED, State.APPROVED, State.REJECTED]


async def test_orders_are_shown_to_clients_alone_and_what_is_not_there_is_not_found(calls: OrderCalls) -> None:
    asked = pb.GetTransactionRequest(transaction_id="txn_1")
    with pytest.raises(Unauthenticated):
        await calls.GetTransaction(asked, asked_by("cosigner"))
    with pytest.raises(Unauthenticated):
        await anext(calls.WatchTransaction(asked, asked_by("cosigner")))
    with pytest.raises(NotFound):
        await calls.GetTransaction(asked, OMS)


@pytest.mark.parametrize("kind", [ORDER, KEY, WORKSPACE])
def test_ids_ascend_with_time_are_each_another_one_and_say_what_they_stand_for(kind: str) -> None:
    with mock.patch("coordinator.ids.time", SimpleNamespace(time=iter([1.0, 1.0, 2000.0]).__next__)):
        first, second, later = (new_id(kind) for _ in range(3))
    assert first != second
    assert max(first, second) < later
    assert {kind_of(one) for one in (first, second, later)} == {kind}
    assert kind_of("int_1") == "other"
