"""The one decision: what it grants, and each reason for which it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fido2.server import Fido2Server
from fido2.utils import websafe_encode
from fido2.webauthn import PublicKeyCredentialRpEntity

import oms_core.authorize as decision
from oms_core.approvals import Verdict, challenge
from oms_core.authorize import authorize, expected_claim, review, verify_approval
from oms_core.chains.evm import signing_digest
from oms_core.chains.intent import Bounds, Execution, subject_digest
from oms_core.chains.render import render
from oms_core.errors import CountersealError, Malformed, NotFound, Reason, Refused
from oms_core.policy.facts import Facts
from oms_core.workspace import workspace_digest
from tests import people
from tests.people import NOW, approve, create_request, following, intent, keys, rules, sign_request, wish, workspace

FACTS = Facts(NOW)


def refusal(request: object, facts: Facts = FACTS) -> Reason:
    with pytest.raises((Refused, Malformed, NotFound)) as caught:
        authorize(request, workspace(), facts)  # type: ignore[arg-type]
    return caught.value.reason


def test_a_small_transfer_to_the_address_book_is_granted_without_approval() -> None:
    granted = authorize(sign_request(intent(50)), workspace(), FACTS)
    assert granted.transaction is not None
    assert granted.digest == signing_digest(granted.transaction)
    assert (granted.transaction.to, granted.transaction.value) == (people.KNOWN, 50)


def test_a_larger_transfer_is_granted_with_the_approvals_of_two_people() -> None:
    large = intent(500)
    granted = authorize(sign_request(large, approve(large, "ravi"), approve(large, "olga")), workspace(), FACTS)
    assert {a.user.user_id for a in granted.approvers} == {"ravi", "olga"}


def test_a_new_wallet_is_granted_with_the_approvals_of_two_security_officers() -> None:
    wanted = wish()
    granted = authorize(create_request(wanted, approve(wanted, "sam"), approve(wanted, "sonja")), workspace(), FACTS)
    assert granted.transaction is None


def test_a_missing_approval_is_refused_naming_the_rule() -> None:
    large = intent(500)
    with pytest.raises(Refused) as caught:
        authorize(sign_request(large, approve(large, "ravi")), workspace(), FACTS)
    assert caught.value.reason == Reason.APPROVAL_MISSING
    assert "require-risk: 1 of 2" in caught.value.message


def test_one_person_with_two_users_counts_once() -> None:
    large = intent(500)
    request = sign_request(large, approve(large, "ravi"), approve(large, "ravi2"))
    assert refusal(request) == Reason.DUPLICATE_PERSON


def test_an_approval_by_somebody_without_the_role_does_not_count() -> None:
    large = intent(500)
    assert refusal(sign_request(large, approve(large, "ravi"), approve(large, "sam"))) == Reason.APPROVAL_MISSING


def test_a_denial_among_the_approvals_refuses() -> None:
    large = intent(500)
    request = sign_request(large, approve(large, "ravi"), approve(large, "olga", Verdict.DENY))
    assert refusal(request) == Reason.APPROVAL_DENIED


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (intent(to=people.STRANGE), Reason.NO_PERMIT),
        (intent(to=people.DENIED), Reason.DENIED_BY_RULE),
        (intent(1001), Reason.LIMIT_EXCEEDED),
        (intent(initiator="nobody"), Reason.UNKNOWN_USER),
        (intent(initiator="tara"), Reason.CREDENTIAL_UNKNOWN),
        (intent(valid_until=NOW), Reason.EXPIRED),
        (intent(valid_from=NOW + 500), Reason.EXPIRED),
        (intent(amount=0), Reason.MALFORMED),
        (intent(amount=-5), Reason.NEGATIVE_AMOUNT),
        (intent(to=b"short"), Reason.BAD_ADDRESS),
        (intent(path=(1 << 31,)), Reason.MALFORMED),
        (intent(purpose="x" * 281), Reason.MALFORMED),
        (intent(purpose="a\u202eb"), Reason.MALFORMED),
        (intent(chain="eip155:1"), Reason.CHAIN_MISMATCH),
        (intent(chain="bip122:x"), Reason.UNSUPPORTED_TYPE),
        (intent(wallet_id="treasury"), Reason.MALFORMED),
        (intent(bounds=Bounds(1, 100_000)), Reason.FEE_EXCEEDED),
        (intent(bounds=Bounds(10**16, 20_000)), Reason.FEE_EXCEEDED),
    ],
)
def test_an_intent_that_does_not_do_is_refused_with_its_reason(subject: object, reason: Reason) -> None:
    large_enough = [approve(subject, who) for who in ("ravi", "olga")] if reason is Reason.LIMIT_EXCEEDED else []
    assert refusal(sign_request(subject, *large_enough)) == reason  # type: ignore[arg-type]


def execution(**changes: int) -> Execution:
    return replace(Execution(2, 0, 21_000, 1, 1, ()), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (execution(nonce=-1), Reason.MALFORMED),
        (execution(nonce=1 << 64), Reason.MALFORMED),
        (execution(gas_limit=20_999), Reason.FEE_EXCEEDED),
        (execution(gas_limit=100_001), Reason.FEE_EXCEEDED),
        (execution(max_priority_fee_per_gas=2), Reason.MALFORMED),
        (execution(max_fee_per_gas=10**12), Reason.FEE_EXCEEDED),
    ],
)
def test_an_execution_outside_the_intents_bounds_is_refused(chosen: Execution, reason: Reason) -> None:
    assert refusal(sign_request(intent(), execution=chosen)) == reason


def test_what_was_spent_within_a_day_counts_and_the_same_order_does_not_count_twice() -> None:
    large = intent(500)
    request = sign_request(large, approve(large, "ravi"), approve(large, "olga"))

    def spent(amount: int, at: int, subject: bytes = b"other") -> Facts:
        return Facts(NOW, (people.spend(amount, at, subject),))

    authorize(request, workspace(), spent(1500, NOW - 10))
    assert refusal(request, spent(1501, NOW - 10)) == Reason.VELOCITY_EXCEEDED
    authorize(request, workspace(), spent(1501, NOW - 86_400))
    authorize(request, workspace(), spent(1501, NOW - 10, subject_digest(large)))


@pytest.mark.covers("P43")
def test_another_version_of_the_workspace_is_refused() -> None:
    assert refusal(replace(sign_request(intent()), workspace=bytes(32))) == Reason.POLICY_VERSION_MISMATCH


def test_a_proposal_with_a_changed_subject_is_refused() -> None:
    request = sign_request(intent())
    swapped = replace(request.proposal, subject=intent(51))
    assert refusal(replace(request, proposal=swapped)) == Reason.SIGNATURE_INVALID


def test_a_wallets_subject_in_a_signing_request_is_refused() -> None:
    request = replace(sign_request(intent()), proposal=people.propose(wish()))
    assert refusal(request) == Reason.INTENT_TX_MISMATCH


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 2},
        {"threshold": 6},
        {"threshold": 1, "parties": (1,)},
        {"parties": (1, 2, 2, 3, 4)},
        {"parties": (2, 1, 3, 4, 5)},
        {"parties": (0, 1, 2, 3, 4)},
        {"level": "TOY"},
        {"level": "L64"},
        {"label": "bad\nlabel"},
    ],
)
def test_a_wish_for_an_impossible_wallet_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        authorize(create_request(wish(**changes)), workspace(), FACTS)


@pytest.mark.parametrize("field", ["credential_id", "authenticator_data", "client_data_json", "signature"])
def test_an_assertion_with_a_changed_byte_is_refused(field: str) -> None:
    large = intent(500)
    approval = approve(large, "ravi")
    value = getattr(approval, field)
    for at in range(0, len(value), max(1, len(value) // 16)):
        bent = replace(approval, **{field: value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]})
        with pytest.raises(CountersealError):
            verify_approval(bent, workspace(), large, NOW)


def assertion_refusal(**changes: object) -> Reason:
    large = intent(500)
    claim = expected_claim(large, workspace(), "ravi", Verdict.APPROVE, NOW - 5, NOW + 500)
    options = {"origin": people.ORIGIN, "user_verified": True, **changes}
    made = keys().approvers["ravi"].sign_challenge(challenge(claim), **options)  # type: ignore[arg-type]
    from oms_core.approvals import Approval

    approval = Approval(claim, made.credential_id, made.authenticator_data, made.client_data_json, made.signature)
    with pytest.raises(Refused) as caught:
        verify_approval(approval, workspace(), large, NOW)
    return caught.value.reason


def test_an_assertion_without_user_verification_is_refused() -> None:
    assert assertion_refusal(user_verified=False) == Reason.UV_REQUIRED


def test_an_assertion_for_another_origin_is_refused() -> None:
    assert assertion_refusal(origin="http://localhost:9999") == Reason.ORIGIN_MISMATCH


def test_an_expired_approval_is_refused() -> None:
    large = intent(500)
    with pytest.raises(Refused) as caught:
        verify_approval(approve(large, "ravi", expires_at=NOW), workspace(), large, NOW)
    assert caught.value.reason == Reason.APPROVAL_EXPIRED


def test_an_approval_that_outlives_its_order_is_refused() -> None:
    large = intent(500)
    with pytest.raises(Refused) as caught:
        verify_approval(approve(large, "ravi", expires_at=large.valid_until + 1), workspace(), large, NOW)
    assert caught.value.reason == Reason.APPROVAL_EXPIRED


def test_nobody_approves_her_own_order() -> None:
    own = intent(500, initiator="ravi")
    claim = expected_claim(own, workspace(), "ravi2", Verdict.APPROVE, NOW - 5, NOW + 5)
    approval = keys().approvers["ravi2"].approve(claim, people.ORIGIN)
    with pytest.raises(Refused) as caught:
        verify_approval(approval, workspace(), own, NOW)
    assert caught.value.reason == Reason.SELF_APPROVAL


def test_client_data_with_a_repeated_key_is_refused() -> None:
    large = intent(500)
    approval = approve(large, "ravi")
    doubled = approval.client_data_json[:-1] + b',"type":"webauthn.get"}'
    with pytest.raises(Malformed, match="repeats"):
        verify_approval(replace(approval, client_data_json=doubled), workspace(), large, NOW)


def test_the_assertions_are_those_that_the_fido2_library_accepts() -> None:
    from fido2.webauthn import AttestedCredentialData, AuthenticationResponse

    large = intent(500)
    approval = approve(large, "ravi")
    credential = keys().approvers["ravi"].credential
    server = Fido2Server(PublicKeyCredentialRpEntity(name="x", id="localhost"), verify_origin=lambda origin: True)
    from fido2 import cbor
    from fido2.cose import CoseKey

    data = AttestedCredentialData.create(
        credential.aaguid, credential.credential_id, CoseKey.parse(cbor.decode(credential.public_key))
    )
    _, state = server.authenticate_begin([data], user_verification="required", challenge=challenge(approval.claim))
    response = AuthenticationResponse.from_dict(
        {
            "id": websafe_encode(approval.credential_id),
            "rawId": websafe_encode(approval.credential_id),
            "type": "public-key",
            "response": {
                "clientDataJSON": websafe_encode(approval.client_data_json),
                "authenticatorData": websafe_encode(approval.authenticator_data),
                "signature": websafe_encode(approval.signature),
            },
        }
    )
    server.authenticate_complete(state, [data], response)


def test_a_wish_that_names_a_cosigner_outside_the_roster_is_refused_before_anyone_approves() -> None:
    wanted = wish(parties=(1, 2, 3, 4, 9))
    assert refusal(create_request(wanted)) == Reason.UNKNOWN_USER
    with pytest.raises(Malformed) as caught:
        review(people.propose(wanted), workspace(), FACTS)
    assert caught.value.reason == Reason.UNKNOWN_USER


def test_an_intent_in_a_request_for_a_wallet_is_refused() -> None:
    request = create_request(wish())
    assert refusal(replace(request, proposal=people.propose(intent()))) == Reason.INTENT_TX_MISMATCH


def test_a_denial_by_rule_is_told_before_a_limit_that_is_exceeded_too() -> None:
    assert refusal(sign_request(intent(1001, to=people.DENIED))) == Reason.DENIED_BY_RULE


def test_a_review_says_what_is_still_needed_and_by_whom() -> None:
    initiator, decision = review(people.propose(intent(500)), workspace(), FACTS)
    assert initiator.user_id == "desk"
    assert decision.reason == Reason.APPROVAL_MISSING
    assert decision.needs[0].eligible == ("olga", "ravi", "ravi2")


def test_a_review_refuses_what_the_initiator_has_not_signed() -> None:
    bent = replace(people.propose(intent(50)), subject=intent(51))
    with pytest.raises(Refused) as caught:
        review(bent, workspace(), FACTS)
    assert caught.value.reason == Reason.SIGNATURE_INVALID


def test_the_same_evidence_gives_the_same_decision_everywhere() -> None:
    large = intent(500)
    ravi, olga = approve(large, "ravi"), approve(large, "olga")
    one = authorize(sign_request(large, ravi, olga), workspace(), FACTS)
    other = authorize(sign_request(large, olga, ravi), workspace(), FACTS)
    assert (one.digest, one.decision.digest) == (other.digest, other.decision.digest)


def test_many_approvals_of_one_order_are_held_against_one_reading_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    large, read = intent(501), list[object]()
    request = sign_request(large, approve(large, "ravi"), approve(large, "olga"))
    same = replace(request, proposal=replace(request.proposal, subject=replace(large)))
    monkeypatch.setattr(decision, "render", lambda subject, held: (read.append(subject), render(subject, held))[1])
    authorize(same, workspace(), FACTS)
    assert len(read) == 1


def test_cosigners_whom_an_older_version_wants_to_sign_are_wanted_for_what_was_approved_under_it() -> None:
    subject = intent(500)
    wanted = rules("- rule: with-five\n  require: {cosigners: [5]}\n  when: {action: TRANSFER}\n")
    older = replace(workspace(), rules=(*workspace().rules, *wanted))
    newer = following(older, rules=workspace().rules)
    given = (approve(subject, "ravi", under=older), approve(subject, "olga", under=newer))
    request = replace(sign_request(subject, *given), workspace=workspace_digest(newer))
    assert authorize(request, newer, FACTS, {workspace_digest(older): older}).cosigners == (5,)
    given = tuple(approve(subject, name, under=newer) for name in ("ravi", "olga"))
    request = replace(request, approvals=given)
    assert authorize(request, newer, FACTS, {workspace_digest(older): older}).cosigners == ()
