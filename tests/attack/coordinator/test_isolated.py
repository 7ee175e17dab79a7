"""One honest node beside two liars, cut off from the others by the coordinator: what it can be shown of the past.

The liars cosign whatever log it follows, so it hears of three witnesses that are fresh, for as long as they like.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.intent import Transfer
from oms_core.encoding import decode
from oms_core.errors import Reason
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.roster import log_verifier
from oms_core.workspace import Workspace
from tests.attack.coordinator.changes import asked
from tests.attack.coordinator.nodes import Five
from tests.attack.coordinator.scene import Attempt, Scene
from tests.attack.coordinator.test_state import signs
from tests.attack.coordinator.world import KNOWN, TOKEN
from tests.witnessed import Logbook

pytestmark = pytest.mark.attack
ALONE, LIARS, OTHERS = 3, (1, 2), (1, 2, 4, 5)
THREE = (*LIARS, ALONE)
DAILY, WINDOW = 2000, 86_400  # base units of the token; seconds
OLD_RULES = ("olga", "otto")


def cut_off(five: Five, scene: Scene) -> Logbook:
    """All have seen the log with full cosignatures; from now on one follows another one. Returns that of the others."""
    log = five.keep_a_log()
    for index in (3, 4, 5):
        witness = five.nodes[index].witness
        log.followed_by(witness, scene.now)
        witness.check_cover(log.note(at=scene.now), 0, five.workspace, scene.now)
    five.nodes[ALONE].follow(log.fork())
    return log


def without_olga(workspace: Workspace) -> Workspace:
    """She may approve nothing any more; that tightens, so it counts at once."""
    users = tuple(replace(one, enabled=False) if one.user_id == "olga" else one for one in workspace.users)
    return replace(workspace, users=users)


def order(scene: Scene, amount: int = 222, exact: bool = True) -> Attempt:
    """Approved by olga and otto."""
    made = scene.legal(Transfer(TOKEN, KNOWN, amount), OLD_RULES)
    return scene.exactly(made) if exact else made


def alone(scene: Scene, five: Five, attempt: Attempt) -> Reason | None:
    """What the isolated node says, with the liars' cosignatures and its own."""
    return signs(scene, five, attempt, ALONE, THREE, THREE)


@pytest.mark.covers("C03", "A10")
def test_a_revoked_approver_and_older_rules_are_replayed_to_one_node_within_the_window_for_a_third_and_never_after(
    five: Five, scene: Scene
) -> None:
    log = cut_off(five, scene)
    log.approve(asked(scene, without_olga), scene.now)
    for index in (4, 5):
        parties = (*LIARS, index)
        assert signs(scene, five, order(scene), index, parties, OTHERS) == Reason.POLICY_VERSION_MISMATCH
    assert alone(scene, five, order(scene, exact=False)) == Reason.EXACT_BYTES_NEEDED
    said = [alone(scene, five, order(scene)) for _ in range(5)]
    assert said == [None, None, *[Reason.VELOCITY_EXCEEDED] * 3], "what was logged for nothing counts, too"
    scene.now += WINDOW
    assert alone(scene, five, order(scene)) is None
    scene.now += 1
    assert alone(scene, five, order(scene)) == Reason.LOG_STALE
    scene.now += WINDOW
    assert alone(scene, five, order(scene)) == Reason.LOG_STALE


@pytest.mark.covers("C03")
def test_of_a_limit_that_is_spent_one_node_that_is_cut_off_gives_a_third_once_more(five: Five, scene: Scene) -> None:
    cut_off(five, scene)
    spent = 0
    for _ in range(10):
        spent += 222 if signs(scene, five, order(scene, exact=False), 4, (*LIARS, 4), OTHERS) is None else 0
    assert spent == 1998
    again = sum(222 for _ in range(6) if alone(scene, five, order(scene)) is None)
    assert again == 666
    assert spent + again <= DAILY + DAILY // 3


@pytest.mark.covers("C03")
def test_a_node_that_was_cut_off_stops_at_the_first_note_of_the_others_and_can_show_why(
    five: Five, scene: Scene
) -> None:
    log, node = cut_off(five, scene), five.nodes[ALONE]
    log.approve(asked(scene, without_olga), scene.now)
    assert alone(scene, five, order(scene)) is None
    for index in (4, 5):
        log.followed_by(five.nodes[index].witness, scene.now)
    _, conflict = node.witness.gossip([log.note(by=OTHERS, at=scene.now)], scene.now)
    words = verify_conflict(decode(LogConflict, conflict, 1 << 20), (log_verifier(five.workspace),))
    assert "two heads" in words
    assert alone(scene, five, order(scene)) == Reason.LOG_FORKED
    for index in (4, 5):
        five.nodes[index].witness.check_cover(log.note(by=OTHERS, at=scene.now), 0, five.workspace, scene.now)
