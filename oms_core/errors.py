"""The exception tree of Counterseal, and its reason codes.

    CountersealError                 everything we raise; carries a stable ``reason`` and public ``details``
    ├── Malformed                    bytes or a field that cannot be what they claim to be
    ├── Refused                      a rule, a guard or a person said no
    ├── Conflict                     the same name was used for something else
    ├── NotFound                     no such thing
    ├── Unavailable                  a part that is needed does not answer; trying again may help
    ├── Unauthenticated              the peer is not who it has to be
    ├── LocalError                   we are at fault, or our own store or HSM is
    ├── ProofInvalid                 a zero-knowledge proof did not verify; who sent it is the caller's knowledge
    └── ProtocolAbort                peers left the protocol; every culprit found in the round is named
        └── Unattributed             the run failed and nobody can be named

An error's text may be shown to anyone: no secret is ever put into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Stable codes: they go into ``google.rpc.ErrorInfo.reason``, signed refusals and the log. Never renamed."""

    # input
    MALFORMED = "MALFORMED"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    BAD_CHECKSUM = "BAD_CHECKSUM"
    BAD_ADDRESS = "BAD_ADDRESS"
    PRECISION = "PRECISION"
    NEGATIVE_AMOUNT = "NEGATIVE_AMOUNT"
    CHAIN_MISMATCH = "CHAIN_MISMATCH"
    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE"
    EXPIRED = "EXPIRED"
    TOO_LARGE = "TOO_LARGE"
    TRAILING_BYTES = "TRAILING_BYTES"
    OPAQUE_CALL = "OPAQUE_CALL"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    UNKNOWN_WALLET = "UNKNOWN_WALLET"
    UNKNOWN_TRANSACTION = "UNKNOWN_TRANSACTION"
    UNKNOWN_USER = "UNKNOWN_USER"
    UNKNOWN_SESSION = "UNKNOWN_SESSION"
    WRONG_STATE = "WRONG_STATE"
    # policy
    NO_PERMIT = "NO_PERMIT"
    DENIED_BY_RULE = "DENIED_BY_RULE"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    VELOCITY_EXCEEDED = "VELOCITY_EXCEEDED"
    FEE_EXCEEDED = "FEE_EXCEEDED"
    FACT_UNKNOWN = "FACT_UNKNOWN"
    ACTION_MISMATCH = "ACTION_MISMATCH"
    UNLIMITED_ALLOWANCE = "UNLIMITED_ALLOWANCE"
    ENTRY_SUSPENDED = "ENTRY_SUSPENDED"
    POLICY_VERSION_MISMATCH = "POLICY_VERSION_MISMATCH"
    # approvals and proposals
    APPROVAL_MISSING = "APPROVAL_MISSING"
    APPROVAL_EXPIRED = "APPROVAL_EXPIRED"
    APPROVAL_REPLAYED = "APPROVAL_REPLAYED"
    APPROVAL_DENIED = "APPROVAL_DENIED"
    CANCELLED = "CANCELLED"
    REPLACED = "REPLACED"
    CHALLENGE_MISMATCH = "CHALLENGE_MISMATCH"
    UV_REQUIRED = "UV_REQUIRED"
    ORIGIN_MISMATCH = "ORIGIN_MISMATCH"
    CREDENTIAL_UNKNOWN = "CREDENTIAL_UNKNOWN"
    COUNTER_REGRESSION = "COUNTER_REGRESSION"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    SELF_APPROVAL = "SELF_APPROVAL"
    DUPLICATE_PERSON = "DUPLICATE_PERSON"
    NOT_ELIGIBLE = "NOT_ELIGIBLE"
    CREDENTIAL_REVOKED = "CREDENTIAL_REVOKED"
    ASSURANCE_TOO_LOW = "ASSURANCE_TOO_LOW"
    DELAYED = "DELAYED"
    INCOMPATIBLE_ROLES = "INCOMPATIBLE_ROLES"
    UNSATISFIABLE = "UNSATISFIABLE"
    # chain
    CHAIN_UNAVAILABLE = "CHAIN_UNAVAILABLE"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    BROADCAST_REJECTED = "BROADCAST_REJECTED"
    FAILED_ON_CHAIN = "FAILED_ON_CHAIN"
    DOUBLE_SIGN_GUARD = "DOUBLE_SIGN_GUARD"
    NONCE_CONFLICT = "NONCE_CONFLICT"
    GAS_UNSUITABLE = "GAS_UNSUITABLE"
    NOT_MINED = "NOT_MINED"
    # safety
    INTENT_TX_MISMATCH = "INTENT_TX_MISMATCH"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    EPOCH_STALE = "EPOCH_STALE"
    SHARE_AAD_MISMATCH = "SHARE_AAD_MISMATCH"
    SESSION_REPLAYED = "SESSION_REPLAYED"
    ROLLBACK_DETECTED = "ROLLBACK_DETECTED"
    ANCHOR_MISMATCH = "ANCHOR_MISMATCH"
    PRESIGNATURE_UNKNOWN = "PRESIGNATURE_UNKNOWN"
    BACKUP_INVALID = "BACKUP_INVALID"
    CULPRIT_IDENTIFIED = "CULPRIT_IDENTIFIED"
    SESSION_FAILED = "SESSION_FAILED"
    QUORUM_UNAVAILABLE = "QUORUM_UNAVAILABLE"
    OPERATOR_NOT_DISTINCT = "OPERATOR_NOT_DISTINCT"
    HALTED = "HALTED"
    NOT_LOGGED = "NOT_LOGGED"
    LOG_STALE = "LOG_STALE"
    LOG_CONFLICT = "LOG_CONFLICT"
    LOG_FORKED = "LOG_FORKED"
    EXACT_BYTES_NEEDED = "EXACT_BYTES_NEEDED"
    READINGS_DIFFER = "READINGS_DIFFER"
    READINGS_MISSING = "READINGS_MISSING"
    PEER_IDENTITY = "PEER_IDENTITY"
    PEER_UNREACHABLE = "PEER_UNREACHABLE"
    HSM_UNAVAILABLE = "HSM_UNAVAILABLE"
    HSM_PIN = "HSM_PIN"
    HSM_TOKEN_MISSING = "HSM_TOKEN_MISSING"  # noqa: S105 - a reason code
    HSM_KEY_UNSUITABLE = "HSM_KEY_UNSUITABLE"
    STORE_CORRUPT = "STORE_CORRUPT"
    CONFIG_INVALID = "CONFIG_INVALID"
    OVERLOADED = "OVERLOADED"
    INTERNAL = "INTERNAL"


