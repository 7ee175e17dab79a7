"""ECDSA on P-256 over a 32-byte digest: identities and proposal keys (FIPS 186-5; raw r ‖ s as PKCS#11 gives it)."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature

from oms_core.errors import Malformed, ProofInvalid, Reason


def public_key(public: bytes) -> ec.EllipticCurvePublicKey:
    """Parse 65 bytes, SEC1 uncompressed. Raises `Malformed`."""
    try:
        if len(public) != 65:
            raise ValueError
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    except ValueError:
        raise Malformed("a P-256 key is a point of 65 bytes") from None


def verify(public: bytes, digest: bytes, signature: bytes) -> None:
    """Raises `ProofInvalid` (SIGNATURE_INVALID) unless ``signature`` (64 bytes) is the key's over the digest."""
    try:
        if len(signature) != 64:
            raise InvalidSignature
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        public_key(public).verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except (InvalidSignature, Malformed):
        raise ProofInvalid("the key signed this", Reason.SIGNATURE_INVALID) from None


def signer(pem: bytes) -> Callable[[bytes], bytes]:
    """What signs a 32-byte digest as raw r ‖ s (64 bytes) under a key in PEM without a password. Raises `Malformed`."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise Malformed("not a private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Malformed("not a P-256 key")

    def sign(digest: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign
