"""With three of five witnesses people approve the exact transaction, and nobody holds an account up meanwhile."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator import desk as module
from coordinator import preparing
from coordinator.calls import Call
from coordinator.desk import Desk, Session
from coordinator.outcomes import Outcomes
from oms_core.approvals import Verdict
from oms_core.authorize import execution_digest, expected_claim
from oms_core.chains.intent import Execution, Intent
from oms_core.encoding import decode
from oms_core.errors import Reason, Refused, Unavailable
from oms_core.lifecycle import State
from tests.people import EXECUTION, approve, intent, workspace
from tests.unit.coordinator.desk import stopped
from tests.unit.coordinator.readers import ALL, Way, reads

ODD = (1, 3, 5)


class Chain:
    """Its next nonce, and whether fees have gone up."""

    name = "eip155:31337"

    def __init__(self) -> None:
        self.next, self.dear, self.refuses = 7, False, False

    async def next_nonce(self, account: bytes) -> int:
        return self.next

    async def execution(self, intent: Intent, account: bytes, nonce: int) -> Execution:
        if self.refuses:
            raise Refused("the wallet holds too little", Reason.INSUFFICIENT_FUNDS)
        return replace(EXECUTION, nonce=nonce, gas_limit=EXECUTION.gas_limit + self.dear)

    async def sendable(self, execution: Execution, nonce: int) -> bool:
        return execution.nonce == nonce and not self.dear


class Signing(Desk):
    """The real way of an order up to the session, which always signs."""

    def __init__(self, way: Way) -> None:
        nothing: Any = SimpleNamespace(take=self._nothing)
        self.chain: Any = Chain()
        parts = (way._store, way._standing, way._cosigners, way._wallets, way._approving)
        outcomes = Outcomes(way.desk.book, way._cosigners)
        super().__init__(*parts, outcomes, nothing, way.desk.authorizing, self.chain, 1, way._news)
        self.way, self.asked = way, list[Session]()

    async def _nothing(self, *_: Any) -> None:
        return None

    async def _sign_with(self, row: Any, session: Session) -> None:
        self.asked.append(session)
        await self._move(row["order_id"], State.SIGNING, State.SIGNED, raw=b"signed")

    async def submitted(self, number: int, amount: int = 500) -> str:
        """An order that waits for people, if it takes any."""
        now, order_id = int(time.time()), f"txn_{number}"
        subject = intent(amount, intent_id=f"int_{number}", valid_from=now - 10, valid_until=now + 1000)
        await self.way.submitted(subject, order_id)
        state = State.PENDING_APPROVAL if amount > 100 else State.APPROVED
        await self._store.move(order_id, State.SUBMITTED, state)
        return order_id

    async def chosen(self, order_id: str) -> Execution | None:
        row = await self._store.order(order_id)
        return decode(Execution, row["execution"]) if row["execution"] is not None else None

    async def waiting(self, order_id: str, person: str = "ravi") -> Any:
        """What she is asked about it, if she is."""
        row = await self._store.order(order_id)
        if row["state"] != State.PENDING_APPROVAL:
            return None
        found = await self._approving.inbox(person, [(order_id, row)], await self._store.facts(int(time.time())))
        return found[0] if found else None

    async def approve(self, order_id: str, *people: str) -> None:
        """As each is asked."""
        for person in people:
            asked, now = await self.waiting(order_id, person), int(time.time())
            assert asked is not None, person
            given = approve(
                asked.subject,
                person,
                decided_at=now,
                expires_at=asked.claim.expires_at,
                execution=execution_digest(asked.execution),
            )
            row, facts = await self._store.order(order_id), await self._store.facts(now)
            await self._approving.decide(order_id, row, given, "", facts, Call(secrets.token_hex(8), "Decide", b""))

    async def on(self, order_id: str, until: Any, seconds: float = 120) -> None:
        """Its steps go on until something holds."""

        async def steps() -> None:
            for step in (self.approvals, self.prepare, self.sign):
                await step(order_id)

        task, deadline = asyncio.create_task(steps()), time.monotonic() + seconds
        try:
            while not await until():
                assert time.monotonic() < deadline, dict(await self._store.order(order_id))
                await asyncio.sleep(0.01)
        finally:
            await stopped(task, self._store._engine)

    def stands(self, order_id: str, state: str, reason: str = "") -> Any:
        async def holds() -> bool:
            row = await self._store.order(order_id)
            return (row["state"], row["reason"]) == (state, reason) if reason else row["state"] == state

        return holds


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Signing]:
    for one in (module, preparing):
        monkeypatch.setattr(one, "RETRY", 0.01)
    monkeypatch.setattr("coordinator.orders.RETRY", 0.01)
    monkeypatch.setattr("coordinator.news.POLL", 0.01)
    monkeypatch.setattr(preparing, "LOOK", 0.02)
    way = await Way.open(tmp_path)
    way.desk.attach({i: reads(i) for i in ALL})
    yield Signing(way)
    await way.desk.engine.dispose()


async def test_with_full_cover_no_transaction_is_chosen_before_people_have_approved(desk: Signing) -> None:
    order_id = await desk.submitted(1)
    asked = await desk.waiting(order_id)
    assert (asked.execution, asked.claim.execution) == (None, b"")
    await desk.approve(order_id, "ravi", "olga")
    await desk.on(order_id, desk.stands(order_id, "SIGNED"))
    assert (await desk.chosen(order_id), await desk._store.nonce_of(order_id)) == (replace(EXECUTION, nonce=7), 7)
    assert desk.asked[0].checkpoint.startswith(b"note of ")


async def test_an_order_that_waits_for_its_people_again_is_not_forgotten_when_the_process_ends_there(
    desk: Signing,
) -> None:
    """The step that is done again is the one that had sent it back."""
    order_id = await desk.submitted(1)
    await desk.approve(order_id, "ravi", "olga")
    async with asyncio.timeout(60):
        await desk.sign(order_id)
    assert (await desk._store.order(order_id))["state"] == "SIGNED"


async def test_an_order_is_not_rejected_because_nothing_may_be_written_down_for_a_moment(
    desk: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock was found to be ahead when the signature was there; the step is done again."""
    order_id, move, failed = await desk.submitted(1, 50), desk._store.move, list[State]()

    async def moved(name: str, was: State, to: State, *rest: Any, **values: Any) -> None:
        if to is State.SIGNED and not failed:
            failed.append(to)
            raise Unavailable("the clock is ahead", Reason.LOG_STALE)
        await move(name, was, to, *rest, **values)

    monkeypatch.setattr(desk._store, "move", moved)
    with pytest.raises(Unavailable):
        await desk.sign(order_id)
    await desk.sign(order_id)
    assert (await desk._store.order(order_id))["state"] == "SIGNED"
    assert len({session.request for session in desk.asked}) == 1


