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
from tests import people
from tests.people import NOW, intent, sign_request, workspace

ACCOUNT = b"\xaa" * 20


def granted(subject: Intent, nonce: int = 7, **execution: int) -> Authorized:
    request: SignRequest = sign_request(subject, execution=replace(people.EXECUTION, nonce=nonce, **execution))
    return authorize(request, workspace(), Facts(NOW))


def test_the_same_transaction_may_be_recorded_again_after_a_failed_session(ledger: Ledger) -> None:
    one = granted(intent())
    ledger.record(ACCOUNT, one, NOW)
    ledger.record(ACCOUNT, one, NOW + 1)
    ledger.check(ACCOUNT, one)


@pytest.mark.parametrize(
    "other",
    [
        lambda: granted(intent(51, intent_id="int_2")),
        lambda: granted(intent(), nonce=8),
        lambda: granted(intent(), max_fee_per_gas=10**9 + 1),
    ],
    ids=["another order with the same nonce", "the same order with another nonce", "the same order with another fee"],
)
def test_a_second_transaction_for_a_nonce_or_an_order_is_never_signed(ledger: Ledger, other: object) -> None:
    ledger.record(ACCOUNT, granted(intent()), NOW)
    second = other()  # type: ignore[operator]
    for attempt in (lambda: ledger.check(ACCOUNT, second), lambda: ledger.record(ACCOUNT, second, NOW)):
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.reason == Reason.DOUBLE_SIGN_GUARD


def test_of_many_transactions_at_once_for_one_nonce_exactly_one_is_recorded(ledger: Ledger) -> None:
    rivals = [granted(intent(10 + i, intent_id=f"int_{i}")) for i in range(16)]

    def attempt(one: object) -> bool:
        try:
            ledger.record(ACCOUNT, one, NOW)  # type: ignore[arg-type]
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, rivals)) == 1


def test_the_ledger_outlives_the_process(ledger: Ledger, store: Engine) -> None:
    ledger.record(ACCOUNT, granted(intent()), NOW)
    ledger.claim_session(b"s" * 32)
    store.dispose()
    again = Ledger(open_store(Path(str(store.url.database))))
    with pytest.raises(Refused):
        again.record(ACCOUNT, granted(intent(), nonce=8), NOW)
    with pytest.raises(Refused):
        again.claim_session(b"s" * 32)
    assert [spend.amount for spend in again.facts(NOW).spent] == [50]
