"""A next version of the workspace that people have asked for, in a hostile coordinator's hands (C05, C06, A10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.intent import Transfer, subject_digest
from oms_core.encoding import encode
from oms_core.errors import Reason
from oms_core.evidence import Scheduling, SignedScheduling
from oms_core.policy.rules import DAY
from tests.attack.coordinator.changes import ADOPTED, SEEN, adopt, asked, chains, looser, offered, self_made
from tests.attack.coordinator.nodes import ALL, Five
from tests.attack.coordinator.scene import Scene
from tests.attack.coordinator.world import COIN, KNOWN, NOW

pytestmark = pytest.mark.attack


@pytest.mark.covers("A10")
def test_a_version_that_loosens_counts_after_its_delay_and_not_by_anybodys_word(five: Five, scene: Scene) -> None:
    request = asked(scene, looser)
    assert offered(five, request, scene.now) == [SEEN] * 5
    assert offered(five, request, scene.now + DAY - 1) == [SEEN] * 5
    said = Scheduling(1, b"x" * 32, NOW - 9 * DAY)
    forged = tuple(
        SignedScheduling(replace(said, index=index), five.nodes[1].token.sign("scheduling", encode(said)))
        for index in ALL
    )
    assert offered(five, replace(request, scheduled=forged), scene.now + DAY - 1) == [SEEN] * 5
    assert offered(five, request, scene.now + DAY) == [ADOPTED] * 5


@pytest.mark.covers("A10", "C06")
def test_two_corrupt_cosigners_cannot_date_a_change_back(five: Five, scene: Scene) -> None:
    """Two may say what they like about when they saw it: it takes three, of whom one is honest."""
    request = asked(scene, looser)
    change = subject_digest(request.proposal.subject)
    lies = []
    for index in (1, 2):
        said = Scheduling(index, change, scene.now - 9 * DAY)
        lies.append(SignedScheduling(said, five.nodes[index].token.sign("scheduling", encode(said))))
    for chain in (chains(five)[index] for index in (3, 4, 5)):
        answer = chain.offer(encode(replace(request, scheduled=tuple(lies))), scene.now)
        assert answer.adoption is None


@pytest.mark.covers("A10", "C05")
def test_an_approver_who_lowers_the_quorum_gains_nothing_for_orders_from_before(five: Five, scene: Scene) -> None:
    order = scene.legal(Transfer(COIN, KNOWN, 5), ("olga",), valid_until=scene.now + 2 * DAY)
    long = scene.press(order.intent, "olga", expires_at=scene.now + 2 * DAY)
    old = order.approved_by(long)
    later = adopt(five, scene, asked(scene, looser))
    moved = replace(old, workspace=later.digest)
    for index in (1, 2, 3):
        reason = five.nodes[index].asked(later.session(moved), later.request(moved), later.now)
        assert reason == Reason.APPROVAL_MISSING, "the stricter of both versions decides"
    unapproved = moved.approved_by()
    assert five.nodes[1].asked(later.session(unapproved), later.request(unapproved), later.now) is None, (
        "as was decided"
    )


@pytest.mark.covers("C05", "P43")
def test_after_a_change_nothing_is_signed_under_the_version_before(five: Five, scene: Scene) -> None:
    order = scene.legal(valid_until=scene.now + 2 * DAY)
    later = adopt(five, scene, asked(scene, looser))
    for index in (1, 2, 3):
        reason = five.nodes[index].asked(scene.session(order), scene.request(order), later.now)
        assert reason == Reason.POLICY_VERSION_MISMATCH


@pytest.mark.covers("C06")
def test_one_change_follows_a_version_whatever_others_were_approved(five: Five, scene: Scene) -> None:
    one, other = asked(scene, looser), asked(scene, self_made)
    assert offered(five, other, scene.now) == [SEEN] * 5
    adopt(five, scene, one)
    assert offered(five, other, scene.now + 2 * DAY) == [Reason.POLICY_VERSION_MISMATCH] * 5