async def test_in_degraded_mode_people_are_asked_about_one_transaction_whose_nonce_nobody_holds(desk: Signing) -> None:
    order_id = await desk.submitted(1)
    desk.way.desk.vouching.there = ODD
    assert await desk.waiting(order_id) is None
    await desk.on(order_id, lambda: desk.waiting(order_id))
    asked = await desk.waiting(order_id)
    assert asked.execution == replace(EXECUTION, nonce=7)
    expected = (asked.subject, workspace(), "ravi", Verdict.APPROVE, asked.claim.decided_at, asked.claim.expires_at)
    assert asked.claim == expected_claim(*expected, execution_digest(asked.execution))
    assert await desk._store.nonce_of(order_id) is None
    await desk.approve(order_id, "ravi", "olga")
    await desk.on(order_id, desk.stands(order_id, "SIGNED"))
    assert (desk.asked[0].quorum, desk.asked[0].request.execution) == (ODD, asked.execution)


async def test_approvals_that_name_no_transaction_are_void_once_degraded_mode_lasts(desk: Signing) -> None:
    order_id = await desk.submitted(1)
    await desk.approve(order_id, "ravi", "olga")
    desk.way.desk.vouching.there, desk.way.desk.vouching.seconds = ODD, 0.0
    await desk.on(order_id, desk.stands(order_id, "APPROVED", Reason.EXACT_BYTES_NEEDED))
    assert len(await desk._store.decisions(order_id)) == 2, "it may be over in a moment"
    desk.way.desk.vouching.seconds = 100.0
    await desk.on(order_id, desk.stands(order_id, "PENDING_APPROVAL"))
    voided = {row["void"] for row in await desk._store.all_decisions(order_id)}
    assert voided == {Reason.EXACT_BYTES_NEEDED}
    await desk.on(order_id, lambda: desk.waiting(order_id))
    await desk.approve(order_id, "ravi", "olga")
    await desk.on(order_id, desk.stands(order_id, "SIGNED"))


async def test_what_was_approved_before_goes_on_as_it_is_when_full_cover_comes_back(desk: Signing) -> None:
    plain, exact = await desk.submitted(1), await desk.submitted(2)
    await desk.approve(plain, "ravi", "olga")
    desk.way.desk.vouching.there, desk.way.desk.vouching.seconds = ODD, 0.0
    await desk.on(plain, desk.stands(plain, "APPROVED", Reason.EXACT_BYTES_NEEDED))
    await desk.on(exact, lambda: desk.waiting(exact))
    await desk.approve(exact, "ravi", "olga")
    desk.way.desk.vouching.there = ALL
    await desk.on(exact, desk.stands(exact, "SIGNED"))
    await desk._store.move(exact, State.SIGNED, State.BROADCAST)
    desk.chain.next = 8
    await desk.on(plain, desk.stands(plain, "SIGNED"))
    assert [session.request.execution.nonce for session in desk.asked if session.request.execution] == [7, 8]


