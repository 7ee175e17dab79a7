"""An order is held against the windows that nodes hold it against, and a no about one entry is no no about the next."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from coordinator import authorizing, preparing
from coordinator import desk as module
from coordinator.desk import Session
from coordinator.sessions import SessionFailed
from coordinator.store import Call
from coordinator.tables import orders, spends
from oms_core.chains.intent import subject_digest
from oms_core.encoding import encode
from oms_core.errors import Reason
from oms_core.evidence import Refusal, SignedRefusal
from oms_core.lifecycle import State
from oms_core.log.cover import Mode
from oms_core.log.quorum import share
from oms_core.policy.facts import Facts
from oms_core.policy.judge import judge
from oms_core.policy.rules import DAY
from oms_core.policy.spends import spends as spends_of
from tests.parties import identity
from tests.people import intent, propose, spend, workspace
from tests.unit.coordinator.readers import ALL, Way, reads
from tests.unit.coordinator.test_exact import ODD, Signing

LEAVES = 50  # seconds from now in which what was spent before leaves the limit's window


class Clock:
    """The time, with as many seconds added as a test wants."""

    def __init__(self) -> None:
        self.added, self._time = 0, time.time

    def __call__(self) -> float:
        return self._time() + self.added


class Windows(Signing):
    """Sessions with nodes that count what was spent ``before``, by the entry, as real ones do."""

    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self.before = spend(600, int(time.time()) - DAY + LEAVES)
        self.silent, self.blind = 0, False
        self.refused: list[Mode] = []
        self.entries: list[int] = []

    async def taken_on(self, number: int, amount: int, state: State, at: int = 0) -> str:
        """An order that counts against limits, authorised ``at`` some time if that is given."""
        now, order_id = int(time.time()), f"txn_{number}"
        subject = intent(amount, intent_id=f"int_{number}", valid_from=now - 10, valid_until=now + 3000)
        adds = spends_of(workspace(), subject, now)
        row = {"order_id": order_id, "wallet_id": "wal_1", "proposal": encode(propose(subject))}
        made = {**row, "subject": subject_digest(subject), "adds": adds}
        await self._store.add_order(made, Call(f"call {order_id}", "SubmitIntent", b""))
        if at:
            async with self.way.desk.engine.begin() as connection:
                await connection.execute(
                    update(orders).where(orders.c.order_id == order_id).values(authorized_at=at, state=State.MINED)
                )
                mine = spends.c.subject == subject_digest(subject)
                await connection.execute(update(spends).where(mine).values(at=at))
            await self._store.move(order_id, State.MINED, State.CONFIRMED)
        else:
            await self._store.move(order_id, State.SUBMITTED, state)
        return order_id

    async def _sign_with(self, row: Any, session: Session) -> None:
        row = await self._store.order(row["order_id"])
        self.asked.append(session)
        self.entries.append(row["authorized_at"])
        if self.silent:
            self.silent -= 1
            self.way.desk.vouching.there = ODD
            raise SessionFailed({}, (), {session.quorum[0]}, "silent", parties=session.quorum)
        part = share(5) if session.mode is Mode.DEGRADED else 1
        facts = Facts(int(time.time()), (self.before,), share=part, logged_at=row["authorized_at"])
        subject = session.request.proposal.subject
        decision = judge(workspace(), subject, facts)
        if Reason.VELOCITY_EXCEEDED in {one.reason for one in decision.objections}:
            self.refused.append(session.mode)
            said = {i: no(i) for i in session.quorum}
            raise SessionFailed(said, (), set(), "refused", parties=session.quorum)
        await self._move(row["order_id"], State.SIGNING, State.SIGNED, raw=b"signed")


def no(index: int) -> SignedRefusal:
    said = Refusal(bytes(32), bytes(32), index, Reason.VELOCITY_EXCEEDED, "a window is full", 1)
    return SignedRefusal(said, identity(index).sign("refusal", encode(said)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.time", made)
    return made


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> AsyncIterator[Windows]:
    for one in (module, preparing):
        monkeypatch.setattr(one, "RETRY", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr("coordinator.orders.RETRY", 0.01)
    monkeypatch.setattr("coordinator.news.POLL", 0.01)
    monkeypatch.setattr(preparing, "LOOK", 0.02)
    way = await Way.open(tmp_path)
    way.desk.attach({i: reads(i) for i in ALL})
    yield Windows(way)
    await way.desk.engine.dispose()


async def named(desk: Windows) -> str:
    """An order of 500 after 600 of the day's 2000, of which people have approved the exact transaction."""
    await desk.taken_on(0, 600, State.CONFIRMED, desk.before.at)
    order_id = await desk.taken_on(1, 500, State.PENDING_APPROVAL)
    desk.way.desk.vouching.there = ODD
    await desk.on(order_id, lambda: desk.waiting(order_id))
    await desk.approve(order_id, "ravi", "olga")
    desk.way.desk.vouching.there = ALL
    return order_id


