"""What a cosigner's no means for an order: that somebody cheats, that a rule is against it, that this node cannot."""

from __future__ import annotations

from enum import StrEnum

from oms_core.errors import Reason


class Weight(StrEnum):
    """INTEGRITY holds an order and counts, more of it than liars could say ends it; POLICY counts; NODE is about the
    node, not the order.
    """

    INTEGRITY = "INTEGRITY"
    POLICY = "POLICY"
    NODE = "NODE"


_INTEGRITY = frozenset(
    {
        Reason.MALFORMED,
        Reason.UNKNOWN_FIELD,
        Reason.BAD_CHECKSUM,
        Reason.BAD_ADDRESS,
        Reason.CHAIN_MISMATCH,
        Reason.TOO_LARGE,
        Reason.INTENT_TX_MISMATCH,
        Reason.DIGEST_MISMATCH,
        Reason.ACTION_MISMATCH,
        Reason.TRAILING_BYTES,
        Reason.CHALLENGE_MISMATCH,
        Reason.ORIGIN_MISMATCH,
        Reason.UV_REQUIRED,
        Reason.SIGNATURE_INVALID,
        Reason.CREDENTIAL_UNKNOWN,
        Reason.COUNTER_REGRESSION,
        Reason.APPROVAL_REPLAYED,
        Reason.SELF_APPROVAL,
        Reason.DUPLICATE_PERSON,
        Reason.SESSION_REPLAYED,
    }
)
"""Nothing that an honest coordinator presents for an honest order."""

PASSING = frozenset(
    {
        Reason.HALTED,
        Reason.DELAYED,
        Reason.POLICY_VERSION_MISMATCH,
        Reason.NOT_LOGGED,
        Reason.LOG_STALE,
        Reason.LOG_CONFLICT,
        Reason.LOG_FORKED,
        Reason.EXACT_BYTES_NEEDED,
        Reason.OVERLOADED,
        Reason.HSM_UNAVAILABLE,
    }
)
"""About the node, and passes by itself or by its operator's doing: the node may be asked again."""

ABOUT_THE_QUORUM = frozenset({Reason.CULPRIT_IDENTIFIED, Reason.OPERATOR_NOT_DISTINCT, Reason.QUORUM_UNAVAILABLE})
"""About the others in the session: the node may sign with somebody else."""

NOT_FINAL = PASSING | ABOUT_THE_QUORUM
"""What a node may be asked again after: later, or with others."""

_NODE = NOT_FINAL | {
    Reason.ROLLBACK_DETECTED,
    Reason.DOUBLE_SIGN_GUARD,  # another order's nonce: honest after an order that expired half signed
    Reason.EPOCH_STALE,
    Reason.UNKNOWN_WALLET,
    Reason.WRONG_STATE,
    Reason.CONFIG_INVALID,
    Reason.PEER_IDENTITY,
    Reason.STORE_CORRUPT,
    Reason.INTERNAL,
}
"""Where the node stands, or with whom it was asked: another quorum, or the same one later, may well sign."""


def weight(reason: Reason) -> Weight:
    """What a refusal for this reason means. Whatever is in neither list is a rule's or a person's no."""
    if reason in _INTEGRITY:
        return Weight.INTEGRITY
    return Weight.NODE if reason in _NODE else Weight.POLICY
