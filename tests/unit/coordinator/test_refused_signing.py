"""What cosigners' signed refusals of a session do to an order: an end, another quorum, or another try later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import RowMapping

from coordinator import desk as module
from coordinator import objections, views
from coordinator.desk import Desk, Session
from coordinator.objections import read_refusals
from coordinator.outcomes import Outcomes
from coordinator.sessions import SessionFailed
from oms_core.encoding import encode
from oms_core.errors import Reason
from oms_core.evidence import Refusal, SignedRefusal
from oms_core.lifecycle import State
from tests.parties import identity
from tests.people import EXECUTION, intent, rules, workspace
from tests.unit.coordinator.readers import ALL, Way, reads


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
        super().__init__(*parts, outcomes, nothing, way.desk.authorizing, chain, 1, way._news)
        self.way, self.says, self.asked = way, says, list[tuple[int, ...]]()

    async def _nothing(self, *_: Any) -> None:
        return None

    async def prepare(self, order_id: str) -> None:
        """No chain, no nonce."""
        if (await self._store.order(order_id))["execution"] is None:
            await self._store.note(order_id, execution=encode(EXECUTION))

    async def _sign_with(self, row: RowMapping, session: Session) -> None:
        quorum = session.quorum
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


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object, object]]:
    """What is said to whoever watches the logs: how loudly, of which cosigner, and why."""
    said: list[tuple[str, object, object]] = []

    def at(level: str) -> Any:
        return lambda *_, **about: said.append((level, about.get("cosigner"), about["reason"]))

    monkeypatch.setattr(objections, "log", SimpleNamespace(critical=at("critical"), warning=at("warning")))
    return said


WRONG = Reason.CHALLENGE_MISMATCH


@pytest.mark.parametrize("liars", list(combinations(ALL, 1)) + list(combinations(ALL, 2)))
async def test_refusals_of_integrity_by_up_to_two_liars_end_no_order_and_it_is_signed_within_three_attempts(
    way: Way, heard: list[tuple[str, object, object]], liars: tuple[int, ...]
) -> None:
    made = await signed(way, {liar: [WRONG] for liar in liars})
    assert (await way.row())[0] == "SIGNED"
    assert len(made.asked) <= 3
    assert not set(made.asked[-1]) & set(liars)
    asked = {index for quorum in made.asked for index in quorum}
    assert sorted(heard) == [("warning", liar, WRONG) for liar in liars if liar in asked]


async def test_an_order_that_some_refuse_for_integrity_shows_so_while_it_waits_for_others(way: Way) -> None:
    way.desk.attach({i: reads(i) for i in (1, 2, 3)})
    work = asyncio.create_task(signed(way, {2: [WRONG]}))
    async with asyncio.timeout(120):
        while (await way.row())[1] != Reason.QUORUM_UNAVAILABLE:
            await asyncio.sleep(0.01)
    shown = views.transaction(
        await way._store.order("txn_1"), workspace(), (), (), await way._store.refusals("txn_1"), []
    )
    text = "on hold with these: cosigner 2: CHALLENGE_MISMATCH no; 2 of 5 holders of the key can sign, and it takes 3"
    assert (shown.state, shown.reason, shown.detail) == ("APPROVED", WRONG, text)
    way.desk.attach({i: reads(i) for i in ALL})
    await asyncio.wait_for(work, 120)
    shown = views.transaction(
        await way._store.order("txn_1"), workspace(), (), (), await way._store.refusals("txn_1"), []
    )
    assert (shown.state, shown.reason, shown.detail) == ("SIGNED", "", "")
    assert [(one.index, one.reason) for one in shown.refusals] == [(2, WRONG)]


async def test_refusals_of_integrity_by_more_than_can_lie_reject_the_order_and_raise_an_alarm(
    way: Way, heard: list[tuple[str, object, object]]
) -> None:
    made = await signed(way, {1: [WRONG], 2: [Reason.DIGEST_MISMATCH], 4: [WRONG]})
    assert made.asked == [(1, 2, 3), (3, 4, 5)]
    state, reason, detail = await way.row()
    assert (state, reason) == ("REJECTED", WRONG)
    assert (
        detail == "cosigner 1: CHALLENGE_MISMATCH no; cosigner 2: DIGEST_MISMATCH no; cosigner 4: CHALLENGE_MISMATCH no"
    )
    assert [level for level, _, _ in heard] == ["warning"] * 3 + ["critical"]


async def test_a_swap_that_every_cosigner_refuses_ends_the_order_in_its_first_session(way: Way) -> None:
    made = await signed(way, {i: [Reason.DIGEST_MISMATCH] for i in ALL})
    assert made.asked == [(1, 2, 3)]
    assert (await way.row())[:2] == ("REJECTED", Reason.DIGEST_MISMATCH)


async def test_refusals_of_integrity_and_of_policy_end_an_order_together_where_too_few_are_left(
    way: Way, heard: list[tuple[str, object, object]]
) -> None:
    await signed(way, {1: [Reason.ROLLBACK_DETECTED], 2: [Reason.NO_PERMIT], 4: [WRONG]})
    assert (await way.row())[:2] == ("REJECTED", WRONG)
    assert heard[-1][0] == "critical"


@pytest.mark.parametrize(("says", "state"), [(WRONG, "REJECTED"), (Reason.NO_PERMIT, "REJECTED"), (None, "SIGNED")])
async def test_an_order_that_a_cosigner_refuses_without_whom_it_may_not_be_signed_is_rejected(
    way: Way, says: Reason | None, state: str
) -> None:
    wanted = rules("- rule: want-two\n  require: {cosigners: [2]}\n  when: {action: TRANSFER}\n")
    way._standing.current = replace(workspace(), rules=(*rules(), *wanted))
    way.desk.attach({i: reads(i) for i in ALL})
    made = await signed(way, {2: [says]})
    assert ((await way.row())[0], len(made.asked)) == (state, 1)


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


@pytest.mark.parametrize("reason", [Reason.QUORUM_UNAVAILABLE, Reason.CULPRIT_IDENTIFIED, Reason.OPERATOR_NOT_DISTINCT])
async def test_a_no_to_the_others_in_the_session_is_no_end_and_these_nodes_are_asked_with_others(
    way: Way, reason: Reason
) -> None:
    """A team's own rule may want a cosigner with it of whom the coordinator does not know."""
    made = await signed(way, {i: [reason] for i in (1, 2, 3)})
    assert ((await way.row())[0], len(made.asked)) == ("SIGNED", 2)
    assert {4, 5} < set(made.asked[1])


@pytest.mark.parametrize("liars", list(combinations(ALL, 2)))
async def test_two_that_always_refuse_the_others_hold_no_order_up_for_more_than_three_attempts(
    way: Way, liars: tuple[int, int]
) -> None:
    made = await signed(way, {liar: [Reason.QUORUM_UNAVAILABLE] * 9 for liar in liars})
    assert (await way.row())[0] == "SIGNED"
    assert len(made.asked) <= 3


async def test_an_order_that_was_withdrawn_is_not_signed(way: Way) -> None:
    await way._store.move("txn_1", State.APPROVED, State.CANCELLED)
    assert (await signed(way, {})).asked == []
