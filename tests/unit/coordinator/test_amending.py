"""An order is cancelled or replaced at its initiator's word, while nobody was asked to sign it; and never half."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator import orders, reviewing
from coordinator.amending import Amending
from coordinator.calls import Call
from oms_core.chains.intent import Intent, subject_digest
from oms_core.encoding import encode
from oms_core.errors import Conflict, CountersealError, Malformed, Reason, Refused
from oms_core.lifecycle import IllegalTransition, State
from oms_core.withdrawals import SignedWithdrawal
from tests.people import NOW, approve, intent, keys, propose, wish
from tests.unit.coordinator.readers import ALL, LARGE, Way, reads

NEW = intent(400, intent_id="int_2")


class Desk(Amending):
    """Amending on the tests' orders; ``admitted`` is what the real desk keeps of an order."""

    def __init__(self, way: Way) -> None:
        async def admitted(order_id: str, proposal: Any) -> dict[str, Any]:
            row = {"order_id": order_id, "wallet_id": proposal.subject.wallet_id, "proposal": encode(proposal)}
            return {**row, "subject": subject_digest(proposal.subject)}

        desk: Any = SimpleNamespace(admitted=admitted)
        super().__init__(way._store, way._standing, desk, way._news)
        self.way, self.calls = way, 0

    def call(self, name: str = "") -> Call:
        self.calls += 1
        return Call(name or f"withdraw {self.calls}", "AmendOrder", b"")

    async def replaced(self, signed: SignedWithdrawal | None = None, new: Intent = NEW) -> None:
        """Put the new order in the place of the old one."""
        signed = signed or keys().desk.withdraw(LARGE, new)
        await self.amend("txn_1", "txn_2", propose(new), encode(signed), self.call())


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """With one order, which waits for people."""
    for module in (reviewing, orders):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW))
    way = await Way.open(tmp_path)
    way.desk.attach({i: reads(i) for i in ALL})
    await way.review(await way.submitted())
    yield Desk(way)
    await way.desk.engine.dispose()


async def reason(work: Any) -> Reason:
    with pytest.raises(CountersealError) as caught:
        await work
    return caught.value.reason


async def test_an_order_ends_by_its_initiators_word(desk: Desk) -> None:
    await desk.cancel("txn_1", encode(keys().desk.withdraw(LARGE)), desk.call())
    assert await desk.way.row() == ("CANCELLED", Reason.CANCELLED, "by desk")
    stages = await desk.way._store.stages("txn_1")
    assert [stage["state"] for stage in stages] == ["SUBMITTED", "PENDING_APPROVAL", "CANCELLED"]


async def test_another_order_takes_its_place_and_begins_anew(desk: Desk) -> None:
    await desk.replaced()
    assert await desk.way.row() == ("REPLACED", Reason.REPLACED, "by txn_2")
    new = await desk.way._store.order("txn_2")
    assert (new["state"], new["replaces"]) == ("SUBMITTED", "txn_1")
    await desk.way.review("txn_2")
    assert (await desk.way.row("txn_2"))[0] == "PENDING_APPROVAL"


async def test_what_people_approved_of_the_old_order_is_void_and_says_nothing_of_the_new(desk: Desk) -> None:
    store, way = desk.way._store, desk.way
    given = approve(LARGE, "ravi")
    facts = replace(await store.facts(NOW), now=NOW)
    await way._approving.decide("txn_1", await store.order("txn_1"), given, "", facts, desk.call())
    assert len(await store.decisions("txn_1")) == 1
    await desk.replaced()
    assert await store.decisions("txn_1") == []
    assert [row["void"] for row in await store.all_decisions("txn_1")] == [Reason.REPLACED]
    await way.review("txn_2")
    old = way._approving.decide("txn_2", await store.order("txn_2"), given, "", facts, desk.call())
    assert await reason(old) == Reason.CHALLENGE_MISMATCH
    late = way._approving.decide("txn_1", await store.order("txn_1"), approve(LARGE, "olga"), "", facts, desk.call())
    assert await reason(late) == Reason.WRONG_STATE


