"""The way of a change of the workspace through the coordinator: told, approved, seen, adopted after a while; or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from coordinator import bringing, workspaces
from coordinator.chainbook import ADOPTION, SCHEDULING
from coordinator.standing import Standing
from coordinator.store import Call
from oms_core.approvals import Verdict
from oms_core.chains.intent import Proposal, subject_digest
from oms_core.encoding import encode
from oms_core.errors import Conflict, CountersealError, Malformed, NotFound, Reason, Refused
from oms_core.lifecycle import State
from oms_core.workspace import ChangeWorkspace, Direction, Governance, Workspace, workspace_digest
from oms_core.workspace.lifecycle import NEXT, ChangeState, advance
from proto import cosigner_pb2 as pb
from tests.parties import identity
from tests.people import (
    DELAY,
    NOW,
    RULES,
    approve,
    committee,
    following,
    intent,
    propose,
    reform,
    rules,
    workspace,
    workspace_request,
)
from tests.unit.coordinator.chainnodes import ChainDesk, Clock
from tests.unit.coordinator.desk import ALL
from tests.unit.cosigner.test_chain import disabled, loosened, replaced


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Everybody's time, and no long pauses."""
    made = Clock()
    for module in (workspaces, bringing):
        monkeypatch.setattr(module, "time", made, raising=False)
    monkeypatch.setattr("coordinator.store.time", SimpleNamespace(time=made.time))
    monkeypatch.setattr(workspaces, "RETRY", 0.01)
    return made


@pytest.fixture
async def desk(tmp_path: Path, clock: Clock) -> AsyncIterator[ChainDesk]:
    """Five nodes and a coordinator on version 0."""
    made = await ChainDesk.start(tmp_path, clock)
    yield made
    await made.engine.dispose()


