"""An approval is for one subject, workspace, rendering, approver, verdict and expiry: it is moved to no other."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from oms_core.approvals import Approval, ApprovalClaim, Verdict, challenge
from oms_core.authorize import MAX_APPROVALS, expected_claim, verify_approval, verify_approvals
from oms_core.chains.intent import Bounds, CreateWallet, Intent, Subject, Transfer
from oms_core.errors import CountersealError, NotFound, Reason, Refused
from oms_core.workspace import Workspace
from tests.people import COIN, NOW, ORIGIN, STRANGE, approve, intent, keys, person, wish, workspace

LARGE = intent(500)
OTHER: dict[str, object] = {
    "subject": bytes(32),
    "workspace": bytes(32),
    "rendering": bytes(32),
    "simulation": bytes(32),
    "execution": bytes(32),
    "approver": "olga",
    "verdict": Verdict.DENY,
    "expires_at": NOW + 501,
}
FIELDS = [field.name for field in fields(ApprovalClaim)]


def claim(**changes: object) -> ApprovalClaim:
    plain = expected_claim(LARGE, workspace(), "ravi", Verdict.APPROVE, NOW + 500)
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
    assert why(approval, replace(LARGE, **{field: CHANGED[field]})) is Reason.CHALLENGE_MISMATCH  # type: ignore[arg-type]


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


def test_a_revoked_credential_approves_nothing() -> None:
    bare = replace(person("ravi", "risk"), credentials=())
    users = tuple(bare if user.user_id == "ravi" else user for user in workspace().users)
    under = replace(workspace(), users=users)
    said = expected_claim(LARGE, under, "ravi", Verdict.APPROVE, NOW + 500)
    assert why(pressed(said), under=under) is Reason.CREDENTIAL_UNKNOWN


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
