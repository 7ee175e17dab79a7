"""The way of a change of the workspace through the coordinator: told, approved, seen, adopted after a while; or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.calls import Call
from coordinator.chainbook import ADOPTION, SCHEDULING
from coordinator.standing import Standing
from oms_core.approvals import Verdict
from oms_core.chains.intent import Proposal, subject_digest
from oms_core.encoding import encode
from oms_core.errors import Conflict, CountersealError, Malformed, NotFound, Reason, Refused
from oms_core.workspace import ChangeWorkspace, Direction, Governance, workspace_digest
from oms_core.workspace.lifecycle import NEXT, ChangeState, advance
from tests.parties import identity
from tests.people import (
    DELAY,
    NOW,
    approve,
    committee,
    following,
    keys,
    propose,
    reform,
    workspace,
)
from tests.unit.coordinator.chainnodes import ChainDesk, Clock, goes_on
from tests.unit.coordinator.desk import ALL
from tests.unit.cosigner.test_chain import disabled, loosened, replaced

TIGHT, LOOSE = reform(disabled("tara")), reform(loosened())


async def test_a_tightening_is_active_everywhere_when_one_of_the_committee_has_approved_it(desk: ChainDesk) -> None:
    await desk.propose(TIGHT)
    assert await goes_on(desk) == ChangeState.PROPOSED
    await desk.decide(TIGHT, "alice")
    assert await goes_on(desk) == ChangeState.ACTIVE
    assert desk.versions() == dict.fromkeys(ALL, 1)
    assert desk.standing.current == TIGHT.next
    assert set(desk.cosigners.attached()) == set(ALL)
    assert [row["state"] for row in await desk.store.stages("wsc_1")] == ["PROPOSED", "APPROVED", "SCHEDULED", "ACTIVE"]


async def test_a_loosening_takes_two_and_waits_out_its_delay_at_the_nodes(desk: ChainDesk) -> None:
    await desk.propose(LOOSE)
    await desk.decide(LOOSE, "alice")
    assert await goes_on(desk) == ChangeState.PROPOSED
    assert (await desk.chain_book.change("wsc_1"))["reason"] == Reason.APPROVAL_MISSING
    await desk.decide(LOOSE, "carol")
    assert await goes_on(desk) == ChangeState.SCHEDULED
    assert set(await desk.chain_book.kept(subject_digest(LOOSE), SCHEDULING)) == set(ALL)
    desk.clock.now += DELAY - 1
    assert await goes_on(desk) == ChangeState.SCHEDULED
    assert desk.standing.current == workspace()
    desk.clock.now += 1
    assert await goes_on(desk) == ChangeState.ACTIVE
    assert desk.standing.current == LOOSE.next


async def test_nodes_that_wait_are_not_asked_again_until_the_delay_is_over(desk: ChainDesk) -> None:
    await desk.propose(LOOSE)
    await desk.decide(LOOSE, "alice")
    await desk.decide(LOOSE, "carol")
    for _ in range(3):
        assert await goes_on(desk) == ChangeState.SCHEDULED
    assert [node.asked.count("offer_workspace") for node in desk.nodes.values()] == [1] * 5


async def test_it_is_active_with_one_node_away_and_brings_that_one_up_when_it_comes(desk: ChainDesk) -> None:
    desk.nodes[5].closed = True
    await desk.propose(TIGHT)
    await desk.decide(TIGHT, "alice")
    assert await goes_on(desk) == ChangeState.ACTIVE
    assert desk.versions()[5] == 0
    desk.nodes[5].reattach()
    assert set(desk.cosigners.attached()) == {1, 2, 3, 4}
    assert desk.cosigners.quorum(ALL, 5, set()) is None
    desk.clock.now = NOW + 5000
    await desk.bringing.look()
    assert desk.versions()[5] == 1
    assert set(desk.cosigners.attached()) == set(ALL)
    assert set(await desk.chain_book.kept(subject_digest(TIGHT), ADOPTION)) == set(ALL)


async def test_with_two_away_most_go_over_and_sign_on_and_it_is_active_when_the_fourth_has(desk: ChainDesk) -> None:
    for index in (4, 5):
        desk.nodes[index].closed = True
    await desk.propose(TIGHT)
    await desk.decide(TIGHT, "alice")
    assert await goes_on(desk) == ChangeState.SCHEDULED
    assert desk.standing.current == TIGHT.next
    assert desk.cosigners.quorum(ALL, 3, set()) == (1, 2, 3)
    desk.nodes[4].reattach()
    await desk.bringing.look()
    assert await goes_on(desk) == ChangeState.ACTIVE


async def test_a_node_that_missed_several_versions_is_brought_up_in_order(desk: ChainDesk) -> None:
    desk.nodes[3].closed = True
    second = reform(disabled("ravi2", TIGHT.next), change_id="chg_2")
    for change_id, wish in (("wsc_1", TIGHT), ("wsc_2", second)):
        await desk.propose(wish, change_id)
        await desk.decide(wish, "alice", change_id)
        assert await goes_on(desk, change_id) == ChangeState.ACTIVE
    assert await desk.stands("wsc_1") == ChangeState.SUPERSEDED
    desk.nodes[3].reattach()
    await desk.bringing.look()
    assert [said.adoption.version for _, said in desk.nodes[3].requests] == [1, 2]
    assert set(desk.cosigners.attached()) == set(ALL)


async def test_of_two_changes_of_one_version_the_second_is_superseded(desk: ChainDesk) -> None:
    await desk.propose(LOOSE)
    await desk.decide(LOOSE, "alice")
    await desk.decide(LOOSE, "carol")
    assert await goes_on(desk) == ChangeState.SCHEDULED
    await desk.propose(other := reform(disabled("ravi2"), change_id="chg_2"), "wsc_2")
    await desk.decide(other, "alice", "wsc_2")
    assert await goes_on(desk, "wsc_2") == ChangeState.ACTIVE
    desk.clock.now += DELAY
    assert await goes_on(desk) == ChangeState.SUPERSEDED
    assert (await desk.chain_book.change("wsc_1"))["reason"] == Reason.POLICY_VERSION_MISMATCH
    assert desk.standing.current == other.next


async def test_a_coordinator_that_goes_over_while_a_change_is_looked_at_does_not_take_it_for_another_one(
    desk: ChainDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most nodes have adopted it, which another part of the coordinator notices first."""
    wish = reform(disabled("olga"))
    await desk.propose(wish, confirmed=True)
    await desk.decide(wish, "alice")
    row = await desk.chain_book.change("wsc_1")
    request = await desk.workspaces._request(row)
    kept = desk.store.decisions

    async def meanwhile(subject_id: str) -> Any:
        await desk.bringing.stand(request)
        return await kept(subject_id)

    monkeypatch.setattr(desk.store, "decisions", meanwhile)
    assert not await desk.workspaces._over(row)
    assert desk.standing.current == wish.next