async def goes_on(desk: ChainDesk, change_id: str = "wsc_1") -> str:
    """Do what is left of a change's way until it has ended, or waits for the third time; returns its state."""
    waited = asyncio.Event()
    moments = 0

    async def wait(_: str, seconds: float = 0.0) -> None:
        nonlocal moments
        moments += 1
        if moments == 3:
            waited.set()
        await asyncio.sleep(0.01)

    desk.news.wait = wait  # type: ignore[method-assign]
    for _, step in desk.workspaces.steps():
        idle, task = asyncio.create_task(waited.wait()), asyncio.create_task(step(change_id))
        await asyncio.wait([idle, task], return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            break
        task.result()
    return await desk.stands(change_id)


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


async def test_a_denial_while_it_waits_stops_it_too(tmp_path: Path, clock: Clock) -> None:
    governance = (Governance(Direction.TIGHTEN, committee(1, 0)), Governance(Direction.LOOSEN, committee(1, DELAY)))
    desk = await ChainDesk.start(tmp_path, clock, replace(workspace(), governance=governance))
    wish = reform(loosened(desk.standing.current))
    await desk.propose(wish)
    await desk.decide(wish, "alice")
    assert await goes_on(desk) == ChangeState.SCHEDULED
    await desk.decide(wish, "carol", verdict=Verdict.DENY)
    assert await goes_on(desk) == ChangeState.REJECTED
    with pytest.raises(Refused):
        await desk.decide(wish, "sam", verdict=Verdict.DENY)
    await desk.engine.dispose()


async def test_approvals_that_end_before_any_node_has_seen_them_are_asked_for_again(desk: ChainDesk) -> None:
    for node in desk.nodes.values():
        node.closed = True
    await desk.propose(TIGHT)
    await desk.decide(TIGHT, "alice")
    assert await goes_on(desk) == ChangeState.APPROVED
    desk.clock.now += 401
    assert await goes_on(desk) == ChangeState.PROPOSED
    for node in desk.nodes.values():
        node.closed = False
    await desk.workspaces.decide(
        "wsc_1",
        approve(TIGHT, "alice", expires_at=NOW + 900, decided_at=desk.clock.now),
        "",
        Call("again", "Decide", b""),
    )
    assert await goes_on(desk) == ChangeState.ACTIVE


async def test_a_change_that_nobody_approves_in_time_expires(desk: ChainDesk) -> None:
    await desk.propose(TIGHT)
    desk.clock.now = TIGHT.valid_until
    assert await goes_on(desk) == ChangeState.EXPIRED


async def test_a_change_can_be_withdrawn_until_a_node_stands_on_it(desk: ChainDesk) -> None:
    await desk.propose(LOOSE)
    await desk.decide(LOOSE, "alice")
    await desk.decide(LOOSE, "carol")
    assert await goes_on(desk) == ChangeState.SCHEDULED
    await desk.workspaces.withdraw("wsc_1")
    desk.clock.now += DELAY
    assert await goes_on(desk) == ChangeState.WITHDRAWN
    assert desk.versions() == dict.fromkeys(ALL, 0)
    await desk.propose(other := reform(disabled("ravi2"), change_id="chg_2"), "wsc_2")
    await desk.decide(other, "alice", "wsc_2")
    await goes_on(desk, "wsc_2")
    with pytest.raises(Refused):
        await desk.workspaces.withdraw("wsc_2")


# Nodes that lie, or went ahead


def bent(**changes: bytes) -> Callable[[pb.FromCosigner], pb.FromCosigner]:
    def lie(answer: pb.FromCosigner) -> pb.FromCosigner:
        return pb.FromCosigner(workspace_answer=pb.WorkspaceAnswer(**changes))

    return lie


async def test_a_statement_that_is_not_the_nodes_own_is_not_kept(desk: ChainDesk) -> None:
    await desk.propose(LOOSE)
    await desk.decide(LOOSE, "alice")
    await desk.decide(LOOSE, "carol")
    await goes_on(desk)
    kept = await desk.chain_book.kept(subject_digest(LOOSE), SCHEDULING)
    desk.nodes[1].lies, desk.nodes[2].lies = bent(scheduling=kept[1], adoption=kept[1]), bent(scheduling=kept[3])
    desk.nodes[3].lies = bent(scheduling=b"\xff" * 9)
    assert await goes_on(desk) == ChangeState.SCHEDULED
    assert await desk.chain_book.kept(subject_digest(LOOSE), ADOPTION) == {}
    assert desk.struck() == {1, 2, 3}
    for index in (1, 2, 3):
        desk.nodes[index].lies = None
    desk.clock.now += DELAY
    assert await goes_on(desk) == ChangeState.ACTIVE


async def ahead(desk: ChainDesk, made: Workspace, *indices: int) -> None:
    """These nodes have gone over without this coordinator."""
    wish = reform(made)
    for index in indices:
        desk.nodes[index]._adopt(workspace_request(wish, approve(wish, "alice"), approve(wish, "carol")), made)
        desk.nodes[index].reattach()


async def test_a_coordinator_that_lost_its_memory_follows_most_nodes(desk: ChainDesk) -> None:
    await ahead(desk, disabled("olga"), 1, 2, 3, 4)
    assert set(desk.cosigners.attached()) == {5}
    await desk.bringing.look()
    assert desk.standing.current == disabled("olga")
    await desk.bringing.look()
    assert desk.versions() == dict.fromkeys(ALL, 1)
    assert set(desk.cosigners.attached()) == set(ALL)


async def test_a_coordinator_does_not_follow_two_nodes(desk: ChainDesk) -> None:
    await ahead(desk, loosened(), 1, 2)
    await desk.bringing.look()
    assert desk.standing.current == workspace()
    assert set(desk.cosigners.attached()) == {3, 4, 5}


async def test_a_coordinator_does_not_follow_what_people_have_not_approved(desk: ChainDesk) -> None:
    wish = reform(loosened())
    for index in (1, 2, 3, 4):
        desk.nodes[index]._adopt(workspace_request(wish, approve(wish, "alice")), wish.next)
        desk.nodes[index].reattach()
    await desk.bringing.look()
    assert desk.standing.current == workspace()


# What waits


async def waiting_order(desk: ChainDesk, order_id: str = "txn_1") -> None:
    order = intent(500)
    values = {"order_id": order_id, "wallet_id": "wal_1", "proposal": encode(propose(order))}
    await desk.store.add_order({**values, "subject": subject_digest(order)}, Call(order_id, "SubmitIntent", b""))
    await desk.store.move(order_id, State.SUBMITTED, State.PENDING_APPROVAL)
    given = approve(order, "olga", decided_at=NOW)
    await desk.store.decide(order_id, given, "person-olga", 0, "", Call("d", "Decide", b""))


async def test_an_approval_by_somebody_who_is_disabled_is_invalidated_and_the_order_keeps_waiting(
    desk: ChainDesk,
) -> None:
    await waiting_order(desk)
    facts = await desk.store.facts(NOW)
    decision, _ = await desk.approving.standing("txn_1", intent(500), facts)
    assert [need.given for need in decision.needs] == [("olga",)]
    leaver = reform(disabled("olga"))
    await desk.propose(leaver, confirmed=True)
    await desk.decide(leaver, "alice")
    assert await goes_on(desk) == ChangeState.ACTIVE
    (row,) = await desk.store.all_decisions("txn_1")
    assert row["void"] == Reason.NOT_ELIGIBLE
    decision, alive = await desk.approving.standing("txn_1", intent(500), facts)
    assert ([need.given for need in decision.needs], alive) == ([()], ())
    assert (await desk.store.order("txn_1"))["state"] == State.PENDING_APPROVAL


async def test_approvals_by_others_stay(desk: ChainDesk) -> None:
    await waiting_order(desk)
    wish = reform(disabled("sonja"))
    await desk.propose(wish, confirmed=True)
    await desk.decide(wish, "alice")
    assert await goes_on(desk) == ChangeState.ACTIVE
    (row,) = await desk.store.decisions("txn_1")
    assert row["user_id"] == "olga"


async def test_approvals_under_a_version_that_does_not_permit_the_order_are_given_anew(desk: ChainDesk) -> None:
    strict = following(workspace(), rules=rules(RULES.replace("{amount: 1,000}", "{amount: 400}")))
    order, facts = intent(500), await desk.store.facts(NOW)
    wish = reform(strict)
    await desk.propose(wish)
    await desk.decide(wish, "alice")
    assert await goes_on(desk) == ChangeState.ACTIVE
    desk.standing.advance(following(strict, rules=workspace().rules))
    await waiting_order(desk)
    await desk.store.void("txn_1", "person-olga", "tests")
    for name in ("ravi", "olga"):
        given = approve(order, name, decided_at=NOW, under=strict)
        await desk.store.decide("txn_1", given, f"person-{name}", 0, "", Call(f"{name}-1", "Decide", b""))
    decision, alive = await desk.approving.standing("txn_1", order, facts)
    assert (decision.outcome, alive) == ("NEEDS_APPROVAL", ())
    for name in ("ravi", "olga"):
        given = approve(order, name, decided_at=NOW, under=desk.standing.current)
        await desk.store.decide("txn_1", given, f"person-{name}", 0, "", Call(f"{name}-2", "Decide", b""))
    decision, alive = await desk.approving.standing("txn_1", order, facts)
    assert (decision.outcome, len(alive)) == ("PERMIT", 2)


async def test_a_person_decides_once_under_one_version(desk: ChainDesk) -> None:
    await waiting_order(desk)
    given = approve(intent(500), "olga", decided_at=NOW)
    with pytest.raises(Conflict) as caught:
        await desk.store.decide("txn_1", given, "person-olga", 0, "", Call("again", "Decide", b""))
    assert caught.value.reason == Reason.DUPLICATE_PERSON


# The table


def test_the_lifecycle_of_a_change_is_one_table() -> None:
    assert set(NEXT) == set(ChangeState)
    assert advance("wsc_1", ChangeState.SCHEDULED, ChangeState.ACTIVE) is ChangeState.ACTIVE
    for was, to in ((ChangeState.PROPOSED, ChangeState.ACTIVE), (ChangeState.WITHDRAWN, ChangeState.PROPOSED)):
        with pytest.raises(Conflict) as caught:
            advance("wsc_1", was, to)
        assert caught.value.reason == Reason.WRONG_STATE
