"""What orders count for, kept in memory as of the log, is what one query over all of them finds, on both databases."""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator import reservations
from coordinator.authorizing import Authorizing
from coordinator.calls import Call
from coordinator.database import reading
from coordinator.reservations import RELEASED, RESERVED
from coordinator.standing import Standing
from coordinator.store import Store
from coordinator.tables import log_items, orders, spends
from oms_core.lifecycle import NEXT, TERMINAL, WITHDRAWN, IllegalTransition, State
from oms_core.log.entries import SALT, Record, item
from oms_core.log.tree import leaf_hash
from oms_core.policy.facts import FEE, Spend
from oms_core.policy.rules import DAY, Action
from tests.people import intent, sign_request, workspace

STEPS = 60
SAID = Record("desk", b"", "", ())


def call() -> Call:
    return Call(secrets.token_hex(8), "SubmitIntent", b"")


def spend(subject: bytes, amount: int, at: int = 0) -> Spend:
    chain, coin = "eip155:1", "eip155:1/slip44:60"
    names = (subject, 0, Action.TRANSFER, "wal_1", "desk", chain, b"\x11" * 20, "", coin)
    return Spend(*names, amount, 10**30, at)


def order(number: int, at: int = 0) -> dict[str, object]:
    """With a fee, which is no operation."""
    mine = spend(b"%d" % number, number, at)
    names = {"order_id": f"txn_{number:03}", "wallet_id": "wal_1", "proposal": b"", "subject": mine.subject}
    return {**names, "adds": (mine, replace(mine, operation=FEE, amount=1))}


async def plainly(
    engine: AsyncEngine, now: int, ahead_of: str, back: int, unsure: tuple[State, ...]
) -> Counter[tuple[bytes, int, int, int]]:
    """The same by one query over all orders: subject, operation, amount and time of what counts."""
    query = select(spends, orders.c.state).join(orders, orders.c.subject == spends.c.subject)
    query = query.where(orders.c.state.in_(RESERVED) | (spends.c.at > now - back))
    query = query.where(orders.c.state.not_in(RELEASED) | (orders.c.authorized_at > 0))
    if ahead_of:
        mine = select(orders.c.created_at).where(orders.c.order_id == ahead_of).scalar_subquery()
        later = (orders.c.created_at > mine) | ((orders.c.created_at == mine) & (orders.c.order_id > ahead_of))
        query = query.where(~(orders.c.state.in_(unsure) & (orders.c.authorized_at == 0) & later))
    async with reading(engine) as connection:
        rows = (await connection.execute(query)).mappings().all()
    ats = [now if row["state"] in RESERVED else row["at"] for row in rows]
    return Counter(
        (row["subject"], row["operation"], int(row["amount"]), at) for row, at in zip(rows, ats, strict=True)
    )


def counts(found: tuple[Spend, ...]) -> Counter[tuple[bytes, int, int, int]]:
    return Counter((one.subject, one.operation, one.amount, one.at) for one in found)


async def authorize(store: Store, number: int) -> None:
    desk = Authorizing(store._engine, Standing(workspace()), SimpleNamespace())  # type: ignore[arg-type]
    await desk.order(f"txn_{number:03}", sign_request(intent(50, intent_id=f"int_{number}")))


