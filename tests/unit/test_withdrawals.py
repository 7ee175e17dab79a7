"""Who may take an order back, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.intent import Intent
from oms_core.errors import Reason, Refused
from oms_core.proposals import proposal_digest
from oms_core.withdrawals import SignedWithdrawal, verify_withdrawal, withdrawal_digest
from tests.people import following, intent, keys, reform, workspace

OLD, NEW = intent(), intent(60, intent_id="int_2")


def refused(signed: SignedWithdrawal, instead: Intent | None = None) -> Reason:
    with pytest.raises(Refused) as caught:
        verify_withdrawal(signed, OLD, instead, workspace())
    return caught.value.reason


def test_an_order_is_cancelled_by_its_initiators_signed_word() -> None:
    assert verify_withdrawal(keys().desk.withdraw(OLD), OLD, None, workspace()).user_id == "desk"


def test_an_order_is_replaced_by_the_one_that_its_initiator_names() -> None:
    signed = keys().desk.withdraw(OLD, NEW)
    assert verify_withdrawal(signed, OLD, NEW, workspace()).user_id == "desk"
    assert refused(signed, intent(61, intent_id="int_2")) == Reason.DIGEST_MISMATCH
    assert refused(signed) == Reason.DIGEST_MISMATCH, "a replacement is no cancellation"


def test_a_cancellation_is_no_replacement_and_of_no_other_order() -> None:
    assert refused(keys().desk.withdraw(OLD), NEW) == Reason.DIGEST_MISMATCH
    assert refused(keys().desk.withdraw(NEW)) == Reason.DIGEST_MISMATCH


def test_a_change_of_the_workspace_is_withdrawn_by_who_proposed_it() -> None:
    wish = reform(following(name="another"))
    signed = keys().proposers["adam"].withdraw(wish)
    assert verify_withdrawal(signed, wish, None, workspace()).user_id == "adam"
    with pytest.raises(Refused) as caught:
        verify_withdrawal(keys().proposers["alice"].withdraw(wish), wish, None, workspace())
    assert caught.value.reason is Reason.CREDENTIAL_UNKNOWN


def test_nobody_withdraws_anothers_order() -> None:
    mine = keys().proposers["adam"].withdraw(replace(OLD, initiator="adam"))
    named = replace(mine, withdrawal=replace(mine.withdrawal, subject=keys().desk.withdraw(OLD).withdrawal.subject))
    assert refused(named) == Reason.NOT_ELIGIBLE
    said = keys().desk.withdraw(OLD).withdrawal
    assert refused(SignedWithdrawal(said, "adam-1", mine.signature)) == Reason.CREDENTIAL_UNKNOWN
    assert refused(SignedWithdrawal(said, "desk-1", mine.signature)) == Reason.SIGNATURE_INVALID
    assert refused(keys().desk.withdraw(OLD, replace(NEW, initiator="adam")), replace(NEW, initiator="adam")) == (
        Reason.NOT_ELIGIBLE
    )


def test_a_proposals_signature_withdraws_nothing() -> None:
    said = keys().desk.withdraw(OLD).withdrawal
    assert withdrawal_digest(said, "desk-1") != proposal_digest(OLD, "desk-1")
    assert refused(SignedWithdrawal(said, "desk-1", keys().desk.propose(OLD).signature)) == Reason.SIGNATURE_INVALID