async def test_a_killed_coordinator_goes_on_where_the_change_stood(desk: ChainDesk) -> None:
    await desk.propose(LOOSE)
    await desk.decide(LOOSE, "alice")
    await desk.decide(LOOSE, "carol")
    assert await goes_on(desk) == ChangeState.SCHEDULED
    desk.renew()
    desk.clock.now += DELAY
    assert await goes_on(desk) == ChangeState.ACTIVE
    desk.standing = Standing(workspace())
    desk.cosigners._standing = desk.standing
    desk.renew()
    await desk.bringing.load()
    assert desk.standing.current == LOOSE.next
    assert dict(desk.standing.older) == {workspace_digest(workspace()): workspace()}


# Before it is proposed


async def refused(desk: ChainDesk, wish: ChangeWorkspace, confirmed: bool = False) -> CountersealError:
    with pytest.raises((Refused, Malformed, NotFound)) as caught:
        await desk.propose(wish, confirmed=confirmed)
    assert await desk.chain_book.changes() == []
    return caught.value


async def test_a_review_tells_parts_direction_and_what_it_takes(desk: ChainDesk) -> None:
    told = await desk.workspaces.review(loosened())
    assert (told.direction, told.delay, told.unsatisfiable) == ("LOOSEN", DELAY, ())
    assert "2" in told.approvals
    assert any("deny-eve" in part.path for part in told.parts)
    assert (await desk.workspaces.review(disabled("olga"))).direction == "TIGHTEN"


async def test_a_change_that_leaves_a_rule_nobody_can_meet_has_to_be_confirmed(desk: ChainDesk) -> None:
    leaver = reform(disabled("sam"))
    error = await refused(desk, leaver)
    assert error.reason == Reason.UNSATISFIABLE
    assert "require-security" in error.message
    await desk.propose(leaver, confirmed=True)
    assert await desk.stands() == ChangeState.PROPOSED


