"""What the log's items come to: what was authorised, what it counts for, and when a change of the workspace is due."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.authorize import authorize
from oms_core.chains.intent import Bounds, Call, subject_digest
from oms_core.encoding import encode
from oms_core.errors import (
    CountersealError,
    LocalError,
    Malformed,
    NotFound,
    ProofInvalid,
    Reason,
    Refused,
    Unavailable,
)
from oms_core.evidence import request_digest
from oms_core.history import (
    Approved,
    Authorization,
    Began,
    Effect,
    authorization,
    counts_at,
    pressed_in,
    presses,
    read_effect,
    spends_in,
    worst,
)
from oms_core.log.entries import AUTHORIZED, GENESIS, WORKSPACE_APPROVED, Item, Record, item, read_entry
from oms_core.policy.facts import Facts
from oms_core.policy.spends import UNPRICED, spends
from oms_core.workspace import Workspace, workspace_digest
from tests.people import (
    DELAY,
    EXECUTION,
    NOW,
    STRANGE,
    approve,
    change,
    change_request,
    create_request,
    following,
    intent,
    keys,
    reform,
    sign_request,
    spend,
    wish,
    workspace,
    workspace_request,
)

SALT = bytes(16)
ORDERED = sign_request(intent()).proposal


def made(event: str, *documents: bytes, index: int = 7) -> Item:
    return item(index, NOW, event, "", -1, Record("coordinator", b"", "", documents), SALT)


def effect(one: Item) -> Effect | None:
    return read_effect(read_entry(one.entry), one)


def test_the_first_entry_says_with_which_workspace_the_log_begins() -> None:
    found = effect(made(GENESIS, encode(workspace()), index=0))
    assert found == Began(workspace_digest(workspace()), workspace())


@pytest.mark.parametrize(("event", "index"), [(GENESIS, 1), ("order.submitted", 0), (AUTHORIZED, 0)])
def test_a_log_begins_once_and_with_its_beginning(event: str, index: int) -> None:
    with pytest.raises(Malformed, match="begins with it"):
        effect(made(event, encode(workspace()), index=index))


def test_what_is_not_replayed_is_passed_over_whatever_its_record_holds() -> None:
    assert effect(made("order.submitted", b"no document")) is None
    erased = replace(made("order.submitted", b"name"), record=b"", salt=b"")
    assert effect(erased) is None


def test_an_order_is_known_by_its_subject_its_request_and_what_is_signed_for_it() -> None:
    subject = intent(500)
    request = sign_request(subject, approve(subject, "ravi"), approve(subject, "olga"))
    found = effect(made(AUTHORIZED, encode(request)))
    assert isinstance(found, Authorization)
    assert (found.subject, found.request) == (subject_digest(subject), request_digest(request))
    assert found.signs == authorize(request, workspace(), Facts(NOW)).digest
    assert found.workspace == workspace_digest(workspace())


def test_each_assertion_that_counts_is_known_by_its_credential_and_counter() -> None:
    subject = intent(500)
    request = sign_request(subject, approve(subject, "ravi"), approve(subject, "olga"))
    found = effect(made(AUTHORIZED, encode(request)))
    assert isinstance(found, Authorization)
    counters = [keys().approvers[name]._counter for name in ("ravi", "olga")]
    pressed = pressed_in(found, workspace())
    assert [(one.credential, one.counter) for one in pressed] == [
        (approval.credential_id, counter) for approval, counter in zip(request.approvals, counters, strict=True)
    ]
    assert len({one.challenge for one in pressed}) == 2


def test_what_no_authenticator_of_the_workspace_has_said_uses_up_no_counter() -> None:
    """Else a coordinator that was broken into once could keep people from approving anything for ever after."""
    subject = intent(500)
    true, other = approve(subject, "ravi"), approve(intent(501), "ravi")
    forged = [
        replace(true, signature=other.signature),
        replace(true, claim=other.claim),
        replace(true, authenticator_data=true.authenticator_data[:33] + (99).to_bytes(4, "big")),
        replace(true, credential_id=approve(subject, "olga").credential_id),
        replace(true, credential_id=b"nobody's"),
        replace(true, client_data_json=b"{}"),
    ]
    found = authorization(sign_request(subject, *forged))
    assert len(presses(found.asked.approvals, workspace())) == len(forged) - 1
    assert pressed_in(found, workspace()) == ()
    assert pressed_in(authorization(sign_request(subject, true)), workspace()) == presses((true,), workspace())


def test_an_authenticator_that_does_not_count_has_no_counter_to_be_remembered() -> None:
    subject = intent(500)
    pressed = approve(subject, "ravi")
    silent = replace(pressed, authenticator_data=pressed.authenticator_data[:33] + bytes(4))
    short = replace(pressed, authenticator_data=b"short")
    found = effect(made(AUTHORIZED, encode(sign_request(subject, silent, short))))
    assert isinstance(found, Authorization)
    assert presses(found.asked.approvals, workspace()) == ()


@pytest.mark.parametrize("request_", [create_request(wish()), change_request(change())], ids=["create", "change"])
def test_a_wish_about_a_key_has_nothing_signed_and_counts_as_one_operation(request_: object) -> None:
    found = effect(made(AUTHORIZED, encode(request_)))
    assert isinstance(found, Authorization)
    assert found.signs == b""
    assert [one.amount for one in spends_in(found, workspace(), NOW)] == [0]


def test_an_authorisation_counts_for_what_its_order_does_at_the_time_of_its_entry() -> None:
    found = effect(made(AUTHORIZED, encode(sign_request(intent(50)))))
    assert isinstance(found, Authorization)
    assert spends_in(found, workspace(), NOW) == spends(workspace(), intent(50), NOW)


@pytest.mark.parametrize(
    "one",
    [
        made(AUTHORIZED),
        made(AUTHORIZED, b""),
        made(AUTHORIZED, encode(sign_request(intent())), b""),
        made(AUTHORIZED, encode(sign_request(intent())) + b"\0"),
        made(AUTHORIZED, encode(intent())),
        made(AUTHORIZED, encode(sign_request(intent(), execution=None))),
        made(AUTHORIZED, encode(sign_request(intent(), execution=replace(EXECUTION, gas_limit=10**6)))),
        made(AUTHORIZED, encode(replace(sign_request(intent()), proposal=create_request(wish()).proposal))),
        made(AUTHORIZED, encode(replace(create_request(wish()), proposal=ORDERED))),
        made(WORKSPACE_APPROVED, encode(workspace())),
        made(WORKSPACE_APPROVED, encode(replace(workspace_request(reform(following())), proposal=ORDERED))),
        made(GENESIS, encode(intent()), index=0),
        replace(made(AUTHORIZED, encode(sign_request(intent()))), record=b"", salt=b""),
        replace(made(AUTHORIZED, encode(sign_request(intent()))), salt=bytes(15) + b"\1"),
    ],
)  # fmt: skip
def test_what_says_that_it_is_replayed_and_cannot_be_read_is_no_item_of_the_log(one: Item) -> None:
    with pytest.raises(Malformed):
        effect(one)


def test_an_order_that_the_workspace_cannot_explain_is_no_item_either() -> None:
    """A call with the selector of a token's transfer, to what is no token."""
    call = intent(action=Call(STRANGE, 0, bytes.fromhex("a9059cbb") + bytes(64)))
    found = effect(made(AUTHORIZED, encode(sign_request(call, execution=replace(EXECUTION, gas_limit=90_000)))))
    assert isinstance(found, Authorization)
    with pytest.raises(Malformed) as caught:
        spends_in(found, workspace(), NOW)
    assert caught.value.reason is Reason.ACTION_MISMATCH


