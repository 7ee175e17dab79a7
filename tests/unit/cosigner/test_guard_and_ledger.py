"""What a cosigner takes part in, what it refuses, and what it never does twice."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from cosigner.guard import Creation, Guard, Signing
from cosigner.hsm import Token
from cosigner.ledger import Ledger
from cosigner.store import open_store
from cosigner.vault import KeyState, Vault
from oms_core.authorize import authorize
from oms_core.chains.intent import Execution, Intent, subject_digest
from oms_core.crypto.params import L112, L128
from oms_core.encoding import encode
from oms_core.errors import CountersealError, Reason, Refused
from oms_core.evidence import ProbeRequest, Request, SignRequest, request_digest
from oms_core.policy.facts import Facts
from oms_core.protocol.envelope import SessionSpec, verify_identity
from tests import people
from tests.parties import key
from tests.people import NOW, approve, create_request, intent, sign_request, wish, workspace

ACCOUNT = b"\xaa" * 20


@pytest.fixture
def guard(vault: Vault, ledger: Ledger, token: Token) -> Guard:
    """A node with the tests' workspace and an active wallet wal_1, 3 of 5."""
    vault.pin_workspace(workspace())
    vault.put_key("wal_1", replace(key(5, 3)[1], level="L112"))
    vault.advance_key(b"k" * 32, KeyState.PENDING, KeyState.PRE_ACTIVE)
    vault.advance_key(b"k" * 32, KeyState.PRE_ACTIVE, KeyState.ACTIVE)
    return Guard(token, vault, ledger, L112)


def spec(request: Request, **changes: object) -> SessionSpec:
    material = replace(key(5, 3)[1], level="L112")
    made = SessionSpec(
        session_id=secrets.token_bytes(32),
        protocol="sign",
        level="L112",
        key_id=b"k" * 32,
        epoch=0,
        epoch_hash=material.epoch_hash,
        threshold=3,
        parties=(1, 2, 3),
        subject=request_digest(request),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def refusal(guard: Guard, made: SessionSpec, request: Request) -> Reason:
    with pytest.raises(CountersealError) as caught:
        guard.decide(made, request, NOW)
    return caught.value.reason


def test_a_permitted_order_is_granted_with_its_own_derivation(guard: Guard) -> None:
    request = sign_request(intent())
    granted = guard.decide(spec(request), request, NOW)
    assert isinstance(granted, Signing)
    assert granted.digest == authorize(request, workspace(), Facts(NOW)).digest


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subject": bytes(32)}, Reason.DIGEST_MISMATCH),
        ({"protocol": "probe"}, Reason.DIGEST_MISMATCH),
        ({"parties": (2, 3, 4)}, Reason.PEER_IDENTITY),
        ({"parties": (1, 2, 3, 4)}, Reason.QUORUM_UNAVAILABLE),
        ({"parties": (1, 2, 9)}, Reason.UNKNOWN_USER),
        ({"parties": (1, 1, 2)}, Reason.MALFORMED),
        ({"parties": (0, 1, 2)}, Reason.MALFORMED),
        ({"threshold": 2}, Reason.DIGEST_MISMATCH),
        ({"epoch": 1}, Reason.EPOCH_STALE),
        ({"epoch_hash": bytes(32)}, Reason.EPOCH_STALE),
        ({"key_id": bytes(32)}, Reason.DIGEST_MISMATCH),
        ({"level": "TOY"}, Reason.CONFIG_INVALID),
        ({"session_id": b"short"}, Reason.MALFORMED),
    ],
)
def test_a_session_that_does_not_fit_its_request_is_refused(
    guard: Guard, changes: dict[str, object], reason: Reason
) -> None:
    request = sign_request(intent())
    assert refusal(guard, spec(request, **changes), request) == reason


def test_a_level_below_the_nodes_own_is_refused(vault: Vault, ledger: Ledger, token: Token) -> None:
    vault.pin_workspace(workspace())
    request = sign_request(intent())
    assert refusal(Guard(token, vault, ledger, L128), spec(request), request) == Reason.CONFIG_INVALID


def test_an_unknown_wallet_is_refused(guard: Guard) -> None:
    request = sign_request(intent(wallet_id="wal_2"))
    assert refusal(guard, spec(request), request) == Reason.UNKNOWN_WALLET


def test_a_wallet_that_is_not_active_signs_nothing(vault: Vault, ledger: Ledger, token: Token) -> None:
    vault.pin_workspace(workspace())
    vault.put_key("wal_1", replace(key(5, 3)[1], level="L112"))
    request = sign_request(intent())
    assert refusal(Guard(token, vault, ledger, L112), spec(request), request) == Reason.WRONG_STATE


