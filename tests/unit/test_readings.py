"""What cosigners read before people are asked: signed, about one subject, and held against what a person sees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.intent import Subject, subject_digest
from oms_core.chains.render import render, rendering_digest
from oms_core.encoding import encode
from oms_core.errors import CountersealError, Malformed, NotFound, ProofInvalid, Reason
from oms_core.evidence import Reading, ReadRequest, Refusal, SignedReading, SignedRefusal, request_digest
from oms_core.policy.facts import Facts
from oms_core.policy.spends import spends
from oms_core.readings import (
    agreement,
    plain_decision,
    read,
    readings_needed,
    verify_read_refusal,
    verify_reading,
)
from oms_core.workspace import workspace_digest
from tests.parties import identity
from tests.people import DENIED, NOW, STRANGE, following, intent, propose, reform, wish, workspace

LARGE = intent(500)


def asked(subject: Subject) -> ReadRequest:
    return ReadRequest(propose(subject), workspace_digest(workspace()))


def signed(node: int, subject: Subject = LARGE, signer: int = 0, domain: str = "reading", **changes: object) -> bytes:
    """What this cosigner says that it reads; changed, or signed by another, if a test wants."""
    made, _ = read(node, asked(subject), workspace(), Facts(NOW))
    said = replace(made, **changes)  # type: ignore[arg-type]
    return encode(SignedReading(said, identity(signer or node).sign(domain, encode(said))))


@pytest.mark.parametrize("subject", [LARGE, wish(), reform(following())], ids=["order", "wallet", "workspace"])
def test_a_cosigner_reads_what_a_person_would_read(subject: Subject) -> None:
    made, rendering = read(2, asked(subject), workspace(), Facts(NOW))
    assert rendering == render(subject, workspace())
    assert made == Reading(
        2,
        subject_digest(subject),
        workspace_digest(workspace()),
        rendering_digest(rendering),
        plain_decision(subject, workspace()),
        NOW,
    )


def test_all_cosigners_come_to_one_plain_decision_whatever_each_has_signed_and_whenever_it_is_asked() -> None:
    spent = spends(workspace(), intent(900, intent_id="int_2"), NOW - 5)
    facts = (Facts(NOW), Facts(NOW + 500), Facts(NOW, spent), Facts(NOW, seen_at=NOW - 9))
    assert len({read(1, asked(LARGE), workspace(), one)[0].decision for one in facts}) == 1


def test_other_rules_come_to_another_plain_decision() -> None:
    fewer = replace(workspace(), rules=workspace().rules[:-1])
    assert plain_decision(LARGE, fewer) != plain_decision(LARGE, workspace())
    assert plain_decision(LARGE, workspace()) != plain_decision(intent(5000), workspace())


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (intent(to=STRANGE), Reason.NO_PERMIT),
        (intent(to=DENIED), Reason.DENIED_BY_RULE),
        (intent(2000), Reason.LIMIT_EXCEEDED),
        (intent(valid_until=NOW), Reason.EXPIRED),
        (intent(initiator="nobody"), Reason.UNKNOWN_USER),
    ],
)
def test_what_a_node_would_not_sign_it_does_not_read_either(subject: Subject, reason: Reason) -> None:
    with pytest.raises(CountersealError) as caught:
        read(1, asked(subject), workspace(), Facts(NOW))
    assert caught.value.reason == reason


def test_a_proposal_under_another_key_is_not_read() -> None:
    request = asked(LARGE)
    forged = replace(request, proposal=replace(request.proposal, signature=propose(intent()).signature))
    with pytest.raises(CountersealError) as caught:
        read(1, forged, workspace(), Facts(NOW))
    assert caught.value.reason == Reason.SIGNATURE_INVALID


def test_nothing_is_read_under_another_version_of_the_workspace() -> None:
    with pytest.raises(CountersealError) as caught:
        read(1, replace(asked(LARGE), workspace=bytes(32)), workspace(), Facts(NOW))
    assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (lambda: signed(1, signer=2), ProofInvalid),
        (lambda: signed(1, domain="refusal"), ProofInvalid),
        (lambda: signed(1, subject=wish()), ProofInvalid),
        (lambda: signed(1, workspace=bytes(32)), ProofInvalid),
        (lambda: signed(1, index=9), NotFound),
        (lambda: b"\x00", Malformed),
        (lambda: signed(1) + b"\x00", Malformed),
    ],
    ids=["another's key", "another domain", "another subject", "another workspace", "stranger", "junk", "trailing"],
)
def test_a_reading_counts_only_under_its_cosigners_key_and_about_this(data: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        verify_reading(data(), workspace(), LARGE)  # type: ignore[operator]


def test_five_who_read_the_same_agree() -> None:
    found = agreement(LARGE, workspace(), [signed(i) for i in range(1, 6)])
    assert (found.same, found.different, found.invalid) == ((1, 2, 3, 4, 5), (), 0)
    assert found.unanimous


@pytest.mark.parametrize("field", ["rendering", "decision"])
def test_one_who_reads_something_else_or_decides_otherwise_is_named(field: str) -> None:
    found = agreement(LARGE, workspace(), [signed(1), signed(2, **{field: bytes(32)}), signed(3)])
    assert found.same == (1, 3)
    assert [one.index for one in found.different] == [2]
    assert not found.unanimous


def test_of_two_stories_of_one_node_the_one_that_differs_stays() -> None:
    for stories in ([signed(2), signed(2, rendering=bytes(32))], [signed(2, rendering=bytes(32)), signed(2)]):
        found = agreement(LARGE, workspace(), stories)
        assert (found.same, [one.index for one in found.different]) == ((), [2])


def test_a_reading_that_does_not_hold_is_no_agreement() -> None:
    found = agreement(LARGE, workspace(), [signed(1), signed(2, signer=1)])
    assert (found.same, found.invalid, found.unanimous) == ((1,), 1, False)


@pytest.mark.parametrize(("threshold", "needed"), [(0, 3), (2, 3), (3, 3), (4, 4), (5, 5)])
def test_people_wait_for_as_many_readings_as_sign_and_for_more_than_half_of_all(threshold: int, needed: int) -> None:
    assert readings_needed(workspace(), threshold) == needed


def test_a_refusal_to_read_is_bound_to_what_was_asked_and_to_no_session() -> None:
    request = asked(LARGE)

    def no(signer: int = 4, **changes: object) -> bytes:
        said = Refusal(b"", request_digest(request), 4, Reason.NO_PERMIT, "no", NOW)
        said = replace(said, **changes)  # type: ignore[arg-type]
        return encode(SignedRefusal(said, identity(signer).sign("refusal", encode(said))))

    assert verify_read_refusal(no(), workspace(), request).reason == Reason.NO_PERMIT
    wrong: dict[str, object]
    for wrong in ({"signer": 3}, {"session_id": bytes(32)}, {"request": bytes(32)}, {"index": 3}):
        with pytest.raises(ProofInvalid):
            verify_read_refusal(no(**wrong), workspace(), request)  # type: ignore[arg-type]
    with pytest.raises(Malformed):
        verify_read_refusal(no(reason="BECAUSE"), workspace(), request)