async def test_the_steps_of_an_order_that_was_withdrawn_come_to_their_end(desk: Desk) -> None:
    waiting = asyncio.create_task(desk.way.approvals("txn_1"))
    await asyncio.sleep(0.05)
    await desk.cancel("txn_1", encode(keys().desk.withdraw(LARGE)), desk.call())
    await asyncio.wait_for(waiting, 120)
    await desk.way.review("txn_1")
    assert (await desk.way.row())[0] == "CANCELLED"


async def test_nobody_else_withdraws_it(desk: Desk) -> None:
    adam = keys().proposers["adam"]
    forged = replace(keys().desk.withdraw(LARGE), signature=adam.withdraw(LARGE).signature)
    assert await reason(desk.cancel("txn_1", encode(forged), desk.call())) == Reason.SIGNATURE_INVALID
    of_another = encode(keys().desk.withdraw(NEW))
    assert await reason(desk.cancel("txn_1", of_another, desk.call())) == Reason.DIGEST_MISMATCH
    assert await reason(desk.cancel("txn_1", b"junk", desk.call())) == Reason.MALFORMED
    assert (await desk.way.row())[0] == "PENDING_APPROVAL"


async def test_a_withdrawal_names_what_takes_the_orders_place(desk: Desk) -> None:
    other = intent(401, intent_id="int_3")
    assert await reason(desk.replaced(keys().desk.withdraw(LARGE, other))) == Reason.DIGEST_MISMATCH
    assert await reason(desk.replaced(keys().desk.withdraw(LARGE))) == Reason.DIGEST_MISMATCH
    named = encode(keys().desk.withdraw(LARGE, NEW))
    assert await reason(desk.cancel("txn_1", named, desk.call())) == Reason.DIGEST_MISMATCH


async def test_an_order_is_replaced_by_an_order_of_the_same_wallet_only(desk: Desk) -> None:
    assert await reason(desk.replaced(new=intent(400, intent_id="int_2", wallet_id="wal_2"))) == Reason.NOT_ELIGIBLE
    wanted = wish(wallet_id="wal_2")
    with pytest.raises(Malformed):
        await desk.amend("txn_1", "txn_2", propose(wanted), encode(keys().desk.withdraw(LARGE)), desk.call())


@pytest.mark.parametrize("back", [False, True], ids=["signing", "back from signing"])
async def test_what_cosigners_were_asked_to_sign_is_not_withdrawn(desk: Desk, back: bool) -> None:
    store = desk.way._store
    await store.move("txn_1", State.PENDING_APPROVAL, State.APPROVED)
    await store.move("txn_1", State.APPROVED, State.SIGNING)
    if back:
        await store.move("txn_1", State.SIGNING, State.APPROVED)
    for work in (desk.cancel("txn_1", encode(keys().desk.withdraw(LARGE)), desk.call()), desk.replaced()):
        with pytest.raises(IllegalTransition):
            await work
    assert (await desk.way.row())[0] == ("APPROVED" if back else "SIGNING")


async def test_if_the_new_order_cannot_be_taken_on_the_old_one_stays(desk: Desk) -> None:
    await desk.way.submitted(NEW, "txn_9")
    with pytest.raises(Conflict):
        await desk.replaced()
    assert (await desk.way.row())[0] == "PENDING_APPROVAL"
    assert await reason(desk.way._store.order("txn_2")) == Reason.UNKNOWN_TRANSACTION


async def test_an_approved_order_gives_its_nonce_back(desk: Desk) -> None:
    store = desk.way._store
    await store.move("txn_1", State.PENDING_APPROVAL, State.APPROVED)
    assert await store.reserve_nonce("eip155:31337", "aa", "txn_1", 7) == 7
    await desk.cancel("txn_1", encode(keys().desk.withdraw(LARGE)), desk.call())
    await desk.way.submitted(NEW, "txn_9")
    assert await store.reserve_nonce("eip155:31337", "aa", "txn_9", 7) == 7


async def test_of_two_withdrawals_at_once_one_counts(desk: Desk) -> None:
    cancel = desk.cancel("txn_1", encode(keys().desk.withdraw(LARGE)), desk.call())
    ends = await asyncio.gather(cancel, desk.replaced(), return_exceptions=True)
    assert sum(isinstance(end, IllegalTransition | Refused) for end in ends) == 1
    assert (await desk.way.row())[0] in ("CANCELLED", "REPLACED")