def test_an_active_wallet_gives_no_test_signature(guard: Guard) -> None:
    request = ProbeRequest(b"k" * 32, "wal_1")
    assert refusal(guard, spec(request, protocol="probe"), request) == Reason.WRONG_STATE


def test_a_session_id_is_used_once(guard: Guard) -> None:
    request = sign_request(intent())
    made = spec(request)
    guard.decide(made, request, NOW)
    assert refusal(guard, made, request) == Reason.SESSION_REPLAYED


def test_a_wallet_is_made_only_as_it_was_approved(guard: Guard, vault: Vault, ledger: Ledger, token: Token) -> None:
    wanted = wish(wallet_id="wal_2")
    request = create_request(wanted, approve(wanted, "sam"), approve(wanted, "sonja"))
    right = {
        "protocol": "create-key", "key_id": subject_digest(wanted), "epoch_hash": b"", "parties": (1, 2, 3, 4, 5),
    }  # fmt: skip
    assert isinstance(guard.decide(spec(request, **right), request, NOW), Creation)
    for change in ({"threshold": 4}, {"parties": (1, 2, 3)}, {"key_id": bytes(32)}, {"level": "L128"}, {"epoch": 1}):
        assert refusal(guard, spec(request, **{**right, **change}), request) == Reason.INTENT_TX_MISMATCH
    exists = create_request(wish(), approve(wish(), "sam"), approve(wish(), "sonja"))
    right["key_id"] = subject_digest(wish())
    assert refusal(guard, spec(exists, **right), exists) == Reason.WRONG_STATE


def test_a_wallet_without_its_approvals_is_not_made(guard: Guard) -> None:
    wanted = wish(wallet_id="wal_2")
    request = create_request(wanted, approve(wanted, "sam"))
    made = spec(request, protocol="create-key", key_id=subject_digest(wanted), epoch_hash=b"", parties=(1, 2, 3, 4, 5))
    assert refusal(guard, made, request) == Reason.APPROVAL_MISSING


def test_a_refusal_is_signed_by_the_nodes_identity_key(guard: Guard, token: Token) -> None:
    error = Refused("no", Reason.NO_PERMIT)
    signed = guard.refuse(b"s" * 32, b"r" * 32, error, NOW)
    verify_identity(token.public, "refusal", encode(signed.refusal), signed.signature)
    assert (signed.refusal.reason, signed.refusal.index) == ("NO_PERMIT", 1)


def granted(subject: Intent, nonce: int = 7, **execution: int):
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
    from pathlib import Path

    ledger.record(ACCOUNT, granted(intent()), NOW)
    ledger.claim_session(b"s" * 32)
    store.dispose()
    again = Ledger(open_store(Path(str(store.url.database))))
    with pytest.raises(Refused):
        again.record(ACCOUNT, granted(intent(), nonce=8), NOW)
    with pytest.raises(Refused):
        again.claim_session(b"s" * 32)
    assert [spend.amount for spend in again.facts(NOW).spent] == [50]


def test_what_was_signed_counts_against_the_limits_for_a_day(guard: Guard, ledger: Ledger) -> None:
    def large(name: str) -> SignRequest:
        subject = intent(900, intent_id=name)
        return sign_request(
            subject,
            approve(subject, "ravi"),
            approve(subject, "olga"),
            execution=Execution(int(name[-1]), 21_000, 1, 1),
        )

    for name in ("int_1", "int_2"):
        request = large(name)
        guard.decide(spec(request), request, NOW)
        ledger.record(ACCOUNT, authorize(request, workspace(), Facts(NOW)), NOW)
    third = large("int_3")
    assert refusal(guard, spec(third), third) == Reason.VELOCITY_EXCEEDED


def test_one_counter_of_an_authenticator_stands_for_one_assertion(guard: Guard) -> None:
    subject, other = intent(500), intent(600, intent_id="int_2")
    honest = sign_request(subject, approve(subject, "ravi"), approve(subject, "olga"))
    guard.decide(spec(honest), honest, NOW)
    guard.decide(spec(honest), honest, NOW)

    cloned = people.keys().approvers["ravi"]
    cloned._path.write_text(
        cloned._path.read_text().replace(f'"counter": {cloned._counter}', f'"counter": {cloned._counter - 1}')
    )
    request = sign_request(other, approve(other, "ravi"), approve(other, "olga"))
    assert refusal(guard, spec(request), request) == Reason.COUNTER_REGRESSION
