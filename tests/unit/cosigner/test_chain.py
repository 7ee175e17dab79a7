"""From one version of the workspace to the next, at a cosigner with a real token: who is believed, and for how long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from cosigner.boots import Boots
from cosigner.chain import Chain
from cosigner.store import sightings, versions
from oms_core.approvals import Approval
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import LocalError, Malformed, Reason, Refused
from oms_core.evidence import Adoption, ChangeWorkspaceRequest, Scheduling, SignedScheduling
from oms_core.protocol.identity import verify_identity
from oms_core.readings import plain_decision
from oms_core.workspace import ChangeWorkspace, Workspace, workspace_digest
from tests.parties import identity
from tests.people import (
    DELAY,
    NOW,
    approve,
    following,
    intent,
    propose,
    reform,
    sign_request,
    workspace,
    workspace_request,
)
from tests.unit.cosigner.chains import LoggedChain
from tests.unit.cosigner.node import Node, activate
from tests.unit.cosigner.specs import spec

LATE = NOW + 10_000  # everybody's approvals, and the wish itself, are over


def disabled(user_id: str, current: Workspace | None = None) -> Workspace:
    """The next version, in which somebody is disabled: a tightening."""
    before = current or workspace()
    users = tuple(replace(one, enabled=one.enabled and one.user_id != user_id) for one in before.users)
    return following(before, users=users)


def loosened(current: Workspace | None = None) -> Workspace:
    """The next version, in which eve is refused no longer."""
    before = current or workspace()
    return following(before, rules=tuple(rule for rule in before.rules if rule.rule_id != "deny-eve"))


def request(made: Workspace, *approvers: str, scheduled: tuple[SignedScheduling, ...] = (), **changes: object) -> bytes:
    """What the coordinator shows."""
    return shown(reform(made, **changes), *approvers, scheduled=scheduled)


def shown(
    wish: ChangeWorkspace,
    *approvers: str,
    scheduled: tuple[SignedScheduling, ...] = (),
    under: Workspace | None = None,
) -> bytes:
    given: list[Approval] = [approve(wish, name, under=under) for name in approvers]
    return encode(replace(workspace_request(wish, *given), scheduled=scheduled))


def seen(wish: ChangeWorkspace, index: int, at: int, signer: int = 0) -> SignedScheduling:
    """Another node's word that it has seen this approved."""
    said = Scheduling(index, subject_digest(wish), at)
    return SignedScheduling(said, identity(signer or index).sign("scheduling", encode(said)))


@pytest.fixture
def chain(node: Node) -> Chain:
    """A node on version 0, with an active key."""
    activate(node)
    return chain_of(node)


def chain_of(node: Node) -> Chain:
    return LoggedChain(node.store, node.token, node.vault.versions, node.boots)


def refused(chain: Chain, data: bytes, now: int = NOW) -> Reason:
    """Why a request is refused; the node stands where it stood."""
    before = chain._versions.current()
    with pytest.raises((Refused, Malformed)) as caught:
        chain.offer(data, now)
    assert chain._versions.current() is before
    reason: Reason = caught.value.reason
    return reason


def adopted(chain: Chain, data: bytes, now: int = NOW) -> Adoption:
    signed = chain.offer(data, now).adoption
    assert signed is not None
    verify_identity(chain._token.public, "adoption", encode(signed.adoption), signed.signature)
    return signed.adoption


def waits(chain: Chain, data: bytes, now: int = NOW) -> Scheduling:
    said = chain.offer(data, now)
    assert said.adoption is None
    verify_identity(chain._token.public, "scheduling", encode(said.scheduling.scheduling), said.scheduling.signature)
    return said.scheduling.scheduling


# Adoption


def test_a_tightening_that_one_of_the_committee_approves_is_adopted_at_once(chain: Chain, node: Node) -> None:
    made = disabled("olga")
    assert adopted(chain, request(made, "alice")) == Adoption(1, 1, workspace_digest(made), NOW)
    assert node.vault.workspace() == made
    assert dict(node.vault.older()) == {workspace_digest(workspace()): workspace()}


