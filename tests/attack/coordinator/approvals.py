"""Lies about approvals: whose they are, over what, made how, and when (C01 to C03, C05, C16; A01 to A05, A14, A15)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from fido2.utils import websafe_encode

from oms_core.approvals import Approval, Verdict, challenge
from oms_core.chains.intent import Allow, Transfer
from oms_core.errors import Reason
from tests.attack.coordinator.authenticator import BACKED_UP, ELIGIBLE, PRESENT, VERIFIED, Press
from tests.attack.coordinator.lies import lie
from tests.attack.coordinator.scene import Attempt, Scene
from tests.attack.coordinator.world import COIN, KNOWN, PEOPLE, keys

MISMATCH = (Reason.CHALLENGE_MISMATCH,)
FORGED = (Reason.SIGNATURE_INVALID,)


def _instead(scene: Scene, attempt: Attempt, approval: Approval) -> Attempt:
    """One of the approvals is this."""
    held = list(attempt.approvals)
    if held:
        held[scene.random.randrange(len(held))] = approval
    return replace(attempt, approvals=tuple(held) or (approval,))


def _one(scene: Scene, attempt: Attempt) -> Approval:
    return scene.random.choice(attempt.approvals) if attempt.approvals else scene.press(attempt.intent, "olga")


def _pressed(scene: Scene, attempt: Attempt, how: Press, **changes: Any) -> Attempt:
    """Somebody whose approval is there presses again, not as it should be."""
    return _replaced(attempt, scene.press(attempt.intent, _someone(scene, attempt), how=how, **changes))


def _someone(scene: Scene, attempt: Attempt) -> str:
    """Somebody whose approval is there."""
    return _whose(_one(scene, attempt))


def _whose(approval: Approval) -> str:
    """Whose approval it is, if she exists."""
    person = approval.claim.approver
    return person if person in PEOPLE else "olga"


def _replaced(attempt: Attempt, approval: Approval) -> Attempt:
    others = tuple(one for one in attempt.approvals if one.claim.approver != approval.claim.approver)
    return replace(attempt, approvals=(*others, approval))


def _claimed(scene: Scene, attempt: Attempt, **changes: Any) -> Attempt:
    """A claim is changed after it was signed."""
    one = _one(scene, attempt)
    return _replaced(attempt, replace(one, claim=replace(one.claim, **changes)))


@lie("C01", reasons=(Reason.APPROVAL_MISSING,))
def no_approvals(scene: Scene, attempt: Attempt) -> Attempt:
    return attempt.approved_by()


@lie("C01", reasons=(Reason.APPROVAL_MISSING,))
def one_approval_too_few(scene: Scene, attempt: Attempt) -> Attempt:
    dropped = scene.random.randrange(max(1, len(attempt.approvals)))
    return attempt.approved_by(*(one for i, one in enumerate(attempt.approvals) if i != dropped))


@lie("C01", reasons=(Reason.APPROVAL_MISSING,))
def two_of_one_team(scene: Scene, attempt: Attempt) -> Attempt:
    return instead(attempt, scene.legal(Transfer(COIN, KNOWN, 5), ("ravi", "rosa")))


@lie("A04", reasons=(Reason.APPROVAL_MISSING,))
def a_large_order_under_a_key_that_can_be_copied(scene: Scene, attempt: Attempt) -> Attempt:
    return instead(attempt, scene.legal(Transfer(COIN, KNOWN, 900), ("olga", "ravi", "sonja")))


@lie("C01", reasons=(Reason.APPROVAL_MISSING,))
def a_large_order_with_the_approvals_of_a_small_one(scene: Scene, attempt: Attempt) -> Attempt:
    return instead(attempt, scene.legal(Transfer(COIN, KNOWN, 501), ("olga", "ravi")))


def instead(attempt: Attempt, made: Attempt) -> Attempt:
    """The attempt about another order, with what that has."""
    execution = attempt.execution or made.execution
    return replace(attempt, intent=made.intent, execution=execution, proposal=made.proposal, approvals=made.approvals)


@lie("C02", "A03", reasons=MISMATCH)
def the_approvals_of_another_order(scene: Scene, attempt: Attempt) -> Attempt:
    return attempt.approved_by(*scene.legal().approvals)


@lie("C02", "A03", reasons=MISMATCH)
def one_approval_of_another_order(scene: Scene, attempt: Attempt) -> Attempt:
    return _replaced(attempt, scene.legal(approvers=("olga", "otto")).approvals[0])


@lie("C02", "A03", reasons=MISMATCH)
def the_assertion_of_another_order(scene: Scene, attempt: Attempt) -> Attempt:
    """The claim is right, and the signature is over another order's."""
    one = _one(scene, attempt)
    other = scene.press(scene.legal().intent, _whose(one))
    return _replaced(attempt, replace(other, claim=one.claim))


