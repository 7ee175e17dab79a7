"""The coordinator's store, on SQLite and on PostgreSQL: what happens once happens once, also when all come together."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.authorizing import Authorizing
from coordinator.calls import Call, once
from coordinator.standing import Standing
from coordinator.store import Store
from oms_core.approvals import Approval
from oms_core.errors import Conflict, Malformed, NotFound, Reason, Refused
from oms_core.lifecycle import IllegalTransition, State
from oms_core.policy.facts import FEE, Spend
from oms_core.policy.rules import DAY, Action
from tests.people import NOW, approve, intent, sign_request, workspace


@pytest.fixture
def store(engine: AsyncEngine) -> Store:
    return Store(engine)


def call(request_id: str = "", body: bytes = b"body") -> Call:
    return Call(request_id or secrets.token_hex(8), "SubmitIntent", body)


def order(order_id: str, amount: int = 5) -> dict[str, object]:
    return {
        "order_id": order_id,
        "wallet_id": "wal_1",
        "proposal": b"proposal",
        "subject": order_id.encode(),
        "adds": (spend(order_id.encode(), amount),),
    }


def spend(subject: bytes, amount: int) -> Spend:
    chain, coin = "eip155:1", "eip155:1/slip44:60"
    return Spend(subject, 0, Action.TRANSFER, "wal_1", "desk", chain, b"\x11" * 20, "", coin, amount, 10**30, 0)


async def test_a_request_id_stands_for_one_body(store: Store) -> None:
    first = call("one")
    assert await store.known(first) == ""
    await store.add_order(order("txn_1"), first)
    assert await store.known(first) == "txn_1"
    with pytest.raises(Conflict) as caught:
        await store.known(call("one", b"another"))
    assert caught.value.reason == Reason.IDEMPOTENCY_CONFLICT
    with pytest.raises(Malformed):
        await store.known(Call("", "SubmitIntent", b""))


async def test_an_intent_that_was_submitted_before_names_the_order_that_it_is(store: Store) -> None:
    await store.add_order(order("txn_1"), call())
    with pytest.raises(Conflict, match="submitted before, as txn_1"):
        await store.add_order({**order("txn_2"), "subject": b"txn_1"}, call())


@pytest.mark.parametrize("what", ["SubmitIntent", "CancelOrder", "Decide", "CreateWallet"])
async def test_whoever_makes_a_call_again_while_it_is_carried_out_is_told_what_it_made(store: Store, what: str) -> None:
    """Who hears nothing asks again. Both calls are new to the store here, and then come to it one after the other."""
    made, both = call("once"), asyncio.Barrier(2)
    if what != "SubmitIntent":
        await store.add_order(order("txn_1"), call())

    async def make(number: int) -> str:
        await both.wait()
        if what == "SubmitIntent":
            await store.add_order({**order(f"txn_{number}"), "subject": b"same"}, made)
            return f"txn_{number}"
        if what == "CancelOrder":
            ends = (State.SUBMITTED, State.CANCELLED, "CANCELLED", "by desk")
            await store.withdraw("txn_1", *ends, made, None)
        elif what == "Decide":
            await store.decide("txn_1", approve(intent(500), "ravi", expires_at=2**40), "person-ravi", 5, "", made)
        else:
            await store.add_wallet("txn_1", "GENERATING", b"p", b"k", 3, made)
        return "txn_1"

    first, second = await asyncio.gather(*(once(store, made, lambda n=n: make(n)) for n in (1, 2)))  # type: ignore[misc]
    assert first == second
    assert await store.known(made) == first
    assert [row["order_id"] for row in await store.list_orders("", 100, "")] == [first]


async def test_another_call_is_no_call_that_was_made_before(store: Store) -> None:
    async def make() -> str:
        await store.add_order(order("txn_1"), made)
        return "txn_1"

    made = call("one")
    assert await once(store, made, make) == await once(store, made, make) == "txn_1"
    with pytest.raises(Conflict) as another:
        await once(store, call("one", b"other"), make)
    assert another.value.reason == Reason.IDEMPOTENCY_CONFLICT
    made = call("two")
    with pytest.raises(Conflict):
        await once(store, made, make)
    assert await store.known(made) == ""


async def test_of_many_submissions_of_one_intent_exactly_one_is_kept(store: Store) -> None:
    async def submit(number: int) -> bool:
        try:
            await store.add_order({**order(f"txn_{number}"), "subject": b"same"}, call())
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(submit(i) for i in range(10)))) == 1
    assert len(await store.list_orders("", 100, "")) == 1


async def test_a_step_of_the_lifecycle_is_taken_by_one_of_many(store: Store) -> None:
    await store.add_order(order("txn_1"), call())

    async def step() -> bool:
        try:
            await store.move("txn_1", State.SUBMITTED, State.APPROVED)
        except IllegalTransition:
            return False
        return True

    assert sum(await asyncio.gather(*(step() for _ in range(10)))) == 1
    assert [stage["state"] for stage in await store.stages("txn_1")] == ["SUBMITTED", "APPROVED"]


async def test_a_step_that_the_lifecycle_does_not_have_is_refused(store: Store) -> None:
    await store.add_order(order("txn_1"), call())
    with pytest.raises(IllegalTransition):
        await store.move("txn_1", State.SUBMITTED, State.CONFIRMED)


async def test_nonces_are_given_out_one_by_one_also_to_many_at_once(store: Store) -> None:
    for number in range(6):
        await store.add_order(order(f"txn_{number}"), call())
        await store.move(f"txn_{number}", State.SUBMITTED, State.APPROVED)

    async def reserve(number: int) -> int | None:
        return await store.reserve_nonce("eip155:1", "aa", f"txn_{number}", 3)

    got = await asyncio.gather(*(reserve(i) for i in range(6)))
    assert sorted(n for n in got if n is not None) == [3]
    holder = got.index(3)
    assert await reserve(holder) == 3
    for was, to in ((State.APPROVED, State.SIGNING), (State.SIGNING, State.SIGNED), (State.SIGNED, State.BROADCAST)):
        await store.move(f"txn_{holder}", was, to)
    other = (holder + 1) % 6
    assert await reserve(other) == 4


@pytest.mark.parametrize("was", [State.APPROVED, State.SIGNING])
async def test_an_order_that_ends_unsigned_gives_its_nonce_back_in_the_same_moment(store: Store, was: State) -> None:
    """A process that ended in between would leave a gap, behind which all orders of the account wait for ever."""
    for number in (1, 2):
        await store.add_order(order(f"txn_{number}"), call())
        await store.move(f"txn_{number}", State.SUBMITTED, State.APPROVED)
    assert await store.reserve_nonce("eip155:1", "aa", "txn_1", 5) == 5
    if was is State.SIGNING:
        await store.move("txn_1", State.APPROVED, was)
    await store.move("txn_1", was, State.REJECTED)
    assert await store.reserve_nonce("eip155:1", "aa", "txn_2", 5) == 5
    await store.move("txn_2", State.APPROVED, State.SIGNING)
    await store.move("txn_2", State.SIGNING, State.SIGNED)
    await store.move("txn_2", State.SIGNED, State.QUARANTINED)  # its bytes are out: nobody else gets it
    assert await store.nonce_of("txn_2") == 5
    await store.add_order(order("txn_3"), call())
    await store.move("txn_3", State.SUBMITTED, State.APPROVED)
    assert await store.reserve_nonce("eip155:1", "aa", "txn_3", 5) is None  # nothing behind a gap would be mined
    assert await store.reserve_nonce("eip155:1", "aa", "txn_3", 6) == 6  # they were mined after all


async def test_a_nonce_that_was_given_back_is_given_out_again(store: Store) -> None:
    for name in ("txn_1", "txn_2"):
        await store.add_order(order(name), call())
        await store.move(name, State.SUBMITTED, State.APPROVED)
    assert await store.reserve_nonce("eip155:1", "aa", "txn_1", 0) == 0
    assert await store.reserve_nonce("eip155:1", "aa", "txn_2", 0) is None
    await store.move("txn_1", State.APPROVED, State.REJECTED)
    await store.release_nonce("txn_1")
    assert await store.reserve_nonce("eip155:1", "aa", "txn_2", 0) == 0


async def test_what_came_to_nothing_is_not_spent(store: Store) -> None:
    for name in ("txn_1", "txn_2"):
        await store.add_order(order(name, 7), call())
    await store.move("txn_1", State.SUBMITTED, State.REJECTED)
    (left,) = (await store.facts(NOW)).spent
    assert left == replace(spend(b"txn_2", 7), at=NOW)


async def authorized(store: Store, order_id: str = "txn_1", number: int = 0) -> None:
    """Cosigners are about to be asked for an approved order."""
    desk = Authorizing(store._engine, Standing(workspace()), SimpleNamespace())  # type: ignore[arg-type]
    await desk.order(order_id, sign_request(intent(50, intent_id=f"int_{number}")))


async def test_a_reservation_counts_as_of_now_and_a_signed_order_as_of_its_entry_in_the_log(store: Store) -> None:
    await store.add_order(order("txn_1"), call())
    later = int(time.time()) + 30 * DAY
    assert [one.at for one in (await store.facts(later)).spent] == [later]
    await store.move("txn_1", State.SUBMITTED, State.APPROVED)
    await authorized(store)
    for was, to in ((State.APPROVED, State.SIGNING), (State.SIGNING, State.SIGNED)):
        await store.move("txn_1", was, to)
    (signed,) = (await store.facts(later)).spent
    assert abs(signed.at - time.time()) < 60
    assert (await store.facts(later + 366 * DAY)).spent == ()


async def test_what_was_signed_is_read_as_far_back_as_limits_look_and_reservations_however_old(store: Store) -> None:
    near = Store(store._engine, lambda: 7 * DAY)
    for name in ("txn_1", "txn_2"):
        await store.add_order(order(name), call())
    await store.move("txn_1", State.SUBMITTED, State.APPROVED)
    await authorized(store)
    for was, to in ((State.APPROVED, State.SIGNING), (State.SIGNING, State.SIGNED)):
        await store.move("txn_1", was, to)
    later = int(time.time()) + 8 * DAY
    assert len((await store.facts(later)).spent) == 2
    assert [one.subject for one in (await near.facts(later)).spent] == [b"txn_2"]


@pytest.mark.parametrize("end", [State.REJECTED, State.EXPIRED])
async def test_what_was_authorised_stays_spent_for_its_window_whatever_becomes_of_it(store: Store, end: State) -> None:
    await store.add_order(order("txn_1"), call())
    await store.move("txn_1", State.SUBMITTED, State.APPROVED)
    await authorized(store)
    await store.move("txn_1", State.APPROVED, end)
    now = int(time.time())
    assert [one.subject for one in (await store.facts(now)).spent] == [b"txn_1"]
    assert (await Store(store._engine, lambda: 7 * DAY).facts(now + 8 * DAY)).spent == ()


async def test_an_order_that_failed_on_the_chain_stays_spent_as_cosigners_count_it(store: Store) -> None:
    paid = replace(spend(b"txn_1", 9), operation=FEE)
    await store.add_order({**order("txn_1"), "adds": (spend(b"txn_1", 5), paid)}, call())
    await store.move("txn_1", State.SUBMITTED, State.APPROVED)
    await authorized(store)
    way = (State.APPROVED, State.SIGNING, State.SIGNED, State.BROADCAST, State.MINED, State.FAILED_ON_CHAIN)
    for was, to in pairwise(way):
        await store.move("txn_1", was, to)
    assert {one.operation for one in (await store.facts(int(time.time()))).spent} == {FEE, 0}


async def test_what_is_authorised_is_withdrawn_by_nobody_and_what_was_withdrawn_is_not_authorised(store: Store) -> None:
    for name in ("txn_1", "txn_2"):
        await store.add_order(order(name), call())
        await store.move(name, State.SUBMITTED, State.APPROVED)
    await authorized(store)
    ends = (State.APPROVED, State.CANCELLED, "CANCELLED", "by desk")
    with pytest.raises(IllegalTransition):
        await store.withdraw("txn_1", *ends, call(), None)
    await store.withdraw("txn_2", *ends, call(), None)
    with pytest.raises(IllegalTransition):
        await authorized(store, "txn_2", 2)
    assert [one.subject for one in (await store.facts(int(time.time()))).spent] == [b"txn_1"]


async def test_of_two_orders_at_once_the_earlier_does_not_wait_for_the_later(store: Store) -> None:
    for name in ("txn_1", "txn_2"):
        await store.add_order(order(name), call())
    assert [one.subject for one in (await store.facts(NOW, ahead_of="txn_1")).spent] == [b"txn_1"]
    assert len((await store.facts(NOW, ahead_of="txn_2")).spent) == 2
    await store.move("txn_2", State.SUBMITTED, State.APPROVED)
    assert len((await store.facts(NOW, ahead_of="txn_1")).spent) == 2


async def test_one_person_decides_once_and_a_counter_only_rises(store: Store) -> None:
    subject = intent(500)
    first, second = (approve(subject, "ravi", expires_at=int(time.time()) + 500) for _ in range(2))

    async def decide(subject_id: str, approval: Approval, person: str, counter: int) -> None:
        await store.decide(subject_id, approval, person, counter, "", call())

    await decide("txn_1", first, "person-ravi", 5)
    with pytest.raises(Conflict) as conflict:
        await decide("txn_1", second, "person-ravi", 6)
    assert conflict.value.reason == Reason.DUPLICATE_PERSON
    for counter in (5, 4, 0):
        with pytest.raises(Refused) as refused:
            await decide("txn_2", second, "person-ravi", counter)
        assert refused.value.reason == Reason.COUNTER_REGRESSION
    await decide("txn_2", second, "person-ravi", 6)
    assert [row["user_id"] for row in await store.decisions("txn_1")] == ["ravi"]


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        await store.order("txn_9")
    assert caught.value.reason == Reason.UNKNOWN_TRANSACTION
    with pytest.raises(NotFound) as caught:
        await store.wallet("wal_9")
    assert caught.value.reason == Reason.UNKNOWN_WALLET


async def test_a_wallets_id_is_taken_once_and_its_state_is_a_compare_and_swap(store: Store) -> None:
    await store.add_wallet("wal_1", "GENERATING", b"p", b"k", 3, call())
    with pytest.raises(Conflict):
        await store.add_wallet("wal_1", "GENERATING", b"p", b"k", 3, call())
    await store.move_wallet("wal_1", "GENERATING", "FAILED", reason="X", detail="y")
    with pytest.raises(Conflict):
        await store.move_wallet("wal_1", "GENERATING", "PRE_ACTIVE")
