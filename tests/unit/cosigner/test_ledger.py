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
from tests.people import NOW, intent, sign_request, spend, workspace

ACCOUNT = b"\xaa" * 20


def asked(subject: Intent, nonce: int = 7, **execution: int) -> SignRequest:
    return sign_request(subject, execution=replace(people.EXECUTION, nonce=nonce, **execution))


def record(ledger: Ledger, request: SignRequest, now: int = NOW) -> Authorized:
    return ledger.record(ACCOUNT, request, workspace(), {}, lambda _: Facts(now), lambda *_: None)


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


def test_whether_it_may_be_signed_is_decided_anew_with_what_counts_by_then(ledger: Ledger) -> None:
    """2000 a day, of which 1960 were spent in the meantime."""
    with pytest.raises(Refused) as caught:
        ledger.record(ACCOUNT, asked(intent()), workspace(), {}, lambda _: Facts(NOW, (spend(1960),)), lambda *_: None)
    assert caught.value.reason == Reason.VELOCITY_EXCEEDED
    record(ledger, asked(intent(51, intent_id="int_2")))  # nothing was committed to


def test_what_raises_within_the_transaction_leaves_nothing_behind(ledger: Ledger) -> None:
    def last(*_: object) -> None:
        raise Refused("no", Reason.HALTED)

    with pytest.raises(Refused):
        ledger.record(ACCOUNT, asked(intent()), workspace(), {}, lambda _: Facts(NOW), last)
    record(ledger, asked(intent(51, intent_id="int_2")))
