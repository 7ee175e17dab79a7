"""Nodes that lie or went ahead of the coordinator, and what waits while the workspace changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coordinator.calls import Call
from coordinator.chainbook import ADOPTION, SCHEDULING
from oms_core.chains.intent import subject_digest
from oms_core.encoding import encode
from oms_core.errors import Conflict, Reason
from oms_core.lifecycle import State
from oms_core.workspace import Workspace
from oms_core.workspace.lifecycle import ChangeState
from proto import cosigner_pb2 as pb
from tests.people import (
    DELAY,
    NOW,
    RULES,
    approve,
    following,
    intent,
    propose,
    reform,
    rules,
    workspace,
    workspace_request,
)
from tests.unit.coordinator.chainnodes import ChainDesk, goes_on
from tests.unit.coordinator.desk import ALL
from tests.unit.cosigner.test_chain import disabled, loosened

TIGHT, LOOSE = reform(disabled("tara")), reform(loosened())


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
    desk.clock.now += DELAY
    assert await goes_on(desk) == ChangeState.SCHEDULED
    assert set(await desk.chain_book.kept(subject_digest(LOOSE), ADOPTION)) == {4, 5}
    assert desk.struck() == {1, 2, 3}
    for index in (1, 2, 3):
        desk.nodes[index].lies = None
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