@pytest.mark.parametrize(
    "changes",
    [
        {"decimals": -1},
        {"decimals": 10**12},
        {"decimals": 10**4000},
        {"usd_micro": -5},
        {"usd_micro": 10**4000},
    ],
    ids=["negative", "many", "astronomical", "less than nothing", "priceless"],
)
def test_in_a_version_that_nobody_has_checked_what_has_an_impossible_price_has_none(changes: dict[str, int]) -> None:
    """To raise ten to the power of such decimals takes for ever, and nothing interrupts it."""
    priced = replace(workspace(), assets=tuple(replace(one, **changes) for one in workspace().assets))
    found = effect(made(AUTHORIZED, encode(sign_request(intent(50)))))
    assert isinstance(found, Authorization)
    assert {one.usd_micro for one in spends_in(found, priced, NOW)} == {UNPRICED}


def test_an_order_whose_bounds_are_beyond_all_fees_is_no_item() -> None:
    """What it may pay as fee is counted, too, and is kept as a number in words."""
    boundless = intent(50, bounds=Bounds(10**4000, 100_000))
    with pytest.raises(Malformed):
        effect(made(AUTHORIZED, encode(sign_request(boundless))))


# What several versions make of one order


def test_what_several_versions_read_alike_counts_once() -> None:
    assert worst((spend(50),), (spend(50),)) == (spend(50),)


