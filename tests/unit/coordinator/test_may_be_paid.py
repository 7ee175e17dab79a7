"""Where a database was lost with the signature in it, an order whose nonce is used is not said to be unpaid."""

from __future__ import annotations

import time

import pytest

from coordinator.chain.rpc import RpcError
from oms_core.errors import Reason, Unavailable
from oms_core.lifecycle import State
from tests.unit.coordinator.test_exact import Signing
from tests.unit.coordinator.test_exact import desk as desk

WAITS = {State.PENDING_APPROVAL: [State.PENDING_APPROVAL], State.APPROVED: [], State.SIGNING: [State.SIGNING]}


async def asked(desk: Signing, state: State) -> str:
    """An order that cosigners were asked to sign with nonce 7, and that waits again."""
    order_id = await desk.submitted(1, 50)
    await desk.prepare(order_id)
    await desk._authorizing.order(order_id, await desk.request(await desk._store.order(order_id)))
    for to in WAITS[state]:
        await desk._store.move(order_id, State.APPROVED, to)
    return order_id


@pytest.mark.parametrize("end", [State.EXPIRED, State.REJECTED])
@pytest.mark.parametrize("state", WAITS)
@pytest.mark.parametrize("used", [False, True])
async def test_an_order_whose_nonce_is_used_ends_for_people_to_look_at(
    desk: Signing, state: State, end: State, used: bool
) -> None:
    order_id = await asked(desk, state)
    desk.chain.next += used
    await desk._end(await desk._store.order(order_id), end, Reason.EXPIRED, "not signed in time")
    row = await desk._store.order(order_id)
    assert (row["state"], row["reason"]) == (State.QUARANTINED if used else end, Reason.EXPIRED)
    assert row["detail"].startswith(f"{end}: not signed in time; it may be paid, nonce 7 of 0x") is used
    assert await desk._store.nonce_of(order_id) is None  # used or free, it is nobody's to wait for


async def test_an_order_that_no_cosigner_was_asked_about_ends_whatever_its_nonce(desk: Signing) -> None:
    order_id = await desk.submitted(1, 50)
    await desk.prepare(order_id)
    desk.chain.next += 1
    await desk._end(await desk._store.order(order_id), State.EXPIRED, Reason.EXPIRED, "not signed in time")
    assert (await desk._store.order(order_id))["state"] == State.EXPIRED


async def test_while_the_chain_does_not_answer_nothing_is_said(desk: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = await asked(desk, State.APPROVED)

    async def away(account: bytes) -> int:
        raise Unavailable("no node", Reason.CHAIN_UNAVAILABLE)

    monkeypatch.setattr(desk.chain, "next_nonce", away)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 2000)
    with pytest.raises(Unavailable):
        await desk._expired(await desk._store.order(order_id))
    assert (await desk._store.order(order_id))["state"] == State.APPROVED


async def test_a_node_that_refuses_a_question_rejects_no_order(desk: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id, asked = await desk.submitted(1, 50), list[bytes]()

    async def once(account: bytes) -> int:
        asked.append(account)
        if len(asked) == 1:
            raise RpcError(-32000, "what nobody has ever seen")
        return 7

    monkeypatch.setattr(desk.chain, "next_nonce", once)
    await desk.prepare(order_id)
    assert (await desk._store.order(order_id))["state"] == State.APPROVED
    assert await desk._store.nonce_of(order_id) == 7