def test_a_loosening_waits_from_when_this_node_has_seen_it_approved(chain: Chain, node: Node) -> None:
    data = request(loosened(), "alice", "carol")
    assert waits(chain, data, NOW) == waits(chain, data, NOW + DELAY - 1)
    assert node.vault.workspace() == workspace()
    assert adopted(chain, data, NOW + DELAY).at == NOW + DELAY
    assert node.vault.workspace() == loosened()


def test_the_first_sight_outlives_a_restart(chain: Chain, node: Node) -> None:
    data = request(loosened(), "alice", "carol")
    waits(chain, data, NOW)
    node.restart()
    assert adopted(chain_of(node), data, NOW + DELAY).version == 1


def test_approvals_may_end_while_a_change_waits(chain: Chain) -> None:
    data = request(loosened(), "alice", "carol")
    waits(chain, data, NOW)
    assert adopted(chain, data, LATE).version == 1


@pytest.mark.parametrize("approvers", [(), ("alice",), ("alice", "sam"), ("alice", "adam")], ids=str)
def test_a_change_without_its_quorum_is_refused_and_not_noted(chain: Chain, approvers: tuple[str, ...]) -> None:
    wanted = {(): Reason.APPROVAL_MISSING, ("alice",): Reason.APPROVAL_MISSING}
    expected = wanted.get(approvers, Reason.SELF_APPROVAL if "adam" in approvers else Reason.NOT_ELIGIBLE)
    assert refused(chain, request(loosened(), *approvers)) == expected
    assert chain._seen(subject_digest(reform(loosened()))) is None


def test_the_same_request_again_is_answered_with_the_same_adoption(chain: Chain, node: Node) -> None:
    data = request(disabled("olga"), "alice")
    first = chain.offer(data, NOW)
    assert chain.offer(data, LATE) == first
    node.restart()
    assert chain_of(node).offer(data, LATE) == first
    assert node.vault.workspace() == disabled("olga")


def test_a_node_that_has_adopted_still_says_when_it_saw_the_change_approved(chain: Chain) -> None:
    data = request(loosened(), "alice", "carol")
    waiting = chain.offer(data, NOW).scheduling
    assert chain.offer(data, NOW + DELAY).scheduling == chain.offer(data, LATE).scheduling == waiting


def test_one_change_follows_a_version_and_its_competitor_is_stale(chain: Chain) -> None:
    waiting = request(loosened(), "alice", "carol")
    waits(chain, waiting, NOW)
    adopted(chain, request(disabled("olga"), "alice", change_id="chg_2"))
    assert refused(chain, waiting, LATE) == Reason.POLICY_VERSION_MISMATCH


def test_another_wish_for_the_same_version_is_another_change(chain: Chain) -> None:
    adopted(chain, request(disabled("olga"), "alice"))
    assert refused(chain, request(disabled("olga"), "alice", change_id="chg_2")) == Reason.POLICY_VERSION_MISMATCH


def test_a_version_that_does_not_follow_is_refused(chain: Chain) -> None:
    second = disabled("tara", disabled("olga"))
    assert refused(chain, request(second, "alice")) == Reason.POLICY_VERSION_MISMATCH
    for number in (-(1 << 64), -1, 0, 1 << 63, 10**4000):
        other = replace(disabled("olga"), version=number)
        assert refused(chain, request(other, "alice")) == Reason.POLICY_VERSION_MISMATCH
    assert (
        refused(chain, request(replace(disabled("olga"), parent=bytes(32)), "alice")) == Reason.POLICY_VERSION_MISMATCH
    )


def test_a_request_for_something_else_is_refused(chain: Chain) -> None:
    plain = workspace_request(reform(disabled("olga")))
    assert refused(chain, encode(replace(plain, proposal=propose(intent())))) == Reason.INTENT_TX_MISMATCH


