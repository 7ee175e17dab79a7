"""Proposals: a subject under the initiator's registered P-256 key. A proposal key proposes; it never approves."""

from __future__ import annotations

from collections.abc import Callable

from oms_core.chains.intent import Proposal, Subject, subject_digest
from oms_core.crypto import p256
from oms_core.encoding import digest
from oms_core.errors import ProofInvalid, Reason, Refused
from oms_core.workspace import User, Workspace, user


def proposal_digest(subject: Subject, key_id: str) -> bytes:
    """The 32 bytes that a proposal key signs."""
    return digest("proposal", subject_digest(subject), key_id)


def sign_proposal(subject: Subject, key_id: str, sign: Callable[[bytes], bytes]) -> Proposal:
    """``sign`` turns the 32-byte `proposal_digest` into raw r ‖ s, 64 bytes."""
    return Proposal(subject, key_id, sign(proposal_digest(subject, key_id)))


def verify_proposal(proposal: Proposal, workspace: Workspace) -> User:
    """The initiator, if the key is hers and signed this. Raises `Refused`, and `NotFound` for a stranger."""
    initiator = user(workspace, proposal.subject.initiator)
    if not initiator.enabled:
        raise Refused(f"{initiator.user_id} is disabled", Reason.NOT_ELIGIBLE)
    for key in initiator.proposal_keys:
        if key.key_id == proposal.key_id:
            try:
                p256.verify(key.public, proposal_digest(proposal.subject, key.key_id), proposal.signature)
            except ProofInvalid:
                raise Refused("the proposal's signature is not its initiator's", Reason.SIGNATURE_INVALID) from None
            return initiator
    raise Refused(f"{initiator.user_id} has no proposal key {proposal.key_id[:40]!r}", Reason.CREDENTIAL_UNKNOWN)