async def test_of_two_orders_that_name_one_nonce_the_first_gets_it_and_the_others_people_are_asked_again(
    desk: Signing,
) -> None:
    first, second = await desk.submitted(1, 200), await desk.submitted(2, 200)
    desk.way.desk.vouching.there = ODD
    for order_id in (first, second):
        await desk.on(order_id, lambda order_id=order_id: desk.waiting(order_id))  # type: ignore[misc]
        await desk.approve(order_id, "ravi", "olga")
    assert await desk.chosen(first) == await desk.chosen(second) == replace(EXECUTION, nonce=7)
    await desk.on(first, desk.stands(first, "SIGNED"))
    await desk._store.move(first, State.SIGNED, State.BROADCAST)
    desk.chain.next = 8
    await desk.on(second, lambda: desk.waiting(second))
    asked = await desk.waiting(second)
    assert asked.execution == replace(EXECUTION, nonce=8)
    assert {row["void"] for row in await desk._store.all_decisions(second)} == {Reason.EXACT_BYTES_NEEDED}
    await desk.approve(second, "ravi", "olga")
    await desk.on(second, desk.stands(second, "SIGNED"))


async def test_a_transaction_that_has_got_too_cheap_is_chosen_anew_while_people_think(desk: Signing) -> None:
    order_id = await desk.submitted(1)
    desk.way.desk.vouching.there = ODD
    await desk.on(order_id, lambda: desk.waiting(order_id))
    await desk.approve(order_id, "ravi")
    desk.chain.dear = True

    async def asked_again() -> bool:
        asked = await desk.waiting(order_id)
        return asked is not None and asked.execution.gas_limit == EXECUTION.gas_limit + 1

    await desk.on(order_id, asked_again)
    assert [row["void"] for row in await desk._store.all_decisions(order_id)] == [Reason.EXACT_BYTES_NEEDED]


async def test_a_wallet_that_cannot_pay_says_so_while_people_wait_to_be_asked(desk: Signing) -> None:
    order_id = await desk.submitted(1)
    desk.way.desk.vouching.there, desk.chain.refuses = ODD, True
    await desk.on(order_id, desk.stands(order_id, "PENDING_APPROVAL", Reason.INSUFFICIENT_FUNDS))
    desk.chain.refuses = False
    await desk.on(order_id, lambda: desk.waiting(order_id))


async def test_an_order_that_nobody_approves_waits_holds_no_nonce_and_says_what_is_missing(desk: Signing) -> None:
    order_id = await desk.submitted(1, amount=50)
    desk.way.desk.vouching.there = ODD
    await desk.on(order_id, desk.stands(order_id, "APPROVED", Reason.EXACT_BYTES_NEEDED))
    row = await desk._store.order(order_id)
    assert row["detail"] == "3 vouch; nobody has to approve this order, so it waits for them"
    assert row["execution"] is None
    assert await desk._store.nonce_of(order_id) is None
    desk.way.desk.vouching.there = ALL
    await desk.on(order_id, desk.stands(order_id, "SIGNED"))


async def test_with_two_witnesses_everything_waits_and_nothing_is_logged_for_it(desk: Signing) -> None:
    order_id = await desk.submitted(1, amount=50)
    desk.way.desk.vouching.there = (1, 3)
    await desk.on(order_id, desk.stands(order_id, "APPROVED", Reason.NOT_LOGGED))
    row = await desk._store.order(order_id)
    assert (row["authorized_at"], row["detail"], desk.way.desk.vouching.covers) == (0, "2 vouch", [])


async def test_what_is_authorised_keeps_its_transaction_whatever_becomes_of_fees(desk: Signing) -> None:
    order_id = await desk.submitted(1, amount=50)
    desk.way.desk.vouching.covers = Stopping(desk)
    await desk.on(order_id, desk.stands(order_id, "APPROVED", Reason.NOT_LOGGED))
    before = await desk.chosen(order_id)
    assert (await desk._store.order(order_id))["authorized_at"] > 0
    desk.chain.dear, desk.way.desk.vouching.there = True, ALL
    desk.way.desk.vouching.covers = []
    await desk.on(order_id, desk.stands(order_id, "SIGNED"))
    assert desk.asked[0].request.execution == before


class Stopping(list[int]):
    """Whoever asks for cover finds that the witnesses have just gone."""

    def __init__(self, desk: Signing) -> None:
        super().__init__()
        self.desk = desk

    def append(self, index: int) -> None:
        self.desk.way.desk.vouching.there = (1, 3)