def test_a_node_that_was_away_goes_up_step_by_step_and_hands_on_how(chain: Chain, node: Node) -> None:
    first = disabled("olga")
    second = disabled("tara", first)
    wish = reform(second, change_id="chg_2")
    adopted(chain, request(first, "alice"))
    adopted(chain, shown(wish, "alice", under=first))
    assert node.vault.workspace() == second
    assert len(chain.requests(0)) == 2
    assert chain.requests(1) == chain.requests(0)[1:]
    assert chain.requests(2) == []
    assert [one.version for one in node.vault.older().values()] == [0, 1]


# What other nodes say


def test_a_node_that_comes_late_believes_as_many_others_as_hold_an_honest_one(chain: Chain) -> None:
    wish = reform(loosened())
    others = tuple(seen(wish, index, NOW) for index in (2, 3, 4))
    assert refused(chain, shown(wish, "alice", "carol", scheduled=others[:2]), LATE) == Reason.EXPIRED
    assert adopted(chain, shown(wish, "alice", "carol", scheduled=others), LATE).version == 1


def test_two_liars_do_not_shorten_a_delay(chain: Chain) -> None:
    wish = reform(loosened())
    lies = (seen(wish, 2, NOW - DELAY), seen(wish, 3, NOW - DELAY), seen(wish, 4, NOW))
    assert waits(chain, shown(wish, "alice", "carol", scheduled=lies), NOW).at == NOW
    waits(chain, shown(wish, "alice", "carol", scheduled=lies), NOW + DELAY - 1)
    adopted(chain, shown(wish, "alice", "carol", scheduled=lies), NOW + DELAY)


BAD = {
    "under another's key": lambda wish: seen(wish, 4, NOW, signer=5),
    "of another change": lambda wish: seen(reform(wish.next, change_id="chg_9"), 4, NOW),
    "of the node itself": lambda wish: seen(wish, 1, NOW),
    "of a node again": lambda wish: seen(wish, 2, NOW - 1),
    "of nobody": lambda wish: seen(wish, 9, NOW, signer=2),
    "of the future": lambda wish: seen(wish, 4, LATE + 1),
}


@pytest.mark.parametrize("made", BAD.values(), ids=BAD)
def test_a_statement_that_is_no_other_members_counts_for_nothing(chain: Chain, made: object) -> None:
    wish = reform(loosened())
    said = (seen(wish, 2, NOW), seen(wish, 3, NOW), made(wish))  # type: ignore[operator]
    assert refused(chain, shown(wish, "alice", "carol", scheduled=said), LATE) == Reason.EXPIRED


def test_approvals_have_to_be_good_when_it_was_seen(chain: Chain) -> None:
    wish = reform(loosened())
    late = tuple(seen(wish, index, LATE - 100) for index in (2, 3, 4))
    assert refused(chain, shown(wish, "alice", "carol", scheduled=late), LATE) == Reason.EXPIRED


# What is kept


def test_adoption_is_a_write_that_may_not_be_lost(chain: Chain, node: Node, tmp_path: Path) -> None:
    node.stop()
    old = node.copy(tmp_path / "old")
    node.start()
    adopted(chain_of(node), request(disabled("olga"), "alice"))
    node.stop()
    node.take(old, store=True)
    node.boot()
    with pytest.raises(Refused, match="the store is an older copy"):
        chain_of(node).offer(request(disabled("olga"), "alice"), NOW)


