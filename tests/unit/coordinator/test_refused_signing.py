"""What cosigners' signed refusals of a session do to an order: an end, another quorum, or another try later."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import RowMapping

from coordinator import desk as module
from coordinator import objections
from coordinator.desk import Desk
from coordinator.objections import read_refusals
from coordinator.outcomes import Outcomes
from coordinator.sessions import SessionFailed
from oms_core.encoding import encode
from oms_core.errors import Reason
from oms_core.evidence import Refusal, SignedRefusal
from oms_core.lifecycle import State
from tests.parties import identity
from tests.people import intent
from tests.unit.coordinator.readers import ALL, Way, reads

Says = Mapping[int, Reason]


def no(index: int, reason: Reason) -> SignedRefusal:
    said = Refusal(bytes(32), bytes(32), index, reason, "no", 1)
    return SignedRefusal(said, identity(index).sign("refusal", encode(said)))


class Signing(Desk):
    """The real loop; what a session comes to is what each node ``says`` when it is asked the nth time."""

    def __init__(self, way: Way, says: dict[int, list[Reason | None]]) -> None:
        nothing: Any = SimpleNamespace(take=self._nothing)
        chain: Any = None
        parts = (way._store, way._standing, way._cosigners, way._wallets, way._approving)
        outcomes = Outcomes(way.desk.book, way._cosigners)
        super().__init__(*parts, outcomes, nothing, chain, 1, way._news)
        self.way, self.says, self.asked = way, says, list[tuple[int, ...]]()

    async def _nothing(self, *_: Any) -> None:
        return None

    async def _sign_with(self, row: RowMapping, quorum: tuple[int, ...], presignature: bytes) -> None:
        self.asked.append(quorum)
        answers = {i: self.says[i].pop(0) if self.says.get(i) else None for i in quorum}
        refusals = {i: no(i, reason) for i, reason in answers.items() if reason is not None}
        if refusals:
            raise SessionFailed(refusals, (), set(), "refused", parties=quorum)
        await self._move(row["order_id"], State.SIGNING, State.SIGNED, raw=b"signed")


@pytest.fixture
async def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Way]:
    """With an order that is approved and has a while to live."""
    monkeypatch.setattr(module, "RETRY", 0.001)
    made = await Way.open(tmp_path)
    made.desk.attach({i: reads(i) for i in ALL})
    now = int(time.time())
    await made.submitted(intent(50, valid_from=now - 10, valid_until=now + 1000))
    await made._store.move("txn_1", State.SUBMITTED, State.APPROVED)
    yield made
    await made.desk.engine.dispose()


async def signed(way: Way, says: dict[int, list[Reason | None]]) -> Signing:
    """Sign, to an end or a signature."""
    made = Signing(way, says)
    await made.sign("txn_1")
    return made


async def test_where_nobody_refuses_the_first_quorum_signs(way: Way) -> None:
    made = await signed(way, {})
    assert (made.asked, (await way.row())[0]) == ([(1, 2, 3)], "SIGNED")


async def test_one_refusal_of_integrity_rejects_the_order_and_nobody_else_is_asked(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms: list[object] = []
    monkeypatch.setattr(objections, "log", SimpleNamespace(critical=lambda *_, **more: alarms.append(more["reason"])))
    made = await signed(way, {2: [Reason.CHALLENGE_MISMATCH]})
    assert made.asked == [(1, 2, 3)]
    assert (await way.row())[:2] == ("REJECTED", Reason.CHALLENGE_MISMATCH)
    assert alarms == [Reason.CHALLENGE_MISMATCH]


async def test_two_refusals_of_policy_do_not_stop_three_of_five_where_three_are_to_block(way: Way) -> None:
    made = await signed(way, {1: [Reason.VELOCITY_EXCEEDED], 2: [Reason.VELOCITY_EXCEEDED]})
    assert (await way.row())[0] == "SIGNED"
    assert made.asked == [(1, 2, 3), (3, 4, 5)]
    assert len(await way._store.refusals("txn_1")) == 2


async def test_three_refusals_of_policy_block_the_order_with_all_their_reasons(way: Way) -> None:
    await signed(way, {1: [Reason.VELOCITY_EXCEEDED], 2: [Reason.NO_PERMIT], 4: [Reason.VELOCITY_EXCEEDED]})
    state, reason, detail = await way.row()
    assert (state, reason) == ("REJECTED", Reason.VELOCITY_EXCEEDED)
    assert detail == "cosigner 1: VELOCITY_EXCEEDED no; cosigner 2: NO_PERMIT no; cosigner 4: VELOCITY_EXCEEDED no"


async def test_a_node_that_refuses_for_its_own_state_is_left_out_and_does_not_count_against_the_order(way: Way) -> None:
    made = await signed(way, {1: [Reason.ROLLBACK_DETECTED], 2: [Reason.DOUBLE_SIGN_GUARD]})
    assert (made.asked, (await way.row())[0]) == ([(1, 2, 3), (3, 4, 5)], "SIGNED")


async def test_a_halted_node_is_not_chosen_again_until_it_says_that_it_goes_on(way: Way) -> None:
    made = await signed(way, {1: [Reason.HALTED]})
    assert made.asked[0] == (1, 2, 3)
    assert 1 not in made.asked[1]
    assert 1 not in way._cosigners.willing()
    way._cosigners.stands_still(1, "")
    assert 1 in way._cosigners.willing()


async def test_what_passes_by_itself_is_waited_out_with_others_first_and_ends_nothing(way: Way) -> None:
    made = await signed(way, {i: [Reason.DELAYED] for i in ALL})
    assert (await way.row())[0] == "SIGNED"
    assert {i for quorum in made.asked[:2] for i in quorum} == set(ALL), "all come to see it, and so begin to wait"
    assert {one.reason for one in read_refusals(await way._store.refusals("txn_1"))} == {"DELAYED"}


async def test_an_order_that_was_withdrawn_is_not_signed(way: Way) -> None:
    await way._store.move("txn_1", State.APPROVED, State.CANCELLED)
    assert (await signed(way, {})).asked == []