async def test_an_order_is_not_asked_for_under_an_entry_whose_windows_are_too_full_for_a_third(
    desk: Windows, clock: Clock
) -> None:
    """Logged while all vouched, and asked for again when fewer do: what has left the windows of now is in its own."""
    order_id, desk.silent = await named(desk), 1

    async def logged() -> bool:
        return bool((await desk._store.order(order_id))["authorized_at"]) and desk.silent == 0

    await desk.on(order_id, logged)
    clock.added = LEAVES + 20
    await desk.on(order_id, desk.stands(order_id, "SIGNED"))
    assert desk.refused == []
    first, second = desk.entries
    assert second >= first + LEAVES, "it was logged anew, in a window that has room"


async def test_an_order_above_a_third_of_a_limit_waits_for_more_witnesses_and_is_signed_then(desk: Windows) -> None:
    order_id = await named(desk)
    desk.way.desk.vouching.there = ODD
    await desk.on(order_id, desk.stands(order_id, "APPROVED", Reason.VELOCITY_EXCEEDED))
    assert ((await desk._store.order(order_id))["authorized_at"], desk.asked) == (0, [])
    desk.way.desk.vouching.there = ALL
    await desk.on(order_id, desk.stands(order_id, "SIGNED"))


async def test_what_nodes_count_in_degraded_mode_and_we_do_not_is_waited_out_and_ends_no_order(
    desk: Windows, clock: Clock
) -> None:
    """They hold an order against every version of the rules that it was ever logged under; we know of one."""
    order_id = await named(desk)
    clock.added = LEAVES + 20  # to us there is room now
    desk.before = replace(desk.before, at=int(time.time()), amount=1400)
    desk.way.desk.vouching.there = ODD

    async def refused_twice() -> bool:
        return len(desk.refused) >= 2

    await desk.on(order_id, refused_twice)
    row = await desk._store.order(order_id)
    assert row["state"] in ("APPROVED", "SIGNING")
    assert set(desk.refused) == {Mode.DEGRADED}
    desk.way.desk.vouching.there = ALL
    await desk.on(order_id, desk.stands(order_id, "SIGNED"))
    assert await desk._store.refusals(order_id) == [], "they were about entries that are replaced"


async def test_with_all_witnesses_a_full_window_is_the_end_of_an_order(desk: Windows) -> None:
    order_id = await named(desk)
    desk.before = replace(desk.before, at=int(time.time()), amount=1600)
    await desk.on(order_id, desk.stands(order_id, "REJECTED", Reason.VELOCITY_EXCEEDED))
    assert (desk.refused, len(await desk._store.refusals(order_id))) == ([Mode.FULL], 3)


@pytest.mark.parametrize(("reason", "state"), [(Reason.VELOCITY_EXCEEDED, "SIGNED"), (Reason.NO_PERMIT, "REJECTED")])
async def test_what_was_said_of_the_windows_of_one_entry_is_not_held_against_the_next_one(
    desk: Windows, monkeypatch: pytest.MonkeyPatch, reason: Reason, state: str
) -> None:
    """Three will not sign under an entry; it is over before they are counted. Whatever else they said still stands."""
    order_id = await named(desk)
    await desk.approvals(order_id)
    await desk.prepare(order_id)
    await desk._authorizing.order(order_id, await desk.request(await desk._store.order(order_id)))
    for index in (1, 2, 3):
        said = replace(no(index).refusal, reason=reason)
        signed = SignedRefusal(said, identity(index).sign("refusal", encode(said)))
        await desk._store.add_refusal(order_id, signed)
    monkeypatch.setattr(authorizing, "_FRESH", 0.0)
    await desk.on(order_id, desk.stands(order_id, state))
