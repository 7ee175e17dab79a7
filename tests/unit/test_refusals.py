"""What a cosigner's no means, for every reason that there is."""

from __future__ import annotations

import pytest

from oms_core.errors import Reason
from oms_core.refusals import ABOUT_THE_QUORUM, NOT_FINAL, PASSING, Weight, weight


@pytest.mark.parametrize(
    "reason",
    ["INTENT_TX_MISMATCH", "DIGEST_MISMATCH", "CHALLENGE_MISMATCH", "ACTION_MISMATCH", "SIGNATURE_INVALID", "MALFORMED",
     "ORIGIN_MISMATCH", "UV_REQUIRED", "CREDENTIAL_UNKNOWN", "COUNTER_REGRESSION", "SELF_APPROVAL", "DUPLICATE_PERSON",
     "SESSION_REPLAYED"],
)  # fmt: skip
def test_what_an_honest_coordinator_never_presents_is_a_matter_of_integrity(reason: str) -> None:
    assert weight(Reason(reason)) is Weight.INTEGRITY


@pytest.mark.parametrize(
    "reason",
    ["NO_PERMIT", "DENIED_BY_RULE", "LIMIT_EXCEEDED", "VELOCITY_EXCEEDED", "FACT_UNKNOWN", "APPROVAL_MISSING",
     "APPROVAL_EXPIRED", "APPROVAL_DENIED", "ENTRY_SUSPENDED", "UNLIMITED_ALLOWANCE", "CREDENTIAL_REVOKED"],
)  # fmt: skip
def test_a_rules_or_a_persons_no_is_a_matter_of_policy(reason: str) -> None:
    assert weight(Reason(reason)) is Weight.POLICY


@pytest.mark.parametrize("reason", ["HALTED", "ROLLBACK_DETECTED", "OPERATOR_NOT_DISTINCT", "DOUBLE_SIGN_GUARD"])
def test_where_a_node_stands_is_no_argument_against_an_order(reason: str) -> None:
    assert weight(Reason(reason)) is Weight.NODE


@pytest.mark.parametrize("reason", ["NOT_LOGGED", "LOG_STALE", "LOG_CONFLICT", "LOG_FORKED", "EXACT_BYTES_NEEDED"])
def test_what_a_node_thinks_of_the_log_ends_no_order(reason: str) -> None:
    assert weight(Reason(reason)) is Weight.NODE
    assert Reason(reason) in PASSING


def test_only_what_is_about_the_node_passes_by_itself() -> None:
    assert {weight(reason) for reason in PASSING} == {Weight.NODE}
    assert Reason.ROLLBACK_DETECTED not in PASSING


def test_what_is_not_final_is_about_the_node_or_its_company() -> None:
    assert {weight(reason) for reason in NOT_FINAL} == {Weight.NODE}
    assert not PASSING & ABOUT_THE_QUORUM
    assert Reason.ROLLBACK_DETECTED not in NOT_FINAL


def test_every_reason_has_a_weight() -> None:
    assert {weight(reason) for reason in Reason} == set(Weight)