class CountersealError(Exception):
    """Base of all errors. ``reason`` is stable; ``message`` is for people; ``details`` are public key-value pairs."""

    default_reason: Reason = Reason.INTERNAL

    def __init__(self, message: str, reason: Reason | None = None, **details: str) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.details: Mapping[str, str] = details

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class Malformed(CountersealError):
    """Input that cannot be what it claims to be."""

    default_reason = Reason.MALFORMED


class Refused(CountersealError):
    """A rule, a guard or a person said no. Asking again unchanged will not help."""

    default_reason = Reason.DENIED_BY_RULE


class Conflict(CountersealError):
    """The name or the state was already taken by something else."""

    default_reason = Reason.IDEMPOTENCY_CONFLICT


class NotFound(CountersealError):
    """No such thing."""

    default_reason = Reason.UNKNOWN_TRANSACTION


class Unavailable(CountersealError):
    """A part that is needed does not answer."""

    default_reason = Reason.QUORUM_UNAVAILABLE


class Unauthenticated(CountersealError):
    """The peer is not who it has to be."""

    default_reason = Reason.PEER_IDENTITY


class LocalError(CountersealError):
    """Our own configuration, store or HSM is at fault."""

    default_reason = Reason.INTERNAL


class ProofInvalid(CountersealError):
    """A proof, an opening or a share did not verify. The message is the claim that failed."""

    default_reason = Reason.CULPRIT_IDENTIFIED


@dataclass(frozen=True, slots=True)
class Blame:
    """One peer, one step, one reason: proven to the party that says so, and to nobody else by this alone."""

    culprit: int
    step: str
    reason: str


class ProtocolAbort(CountersealError):
    """Peers left the protocol. ``blames`` names every culprit that the round showed."""

    default_reason = Reason.CULPRIT_IDENTIFIED

    def __init__(self, *blames: Blame, message: str = "", reason: Reason | None = None) -> None:
        text = message or "; ".join(f"party {b.culprit} at {b.step}: {b.reason}" for b in blames)
        super().__init__(text, reason)
        self.blames = blames
        self.evidence: tuple[bytes, ...] = ()
        """Canonical accusations that anybody can judge, where the shell has made them."""

    @property
    def culprits(self) -> set[int]:
        """Indices of the parties that are named."""
        return {blame.culprit for blame in self.blames}


class Unattributed(ProtocolAbort):
    """The run failed and the evidence names nobody: a relay's fault must never be written as a peer's fault."""

    default_reason = Reason.SESSION_FAILED

    def __init__(self, message: str) -> None:
        super().__init__(message=message)
