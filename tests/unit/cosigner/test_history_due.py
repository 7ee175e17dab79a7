"""Which changes of the workspace are due, by the log that a node has followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from cosigner.history import History
from cosigner.store import open_store
from oms_core.errors import LocalError, Reason, Refused, Unavailable
from oms_core.policy.rules import DAY
from oms_core.workspace import Workspace
from tests.people import DELAY, NOW, approve, following, reform, workspace, workspace_request
from tests.unit.cosigner.replicas import Replica, asked, order
from tests.witnessed import Logbook


def loosened() -> Workspace:
    return following(rules=tuple(rule for rule in workspace().rules if rule.rule_id != "deny-eve"))


def due(replica: Replica, now: int, current: Workspace | None = None) -> bool:
    with replica.store.begin() as connection:
        try:
            replica.history.check_due(connection, current or workspace(), now)
        except Refused as error:
            return error.reason is Reason.POLICY_VERSION_MISMATCH
    return False


def test_a_change_is_due_from_its_delay_after_its_entry_until_the_node_has_left_its_parent(
    log: Logbook, replica: Replica
) -> None:
    wish = reform(loosened())
    log.approve(workspace_request(wish, approve(wish, "alice"), approve(wish, "carol")), at=NOW)
    replica.follow()
    assert [due(replica, NOW + after) for after in (0, DELAY - 1, DELAY, 9 * DAY)] == [False, False, True, True]
    assert not due(replica, NOW + DELAY, loosened())
    assert not due(replica, NOW + DELAY, following(name="another successor"))


def test_a_change_that_people_did_not_approve_is_passed_over_until_one_is_logged_that_they_did(
    log: Logbook, replica: Replica
) -> None:
    wish = reform(loosened())
    log.approve(workspace_request(wish, approve(wish, "alice")), at=NOW)
    replica.follow()
    assert not due(replica, NOW + 9 * DAY)
    log.approve(workspace_request(wish, approve(wish, "alice"), approve(wish, "carol")), at=NOW + 1)
    replica.follow()
    assert [due(replica, NOW + 1 + after) for after in (DELAY - 1, DELAY)] == [False, True]


@pytest.mark.covers("C06")
def test_changes_that_nobody_approved_are_looked_at_once_and_never_again_however_many_they_are(
    log: Logbook, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes the log needs nobody for them, and each request would wait for all of them to be read."""
    for number in range(70):
        wish = reform(loosened(), change_id=f"chg_{number}")
        log.approve(workspace_request(wish, approve(wish, "alice")))
    replica.follow()
    looks: list[object] = []
    monkeypatch.setattr("cosigner.history.counts_at", lambda *asked: looks.append(asked))
    for _ in range(2):
        assert not due(replica, NOW + DELAY)
    assert looks == []


def test_a_change_whose_parent_is_logged_after_it_is_due_all_the_same(log: Logbook, replica: Replica) -> None:
    parent = loosened()
    wish = reform(following(parent, name="later"), change_id="chg_2")
    both = (approve(wish, name, under=parent) for name in ("alice", "carol"))
    log.approve(workspace_request(wish, *both))
    log.approve(workspace_request(reform(parent)))
    replica.follow()
    assert due(replica, NOW + DELAY, parent)


@pytest.mark.parametrize(
    "fault",
    [LocalError("no room on the disk"), Unavailable("the token is gone", Reason.HSM_UNAVAILABLE), MemoryError()],
)
def test_a_fault_of_this_machine_passes_over_no_change_that_people_have_approved(
    log: Logbook, replica: Replica, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """It would be passed over for ever: here a key that was revoked would sign on, and at the others not."""
    wish = reform(loosened())
    log.approve(workspace_request(wish, approve(wish, "alice"), approve(wish, "carol")), at=NOW)
    with monkeypatch.context() as patched:
        patched.setattr("oms_core.history.verify_change", Failing(fault))
        with pytest.raises(type(fault)):
            replica.follow()
    assert not due(replica, NOW + DELAY), "none of the transaction was kept"
    replica.follow()
    with monkeypatch.context() as patched:
        patched.setattr("oms_core.history.verify_change", Failing(fault))
        with pytest.raises(type(fault)):
            due(replica, NOW + DELAY)
    assert due(replica, NOW + DELAY)


class Failing:
    """Always with this."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def __call__(self, *_: object) -> None:
        raise self.fault


@pytest.mark.parametrize("table", ["log_changes", "log_versions"])
def test_what_is_damaged_in_the_store_says_nothing_of_the_log(log: Logbook, replica: Replica, table: str) -> None:
    wish = reform(loosened())
    log.approve(workspace_request(wish, approve(wish, "alice"), approve(wish, "carol")), at=NOW)
    replica.follow()
    column = {"log_changes": "request", "log_versions": "document"}[table]
    with replica.store.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET {column} = x'00'"))
    log.authorize(asked(order(50)))
    replica.history = History()
    with pytest.raises(LocalError, match="damaged"):
        due(replica.follow(), NOW + DELAY)


def test_history_outlives_the_process(log: Logbook, replica: Replica) -> None:
    wish = reform(loosened())
    log.approve(workspace_request(wish, approve(wish, "alice"), approve(wish, "carol")))
    log.authorize(asked(order(50)))
    replica.follow()
    replica.store.dispose()
    again = Replica(open_store(Path(str(replica.store.url.database))), log)
    again.size = replica.size
    log.authorize(asked(order(60, 2), nonce=8, under=loosened()))
    assert again.follow().counted() == [50, 60]
    assert due(again, NOW + DELAY)
