"""What all verifiers share: a claim that fails raises, and its text is the claim (spec §5, common rules)."""

from __future__ import annotations

from collections.abc import Iterable

from oms_core.crypto.curve import Point, Q
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import Level
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.errors import ProofInvalid


def claim(holds: object, text: str) -> None:
    """Raise `ProofInvalid` with the claim as its text unless it holds."""
    if not holds:
        raise ProofInvalid(text)


def in_range(value: int, bits: int) -> bool:
    """Whether value ∈ ±2^bits; compares only, so a huge value costs nothing."""
    return abs(value) <= 1 << bits


def scalars(values: Iterable[int], text: str) -> None:
    """Each in [0, q)."""
    claim(all(0 <= value < Q for value in values), text)


def not_identity(points: Iterable[Point], text: str) -> None:
    """None is O."""
    claim(not any(point.is_identity for point in points), text)


def ciphertexts(key: PaillierPublic, values: Iterable[int], text: str) -> None:
    """Each a unit modulo N²."""
    claim(all(key.is_ciphertext(value) for value in values), text)


def residues(key: PedersenPublic, values: Iterable[int], text: str) -> None:
    """Each a unit modulo N̂."""
    claim(all(key.is_unit(value) for value in values), text)


def hidden(value: int, level: Level, pedersen: PedersenPublic, text: str) -> None:
    """The answer for a commitment's randomness, ±(2^(ℓ+ε) + q·2^ℓ)·N̂: no honest prover leaves it."""
    claim(abs(value) <= ((1 << level.ell + level.epsilon) + (Q << level.ell)) * pedersen.N, text)