async def test_a_change_that_leaves_a_key_with_too_few_holders_has_to_be_confirmed(desk: ChainDesk) -> None:
    made = workspace()
    for index in (3, 4, 5):
        made = replaced(index, identity(index + 4).public, made)
    made = following(workspace(), roster=made.roster)
    error = await refused(desk, reform(made))
    assert error.reason == Reason.UNSATISFIABLE
    assert "wal_1" in error.message


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (reform(disabled("tara", disabled("olga"))), Reason.POLICY_VERSION_MISMATCH),
        (reform(following(parent=bytes(32))), Reason.POLICY_VERSION_MISMATCH),
        (reform(following()), Reason.MALFORMED),
        (reform(disabled("olga"), initiator="desk"), Reason.NOT_ELIGIBLE),
        (reform(disabled("olga"), valid_until=NOW), Reason.EXPIRED),
        (reform(replaced(5, identity(4).public)), Reason.MALFORMED),
    ],
    ids=["a version too far", "another parent", "nothing new", "not by an administrator", "too late", "a key twice"],
)
async def test_what_no_node_would_take_is_not_taken_on(desk: ChainDesk, wish: ChangeWorkspace, reason: Reason) -> None:
    assert (await refused(desk, wish)).reason == reason


async def test_a_proposal_under_no_key_of_its_initiator_is_not_taken_on(desk: ChainDesk) -> None:
    plain = propose(TIGHT)
    forged = Proposal(reform(disabled("ravi2")), plain.key_id, plain.signature)
    with pytest.raises(Refused) as caught:
        await desk.workspaces.submit("wsc_1", forged, False, Call("r", "ProposeWorkspaceChange", b""))
    assert caught.value.reason == Reason.SIGNATURE_INVALID


async def test_a_wish_is_taken_on_once(desk: ChainDesk) -> None:
    await desk.propose(TIGHT)
    with pytest.raises(Conflict):
        await desk.propose(TIGHT, "wsc_2")


# People


async def test_those_whose_approval_would_count_are_asked_until_they_have_decided(desk: ChainDesk) -> None:
    await desk.propose(LOOSE)
    asked = {name: await desk.workspaces.inbox(name, NOW) for name in ("adam", "alice", "carol", "sam", "desk")}
    assert {name for name, found in asked.items() if found} == {"alice", "carol"}
    assert asked["alice"][0].subject == LOOSE
    await desk.decide(LOOSE, "alice")
    assert await desk.workspaces.inbox("alice", NOW) == []
    with pytest.raises(Conflict) as caught:
        await desk.workspaces.decide("wsc_1", approve(LOOSE, "alice"), "", Call("again", "Decide", b""))
    assert caught.value.reason == Reason.DUPLICATE_PERSON


@pytest.mark.parametrize(
    ("who", "reason"), [("adam", Reason.SELF_APPROVAL), ("sam", Reason.NOT_ELIGIBLE), ("olga", Reason.NOT_ELIGIBLE)]
)
async def test_others_cannot_approve(desk: ChainDesk, who: str, reason: Reason) -> None:
    await desk.propose(LOOSE)
    with pytest.raises(Refused) as caught:
        await desk.decide(LOOSE, who)
    assert caught.value.reason == reason


async def test_one_denial_stops_it(desk: ChainDesk) -> None:
    await desk.propose(LOOSE)
    await desk.decide(LOOSE, "alice")
    await desk.decide(LOOSE, "carol", verdict=Verdict.DENY)
    assert await goes_on(desk) == ChangeState.REJECTED


async def test_a_denial_comes_too_late_once_it_is_approved_since_cosigners_wait_for_it_then(
    tmp_path: Path, clock: Clock
) -> None:
    governance = (Governance(Direction.TIGHTEN, committee(1, 0)), Governance(Direction.LOOSEN, committee(1, DELAY)))
    desk = await ChainDesk.start(tmp_path, clock, replace(workspace(), governance=governance))
    wish = reform(loosened(desk.standing.current))
    await desk.propose(wish)
    await desk.decide(wish, "alice")
    assert await goes_on(desk) == ChangeState.SCHEDULED
    with pytest.raises(Refused, match="only another change stops it") as caught:
        await desk.decide(wish, "carol", verdict=Verdict.DENY)
    assert caught.value.reason == Reason.WRONG_STATE
    clock.now += DELAY
    assert await goes_on(desk) == ChangeState.ACTIVE
    await desk.engine.dispose()


