"""Proposals: only the initiator's own registered key proposes, and only what it signed."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from oms_core.chains.intent import Bounds, Intent, Proposal, Transfer
from oms_core.errors import NotFound, Reason, Refused
from oms_core.proposals import proposal_digest, sign_proposal, verify_proposal
from oms_core.workspace import ProposalKey
from tests.people import COIN, NOW, STRANGE, intent, keys, person, wish, workspace


class Key:
    """A P-256 key of the test's own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def sign(self, digest: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def public(self, key_id: str) -> ProposalKey:
        point = self._key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return ProposalKey(key_id, point)


KEY, SECOND, OTHERS = Key(), Key(), Key()
PEOPLE = replace(
    workspace(),
    users=(
        replace(person("desk", "trader"), proposal_keys=(KEY.public("k-1"), SECOND.public("k-2"))),
        replace(person("tara", "trader"), proposal_keys=(OTHERS.public("k-3"),)),
    ),
)


def why(proposal: Proposal) -> Reason:
    with pytest.raises(Refused) as caught:
        verify_proposal(proposal, PEOPLE)
    return caught.value.reason


@pytest.mark.parametrize("subject", [intent(), wish()])
def test_what_an_initiators_key_signed_is_hers(subject: Intent) -> None:
    for key, key_id in ((KEY, "k-1"), (SECOND, "k-2")):
        assert verify_proposal(sign_proposal(subject, key_id, key.sign), PEOPLE).user_id == "desk"


def test_the_clients_signer_makes_what_is_verified_here() -> None:
    assert verify_proposal(keys().desk.propose(intent()), workspace()).user_id == "desk"


CHANGED: dict[str, object] = {
    "intent_id": "int_2", "wallet_id": "wal_2", "path": (1,), "chain": "eip155:1", "bounds": Bounds(1, 1),
    "action": Transfer(COIN, STRANGE, 50), "purpose": "", "valid_from": NOW, "valid_until": NOW + 1,
}  # fmt: skip


@pytest.mark.parametrize("field", [f.name for f in fields(Intent) if f.name != "initiator"])
def test_a_proposal_does_not_hold_for_a_subject_that_differs_in_one_field(field: str) -> None:
    proposal = sign_proposal(intent(), "k-1", KEY.sign)
    bent = replace(proposal, subject=replace(intent(), **{field: CHANGED[field]}))  # type: ignore[arg-type]
    assert why(bent) is Reason.SIGNATURE_INVALID


def test_a_proposal_does_not_hold_for_another_initiator() -> None:
    proposal = sign_proposal(intent(), "k-1", KEY.sign)
    assert why(replace(proposal, subject=intent(initiator="tara"))) is Reason.CREDENTIAL_UNKNOWN


def test_a_key_of_somebody_else_does_not_propose_for_an_initiator() -> None:
    assert why(sign_proposal(intent(), "k-3", OTHERS.sign)) is Reason.CREDENTIAL_UNKNOWN
    assert why(sign_proposal(intent(), "k-1", OTHERS.sign)) is Reason.SIGNATURE_INVALID


def test_a_signature_made_with_one_key_is_not_passed_off_as_anothers() -> None:
    assert why(replace(sign_proposal(intent(), "k-1", KEY.sign), key_id="k-2")) is Reason.SIGNATURE_INVALID
    assert proposal_digest(intent(), "k-1") != proposal_digest(intent(), "k-2")


def test_a_stranger_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        verify_proposal(sign_proposal(intent(initiator="mallory"), "k-1", KEY.sign), PEOPLE)
    assert caught.value.reason is Reason.UNKNOWN_USER


@pytest.mark.parametrize("signature", [b"", bytes(64), b"\xff" * 64, bytes(63), bytes(65), bytes(72)])
def test_bytes_that_are_no_signature_are_refused(signature: bytes) -> None:
    assert why(Proposal(intent(), "k-1", signature)) is Reason.SIGNATURE_INVALID


def test_a_signature_over_the_subject_without_its_domain_is_refused() -> None:
    from oms_core.chains.intent import subject_digest

    assert why(Proposal(intent(), "k-1", KEY.sign(subject_digest(intent())))) is Reason.SIGNATURE_INVALID
