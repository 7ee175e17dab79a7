"""Which windows a node holds an order against, where the log has more to say of it than one entry, or less."""

from __future__ import annotations

from cosigner.guard import Guard
from oms_core.errors import Reason, Refused
from oms_core.evidence import ReadRequest, SignRequest
from oms_core.history import AUTHORIZED_FOR
from oms_core.policy.rules import DAY
from oms_core.workspace import workspace_digest
from tests.people import NOW, workspace
from tests.unit.cosigner.node import Node
from tests.unit.cosigner.test_guard_logged import order, why


def read(guard: Guard, request: SignRequest, now: int = NOW) -> Reason | None:
    """Why a node would refuse it already when it is read; None if it reads it."""
    try:
        guard.read(ReadRequest(request.proposal, workspace_digest(workspace())), now)
    except Refused as error:
        return error.reason
    return None


def fill(node: Node, at: int) -> None:
    """The day's 2000 are authorised for others."""
    for number in (11, 12):
        node.logged(order(1000, number, nonce=number), at)


def test_a_node_that_has_not_followed_to_the_newest_entry_says_so_and_nothing_of_an_older_ones_windows(
    guard: Guard, node: Node
) -> None:
    """A full window is a no for good; it would be about an entry that is replaced, where the next one has room."""
    fill(node, NOW - 30)
    late = order(10, 3, nonce=3)
    assert why(guard, late, node.logged(late, NOW - 20)) is Reason.VELOCITY_EXCEEDED
    node.log.authorize(late, NOW)
    assert why(guard, late, node.log.note()) is Reason.NOT_LOGGED


def test_what_is_logged_too_long_ago_has_to_be_logged_anew_before_its_windows_are_spoken_of(
    guard: Guard, node: Node
) -> None:
    fill(node, NOW - DAY + AUTHORIZED_FOR)
    late = order(10, 3, nonce=3)
    note = node.logged(late)
    assert why(guard, late, note) is Reason.VELOCITY_EXCEEDED
    now = NOW + AUTHORIZED_FOR + 1
    node.follow(now)
    assert why(guard, late, node.log.note(at=now), now) is Reason.NOT_LOGGED
    assert why(guard, late, node.logged(late, now), now) is None


def test_an_order_that_goes_back_to_its_people_is_read_by_what_counts_now_and_not_by_its_old_entry(
    guard: Guard, node: Node
) -> None:
    """What it was logged for is over: with new approvals it is logged anew. A no when it is read is one for good."""
    fill(node, NOW - DAY)
    once, other = order(10, 3, nonce=3), order(10, 4, nonce=4)
    node.logged(once, NOW - DAY + 10)
    assert read(guard, once) is None
    node.logged(other, NOW - 10)
    fill(node, NOW)
    assert read(guard, other) is Reason.VELOCITY_EXCEEDED, "others have used up the day since"
