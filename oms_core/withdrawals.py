"""An initiator's word that an order of hers is not wanted any more, or that another one takes its place.

She withdraws a change of the workspace that she has proposed in the same words.
"""

from __future__ import annotations

from collections.abc import Callable

from oms_core.chains.intent import Intent, subject_digest
from oms_core.crypto import p256
from oms_core.encoding import digest, document
from oms_core.errors import ProofInvalid, Reason, Refused
from oms_core.workspace import ChangeWorkspace, User, Workspace, user

Withdrawable = Intent | ChangeWorkspace


@document("withdrawal/1")
class Withdrawal:
    """``subject`` is the digest of the order or change that ends; ``instead`` of the order in its place, or empty."""

    subject: bytes
    instead: bytes
    initiator: str


@document("signed-withdrawal/1")
class SignedWithdrawal:
    """A withdrawal under the initiator's proposal key: raw ``r || s`` (64 bytes) over `withdrawal_digest`."""

    withdrawal: Withdrawal
    key_id: str
    signature: bytes


def withdrawal_digest(withdrawal: Withdrawal, key_id: str) -> bytes:
    """The 32 bytes that a proposal key signs; no proposal has them."""
    return digest("withdrawal", withdrawal, key_id)


def sign_withdrawal(
    order: Withdrawable, instead: Intent | None, key_id: str, sign: Callable[[bytes], bytes]
) -> SignedWithdrawal:
    """``sign`` turns the 32-byte `withdrawal_digest` into raw r ‖ s, 64 bytes."""
    said = Withdrawal(subject_digest(order), subject_digest(instead) if instead else b"", order.initiator)
    return SignedWithdrawal(said, key_id, sign(withdrawal_digest(said, key_id)))


def verify_withdrawal(
    signed: SignedWithdrawal, order: Withdrawable, instead: Intent | None, workspace: Workspace
) -> User:
    """The initiator of ``order``, if she said that it ends, and so. Raises `Refused`, and `NotFound` for a stranger."""
    said = signed.withdrawal
    if (said.subject, said.instead) != (subject_digest(order), subject_digest(instead) if instead else b""):
        raise Refused("the withdrawal is of something else, or for another order in its place", Reason.DIGEST_MISMATCH)
    if said.initiator != order.initiator or (instead is not None and instead.initiator != order.initiator):
        raise Refused("only who proposed it withdraws or amends it", Reason.NOT_ELIGIBLE)
    initiator = user(workspace, said.initiator)
    for key in initiator.proposal_keys:
        if key.key_id == signed.key_id:
            try:
                p256.verify(key.public, withdrawal_digest(said, key.key_id), signed.signature)
            except ProofInvalid:
                raise Refused("the withdrawal's signature is not its initiator's", Reason.SIGNATURE_INVALID) from None
            return initiator
    raise Refused(f"{initiator.user_id} has no proposal key {signed.key_id[:40]!r}", Reason.CREDENTIAL_UNKNOWN)
