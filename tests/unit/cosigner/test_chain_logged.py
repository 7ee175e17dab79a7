"""No version of the workspace counts at a node that does not stand in the log which that node follows, as it is now."""

from __future__ import annotations

import pytest

from cosigner.chain import Chain
from oms_core.errors import Reason
from tests.people import DELAY, NOW, workspace
from tests.unit.cosigner.chains import follow
from tests.unit.cosigner.node import Node, activate
from tests.unit.cosigner.test_chain import LATE, adopted, disabled, loosened, refused, request, waits


@pytest.fixture
def chain(node: Node) -> Chain:
    """For which nobody logs what it is offered."""
    activate(node)
    return Chain(node.store, node.token, node.vault.versions, node.boots)


def logged(node: Node, data: bytes, at: int) -> None:
    with node.store.begin() as connection:
        follow(connection, data, at)


def test_a_change_that_does_not_stand_in_the_log_is_not_adopted_however_many_have_approved_it(
    node: Node, chain: Chain
) -> None:
    data, other = request(disabled("olga"), "alice"), request(disabled("ravi"), "alice")
    logged(node, other, NOW)
    for now in (NOW, LATE):
        assert refused(chain, data, now) == Reason.NOT_LOGGED
    logged(node, data, NOW)
    assert adopted(chain, data, LATE).version == 1


def test_a_node_that_may_have_been_left_behind_adopts_no_version_until_it_sees_full_cosignatures(
    node: Node, chain: Chain
) -> None:
    data, behind = request(disabled("olga"), "alice"), workspace().log.degraded_window
    logged(node, data, NOW - behind - 1)
    assert refused(chain, data, NOW) == Reason.LOG_STALE
    logged(node, data, NOW)
    assert adopted(chain, data, NOW).version == 1


def test_a_loosening_waits_as_long_whether_it_stands_in_the_log_or_not(node: Node, chain: Chain) -> None:
    data = request(loosened(), "alice", "carol")
    assert waits(chain, data).at == NOW
    assert refused(chain, data, NOW + DELAY) == Reason.NOT_LOGGED
    logged(node, data, NOW + DELAY)
    assert adopted(chain, data, NOW + DELAY).version == 1


def test_what_was_approved_when_it_was_logged_is_adopted_when_its_approvals_have_ended(
    node: Node, chain: Chain
) -> None:
    data, after = request(disabled("olga"), "alice"), NOW + 5000
    assert refused(chain, data, after) != Reason.LOG_STALE
    logged(node, data, NOW)
    assert adopted(chain, data, after).version == 1
