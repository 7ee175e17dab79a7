"""Non-hardened public derivation of child keys (BIP32, "Public parent key -> public child key"; spec §3.6).

A child's public key is its parent's plus θ·G, so a threshold key signs for a child by adding θ to one share. Every
signer computes θ itself, from the path: it is never taken from the network. All keys under one root are one security
domain: a child's secret and θ together are the parent's secret.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from Crypto.Hash import RIPEMD160

from oms_core.crypto.curve import Point, Q, mul_base
from oms_core.encoding import document
from oms_core.errors import Malformed

MAX_DEPTH = 8
HARDENED = 1 << 31
_VERSION = bytes.fromhex("0488b21e")  # xpub, main network
_NOBODY = bytes(4)  # the parent's fingerprint of a root
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@document("xpub/1")
class ExtendedKey:
    """A public key and the chain code that its children are derived with."""

    public_key: Point
    chain_code: bytes


def check_path(path: tuple[int, ...]) -> None:
    """At most 8 non-hardened indices. Raises `Malformed`."""
    if len(path) > MAX_DEPTH:
        raise Malformed(f"a path has at most {MAX_DEPTH} indices")
    if any(type(index) is not int or not 0 <= index < HARDENED for index in path):
        raise Malformed("a path's indices are between 0 and 2^31 - 1: hardened ones need the secret key")


def tweak(public_key: Point, chain_code: bytes, path: tuple[int, ...]) -> int:
    """θ, the sum of all steps' θ_i modulo q: the key at ``path`` is ``public_key`` + θ·G. 0 for the empty path.

    Raises `Malformed` as `derive`.
    """
    return sum(theta for theta, _ in _steps(public_key, chain_code, path)) % Q


def derive(public_key: Point, chain_code: bytes, path: tuple[int, ...]) -> ExtendedKey:
    """The extended key at ``path``, a sequence of non-hardened indices.

    Raises `Malformed` for a hardened or negative index, for more than 8 of them, for an identity key, for a chain code
    of another size than 32 bytes, and for an index without a child: BIP32 has the caller take the next index then.
    """
    key = ExtendedKey(public_key, chain_code)
    for _, child in _steps(public_key, chain_code, path):
        key = child
    return key


def fingerprint(public_key: Point) -> bytes:
    """The first 4 bytes of RIPEMD160(SHA256(key)), by which a child names its parent. Raises `Malformed` for O."""
    if public_key.is_identity:
        raise Malformed("the identity is not a public key")
    return RIPEMD160.new(hashlib.sha256(public_key.to_bytes()).digest()).digest()[:4]


def serialize(public_key: Point, chain_code: bytes, depth: int, parent_fingerprint: bytes, index: int) -> str:
    """The base58check string ``xpub…`` of BIP32, "Serialization format", for the main network.

    ``index`` may be hardened: a node below a hardened step has a public form as well. Raises `Malformed` for fields
    out of range, and for a root (depth 0) with a parent or an index.
    """
    _check_key(public_key, chain_code)
    if not 0 <= depth < 1 << 8 or not 0 <= index < 1 << 32 or len(parent_fingerprint) != 4:
        raise Malformed("a depth has one byte, a fingerprint four, an index four")
    if depth == 0 and (parent_fingerprint != _NOBODY or index != 0):
        raise Malformed("a root has no parent and no index")
    place = bytes([depth]) + parent_fingerprint + index.to_bytes(4, "big")
    return _base58check(_VERSION + place + chain_code + public_key.to_bytes())


def xpub(public_key: Point, chain_code: bytes, path: tuple[int, ...]) -> str:
    """The ``xpub…`` string of the key at ``path`` below a root. Raises `Malformed` as `derive`."""
    parent = key = ExtendedKey(public_key, chain_code)
    for _, child in _steps(public_key, chain_code, path):
        parent, key = key, child
    if not path:
        return serialize(public_key, chain_code, 0, _NOBODY, 0)
    return serialize(key.public_key, key.chain_code, len(path), fingerprint(parent.public_key), path[-1])


def _steps(public_key: Point, chain_code: bytes, path: tuple[int, ...]) -> Iterator[tuple[int, ExtendedKey]]:
    """θ_i and the key after each step; everything is checked before the first."""
    _check_key(public_key, chain_code)
    check_path(path)
    key = ExtendedKey(public_key, chain_code)
    for index in path:
        theta, key = _child(key, index)
        yield theta, key


def _child(parent: ExtendedKey, index: int) -> tuple[int, ExtendedKey]:
    message = parent.public_key.to_bytes() + index.to_bytes(4, "big")
    made = hmac.digest(parent.chain_code, message, "sha512")
    theta = int.from_bytes(made[:32], "big")
    if theta < Q:
        child = parent.public_key + mul_base(theta)
        if not child.is_identity:
            return theta, ExtendedKey(child, made[32:])
    raise Malformed(f"index {index} has no child here; the next one is to be taken")


def _check_key(public_key: Point, chain_code: bytes) -> None:
    if public_key.is_identity:
        raise Malformed("the identity is not a public key")
    if len(chain_code) != 32:
        raise Malformed("a chain code has 32 bytes")


def _base58check(payload: bytes) -> str:
    """Base 58 of the payload and 4 bytes of its double SHA-256. Our version byte is not 0, so no zero leads."""
    checksum = hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(payload + checksum, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return text