class Desk:
    """Orders that go their ways by chance, at two replicas."""

    def __init__(self, engine: AsyncEngine, chance: random.Random) -> None:
        self.replicas, self.chance = (Store(engine), Store(engine)), chance
        self.states: list[State] = []

    async def step(self) -> None:
        store, alive = self.chance.choice(self.replicas), [n for n, at in enumerate(self.states) if at not in TERMINAL]
        if not alive or self.chance.random() < 0.3:
            await store.add_order(order(len(self.states), int(time.time()) - self.chance.randrange(9 * DAY)), call())
            self.states.append(State.SUBMITTED)
            return
        number = self.chance.choice(alive)
        was = self.states[number]
        if was is State.APPROVED and self.chance.random() < 0.6:
            await authorize(store, number)
            return
        to = self.chance.choice(sorted(NEXT[was]))
        try:
            if to in WITHDRAWN:
                await store.withdraw(f"txn_{number:03}", was, to, str(to), "", call(), None)
            else:
                await store.move(f"txn_{number:03}", was, to)
            self.states[number] = to
        except IllegalTransition:  # it is authorised
            assert to in WITHDRAWN


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_kept_of_orders_is_what_one_query_finds_whatever_becomes_of_them(
    engine: AsyncEngine, seed: int
) -> None:
    chance = random.Random(seed)
    desk, kept, released = Desk(engine, chance), reservations.Reservations(engine), 0
    for _ in range(STEPS):
        await desk.step()
        now = int(time.time()) + chance.choice((0, 0, 0, DAY, 8 * DAY))
        ahead_of = chance.choice(("", f"txn_{chance.randrange(len(desk.states)):03}", "txn_unknown"))
        asked = (
            now,
            ahead_of,
            chance.choice((0, DAY, 7 * DAY, 366 * DAY)),
            chance.choice(((State.SUBMITTED,), RESERVED)),
        )
        assert counts(await kept.counted(*asked)) == await plainly(engine, *asked)
        released += any(at in RELEASED for at in desk.states)
    assert released
    assert len(set(desk.states)) > 4


async def test_only_orders_to_which_something_has_happened_are_read_again(engine: AsyncEngine) -> None:
    store, other = Store(engine), Store(engine)
    for number in range(20):
        await store.add_order(order(number), call())
    await store.facts(0)
    with mock.patch.object(reservations, "spend_of", wraps=reservations.spend_of) as read:
        for _ in range(3):
            assert len((await store.facts(0)).spent) == 40
        assert read.call_count == 0
        await other.move("txn_003", State.SUBMITTED, State.REJECTED)
        await other.move("txn_005", State.SUBMITTED, State.APPROVED)
        assert len((await store.facts(0)).spent) == 38
        assert [one.args[0] for one in read.call_args_list] == [b"5", b"5"]


async def test_what_limits_look_back_to_no_more_is_not_kept_and_read_again_when_they_do(engine: AsyncEngine) -> None:
    store, kept, now = Store(engine), reservations.Reservations(engine), int(time.time())
    for number in (1, 2):
        await store.add_order(order(number), call())
    await store.move("txn_001", State.SUBMITTED, State.APPROVED)
    await authorize(store, 1)
    await store.move("txn_001", State.APPROVED, State.REJECTED)
    assert len(await kept.counted(now, "", DAY)) == 4
    await store.move("txn_002", State.SUBMITTED, State.APPROVED)
    assert len(await kept.counted(now + 2 * DAY, "", DAY)) == 2
    assert set(kept._orders) == {"txn_002"}
    assert len(await kept.counted(now + 2 * DAY, "", 7 * DAY)) == 4


async def test_where_the_log_is_another_one_than_it_was_all_orders_are_read_anew(engine: AsyncEngine) -> None:
    """Entries that nobody has cosigned are taken out by `coordinator recover`, and others come in their place."""
    store = Store(engine)
    for number in (1, 2):
        await store.add_order(order(number), call())
    assert len((await store.facts(0)).spent) == 4
    async with engine.begin() as connection:
        await connection.execute(update(orders).where(orders.c.order_id == "txn_001").values(state=State.REJECTED))
        await connection.execute(log_items.delete())
        for index in range(3):
            salt = secrets.token_bytes(SALT)
            made = item(index, 1, "order.recovered", "txn_009", -1, SAID, salt)
            row = {
                "index": index,
                "entry": made.entry,
                "record": made.record,
                "salt": salt,
                "subject": "txn_009",
                "at": 1,
            }
            await connection.execute(insert(log_items).values(**row, leaf=leaf_hash(made.entry)))
    assert [one.subject for one in (await store.facts(0)).spent] == [b"2", b"2"]