@lie("C03", reasons=(Reason.DUPLICATE_PERSON,))
def the_same_approval_twice(scene: Scene, attempt: Attempt) -> Attempt:
    one = _one(scene, attempt)
    return replace(attempt, approvals=(*attempt.approvals, one))


@lie("C03", "A11", reasons=(Reason.DUPLICATE_PERSON,))
def one_human_in_two_accounts(scene: Scene, attempt: Attempt) -> Attempt:
    return attempt.approved_by(scene.press(attempt.intent, "ravi"), scene.press(attempt.intent, "ravi2"))


@lie("C01", reasons=(Reason.CREDENTIAL_UNKNOWN,))
def an_unregistered_key(scene: Scene, attempt: Attempt) -> Attempt:
    person = _someone(scene, attempt)
    return _replaced(attempt, scene.press(attempt.intent, person, key=keys().stranger))


@lie("C01", reasons=FORGED)
def an_unregistered_key_under_a_registered_name(scene: Scene, attempt: Attempt) -> Attempt:
    person = _someone(scene, attempt)
    made = scene.press(attempt.intent, person, key=keys().stranger)
    return _replaced(attempt, replace(made, credential_id=keys().people[person].credential_id))


@lie("C06", reasons=(Reason.CREDENTIAL_REVOKED,))
def a_revoked_key(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, scene.press(attempt.intent, "lena"))


@lie("C01", reasons=(Reason.NOT_ELIGIBLE,))
def somebody_who_is_disabled(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, scene.press(attempt.intent, "dora"))


@lie("C01", reasons=(Reason.APPROVAL_MISSING,))
def somebody_who_approves_nothing(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, scene.press(attempt.intent, "tara"))


@lie("C01", reasons=(Reason.APPROVAL_MISSING,))
def people_of_another_group(scene: Scene, attempt: Attempt) -> Attempt:
    return attempt.approved_by(*(scene.press(attempt.intent, person) for person in ("sam", "sonja")))


@lie("C01", "A12", reasons=(Reason.SELF_APPROVAL,))
def the_initiators_own(scene: Scene, attempt: Attempt) -> Attempt:
    intent = scene.intent(scene.what(), initiator="ivan")
    approvals = tuple(scene.press(intent, person) for person in ("ivan", "olga"))
    proposal, execution = scene.propose(intent, keys().ivan), attempt.execution or scene.execution()
    return replace(attempt, intent=intent, execution=execution, proposal=proposal, approvals=approvals)


@lie("C01", reasons=(Reason.CREDENTIAL_UNKNOWN,))
def one_persons_assertion_for_another(scene: Scene, attempt: Attempt) -> Attempt:
    one = _one(scene, attempt)
    other = next(name for name in ("olga", "otto", "ravi", "rosa") if name != one.claim.approver)
    return replace(attempt, approvals=(replace(one, claim=scene.claim(attempt.intent, other)),))


@lie("C01", reasons=(Reason.UNKNOWN_USER,))
def somebody_who_does_not_exist(scene: Scene, attempt: Attempt) -> Attempt:
    return _claimed(scene, attempt, approver="mallory")


@lie("C01", reasons=(Reason.CREDENTIAL_UNKNOWN,))
def anothers_credential(scene: Scene, attempt: Attempt) -> Attempt:
    one = _one(scene, attempt)
    other = next(name for name in ("olga", "otto", "ravi", "rosa") if name != one.claim.approver)
    return _replaced(attempt, replace(one, credential_id=keys().people[other].credential_id))


@lie("C07", reasons=(Reason.APPROVAL_DENIED,))
def a_denial_among_them(scene: Scene, attempt: Attempt) -> Attempt:
    person = _someone(scene, attempt)
    return _replaced(attempt, scene.press(attempt.intent, person, Verdict.DENY))


@lie("C07", reasons=MISMATCH)
def a_denial_that_is_shown_as_an_approval(scene: Scene, attempt: Attempt) -> Attempt:
    denied = scene.press(attempt.intent, _someone(scene, attempt), Verdict.DENY)
    return _replaced(attempt, replace(denied, claim=replace(denied.claim, verdict=Verdict.APPROVE)))


# The claim, changed after it was signed, or signed while it said something else than the order.


