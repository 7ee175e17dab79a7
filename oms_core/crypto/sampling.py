"""Uniform sampling from the operating system's generator, and the test for units (spec §1, §2.4)."""

from __future__ import annotations

import secrets

import gmpy2


def below(bound: int) -> int:
    """Uniform in [0, bound)."""
    return secrets.randbelow(int(bound))


def symmetric(bound: int) -> int:
    """Uniform in [-bound, bound]."""
    bound = int(bound)
    return secrets.randbelow(2 * bound + 1) - bound


def is_unit(a: int, modulus: int) -> bool:
    """Whether 0 < a < modulus and gcd(a, modulus) = 1: asked of every received residue."""
    return 0 < a < modulus and gmpy2.gcd(a, modulus) == 1


def unit(modulus: int) -> int:
    """Uniform in the multiplicative group modulo ``modulus``."""
    while True:
        candidate = below(modulus)
        if is_unit(candidate, modulus):
            return candidate
