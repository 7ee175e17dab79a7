"""A store of an earlier version: what it has kept counts on, or the node says why it does not start."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, select, update

from cosigner.store import log_counters, log_versions
from cosigner.upgrading import upgrade
from oms_core.approvals import Approval
from oms_core.encoding import encode
from oms_core.errors import LocalError, Reason, Refused
from oms_core.history import presses
from tests.people import approve, sign_request, workspace
from tests.unit.cosigner.replicas import Replica, order
from tests.witnessed import Logbook


def aged(replica: Replica, log: Logbook) -> tuple[Approval, Approval]:
    """An approval that the log has, kept as before, and another one with its counter."""
    one, other = order(500, 1), order(500, 2)
    said = approve(one, "ravi")
    log.authorize(sign_request(one, said))
    replica.follow()
    with replica.store.begin() as connection:
        connection.execute(update(log_counters).values(credential=said.credential_id))
        connection.exec_driver_sql("PRAGMA user_version = 0")
    cloned = approve(other, "ravi")
    data = cloned.authenticator_data[:33] + said.authenticator_data[33:37]
    return said, replace(cloned, authenticator_data=data)


def refused(replica: Replica, approval: Approval) -> bool:
    with replica.store.begin() as connection:
        try:
            replica.history.check_pressed(connection, presses((approval,), workspace()))
        except Refused as error:
            return error.reason is Reason.COUNTER_REGRESSION
    return False


def kept(store: Engine) -> list[tuple[object, ...]]:
    with store.begin() as connection:
        return sorted(tuple(row) for row in connection.execute(select(log_counters)))


def test_counters_that_an_earlier_version_kept_by_credential_ids_are_used_up_still(
    log: Logbook, replica: Replica
) -> None:
    said, again = aged(replica, log)
    assert not refused(replica, again)
    for _ in range(2):
        upgrade(replica.store)
        assert refused(replica, again)
        assert not refused(replica, said)
        assert len(kept(replica.store)) == 1


def test_of_a_counter_that_two_versions_of_a_store_kept_for_two_approvals_the_first_one_stands(
    log: Logbook, replica: Replica
) -> None:
    said, again = aged(replica, log)
    [made] = presses((again,), workspace())
    with replica.store.begin() as connection:
        row = {"credential": made.authenticator, "counter": made.counter, "challenge": made.challenge}
        connection.execute(log_counters.insert().values(row))
    upgrade(replica.store)
    assert refused(replica, again)
    assert not refused(replica, said)


def test_a_store_that_is_as_it_should_be_stays_as_it_is(log: Logbook, replica: Replica) -> None:
    subject = order(500)
    log.authorize(sign_request(subject, approve(subject, "ravi")))
    before = kept(replica.follow().store)
    upgrade(replica.store)
    assert kept(replica.store) == before != []


def test_a_counter_of_which_the_log_knows_no_key_stops_the_node_and_says_what_to_do(
    log: Logbook, replica: Replica
) -> None:
    aged(replica, log)
    with replica.store.begin() as connection:
        connection.execute(update(log_counters).values(credential=b"nobody's"))
    with pytest.raises(LocalError, match="cosigner reconcile") as caught:
        upgrade(replica.store)
    assert caught.value.reason is Reason.STORE_CORRUPT


def test_another_document_for_a_version_names_no_keys(log: Logbook, replica: Replica) -> None:
    aged(replica, log)
    with replica.store.begin() as connection:
        connection.execute(update(log_versions).values(document=encode(replace(workspace(), name="other"))))
    with pytest.raises(LocalError, match="another document"):
        upgrade(replica.store)


def test_a_store_of_a_later_version_is_left_alone(replica: Replica) -> None:
    with replica.store.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 99")
    with pytest.raises(LocalError, match="later version"):
        upgrade(replica.store)
