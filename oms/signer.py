"""A proposal key: P-256 in a file of mode 0600. It signs proposals, never approvals."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from oms_core.chains.intent import Intent, Proposal, Subject
from oms_core.errors import LocalError, Reason
from oms_core.proposals import sign_proposal
from oms_core.withdrawals import SignedWithdrawal, Withdrawable, sign_withdrawal
from oms_core.workspace import ProposalKey


class ProposalSigner:
    """Signs what one user or service proposes."""

    def __init__(self, key_id: str, key: ec.EllipticCurvePrivateKey) -> None:
        self.key_id, self._key = key_id, key

    @classmethod
    def create(cls, path: Path, key_id: str) -> ProposalSigner:
        """A fresh key in a new file. Raises `LocalError` if the file exists."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_secret(path, pem)
        return cls(key_id, key)

    @classmethod
    def load(cls, path: Path, key_id: str) -> ProposalSigner:
        """Raises `LocalError` (CONFIG_INVALID) for a file that is no such key."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError):
            raise LocalError(f"{path.name} is not a readable proposal key", Reason.CONFIG_INVALID) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise LocalError(f"{path.name} is not a P-256 key", Reason.CONFIG_INVALID)
        return cls(key_id, key)

    @property
    def public(self) -> ProposalKey:
        """What the workspace registers."""
        point = self._key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return ProposalKey(self.key_id, point)

    def propose(self, subject: Subject) -> Proposal:
        """The subject under this key."""
        return sign_proposal(subject, self.key_id, self._sign)

    def withdraw(self, order: Withdrawable, instead: Intent | None = None) -> SignedWithdrawal:
        """That an order or a change of mine ends, or that another order takes its place."""
        return sign_withdrawal(order, instead, self.key_id, self._sign)

    def _sign(self, digest: bytes) -> bytes:
        der = self._key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read. Raises `LocalError` if it exists."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise LocalError(f"{path.name} exists already", Reason.CONFIG_INVALID) from None
