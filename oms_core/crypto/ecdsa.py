"""ECDSA signatures on secp256k1 with recovery id (SEC 1 4.1), low-s by construction, and two independent verifiers."""

from __future__ import annotations

import ecdsa
from coincurve import PublicKey
from ecdsa.util import sigdecode_string

from oms_core.crypto.curve import Point, Q
from oms_core.encoding import document
from oms_core.errors import Malformed, ProofInvalid, Reason


@document("signature/1")
class Signature:
    """(r, s) with s ≤ (q-1)/2, and the recovery id v: parity of y(R), plus 2 if x(R) ≥ q."""

    r: int
    s: int
    v: int

    def compact(self) -> bytes:
        """64 bytes: r ‖ s."""
        return self.r.to_bytes(32, "big") + self.s.to_bytes(32, "big")


def from_nonce_point(R: Point, s: int) -> Signature:
    """Normalise s to its low form and derive the recovery id (spec §4.6). Raises `ProofInvalid` if r or s is 0."""
    r = R.x % Q
    if r == 0 or s % Q == 0:
        raise ProofInvalid("r and s are not 0")
    return normalise_low_s(r, s % Q, int(R.has_odd_y) | (2 if R.x >= Q else 0))


def normalise_low_s(r: int, s: int, v: int) -> Signature:
    """The one of (s, q-s) that is at most (q-1)/2; flipping s flips the parity bit."""
    if s > (Q - 1) // 2:
        return Signature(r, Q - s, v ^ 1)
    return Signature(r, s, v)


def check_shape(signature: Signature, digest: bytes) -> None:
    """Ranges of all numbers and the length of the digest. Raises `Malformed`."""
    if len(digest) != 32:
        raise Malformed("a digest has 32 bytes")
    if not (0 < signature.r < Q and 0 < signature.s <= (Q - 1) // 2 and 0 <= signature.v <= 3):
        raise Malformed("signature out of range or not low-s", Reason.SIGNATURE_INVALID)


def recover(signature: Signature, digest: bytes) -> Point:
    """The public key by libsecp256k1 recovery. Raises `Malformed` if there is none."""
    check_shape(signature, digest)
    try:
        key = PublicKey.from_signature_and_message(signature.compact() + bytes([signature.v]), digest, hasher=None)
    except Exception as error:
        raise Malformed("no key recovers from this signature", Reason.SIGNATURE_INVALID) from error
    return Point(key)


def verify(public: Point, digest: bytes, signature: Signature) -> None:
    """Verify by libsecp256k1 recovery and, independently, by python-ecdsa. Raises `ProofInvalid`."""
    if recover(signature, digest) != public:
        raise ProofInvalid("the signature recovers to the public key", Reason.SIGNATURE_INVALID)
    verify_independent(public, digest, signature)


def verify_independent(public: Point, digest: bytes, signature: Signature) -> None:
    """Verify with python-ecdsa alone, which shares no code with libsecp256k1. Raises `ProofInvalid`."""
    check_shape(signature, digest)
    key = ecdsa.VerifyingKey.from_string(public.to_bytes(), curve=ecdsa.SECP256k1)
    try:
        key.verify_digest(signature.compact(), digest, sigdecode=sigdecode_string)
    except (ecdsa.BadSignatureError, TypeError):  # TypeError: u1·G + u2·Q is the identity, in python-ecdsa
        raise ProofInvalid("python-ecdsa verifies the signature", Reason.SIGNATURE_INVALID) from None
