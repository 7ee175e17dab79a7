"""Nothing is signed but what stands in the log that this node follows, and that enough witnesses vouch for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosigner.guard import Creation, Guard, Presigning, Signing
from oms_core.authorize import execution_digest
from oms_core.chains.intent import CLOCK_SKEW, Intent, subject_digest
from oms_core.encoding import encode
from oms_core.errors import Malformed, Reason, Refused
from oms_core.evidence import PresignRequest, ProbeRequest, SignRequest
from oms_core.history import AUTHORIZED_FOR
from oms_core.keys import Change, KeyState
from oms_core.log.quorum import share
from oms_core.policy.rules import DAY
from oms_core.workspace import Workspace, workspace_digest
from tests.people import (
    DELAY,
    DENIED,
    EXECUTION,
    NOW,
    approve,
    change,
    change_request,
    create_request,
    following,
    intent,
    keys,
    reform,
    sign_request,
    wish,
    workspace,
    workspace_request,
)
from tests.unit.cosigner.node import KEY_ID, Node
from tests.unit.cosigner.specs import ALL, refused, spec
from tests.witnessed import FOUR, THREE, TWO

FRESH = workspace().log.fresh_for
WINDOW = workspace().log.degraded_window
PART = share(5)


def order(amount: int = 50, number: int = 1, nonce: int = 7, exact: bool = False, **changes: object) -> SignRequest:
    """A small order; with ``exact``, somebody has approved this transaction."""
    subject = intent(amount, intent_id=f"int_{number}", **changes)
    execution = replace(EXECUTION, nonce=nonce)
    people = ("ravi", "olga") if amount > 100 else ("olga",) if exact else ()
    bound = execution_digest(execution) if exact else b""
    approvals = tuple(approve(subject, name, execution=bound) for name in people)
    return sign_request(subject, *approvals, execution=execution)


def why(guard: Guard, request: SignRequest, note: bytes, now: int = NOW) -> Reason | None:
    """Why it is refused with this note; None if it is granted."""
    try:
        guard.decide(spec(request), request, now, note)
    except Refused as error:
        return error.reason
    return None


# What has to stand in the log


def test_what_does_not_stand_in_the_log_is_not_signed(guard: Guard, node: Node) -> None:
    node.log.add("order.approved", "txn_1", encode(order()))
    node.follow()
    assert why(guard, order(), node.log.note()) is Reason.NOT_LOGGED


@pytest.mark.parametrize("note", [b"", b"nonsense"])
def test_without_a_note_nothing_is_signed(guard: Guard, node: Node, note: bytes) -> None:
    request = order()
    node.logged(request)
    assert why(guard, request, note) is Reason.NOT_LOGGED


def test_a_note_from_before_the_orders_entry_does_not_cover_it(guard: Guard, node: Node) -> None:
    request = order()
    before = node.log.note()
    after = node.logged(request)
    assert why(guard, request, before) is Reason.NOT_LOGGED
    assert why(guard, request, after) is None


def test_an_entry_that_this_node_has_not_followed_does_not_count_however_many_others_vouch_for_it(
    guard: Guard, node: Node
) -> None:
    node.follow()
    request = order()
    node.log.authorize(request)
    assert why(guard, request, node.log.note()) is Reason.NOT_LOGGED


def test_the_request_itself_has_to_stand_there_and_not_another_one_for_the_same_order(guard: Guard, node: Node) -> None:
    subject = intent()
    bare, approved = sign_request(subject), sign_request(subject, approve(subject, "olga"))
    node.logged(bare)
    assert why(guard, approved, node.log.note()) is Reason.NOT_LOGGED
    assert why(guard, approved, node.logged(approved)) is None
    assert why(guard, bare, node.log.note()) is Reason.NOT_LOGGED


def test_an_authorisation_is_good_for_five_minutes_and_then_has_to_be_logged_anew(guard: Guard, node: Node) -> None:
    request = order()
    node.logged(request)
    for after, expected in ((AUTHORIZED_FOR, None), (AUTHORIZED_FOR + 1, Reason.NOT_LOGGED)):
        node.follow(NOW + after)
        assert why(guard, request, node.log.note(at=NOW + after), NOW + after) is expected
    late = NOW + AUTHORIZED_FOR + 1
    assert why(guard, request, node.logged(request, late), late) is None


def test_people_and_rules_are_heard_before_it_is_said_that_nothing_was_logged(guard: Guard, node: Node) -> None:
    for request, reason in (
        (sign_request(intent(500)), Reason.APPROVAL_MISSING),
        (sign_request(intent(to=DENIED)), Reason.DENIED_BY_RULE),
    ):
        assert why(guard, request, b"") is reason


def test_a_wish_for_a_wallet_has_to_stand_in_the_log_too(guard: Guard, node: Node) -> None:
    seen_in_full(node)
    wanted = wish(wallet_id="wal_2")
    request = create_request(wanted, approve(wanted, "sam"), approve(wanted, "sonja"))
    made = spec(request, protocol="create-key", key_id=subject_digest(wanted), epoch_hash=b"", parties=ALL)
    with pytest.raises(Refused) as caught:
        guard.decide(made, request, NOW, node.log.note())
    assert caught.value.reason is Reason.NOT_LOGGED
    with pytest.raises(Refused) as caught:
        guard.decide(made, request, NOW, node.logged(request, by=TWO))
    assert caught.value.reason is Reason.NOT_LOGGED
    assert isinstance(guard.decide(made, request, NOW, node.logged(request, by=THREE)), Creation)


@pytest.mark.usefixtures("at_now", "guard")
def test_a_key_is_suspended_without_the_log_and_changed_in_no_other_way(node: Node) -> None:
    for wanted in (Change.DEACTIVATE, Change.SUSPEND, Change.RESUME):
        subject = change(wanted)
        request = change_request(subject, approve(subject, "sam"), approve(subject, "sonja"))
        if wanted is Change.SUSPEND:
            assert node.keys.change(encode(request), b"").receipt.state is KeyState.SUSPENDED
            continue
        with pytest.raises(Refused) as caught:
            node.keys.change(encode(request), b"")
        assert caught.value.reason is Reason.NOT_LOGGED
    assert node.keys.change(encode(request), node.logged(request)).receipt.state is KeyState.ACTIVE


def test_a_presignature_and_a_test_signature_need_no_log(guard: Guard, node: Node) -> None:
    request = PresignRequest(KEY_ID, "wal_1", ())
    assert isinstance(guard.decide(spec(request, protocol="presign"), request, NOW, b""), Presigning)
    probe = ProbeRequest(KEY_ID, "wal_1")
    assert refused(guard, spec(probe), probe).reason is Reason.WRONG_STATE  # the key is in use, and that is all


def test_a_node_that_has_seen_a_fork_takes_part_in_nothing_over_restarts(guard: Guard, node: Node) -> None:
    request, presign = order(), PresignRequest(KEY_ID, "wal_1", ())
    other = node.log.fork()
    node.logged(request)
    other.authorize(order(60, 2))
    assert why(guard, request, other.note()) is Reason.LOG_FORKED
    for _ in range(2):
        assert why(node.guard, request, node.log.note()) is Reason.LOG_FORKED
        with pytest.raises(Refused) as caught:
            node.guard.decide(spec(presign, protocol="presign"), presign, NOW, b"")
        assert caught.value.reason is Reason.LOG_FORKED
        node.restart()


# How many vouch for it, and when


@pytest.mark.parametrize(
    ("by", "expected"), [(ALL, None), (FOUR, None), (THREE, Reason.EXACT_BYTES_NEEDED), (TWO, Reason.NOT_LOGGED)]
)
def test_four_witnesses_are_enough_three_want_exact_bytes_and_two_are_nobody(
    guard: Guard, node: Node, by: tuple[int, ...], expected: Reason | None
) -> None:
    seen_in_full(node)
    request = order()
    assert why(guard, request, node.logged(request, by=by)) is expected


def seen_in_full(node: Node) -> None:
    """The node has seen a head with full cosignatures."""
    node.follow()
    node.witness.check_cover(node.log.note(), 0, workspace(), NOW)


def test_with_three_witnesses_an_approval_of_the_exact_transaction_is_signed(guard: Guard, node: Node) -> None:
    seen_in_full(node)
    request = order(exact=True)
    granted = guard.decide(spec(request), request, NOW, node.logged(request, by=THREE))
    assert isinstance(granted, Signing)
    assert granted.share == PART


def test_with_three_witnesses_a_limit_over_time_counts_a_third_and_a_limit_on_one_order_wholly(
    guard: Guard, node: Node
) -> None:
    """2000 a day, and 1000 in one order."""
    seen_in_full(node)
    for number, (amount, expected) in enumerate(((2000 // PART, None), (1, Reason.VELOCITY_EXCEEDED))):
        request = order(amount, number, nonce=number, exact=True)
        assert why(guard, request, node.logged(request, by=THREE)) is expected
    assert why(guard, request, node.log.note(by=FOUR)) is None


def test_a_note_is_fresh_as_long_as_the_workspace_says(guard: Guard, node: Node) -> None:
    request = order()
    node.logged(request)
    for after, expected in ((FRESH, None), (FRESH + 1, Reason.LOG_STALE)):
        assert why(guard, request, node.log.note(at=NOW), NOW + after) is expected


def test_two_witnesses_with_clocks_that_run_ahead_make_nothing_fresh(guard: Guard, node: Node) -> None:
    request = order()
    node.logged(request)
    times = {1: NOW + FRESH, 2: NOW + FRESH, 3: NOW - 1, 4: NOW - 1}
    assert why(guard, request, node.log.note(times=times), NOW + FRESH) is Reason.LOG_STALE


def test_a_cosignature_of_the_future_does_not_count(guard: Guard, node: Node) -> None:
    seen_in_full(node)
    request = order()
    node.logged(request)
    times = {4: NOW + CLOCK_SKEW + 1}
    assert why(guard, request, node.log.note(times=times)) is Reason.EXACT_BYTES_NEEDED
    times = {4: NOW + CLOCK_SKEW}
    assert why(guard, request, node.log.note(times=times)) is None


def test_a_node_that_has_seen_no_full_head_for_the_degraded_window_signs_nothing(guard: Guard, node: Node) -> None:
    seen_in_full(node)
    for number, (after, expected) in enumerate(((WINDOW, None), (WINDOW + 1, Reason.LOG_STALE))):
        now = NOW + after
        long = {"valid_until": NOW + 2 * WINDOW}
        subject = intent(50, intent_id=f"int_{number}", **long)
        execution = replace(EXECUTION, nonce=number)
        approval = approve(subject, "olga", expires_at=NOW + 2 * WINDOW, execution=execution_digest(execution))
        request = sign_request(subject, approval, execution=execution)
        assert why(guard, request, node.logged(request, now, by=THREE), now) is expected
    assert why(guard, request, node.log.note(by=FOUR, at=now), now) is None


# What was before


def test_what_was_authorised_and_never_signed_counts_against_others(guard: Guard, node: Node) -> None:
    for number in range(2):
        node.logged(order(1000, number, nonce=number))
    late = order(10, 3, nonce=3)
    assert why(guard, late, node.logged(late)) is Reason.VELOCITY_EXCEEDED


@pytest.mark.covers("C16")
def test_an_order_counts_in_the_window_of_its_entry_and_not_in_that_of_the_moment_at_which_it_is_signed(
    guard: Guard, node: Node
) -> None:
    """An entry is good for minutes: all that was logged in one window would be signed when that is just over."""
    for number in range(2):
        node.logged(order(1000, number, nonce=number), NOW - DAY + 100)
    late = order(10, 3, nonce=3)
    node.logged(late)
    for after in (0, 100, 200):
        node.follow(NOW + after)
        assert why(guard, late, node.log.note(at=NOW + after), NOW + after) is Reason.VELOCITY_EXCEEDED
    assert why(guard, late, node.logged(late, NOW + 200), NOW + 200) is None


def test_the_order_that_was_logged_first_wins_whichever_is_asked_for_first(guard: Guard, node: Node) -> None:
    first, second, third = (order(900, number, nonce=number) for number in range(3))
    for request in (first, second, third):
        node.log.authorize(request)
    node.follow()
    note = node.log.note()
    assert [why(guard, one, note) for one in (third, second, first)] == [Reason.VELOCITY_EXCEEDED, None, None]


def test_a_second_transaction_for_an_order_is_refused_although_nothing_was_signed_for_the_first(
    guard: Guard, node: Node
) -> None:
    subject = intent()
    first, second = (sign_request(subject, execution=replace(EXECUTION, nonce=nonce)) for nonce in (7, 8))
    node.logged(first)
    note = node.logged(second)
    assert why(guard, second, note) is Reason.DOUBLE_SIGN_GUARD
    assert why(guard, first, note) is None
    assert node.committed() == []


def test_a_counter_that_the_log_has_for_another_approval_refuses_this_one(guard: Guard, node: Node) -> None:
    node.logged(order(500, 1))
    cloned = keys().approvers["ravi"]
    text = cloned._path.read_text()
    cloned._path.write_text(text.replace(f'"counter": {cloned._counter}', f'"counter": {cloned._counter - 1}'))
    request = order(600, 2, nonce=8)
    assert why(guard, request, node.logged(request)) is Reason.COUNTER_REGRESSION


@pytest.mark.parametrize("nonce", [1 << 63, (1 << 64) - 1])
def test_a_nonce_that_no_account_comes_to_is_refused_and_not_looked_up(guard: Guard, node: Node, nonce: int) -> None:
    request = order(nonce=nonce)
    assert why(guard, request, node.logged(request)) is Reason.DOUBLE_SIGN_GUARD


# A newer version


def loosened() -> Workspace:
    return following(rules=tuple(rule for rule in workspace().rules if rule.rule_id != "deny-eve"))


def test_a_node_grants_nothing_under_a_version_whose_successor_is_due(guard: Guard, node: Node) -> None:
    wanted = reform(loosened())
    node.log.approve(workspace_request(wanted, approve(wanted, "alice"), approve(wanted, "carol")))
    for number, after in enumerate((DELAY - 1, DELAY)):
        request = order(number=number, nonce=number)
        reason = why(guard, request, node.logged(request, NOW + after), NOW + after)
        assert reason is (Reason.POLICY_VERSION_MISMATCH if after == DELAY else None)


def test_a_change_that_lacks_approvals_stops_nobody(guard: Guard, node: Node) -> None:
    wanted = reform(loosened())
    node.log.approve(workspace_request(wanted, approve(wanted, "alice")))
    request = order()
    assert why(guard, request, node.logged(request, NOW + DELAY), NOW + DELAY) is None


def test_a_change_to_a_version_of_a_number_beyond_words_stops_nobody(guard: Guard, node: Node) -> None:
    """Whoever writes the log needs nobody's signature for such an entry, and it would stand there for ever."""
    node.log.approve(workspace_request(reform(replace(loosened(), version=10**4000))))
    request = order()
    assert why(guard, request, node.logged(request)) is None
    node.log.approve(workspace_request(reform(replace(loosened(), version=10**5000))))
    with pytest.raises(Malformed):
        node.follow()
    assert why(guard, request, node.log.note(3)) is None


def test_an_order_under_a_later_version_counts_at_a_node_that_has_not_adopted_it(guard: Guard, node: Node) -> None:
    wanted = reform(loosened())
    node.log.approve(workspace_request(wanted, approve(wanted, "alice"), approve(wanted, "carol")))
    for number in range(2):
        request = replace(order(1000, number, nonce=number), workspace=workspace_digest(loosened()))
        node.log.authorize(request)
    late = order(10, 3, nonce=3)
    assert why(guard, late, node.logged(late)) is Reason.VELOCITY_EXCEEDED


def test_of_a_wait_of_months_only_the_last_entry_counts(guard: Guard, node: Node) -> None:
    """The order was logged three times: its own earlier entries, and what others spent long ago, are no hindrance."""
    subject: Intent = intent(1000, valid_from=NOW - 60 * DAY, valid_until=NOW + DAY)
    give = {"decided_at": NOW - 5, "expires_at": NOW + 500}
    request = sign_request(subject, *(approve(subject, name, **give) for name in ("ravi", "olga")))
    for ago in (60, 30):
        node.log.authorize(request, NOW - ago * DAY)
        node.log.authorize(order(1000, ago, nonce=ago), NOW - ago * DAY)
    assert why(guard, request, node.logged(request)) is None
