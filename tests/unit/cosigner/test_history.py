"""What a node counts by: the log that it has followed, whoever signed what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from cosigner.store import log_changes, log_counters, log_versions, open_store
from oms.authenticator import SoftwareAuthenticator
from oms_core.authorize import authorize, look_back
from oms_core.chains.intent import subject_digest
from oms_core.encoding import encode
from oms_core.errors import LocalError, Malformed, Reason, Refused
from oms_core.evidence import request_digest
from oms_core.history import presses
from oms_core.log.entries import AUTHORIZED
from oms_core.policy.hours import UTC
from oms_core.policy.rules import DAY, Calendar, Cap, Unit
from oms_core.workspace import Workspace, workspace_digest
from tests.people import (
    NOW,
    ORIGIN,
    RULES,
    approve,
    following,
    reform,
    rules,
    sign_request,
    workspace,
    workspace_request,
)
from tests.unit.cosigner.replicas import Replica, asked, order
from tests.unit.cosigner.test_chain import disabled
from tests.witnessed import BEGAN, Logbook


def test_what_was_authorised_counts_for_all_that_were_authorised_later(log: Logbook, replica: Replica) -> None:
    first, second = order(50, 1), order(60, 2)
    log.authorize(asked(first))
    log.authorize(asked(second, nonce=8))
    replica.follow()
    assert replica.counted(first) == []
    assert replica.counted(second) == [50]
    assert replica.counted() == [50, 60]


def test_a_version_in_a_piece_of_the_log_that_was_not_taken_in_is_not_known(log: Logbook, replica: Replica) -> None:
    """Else a node could be brought to follow what no other one can."""
    before, dearer = log.fork(), following(name="dearer")
    log.approve(workspace_request(reform(dearer)))
    log.authorize(asked(order(50), under=dearer))
    log.add(AUTHORIZED, "junk", b"junk")
    with pytest.raises(Malformed):
        replica.follow()
    before.authorize(asked(order(50), under=dearer))
    replica.log = before
    with pytest.raises(Malformed, match="not in the log"):
        replica.follow()


def test_what_stands_in_the_store_for_a_version_or_a_change_is_what_its_digest_says(
    log: Logbook, replica: Replica, tmp_path: Path
) -> None:
    """Else whoever writes to the disk says what an order is worth, and whom people have revoked."""
    cheaper = replace(workspace(), assets=tuple(replace(one, usd_micro=1) for one in workspace().assets))
    replica.follow()
    with replica.store.begin() as connection:
        connection.execute(update(log_versions).values(document=encode(cheaper)))
    log.authorize(asked(order(50)))
    with pytest.raises(LocalError) as caught:
        replica.follow()
    assert caught.value.reason is Reason.STORE_CORRUPT
    log, mild = Logbook(), reform(following(name="as before"))
    wanted = reform(disabled("olga"))
    log.approve(workspace_request(wanted, approve(wanted, "alice"), approve(wanted, "carol")))
    replica = Replica(open_store(tmp_path / "other.sqlite"), log).follow()
    with replica.store.begin() as connection:
        connection.execute(update(log_changes).values(request=encode(workspace_request(mild))))
        with pytest.raises(LocalError) as caught:
            replica.history.check_due(connection, workspace(), NOW)
    assert caught.value.reason is Reason.STORE_CORRUPT


def test_of_two_orders_the_one_that_was_logged_first_wins_at_a_node_that_follows_late(
    log: Logbook, replica: Replica, tmp_path: Path
) -> None:
    first, second = order(50, 1), order(60, 2)
    log.authorize(asked(first))
    early = replica.follow()
    log.authorize(asked(second, nonce=8))
    assert early.counted(first) == []
    late = Replica(open_store(tmp_path / "late.sqlite"), log).follow()
    for one in (early.follow(), late):
        assert (one.counted(first), one.counted(second)) == ([], [50])


def test_a_retried_order_counts_once_and_at_its_last_time(log: Logbook, replica: Replica) -> None:
    one = order(50)
    for at in (NOW - 400, NOW - 200, NOW):
        log.authorize(asked(one), at=at)
    replica.follow()
    assert replica.counted() == [50]
    assert [spend.at for spend in replica.facts().spent if spend.operation >= 0] == [NOW]


def test_an_order_that_was_logged_early_counts_all_that_came_before_it_was_logged_last(
    log: Logbook, replica: Replica
) -> None:
    """To have it stand in the log early gains nothing: it is the last entry by which it is signed."""
    early, between, late = order(50, 1), order(60, 2), order(70, 3)
    for number, one in enumerate((early, between, early, late)):
        log.authorize(asked(one, nonce=number if one is not early else 0))
    replica.follow()
    assert replica.counted(early) == [60]
    assert replica.counted(between) == [50]


def test_an_order_that_waited_for_months_counts_when_it_was_logged_last(log: Logbook, replica: Replica) -> None:
    waiting = order(50, 1)
    log.authorize(asked(waiting), at=BEGAN)
    log.authorize(asked(order(60, 2), nonce=8), at=NOW - 60)
    replica.follow()
    assert replica.counted() == [60]
    log.authorize(asked(waiting), at=NOW)
    replica.follow()
    assert replica.counted() == [50, 60]
    assert replica.counted(waiting) == [60]


@pytest.mark.covers("C16")
def test_what_fills_a_day_just_before_midnight_fills_it_also_for_what_is_signed_just_after(tmp_path: Path) -> None:
    """Entries are good for minutes; else any number of orders could be logged in one day, and signed in the next."""
    day = Cap(Unit.BASE, 2000, seconds=0, per=(), calendar=Calendar.DAY, zone=UTC)
    by_day = tuple(
        replace(one, caps=tuple(replace(day) if cap.seconds else cap for cap in one.caps)) for one in rules()
    )
    daily = replace(workspace(), rules=by_day)
    log, midnight = Logbook(daily), -(-NOW // DAY) * DAY
    long = {"valid_from": midnight - 500, "valid_until": midnight + 1000}
    given = {"decided_at": midnight - 400, "expires_at": midnight + 500, "under": daily}
    orders = [order(900, number, **long) for number in range(6)]
    requests = []
    for number, one in enumerate(orders):
        approvals = (approve(one, name, **given) for name in ("ravi", "olga"))
        requests.append(replace(asked(one, number, daily), approvals=tuple(approvals)))
        log.authorize(requests[-1], at=midnight - 60 + number)
    replica = Replica(open_store(tmp_path / "store.sqlite"), log).follow()

    def refused(now: int) -> list[Reason | None]:
        given: list[Reason | None] = []
        for one, request in zip(orders, requests, strict=True):
            try:
                authorize(request, daily, replica.facts(one, now, 3 * DAY))
                given.append(None)
            except Refused as error:
                given.append(error.reason)
        return given

    full = Reason.VELOCITY_EXCEEDED
    assert refused(midnight - 1) == refused(midnight + 1) == [None, None, full, full, full, full]
    log.authorize(requests[5], at=midnight + 10)
    replica.follow()
    assert refused(midnight + 11) == [None, None, full, full, full, None]
    replica.store.dispose()


def test_spends_are_read_as_far_back_as_is_asked_for_and_no_further(log: Logbook, replica: Replica) -> None:
    for number, age in enumerate((600, 60, 0)):
        log.authorize(asked(order(10 + number, number), nonce=number), at=NOW - age)
    replica.follow()
    amounts = {back: replica.counted(back=back) for back in (0, 60, 61, 1000)}
    assert amounts == {0: [], 60: [12], 61: [11, 12], 1000: [10, 11, 12]}


def test_a_node_says_where_a_subject_stands_and_nothing_of_what_it_never_saw(log: Logbook, replica: Replica) -> None:
    one, request = order(50), asked(order(50))
    log.authorize(request, at=NOW - 200)
    log.add("order.signing", "txn_1", b"more")
    last = log.authorize(request, at=NOW)
    replica.follow()
    with replica.store.begin() as connection:
        found = replica.history.authorized(connection, subject_digest(one))
        assert replica.history.authorized(connection, bytes(32)) is None
    assert found is not None
    assert (found.first, found.last, found.at, found.request) == (1, last, NOW, request_digest(request))


def test_of_two_digests_for_one_order_the_first_stands_for_ever(log: Logbook, replica: Replica) -> None:
    one = order(50)
    first = asked(one, nonce=7)
    index = log.authorize(first)
    log.authorize(asked(one, nonce=8))
    replica.follow()
    with replica.store.begin() as connection:
        found = replica.history.authorized(connection, subject_digest(one))
    assert found is not None
    assert (found.last, found.request) == (index, request_digest(first))


def test_an_order_under_a_version_that_is_not_in_the_log_is_no_item_of_it(log: Logbook, replica: Replica) -> None:
    log.authorize(asked(order(50), under=following(name="other")))
    with pytest.raises(Malformed, match="not in the log"):
        replica.follow()


def test_a_batch_that_cannot_be_read_leaves_nothing_behind(log: Logbook, replica: Replica) -> None:
    log.authorize(asked(order(50)))
    replica.follow(1)
    log.add(AUTHORIZED, "txn_1", b"nothing")
    with pytest.raises(Malformed):
        replica.follow()
    assert replica.counted() == []


# The same order under several versions of the workspace


def repriced(usd: str) -> Workspace:
    assets = tuple(replace(one, usd_micro=int(usd) * 10**6) for one in workspace().assets)
    return following(assets=assets)


def logged_version(log: Logbook, version: Workspace) -> None:
    log.approve(workspace_request(reform(version)))


def test_an_order_counts_by_what_it_was_worth_under_the_version_that_it_names(log: Logbook, replica: Replica) -> None:
    dear = repriced("5000")
    logged_version(log, dear)
    one = order(10**18)
    log.authorize(asked(one, under=dear))
    replica.follow()
    worths = [spend.usd_micro for spend in replica.facts().spent if spend.operation >= 0]
    assert worths == [5000 * 10**6]


@pytest.mark.parametrize("order_of", ["dear first", "cheap first"])
def test_nobody_makes_an_order_count_for_less_by_logging_it_under_another_version_as_well(
    order_of: str, log: Logbook, replica: Replica
) -> None:
    dear, cheap = repriced("5000"), repriced("1")
    for version in (dear, cheap):
        logged_version(log, version)
    one = order(10**18)
    for version in (dear, cheap) if order_of == "dear first" else (cheap, dear):
        log.authorize(asked(one, under=version))
    replica.follow()
    worths = [spend.usd_micro for spend in replica.facts().spent if spend.operation >= 0]
    assert worths == [5000 * 10**6]


# Counters of authenticators


def test_a_counter_that_the_log_has_for_one_approval_is_refused_for_another(log: Logbook, replica: Replica) -> None:
    one, other = order(500, 1), order(500, 2)
    approval = approve(one, "ravi")
    log.authorize(sign_request(one, approval))
    replica.follow()
    cloned = approve(other, "ravi")
    data = cloned.authenticator_data[:33] + approval.authenticator_data[33:37]
    with replica.store.begin() as connection:
        replica.history.check_pressed(connection, presses((approval,), workspace()))
        replica.history.check_pressed(connection, presses((cloned,), workspace()))
        again = presses((replace(cloned, authenticator_data=data),), workspace())
        with pytest.raises(Refused) as caught:
            replica.history.check_pressed(connection, again)
    assert caught.value.reason is Reason.COUNTER_REGRESSION


@pytest.mark.covers("A04")
def test_a_version_that_nobody_approved_uses_up_no_counter_of_a_key_by_giving_its_credential_another(
    log: Logbook, replica: Replica, tmp_path: Path
) -> None:
    """Whoever writes the log can have any version stand in it, with a key of its own for everybody's credential."""
    hers, subject = approve(order(500, 2), "ravi"), order(500, 1)
    held = {"rp_id": "localhost", "counter": int.from_bytes(hers.authenticator_data[33:37], "big") - 1}
    evil = SoftwareAuthenticator.create(tmp_path / "evil.json", "localhost")
    forger = json.loads((tmp_path / "evil.json").read_text()) | held | {"credential_id": hers.credential_id.hex()}
    (tmp_path / "evil.json").write_text(json.dumps(forger))
    evil = SoftwareAuthenticator(tmp_path / "evil.json")
    taken = tuple(
        replace(one, credentials=(evil.credential,)) if one.user_id == "ravi" else one for one in workspace().users
    )
    version = following(users=taken)
    log.approve(workspace_request(reform(version)))
    said = evil.approve(replace(hers.claim, subject=subject_digest(subject)), ORIGIN)
    assert said.authenticator_data == hers.authenticator_data
    log.authorize(replace(asked(subject, under=version), approvals=(said,)))
    replica.follow()
    with replica.store.begin() as connection:
        assert connection.execute(select(log_counters)).all()
        replica.history.check_pressed(connection, presses((hers,), workspace()))


def test_what_is_committed_to_counts_as_far_back_as_any_version_looks_that_its_approvals_name() -> None:
    """Of 100 a week, 60 were spent two days ago. By the current version only the last day counts."""
    week = replace(workspace(), rules=rules(RULES.replace("{amount: 2,000, every: 24h}", "{amount: 100, every: 7d}")))
    now, subject = following(week, rules=workspace().rules), order(50)
    request = sign_request(subject, approve(subject, "ravi", under=week))
    older = {workspace_digest(week): week}
    assert look_back(request, now, {}) < 2 * DAY
    assert look_back(request, now, older) > 2 * DAY