async def test_what_was_approved_stays_so_when_its_approvals_end_before_any_node_is_there(desk: ChainDesk) -> None:
    for node in desk.nodes.values():
        node.closed = True
    await desk.propose(TIGHT)
    await desk.decide(TIGHT, "alice")
    assert await goes_on(desk) == ChangeState.APPROVED
    desk.clock.now += 401
    assert await goes_on(desk) == ChangeState.APPROVED
    shown = await desk.workspaces._request(await desk.workspaces._book.change("wsc_1"))
    assert [one.claim.approver for one in shown.approvals] == ["alice"]


async def test_nodes_are_shown_what_was_logged_as_approved_without_approvals_that_had_ended_before(
    desk: ChainDesk,
) -> None:
    """With one that had ended all would refuse what all wait for: for ever, and every order with it."""
    await desk.propose(TIGHT)
    await desk.decide(TIGHT, "alice")
    desk.clock.now += 401
    await desk.decide(TIGHT, "carol")
    assert await goes_on(desk) == ChangeState.ACTIVE
    shown = await desk.workspaces._request(await desk.chain_book.change("wsc_1"))
    assert [one.claim.approver for one in shown.approvals] == ["carol"]


async def test_what_ends_before_it_could_stand_in_the_log_approves_nothing(desk: ChainDesk) -> None:
    """Nodes hold approvals against the time of the entry, which may be a moment later than when they were looked at."""
    await desk.propose(TIGHT)
    await desk.decide(TIGHT, "alice")
    desk.clock.now += 399
    assert await goes_on(desk) == ChangeState.PROPOSED
    assert await desk.workspaces.inbox("alice", desk.clock.now) == []
    desk.clock.now += 1
    assert [one.subject for one in await desk.workspaces.inbox("alice", desk.clock.now)] == [TIGHT]
    await desk.decide(TIGHT, "alice")
    assert await goes_on(desk) == ChangeState.ACTIVE


async def test_a_change_that_nobody_approves_in_time_expires(desk: ChainDesk) -> None:
    await desk.propose(TIGHT)
    desk.clock.now = TIGHT.valid_until
    assert await goes_on(desk) == ChangeState.EXPIRED


def withdrawn(wish: ChangeWorkspace) -> bytes:
    """Its initiator's word that it ends."""
    return encode(keys().proposers[wish.initiator].withdraw(wish))


async def test_a_change_can_be_withdrawn_until_people_have_approved_it(desk: ChainDesk) -> None:
    await desk.propose(LOOSE)
    await desk.decide(LOOSE, "alice")
    await desk.workspaces.withdraw("wsc_1", withdrawn(LOOSE))
    await desk.workspaces.withdraw("wsc_1", withdrawn(LOOSE))
    desk.clock.now += DELAY
    assert await goes_on(desk) == ChangeState.WITHDRAWN
    assert desk.versions() == dict.fromkeys(ALL, 0)
    await desk.propose(other := reform(disabled("ravi2"), change_id="chg_2"), "wsc_2")
    await desk.decide(other, "alice", "wsc_2")
    await goes_on(desk, "wsc_2")
    with pytest.raises(Refused) as caught:
        await desk.workspaces.withdraw("wsc_2", withdrawn(other))
    assert caught.value.reason is Reason.WRONG_STATE


async def test_nobody_but_its_initiator_withdraws_a_change(desk: ChainDesk) -> None:
    """Else a client of the order desk could have it that nobody is ever revoked."""
    await desk.propose(TIGHT)
    other = encode(keys().proposers["alice"].withdraw(TIGHT))
    for word, reason in (
        (other, Reason.CREDENTIAL_UNKNOWN),
        (withdrawn(LOOSE), Reason.DIGEST_MISMATCH),
        (b"", Reason.MALFORMED),
    ):
        with pytest.raises((Refused, Malformed)) as caught:
            await desk.workspaces.withdraw("wsc_1", word)
        assert caught.value.reason is reason
    assert (await desk.chain_book.change("wsc_1"))["state"] == ChangeState.PROPOSED


# The table


def test_the_lifecycle_of_a_change_is_one_table() -> None:
    assert set(NEXT) == set(ChangeState)
    assert advance("wsc_1", ChangeState.SCHEDULED, ChangeState.ACTIVE) is ChangeState.ACTIVE
    for was, to in ((ChangeState.PROPOSED, ChangeState.ACTIVE), (ChangeState.WITHDRAWN, ChangeState.PROPOSED)):
        with pytest.raises(Conflict) as caught:
            advance("wsc_1", was, to)
        assert caught.value.reason == Reason.WRONG_STATE