@lie("C02", reasons=MISMATCH)
def another_subject_in_the_claim(scene: Scene, attempt: Attempt) -> Attempt:
    return _claimed(scene, attempt, subject=scene.random.randbytes(32))


@lie("C22", "A13", reasons=MISMATCH)
def what_was_shown_was_something_else(scene: Scene, attempt: Attempt) -> Attempt:
    """A hostile front end showed another order, a pleasant one: its rendering is what the person has signed."""
    shown = scene.claim(scene.intent(scene.what()), "olga").rendering
    return _replaced(attempt, scene.press(attempt.intent, "olga", rendering=shown))


@lie("C05", "P43", reasons=(Reason.POLICY_VERSION_MISMATCH,))
def approved_under_another_version(scene: Scene, attempt: Attempt) -> Attempt:
    return _replaced(attempt, scene.press(attempt.intent, "olga", workspace=scene.random.randbytes(32)))


@lie("C04", reasons=MISMATCH)
def bound_to_another_execution(scene: Scene, attempt: Attempt) -> Attempt:
    return _replaced(attempt, scene.press(attempt.intent, "olga", execution=scene.random.randbytes(32)))


@lie("C04", reasons=MISMATCH)
def bound_to_another_simulation(scene: Scene, attempt: Attempt) -> Attempt:
    return _replaced(attempt, scene.press(attempt.intent, "olga", simulation=scene.random.randbytes(32)))


@lie("C16", "A15", reasons=(Reason.APPROVAL_EXPIRED,))
def an_approval_that_is_over(scene: Scene, attempt: Attempt) -> Attempt:
    over = scene.now - scene.random.randint(0, 3000)
    return _replaced(attempt, scene.press(attempt.intent, "olga", expires_at=over, decided_at=over - 10))


@lie("C16", "A15", reasons=MISMATCH)
def an_approval_whose_end_is_put_off(scene: Scene, attempt: Attempt) -> Attempt:
    over = scene.press(attempt.intent, "olga", expires_at=scene.now - 1)
    return _replaced(attempt, replace(over, claim=replace(over.claim, expires_at=scene.now + 600)))


@lie("C16", reasons=(Reason.APPROVAL_EXPIRED,))
def an_approval_that_outlives_the_order(scene: Scene, attempt: Attempt) -> Attempt:
    return _replaced(attempt, scene.press(attempt.intent, "olga", expires_at=attempt.intent.valid_until + 1))


@lie("C16", "A15", reasons=(Reason.APPROVAL_EXPIRED,))
def decided_in_the_future(scene: Scene, attempt: Attempt) -> Attempt:
    return _replaced(attempt, scene.press(attempt.intent, "olga", decided_at=scene.now + 61))


@lie("C16", "A15", reasons=(Reason.APPROVAL_EXPIRED,))
def decided_before_it_was_asked(scene: Scene, attempt: Attempt) -> Attempt:
    return _replaced(attempt, scene.press(attempt.intent, "olga", decided_at=attempt.intent.valid_from - 61))


@lie("C16", reasons=(Reason.APPROVAL_MISSING,))
def approvals_that_are_no_longer_fresh(scene: Scene, attempt: Attempt) -> Attempt:
    old = scene.now - scene.random.randint(3700, 7200)
    people = ("olga", "ravi", "sam") if _large(attempt) else ("olga", "ravi")
    return attempt.approved_by(*(scene.press(attempt.intent, person, decided_at=old) for person in people))


def _large(attempt: Attempt) -> bool:
    return isinstance(attempt.intent.action, Transfer | Allow) and attempt.intent.action.amount > 500


@lie("C16", "A15", reasons=MISMATCH)
def approvals_that_are_made_fresh(scene: Scene, attempt: Attempt) -> Attempt:
    old = scene.press(attempt.intent, "olga", decided_at=scene.now - 5000)
    return _replaced(attempt, replace(old, claim=replace(old.claim, decided_at=scene.now)))


# The assertion: a browser that was led elsewhere, an authenticator that asked for nothing, a forger.


@lie("A01", reasons=(Reason.ORIGIN_MISMATCH,))
def pressed_at_another_origin(scene: Scene, attempt: Attempt) -> Attempt:
    origins = ("https://localhost:8080", "http://localhost:8081", "http://localhost:8080.evil.example", "", "null")
    return _pressed(scene, attempt, Press(origin=scene.random.choice(origins)))


@lie("A01", reasons=(Reason.ORIGIN_MISMATCH,))
def pressed_for_another_party(scene: Scene, attempt: Attempt) -> Attempt:
    return _pressed(scene, attempt, Press(rp_id=scene.random.choice(("evil.example", "Localhost", ""))))