def test_a_crash_before_the_token_has_counted_leaves_the_version_and_the_same_answer(
    chain: Chain, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash(_: Boots) -> None:
        raise Crash

    data = request(disabled("olga"), "alice")
    with monkeypatch.context() as patched:
        patched.setattr(Boots, "settle", crash)
        with pytest.raises(Crash):
            chain.offer(data, NOW)
    node.restart()
    assert node.vault.workspace() == disabled("olga")
    assert adopted(chain_of(node), data, LATE).at == NOW
    assert node.token.counters()[1] == 1


def test_a_failed_adoption_changes_nothing(chain: Chain, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(Boots, "count", fail)
        with pytest.raises(OSError):
            chain.offer(request(disabled("olga"), "alice"), NOW)
    assert node.vault.workspace() == workspace()
    adopted(chain, request(disabled("olga"), "alice"))


def test_a_version_that_was_put_in_another_place_does_not_open(chain: Chain, node: Node) -> None:
    first = disabled("olga")
    adopted(chain, request(first, "alice"))
    adopted(chain, shown(reform(disabled("tara", first), change_id="chg_2"), "alice", under=first))
    with node.store.begin() as connection:
        connection.execute(update(versions).where(versions.c.number == 1).values(number=3))
    node.restart()
    with pytest.raises(LocalError) as caught:
        node.vault.workspace()
    assert caught.value.reason == Reason.STORE_CORRUPT


def test_a_sighting_that_was_dated_back_in_the_store_is_noticed(chain: Chain, node: Node) -> None:
    wish = reform(loosened())
    data = shown(wish, "alice", "carol")
    waits(chain, data, NOW)
    with node.store.begin() as connection:
        connection.execute(update(sightings).values(scheduling=encode(seen(wish, 1, 0))))
    with pytest.raises(LocalError) as caught:
        chain.offer(data, NOW)
    assert caught.value.reason == Reason.STORE_CORRUPT


# The roster


def replaced(index: int, key: bytes, current: Workspace | None = None) -> Workspace:
    before = current or workspace()
    return following(
        before, roster=tuple(replace(one, identity=key) if one.index == index else one for one in before.roster)
    )


def test_a_member_may_be_given_a_new_identity_key(chain: Chain, node: Node) -> None:
    data = request(replaced(5, identity(7).public), "alice", "carol")
    waits(chain, data)
    adopted(chain, data, NOW + DELAY)


def test_identity_keys_change_no_places(chain: Chain) -> None:
    moved = replaced(5, identity(4).public, replace(replaced(4, identity(7).public), version=0, parent=b""))
    made = replace(moved, version=1, parent=workspace_digest(workspace()))
    assert refused(chain, request(made, "alice", "carol")) == Reason.PEER_IDENTITY


def test_an_identity_key_that_was_replaced_does_not_come_back(chain: Chain) -> None:
    first = replaced(5, identity(7).public)
    adopted_later(chain, request(first, "alice", "carol"))
    back = reform(replaced(5, identity(5).public, first), change_id="chg_2")
    assert refused(chain, shown(back, "alice", "carol", under=first), NOW + DELAY) == Reason.PEER_IDENTITY


def adopted_later(chain: Chain, data: bytes) -> Adoption:
    waits(chain, data)
    return adopted(chain, data, NOW + DELAY)


# What stands on a version


def test_orders_of_an_older_version_are_refused_after_adoption_and_of_a_newer_one_before(
    chain: Chain, node: Node
) -> None:
    order = intent()
    old = sign_request(order)
    version = disabled("olga")
    new = replace(old, workspace=workspace_digest(version), decision=plain_decision(order, version))
    guard = node.guarded()
    with pytest.raises(Refused) as caught:
        guard.decide(spec(new), new, NOW)
    assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH
    data = request(disabled("olga"), "alice")
    node.log.approve(decode(ChangeWorkspaceRequest, data))
    adopted(chain, data)
    with pytest.raises(Refused) as caught:
        guard.decide(spec(old), old, NOW)
    assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH
    guard.decide(spec(new), new, NOW)


def test_nothing_is_committed_to_under_a_version_that_is_over(chain: Chain, node: Node) -> None:
    before = node.vault.workspace()
    adopted(chain, request(disabled("olga"), "alice"))
    with pytest.raises(Refused) as caught, node.store.begin() as connection:
        node.vault.check_workspace(connection, before)
    assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH
    after = node.vault.workspace()
    with node.store.begin() as connection:
        node.vault.check_workspace(connection, after)


def test_a_new_node_begins_its_chain_with_the_version_that_it_pinned(node: Node) -> None:
    first = disabled("olga")
    node.vault.pin_workspace(first)
    chain = chain_of(node)
    assert refused(chain, request(first, "alice")) == Reason.POLICY_VERSION_MISMATCH
    wish = reform(disabled("tara", first), change_id="chg_2")
    adopted(chain, shown(wish, "alice", under=first))
    assert [one.version for one in node.vault.older().values()] == [1]
    assert chain.requests(0) == chain.requests(1)
