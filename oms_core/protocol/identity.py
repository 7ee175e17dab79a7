"""A party's long-term key, and what may be signed with it: digests that tell in which domain they were made."""

from __future__ import annotations

import hashlib
from typing import Protocol

from oms_core.crypto import p256
from oms_core.encoding import encode


class Identity(Protocol):
    """A party's long-term P-256 key. It never leaves its HSM; only domain-separated digests are signed with it."""

    @property
    def index(self) -> int:
        """The party's index in the roster."""

    @property
    def public(self) -> bytes:
        """65 bytes, SEC1 uncompressed."""

    def sign(self, domain: str, message: bytes) -> bytes:
        """Raw r ‖ s, 64 bytes, over `identity_digest`."""


def identity_digest(domain: str, message: bytes) -> bytes:
    """The 32 bytes (SHA-256) that an identity key signs: an envelope can never pass for a refusal or a receipt."""
    return hashlib.sha256(encode(["counterseal identity", 1, domain, message])).digest()


def verify_identity(public: bytes, domain: str, message: bytes, signature: bytes) -> None:
    """Raises `ProofInvalid` (SIGNATURE_INVALID) unless the identity key signed this message in this domain."""
    p256.verify(public, identity_digest(domain, message), signature)