def test_of_what_is_alike_the_most_counts_and_what_has_no_price_in_one_has_none() -> None:
    cheap, dear, unpriced = (spend(50, usd_micro=worth) for worth in (1, 9, UNPRICED))
    for both in ((cheap, dear), (dear, cheap)):
        assert worst(*((one,) for one in both)) == (replace(both[0], usd_micro=9),)
    assert [one.usd_micro for one in worst((dear,), (unpriced,), (cheap,))] == [UNPRICED]


def test_what_only_one_version_sees_counts_too() -> None:
    plain, other = spend(50), spend(50, protocol="aave")
    assert worst((plain,), (other,)) == (plain, other)


# Changes of the workspace


def loosened() -> Workspace:
    return following(rules=tuple(rule for rule in workspace().rules if rule.rule_id != "deny-eve"))


def test_an_approved_change_is_known_with_the_version_that_it_leads_to() -> None:
    subject = reform(loosened())
    request = workspace_request(subject, approve(subject, "alice"), approve(subject, "carol"))
    found = effect(made(WORKSPACE_APPROVED, encode(request)))
    assert found == Approved(subject_digest(subject), workspace_digest(subject.next), request, subject.next)


def test_a_change_is_due_when_the_delay_is_over_that_the_present_governance_asks_for() -> None:
    subject = reform(loosened())
    request = workspace_request(subject, approve(subject, "alice"), approve(subject, "carol"))
    assert counts_at(request, workspace(), NOW) == NOW + DELAY


def test_a_change_that_people_have_not_approved_or_that_stands_on_another_version_is_never_due() -> None:
    subject = reform(loosened())
    whole = workspace_request(subject, approve(subject, "alice"), approve(subject, "carol"))
    assert counts_at(workspace_request(subject, approve(subject, "alice")), workspace(), NOW) is None
    assert counts_at(whole, following(name="other"), NOW) is None
    assert counts_at(whole, workspace(), NOW + 5000) is None  # its approvals were over when it was logged


@pytest.mark.parametrize("reason", [Malformed, Refused, NotFound, ProofInvalid])
def test_what_a_request_itself_is_at_fault_for_makes_it_never_due(
    monkeypatch: pytest.MonkeyPatch, reason: type[CountersealError]
) -> None:
    def judged(*_: object) -> None:
        raise reason("no")

    monkeypatch.setattr("oms_core.history.verify_change", judged)
    assert counts_at(workspace_request(reform(loosened())), workspace(), NOW) is None


@pytest.mark.parametrize("reason", [LocalError, Unavailable])
def test_what_this_machine_is_at_fault_for_says_nothing_of_an_entry(
    monkeypatch: pytest.MonkeyPatch, reason: type[CountersealError]
) -> None:
    def failed(*_: object) -> None:
        raise reason("no room on the disk")

    monkeypatch.setattr("oms_core.history.verify_change", failed)
    monkeypatch.setattr("oms_core.history.spends", failed)
    with pytest.raises(reason):
        counts_at(workspace_request(reform(loosened())), workspace(), NOW)
    with pytest.raises(reason):
        spends_in(authorization(sign_request(intent())), workspace(), NOW)
