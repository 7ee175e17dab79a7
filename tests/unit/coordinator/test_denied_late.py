"""A denial that is kept is one, however far the order had gone on meanwhile; one that comes too late is refused."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.calls import Call, once
from coordinator.orders import intent_of
from oms_core.approvals import Verdict
from oms_core.errors import Conflict, Reason, Refused
from oms_core.lifecycle import State
from tests.people import approve
from tests.unit.coordinator.test_exact import Signing
from tests.unit.coordinator.test_exact import desk as desk


async def deny(desk: Signing, order_id: str) -> None:
    subject = intent_of(await desk._store.order(order_id))
    given = approve(subject, "tara", Verdict.DENY)
    await desk._store.decide(order_id, given, "person-tara", 0, "not this one", Call("no", "Decide", b""))


async def test_a_denial_that_comes_while_the_last_approval_is_counted_ends_the_order(
    desk: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id, move = await desk.submitted(1), desk._store.move

    async def moved(name: str, was: State, to: State, *rest: Any, **values: Any) -> None:
        if to is State.APPROVED and not await desk._approving.denial(name):
            await deny(desk, name)
        await move(name, was, to, *rest, **values)

    monkeypatch.setattr(desk._store, "move", moved)
    await desk.approve(order_id, "ravi", "olga")
    await desk.on(order_id, desk.stands(order_id, "DENIED", "APPROVAL_DENIED"))
    assert desk.asked == []
    assert "not this one" in (await desk._store.order(order_id))["detail"]


@pytest.mark.parametrize("state", [State.APPROVED, State.SIGNING])
async def test_nobody_is_told_that_a_denial_is_kept_of_an_order_that_does_not_wait_for_people(
    desk: Signing, state: State
) -> None:
    order_id = await desk.submitted(1, 50)
    if state is State.SIGNING:
        await desk._store.move(order_id, State.APPROVED, state)
    with pytest.raises(Refused) as refused:
        await deny(desk, order_id)
    assert refused.value.reason is Reason.WRONG_STATE
    assert not await desk._store.decisions(order_id)


async def test_whoever_says_no_once_more_hears_that_it_was_kept_also_when_the_order_has_ended_by_it(
    desk: Signing,
) -> None:
    order_id = await desk.submitted(1)

    async def twice() -> str:
        """The same call came before, and was carried out after this one had looked for it."""
        await deny(desk, order_id)
        await desk._store.move(order_id, State.PENDING_APPROVAL, State.DENIED)
        await deny(desk, order_id)
        raise AssertionError("it is carried out twice")

    assert await once(desk._store, Call("no", "Decide", b""), twice) == order_id


async def test_two_decisions_that_come_at_a_time_under_one_request_id_are_one_and_a_conflict(desk: Signing) -> None:
    order_id = await desk.submitted(1)
    await deny(desk, order_id)
    given = approve(intent_of(await desk._store.order(order_id)), "ravi")
    with pytest.raises(Conflict) as conflict:
        await desk._store.decide(order_id, given, "person-ravi", 0, "", Call("no", "Decide", b"another"))
    assert conflict.value.reason is Reason.IDEMPOTENCY_CONFLICT
    assert len(await desk._store.decisions(order_id)) == 1
