"""secp256k1 (SEC 2, 2.4.1) on libsecp256k1 through coincurve, with the identity that the library lacks."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from coincurve import PrivateKey, PublicKey

from oms_core.errors import Malformed

Q = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
P = 2**256 - 2**32 - 977
_IDENTITY_BYTES = b"\x00"


class Point:
    """A point of secp256k1; immutable. ``k * P`` takes any integer k, reduced modulo the group order."""

    __slots__ = ("_bytes", "_key")

    def __init__(self, key: PublicKey | None) -> None:
        self._key = key
        self._bytes: bytes = _IDENTITY_BYTES if key is None else key.format(compressed=True)

    @classmethod
    def from_bytes(cls, data: bytes) -> Point:
        """Parse 33 bytes of SEC1 compressed form. Raises `Malformed` for anything else, the identity included."""
        if len(data) != 33:
            raise Malformed("a point has 33 bytes")
        try:
            return cls(PublicKey(data))
        except ValueError:
            raise Malformed("not a point of secp256k1") from None

    @classmethod
    def from_canonical(cls, value: object) -> Point:
        """As `from_bytes`, and the single byte 00 for the identity."""
        if not isinstance(value, bytes):
            raise Malformed("a point is bytes")
        return IDENTITY if value == _IDENTITY_BYTES else cls.from_bytes(value)

    def __canonical__(self) -> bytes:
        return self._bytes

    def to_bytes(self) -> bytes:
        """33 bytes, SEC1 compressed; the identity is the single byte 00."""
        return self._bytes

    def uncompressed(self) -> bytes:
        """65 bytes, SEC1 uncompressed. Raises `Malformed` for the identity."""
        if self._key is None:
            raise Malformed("the identity has no uncompressed form")
        return bytes(self._key.format(compressed=False))

    @property
    def is_identity(self) -> bool:
        """Whether this is the neutral element O."""
        return self._key is None

    @property
    def x(self) -> int:
        """Affine x as an integer. Raises `Malformed` for the identity."""
        if self._key is None:
            raise Malformed("the identity has no coordinates")
        return int.from_bytes(self._bytes[1:], "big")

    @property
    def has_odd_y(self) -> bool:
        """Parity of affine y."""
        return self._bytes[0] == 3

    def __add__(self, other: Point) -> Point:
        if self._key is None:
            return other
        if other._key is None:
            return self
        try:
            return Point(PublicKey.combine_keys([self._key, other._key]))
        except ValueError:
            return IDENTITY

    def __neg__(self) -> Point:
        if self._key is None:
            return self
        return Point(PublicKey(bytes([self._bytes[0] ^ 1]) + self._bytes[1:]))

    def __sub__(self, other: Point) -> Point:
        return self + -other

    def __mul__(self, k: int) -> Point:
        k = int(k) % Q
        if k == 0 or self._key is None:
            return IDENTITY
        return Point(self._key.multiply(k.to_bytes(32, "big")))

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"Point({self._bytes.hex()})"

    def __reduce__(self) -> Any:
        return Point.from_canonical, (self._bytes,)


IDENTITY = Point(None)
G = Point(PublicKey.from_secret((1).to_bytes(32, "big")))


def mul_base(k: int) -> Point:
    """k·G in constant time (libsecp256k1's generator multiplication)."""
    k = int(k) % Q
    return IDENTITY if k == 0 else Point(PrivateKey(k.to_bytes(32, "big")).public_key)


def total(points: Iterable[Point]) -> Point:
    """Sum of points; the identity for none."""
    result = IDENTITY
    for point in points:
        result = result + point
    return result


def random_scalar() -> int:
    """Uniform in [1, q-1]."""
    return 1 + secrets.randbelow(Q - 1)


def centered(a: int) -> int:
    """The representative of a mod q in [-(q-1)/2, (q-1)/2]."""
    a = int(a) % Q
    return a - Q if a > (Q - 1) // 2 else a
