"""Approvals: WebAuthn assertions whose challenge is the digest of what is decided (W3C WebAuthn level 3, §7.2)."""

from __future__ import annotations

from enum import StrEnum

from oms_core.encoding import digest, document


class Verdict(StrEnum):
    """What a person decides."""

    APPROVE = "APPROVE"
    DENY = "DENY"


@document("approval-claim/2")
class ApprovalClaim:
    """All that one press of a key says. ``subject``, ``workspace``, ``rendering`` are 32-byte digests.

    ``simulation`` and ``execution`` are 32-byte digests, or empty where the approval does not bind them; the latter is
    that of `oms_core.authorize.execution_digest`. ``decided_at`` (Unix seconds) is when, by the approver's own clock;
    rules may ask for approvals that are fresh.
    """

    subject: bytes
    workspace: bytes
    rendering: bytes
    simulation: bytes
    execution: bytes
    approver: str
    verdict: Verdict
    decided_at: int
    expires_at: int


@document("approval/1")
class Approval:
    """A claim and the assertion over its `challenge`, as the authenticator returned it."""

    claim: ApprovalClaim
    credential_id: bytes
    authenticator_data: bytes
    client_data_json: bytes
    signature: bytes


def challenge(claim: ApprovalClaim) -> bytes:
    """The 32 bytes that the authenticator signs as WebAuthn challenge."""
    return digest("approval", claim)