@lie("A01", "A08", reasons=(Reason.ORIGIN_MISMATCH,))
def pressed_inside_anothers_page(scene: Scene, attempt: Attempt) -> Attempt:
    return _pressed(scene, attempt, Press(client={"crossOrigin": scene.random.choice((True, None, 0, "false"))}))


@lie("A02", reasons=(Reason.UV_REQUIRED,))
def pressed_without_verification(scene: Scene, attempt: Attempt) -> Attempt:
    return _pressed(scene, attempt, Press(flags=scene.random.choice((PRESENT, VERIFIED, 0))))


@lie("A03", reasons=MISMATCH)
def pressed_to_log_in(scene: Scene, attempt: Attempt) -> Attempt:
    """An assertion over a challenge that the phisher chose."""
    return _pressed(scene, attempt, Press(over=scene.random.randbytes(32)))


@lie("A05", reasons=MISMATCH)
def made_at_registration(scene: Scene, attempt: Attempt) -> Attempt:
    return _pressed(scene, attempt, Press(client={"type": scene.random.choice(("webauthn.create", "payment.get", 1))}))


@lie("A05", reasons=FORGED)
def garbage_for_a_signature(scene: Scene, attempt: Attempt) -> Attempt:
    one, size = _one(scene, attempt), scene.random.choice((0, 8, 64, 70, 71, 72, 256))
    return _replaced(attempt, replace(one, signature=scene.random.randbytes(size)))


@lie("A05", reasons=FORGED)
def a_signature_of_zeros(scene: Scene, attempt: Attempt) -> Attempt:
    zeros = (bytes.fromhex("3006020100020100"), bytes.fromhex("3006020101020100"), bytes(64))
    return _replaced(attempt, replace(_one(scene, attempt), signature=scene.random.choice(zeros)))


@lie("A05", reasons=(*FORGED, Reason.MALFORMED, Reason.UV_REQUIRED, Reason.ORIGIN_MISMATCH))
def a_bit_of_the_authenticators_data(scene: Scene, attempt: Attempt) -> Attempt:
    one = _one(scene, attempt)
    data = bytearray(one.authenticator_data)
    data[scene.random.randrange(len(data))] ^= 1 << scene.random.randrange(8)
    return _replaced(attempt, replace(one, authenticator_data=bytes(data)))


@lie("A05", reasons=(Reason.MALFORMED,))
def data_after_the_authenticators_data(scene: Scene, attempt: Attempt) -> Attempt:
    one = _one(scene, attempt)
    return _replaced(attempt, replace(one, authenticator_data=one.authenticator_data + scene.random.randbytes(5)))


@lie("A05", reasons=(Reason.MALFORMED, Reason.TOO_LARGE))
def client_data_that_is_none(scene: Scene, attempt: Attempt) -> Attempt:
    one = _one(scene, attempt)
    said = json.loads(one.client_data_json)
    twice = one.client_data_json[:-1] + b',"origin":"http://localhost:8080"}'
    wrong = (
        b"",
        b"[]",
        b"\xff",
        b"{",
        twice,
        b"[" * 4000,
        one.client_data_json + b" " * 5000,
        json.dumps([said]).encode(),
    )
    return _replaced(attempt, replace(one, client_data_json=scene.random.choice(wrong)))


@lie("A03", reasons=FORGED)
def the_right_challenge_written_in_afterwards(scene: Scene, attempt: Attempt) -> Attempt:
    """The phisher has an assertion over his own challenge, and writes the order's into the client data."""
    one = _one(scene, attempt)
    other = scene.press(attempt.intent, _whose(one), how=Press(over=scene.random.randbytes(32)))
    right = websafe_encode(challenge(one.claim))
    said = {**json.loads(other.client_data_json), "challenge": right}
    return _replaced(attempt, replace(other, client_data_json=json.dumps(said, separators=(",", ":")).encode()))


@lie("A05", reasons=(Reason.ASSURANCE_TOO_LOW, Reason.MALFORMED))
def a_bound_key_that_can_be_copied(scene: Scene, attempt: Attempt) -> Attempt:
    flags = PRESENT | VERIFIED | scene.random.choice((ELIGIBLE, ELIGIBLE | BACKED_UP, BACKED_UP))
    return _replaced(attempt, scene.press(attempt.intent, "sam", how=Press(flags=flags)))


@lie("C14", reasons=(Reason.TOO_LARGE,))
def more_approvals_than_anybody_reads(scene: Scene, attempt: Attempt) -> Attempt:
    return replace(attempt, approvals=(_one(scene, attempt),) * 33)
