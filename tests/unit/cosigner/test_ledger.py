"""What this cosigner has given its share for is never taken back, and never given twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cosigner.ledger import Ledger
from cosigner.store import open_store
from oms_core.authorize import Authorized, authorize
from oms_core.chains.intent import Intent
from oms_core.errors import Reason, Refused
from oms_core.evidence import SignRequest
from oms_core.policy.facts import Facts
from oms_core.policy.rules import DAY
from oms_core.workspace import Workspace, workspace_digest
from tests import people
from tests.people import NOW, RULES, approve, following, intent, moved, rules, sign_request, workspace

ACCOUNT = b"\xaa" * 20


def asked(subject: Intent, nonce: int = 7, **execution: int) -> SignRequest:
    return sign_request(subject, execution=replace(people.EXECUTION, nonce=nonce, **execution))


def record(ledger: Ledger, request: SignRequest, now: int = NOW) -> Authorized:
    return ledger.record(ACCOUNT, request, workspace(), {}, now, lambda *_: None)


def check(ledger: Ledger, request: SignRequest) -> None:
    ledger.check(ACCOUNT, authorize(request, workspace(), Facts(NOW)))


def test_the_same_transaction_may_be_recorded_again_after_a_failed_session(ledger: Ledger) -> None:
    one = asked(intent())
    record(ledger, one)
    record(ledger, one, NOW + 1)
    check(ledger, one)


@pytest.mark.parametrize(
    "other",
    [
        lambda: asked(intent(51, intent_id="int_2")),
        lambda: asked(intent(), nonce=8),
        lambda: asked(intent(), max_fee_per_gas=10**9 + 1),
    ],
    ids=["another order with the same nonce", "the same order with another nonce", "the same order with another fee"],
)
def test_a_second_transaction_for_a_nonce_or_an_order_is_never_signed(ledger: Ledger, other: object) -> None:
    record(ledger, asked(intent()))
    second = other()  # type: ignore[operator]
    for attempt in (lambda: check(ledger, second), lambda: record(ledger, second)):
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.reason == Reason.DOUBLE_SIGN_GUARD


def test_of_many_transactions_at_once_for_one_nonce_exactly_one_is_recorded(ledger: Ledger) -> None:
    rivals = [asked(intent(10 + i, intent_id=f"int_{i}")) for i in range(16)]

    def attempt(one: object) -> bool:
        try:
            record(ledger, one)  # type: ignore[arg-type]
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, rivals)) == 1


def test_the_ledger_outlives_the_process(ledger: Ledger, store: Engine) -> None:
    record(ledger, asked(intent()))
    ledger.claim_session(b"s" * 32)
    store.dispose()
    again = Ledger(open_store(Path(str(store.url.database))))
    with pytest.raises(Refused):
        record(again, asked(intent(), nonce=8))
    with pytest.raises(Refused):
        again.claim_session(b"s" * 32)
    assert moved(again.facts(NOW)) == [50]


def test_spends_are_read_as_far_back_as_it_is_asked_for_and_no_further(ledger: Ledger) -> None:
    for number, age in enumerate((0, 60, 600)):
        one = intent(10 + number, intent_id=f"int_{number}", valid_from=NOW - 1000)
        record(ledger, asked(one, nonce=number), NOW - age)
    amounts = {back: sorted(moved(ledger.facts(NOW, back))) for back in (0, 60, 61, 1000)}
    assert amounts == {0: [], 60: [10], 61: [10, 11], 1000: [10, 11, 12]}


def test_what_is_committed_to_counts_as_far_back_as_any_version_looks_that_its_approvals_name(ledger: Ledger) -> None:
    """Of 100 a week, 60 were spent two days ago. By the current version only the last day counts."""
    week = replace(workspace(), rules=rules(RULES.replace("{amount: 2,000, every: 24h}", "{amount: 100, every: 7d}")))
    now, subject = following(week, rules=workspace().rules), intent(50)
    record(ledger, asked(intent(60, intent_id="int_0", valid_from=NOW - 3 * DAY)), NOW - 2 * DAY)
    older = {workspace_digest(week): week}

    def commit(under: Workspace) -> None:
        request = sign_request(subject, approve(subject, "ravi", under=under))
        request = replace(request, workspace=workspace_digest(now), execution=replace(people.EXECUTION, nonce=8))
        ledger.record(ACCOUNT, request, now, older, NOW, lambda *_: None)

    with pytest.raises(Refused) as caught:
        commit(week)
    assert caught.value.reason == Reason.VELOCITY_EXCEEDED
    commit(now)
