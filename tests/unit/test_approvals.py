"""An approval is for one subject, workspace, rendering, approver, verdict and expiry: it is moved to no other."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from oms_core.approvals import Approval, ApprovalClaim, Verdict, challenge
from oms_core.authorize import MAX_APPROVALS, expected_claim, verify_approval, verify_approvals, versions_since
from oms_core.chains.intent import CLOCK_SKEW, Bounds, CreateWallet, Intent, Subject, Transfer
from oms_core.errors import CountersealError, NotFound, Reason, Refused
from oms_core.workspace import Assurance, Privilege, Workspace, workspace_digest
from tests.people import COIN, NOW, ORIGIN, STRANGE, approve, following, intent, keys, person, wish, workspace

LARGE = intent(500)
OTHER: dict[str, object] = {
    "subject": bytes(32),
    "workspace": bytes(32),
    "rendering": bytes(32),
    "simulation": bytes(32),
    "execution": bytes(32),
    "approver": "olga",
    "verdict": Verdict.DENY,
    "decided_at": NOW - 6,
    "expires_at": NOW + 501,
}
FIELDS = [field.name for field in fields(ApprovalClaim)]


def claim(**changes: object) -> ApprovalClaim:
    plain = expected_claim(LARGE, workspace(), "ravi", Verdict.APPROVE, NOW - 5, NOW + 500)
    return replace(plain, **changes)  # type: ignore[arg-type]


def pressed(said: ApprovalClaim, by: str = "ravi") -> Approval:
    return keys().approvers[by].approve(said, ORIGIN)


def why(approval: Approval, subject: Subject = LARGE, under: Workspace | None = None, now: int = NOW) -> Reason:
    with pytest.raises(CountersealError) as caught:
        verify_approval(approval, under or workspace(), subject, now)
    return caught.value.reason


def test_an_approval_names_the_person_the_credential_and_the_counter() -> None:
    approver = verify_approval(pressed(claim()), workspace(), LARGE, NOW)
    assert approver.user.user_id == "ravi"
    assert approver.credential == keys().approvers["ravi"].credential
    again = verify_approval(pressed(claim()), workspace(), LARGE, NOW)
    assert again.counter > approver.counter > 0


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_a_claim_is_in_the_challenge(field: str) -> None:
    assert challenge(claim(**{field: OTHER[field]})) != challenge(claim())


@pytest.mark.parametrize("field", FIELDS)
def test_a_press_for_another_claim_does_not_count_for_this_one(field: str) -> None:
    elsewhere = pressed(claim(**{field: OTHER[field]}))
    assert why(replace(elsewhere, claim=claim())) is Reason.CHALLENGE_MISMATCH


@pytest.mark.parametrize("field", FIELDS)
def test_an_approval_whose_claim_was_changed_after_the_key_was_pressed_is_refused(field: str) -> None:
    with pytest.raises(Refused):
        verify_approval(replace(pressed(claim()), claim=claim(**{field: OTHER[field]})), workspace(), LARGE, NOW)


@pytest.mark.parametrize("field", ["subject", "rendering", "simulation", "execution"])
def test_an_honest_press_over_something_else_does_not_approve_this(field: str) -> None:
    assert why(pressed(claim(**{field: OTHER[field]}))) is Reason.CHALLENGE_MISMATCH


@pytest.mark.covers("P43")
def test_an_approval_under_another_workspace_is_refused() -> None:
    assert why(pressed(claim(workspace=bytes(32)))) is Reason.POLICY_VERSION_MISMATCH
    grown = replace(workspace(), created_at=workspace().created_at + 1)
    assert why(pressed(claim()), under=grown) is Reason.POLICY_VERSION_MISMATCH


CHANGED: dict[str, object] = {
    "intent_id": "int_2", "wallet_id": "wal_2", "path": (1,), "chain": "eip155:1", "bounds": Bounds(1, 21_000),
    "action": Transfer(COIN, STRANGE, 500), "initiator": "tara", "purpose": "", "valid_from": NOW - 11,
    "valid_until": NOW + 1001, "label": "Two", "threshold": 4, "parties": (1, 2, 3, 4), "level": "L128",
    "drill": True,
}  # fmt: skip


@pytest.mark.parametrize("field", [f.name for f in fields(Intent)])
def test_an_approval_of_an_intent_does_not_hold_for_one_that_differs_in_one_field(field: str) -> None:
    approval = approve(LARGE, "ravi")
    # An asset of another chain cannot even be put into words.
    expected = Reason.CHAIN_MISMATCH if field == "chain" else Reason.CHALLENGE_MISMATCH
    assert why(approval, replace(LARGE, **{field: CHANGED[field]})) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("field", [f.name for f in fields(CreateWallet)])
def test_an_approval_of_a_wish_does_not_hold_for_one_that_differs_in_one_field(field: str) -> None:
    wanted = wish(purpose="new")
    changed = replace(wanted, **{field: CHANGED[field]})  # type: ignore[arg-type]
    assert why(approve(wanted, "sam"), changed) is Reason.CHALLENGE_MISMATCH


def test_somebody_elses_key_does_not_approve_in_an_approvers_name() -> None:
    assert why(pressed(claim(), by="olga")) is Reason.CREDENTIAL_UNKNOWN
    forged = replace(pressed(claim(), by="olga"), credential_id=keys().approvers["ravi"].credential_id)
    assert why(forged) is Reason.SIGNATURE_INVALID


def test_an_approver_that_nobody_knows_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        verify_approval(pressed(claim(approver="nobody")), workspace(), LARGE, NOW)
    assert caught.value.reason is Reason.UNKNOWN_USER


def test_an_approval_ends_with_the_second_it_names() -> None:
    approval = pressed(claim())
    verify_approval(approval, workspace(), LARGE, NOW + 499)
    assert why(approval, now=NOW + 500) is Reason.APPROVAL_EXPIRED


def test_a_service_without_credentials_approves_nothing() -> None:
    assert why(pressed(claim(approver="eve"))) is Reason.CREDENTIAL_UNKNOWN


def test_neither_the_initiator_nor_another_user_of_that_person_approves() -> None:
    own = intent(500, initiator="ravi")
    for who in ("ravi", "ravi2"):
        assert why(approve(own, who), own) is Reason.SELF_APPROVAL


def with_ravi(**changes: object) -> Workspace:
    ravi = replace(person("ravi", "risk"), **changes)  # type: ignore[arg-type]
    return replace(workspace(), users=tuple(ravi if user.user_id == "ravi" else user for user in workspace().users))


def ravi_under(under: Workspace, **changes: object) -> Approval:
    said = expected_claim(LARGE, under, "ravi", Verdict.APPROVE, NOW - 5, NOW + 500)
    return pressed(replace(said, **changes))  # type: ignore[arg-type]


def test_a_credential_that_was_revoked_or_taken_away_approves_nothing() -> None:
    revoked = with_ravi(credentials=(replace(keys().approvers["ravi"].credential, revoked=True),))
    assert why(ravi_under(revoked), under=revoked) is Reason.CREDENTIAL_REVOKED
    assert why(ravi_under(with_ravi(credentials=())), under=with_ravi(credentials=())) is Reason.CREDENTIAL_UNKNOWN


def test_a_key_that_is_called_bound_to_its_device_and_says_otherwise_approves_nothing() -> None:
    bound = with_ravi(credentials=(replace(keys().approvers["ravi"].credential, assurance=Assurance.DEVICE_BOUND),))
    assert why(ravi_under(bound), under=bound) is Reason.ASSURANCE_TOO_LOW


def test_who_is_disabled_approves_nothing() -> None:
    disabled = with_ravi(enabled=False)
    assert why(ravi_under(disabled), under=disabled) is Reason.NOT_ELIGIBLE


@pytest.mark.parametrize("decided_at", [LARGE.valid_from - CLOCK_SKEW - 1, NOW + CLOCK_SKEW + 1])
def test_a_decision_from_before_the_order_or_from_the_future_is_refused(decided_at: int) -> None:
    assert why(pressed(claim(decided_at=decided_at))) is Reason.APPROVAL_EXPIRED


def test_an_approval_under_an_older_version_stands_while_key_and_wording_do() -> None:
    older = workspace()
    versions = {workspace_digest(older): older}
    newer = replace(older, version=1, parent=workspace_digest(older), refusals_block_at=2)
    approval = ravi_under(older)
    assert verify_approval(approval, newer, LARGE, NOW, versions).user.user_id == "ravi"
    with pytest.raises(Refused) as caught:
        verify_approval(approval, newer, LARGE, NOW)
    assert caught.value.reason is Reason.POLICY_VERSION_MISMATCH
    renamed = replace(newer, address_book=(replace(newer.address_book[0], label="Other"), *newer.address_book[1:]))
    with pytest.raises(Refused) as caught:
        verify_approval(approval, renamed, LARGE, NOW, versions)
    assert caught.value.reason is Reason.POLICY_VERSION_MISMATCH
    revoked = with_ravi(credentials=(replace(keys().approvers["ravi"].credential, revoked=True),))
    with pytest.raises(Refused) as caught:
        verify_approval(approval, replace(revoked, version=1), LARGE, NOW, versions)
    assert caught.value.reason is Reason.CREDENTIAL_REVOKED


def chain(*ravis: dict[str, object]) -> tuple[Workspace, ...]:
    """Versions that follow each other; what ravi is in each."""
    made = [with_ravi(**ravis[0])]
    for changes in ravis[1:]:
        made.append(following(made[-1], users=with_ravi(**changes).users))
    return tuple(made)


def through(versions: tuple[Workspace, ...], *gone: int) -> Reason | None:
    """Why an approval from the first version does not stand in the last one, where these versions are not known."""
    older = {workspace_digest(one): one for one in versions[:-1] if one.version not in gone}
    try:
        verify_approval(ravi_under(versions[0]), versions[-1], LARGE, NOW, older)
    except (Refused, NotFound) as error:
        return error.reason
    return None


CARD = keys().approvers["ravi"].credential
OTHER_KEY = {"credentials": (replace(CARD, public_key=keys().approvers["olga"].credential.public_key),)}


@pytest.mark.covers("C06")
@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ([{}], None),
        ([{"team": "another"}, {"roles": ("risk", "trader")}], None),
        ([{"enabled": False}], Reason.NOT_ELIGIBLE),
        ([{}, {"roles": ("trader",)}], Reason.NOT_ELIGIBLE),
        ([{}, {"enabled": False}, {}], Reason.NOT_ELIGIBLE),
        ([{"credentials": (replace(CARD, revoked=True),)}], Reason.CREDENTIAL_REVOKED),
        ([{"credentials": ()}], Reason.CREDENTIAL_UNKNOWN),
        ([OTHER_KEY], Reason.CREDENTIAL_UNKNOWN),
    ],
    ids=[
        "nothing",
        "another team",
        "disabled",
        "without her role",
        "disabled for one of three",
        "revoked",
        "taken away",
        "another key",
    ],
)  # fmt: skip
def test_an_approval_that_was_void_in_between_is_not_made_good_by_undoing_that(
    between: list[dict[str, object]], expected: Reason | None
) -> None:
    assert through(chain({}, *between, {})) is expected


@pytest.mark.covers("P43")
@pytest.mark.parametrize(
    "taken",
    [
        {"groups": tuple(replace(one, members=tuple({*one.members} - {"ravi"})) for one in workspace().groups)},
        {"roles": tuple(replace(one, wallets=("wal_9",)) for one in workspace().roles if one.role == "risk")},
        {"roles": tuple(replace(one, may=(Privilege.READ,)) for one in workspace().roles if one.role == "risk")},
        {"users": tuple(replace(one, enabled=one.user_id != LARGE.initiator) for one in workspace().users)},
    ],
    ids=["her group", "her wallets", "her privilege", "who proposed it"],
)
def test_an_approval_of_who_was_not_asked_or_for_who_proposed_nothing_in_between_is_not_made_good_by_undoing_that(
    taken: dict[str, object],
) -> None:
    first = workspace()
    barred = following(first, **taken)
    again = following(barred, groups=first.groups, roles=first.roles, users=first.users)
    older = {workspace_digest(one): one for one in (first, barred)}
    with pytest.raises(Refused) as caught:
        verify_approval(ravi_under(first), again, LARGE, NOW, older)
    assert caught.value.reason is Reason.NOT_ELIGIBLE
    given_since = ravi_under(again)
    assert verify_approval(given_since, again, LARGE, NOW, older).user.user_id == "ravi"


def test_an_approval_from_a_version_in_which_its_person_was_disabled_never_counts() -> None:
    assert through(chain({"enabled": False}, {})) is Reason.NOT_ELIGIBLE


@pytest.mark.parametrize("gone", [0, 1, 2, 3])
def test_an_approval_needs_the_whole_chain_of_versions_from_its_own_to_the_one_that_counts(gone: int) -> None:
    versions = chain({}, {}, {}, {}, {})
    assert through(versions) is None
    assert through(versions, gone) is Reason.POLICY_VERSION_MISMATCH


def test_an_approval_under_a_version_of_another_chain_does_not_count() -> None:
    aside = with_ravi(team="aside")
    versions = {workspace_digest(one): one for one in (workspace(), aside)}
    with pytest.raises(Refused) as caught:
        verify_approval(ravi_under(aside), following(), LARGE, NOW, versions)
    assert caught.value.reason is Reason.POLICY_VERSION_MISMATCH


def test_the_versions_that_approvals_are_judged_by_are_all_since_the_oldest_that_is_named() -> None:
    versions = chain({}, {}, {}, {}, {})
    older = {workspace_digest(one): one for one in versions[:-1]}
    for first in range(5):
        needed = versions_since([ravi_under(versions[first])], versions[-1], older)
        assert sorted(one.version for one in needed.values()) == list(range(first, 4))
        verify_approval(ravi_under(versions[first]), versions[-1], LARGE, NOW, needed)
    strange = following(workspace(), name="another")
    assert versions_since([ravi_under(strange)], versions[-1], older) == {}


def test_a_credential_that_was_enrolled_after_the_decision_does_not_carry_it() -> None:
    older = with_ravi(credentials=())
    with pytest.raises(Refused) as caught:
        verify_approval(ravi_under(older), workspace(), LARGE, NOW, {workspace_digest(older): older})
    assert caught.value.reason is Reason.CREDENTIAL_UNKNOWN


def together(*approvals: Approval) -> Reason:
    with pytest.raises(Refused) as caught:
        verify_approvals(approvals, workspace(), LARGE, NOW)
    return caught.value.reason


def test_approvals_by_distinct_people_stand_together() -> None:
    both = verify_approvals((approve(LARGE, "ravi"), approve(LARGE, "olga")), workspace(), LARGE, NOW)
    assert [approver.user.user_id for approver in both] == ["ravi", "olga"]
    assert verify_approvals((), workspace(), LARGE, NOW) == ()


def test_the_same_approval_twice_is_one_person() -> None:
    one = approve(LARGE, "ravi")
    assert together(one, one) is Reason.DUPLICATE_PERSON
    assert together(approve(LARGE, "ravi"), approve(LARGE, "ravi2")) is Reason.DUPLICATE_PERSON


def test_one_denial_among_approvals_is_a_no() -> None:
    assert together(approve(LARGE, "ravi"), approve(LARGE, "olga", Verdict.DENY)) is Reason.APPROVAL_DENIED


def test_one_bad_approval_spoils_the_good_ones() -> None:
    bad = replace(approve(LARGE, "olga"), signature=b"")
    assert together(approve(LARGE, "ravi"), bad) is Reason.SIGNATURE_INVALID


def test_there_is_a_largest_number_of_approvals() -> None:
    assert together(*[approve(LARGE, "ravi")] * (MAX_APPROVALS + 1)) is Reason.TOO_LARGE
