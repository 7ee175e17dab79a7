"""Safe primes p = 2p' + 1 (spec §2.7): a block sieve over p' from a random start, then Fermat, then Miller-Rabin."""

from __future__ import annotations

import secrets

import gmpy2

from oms_core.errors import LocalError

_SIEVE_LIMIT = 1 << 16
_BLOCK = 1 << 14
_ROUNDS = 30


def _odd_primes(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    for n in range(3, int(limit**0.5) + 1, 2):
        if sieve[n]:
            sieve[n * n :: 2 * n] = bytes(len(range(n * n, limit, 2 * n)))
    return [n for n in range(3, limit, 2) if sieve[n]]


_SMALL = _odd_primes(_SIEVE_LIMIT)


def is_safe_prime(p: int) -> bool:
    """Whether p and (p-1)/2 are primes (30 rounds of Miller-Rabin each)."""
    return p > 5 and p % 2 == 1 and gmpy2.is_prime((p - 1) // 2, _ROUNDS) and gmpy2.is_prime(p, _ROUNDS)


def safe_prime(bits: int) -> int:
    """A random safe prime of exactly ``bits`` bits whose two top bits are set, so that a product has 2·bits bits.

    Raises `LocalError` below 128 bits.
    """
    if bits < 128:
        raise LocalError("a safe prime needs at least 128 bits")
    while True:
        found = _search(bits)
        if found:
            return found


def _search(bits: int) -> int | None:
    """Look at one block of candidates p' = start + 2k; None if it holds no safe prime."""
    half = bits - 1
    start = secrets.randbits(half) | 1 | 3 << (half - 2)
    composite = bytearray(_BLOCK)
    for r in _SMALL:
        # p' ≡ 0 makes p' composite; p' ≡ (r-1)/2 makes 2p'+1 composite.
        inverse = (r + 1) // 2
        for root in (0, (r - 1) // 2):
            first = (root - start) * inverse % r
            composite[first::r] = b"\x01" * len(range(first, _BLOCK, r))
    for k in range(_BLOCK):
        if composite[k]:
            continue
        candidate = start + 2 * k
        p = 2 * candidate + 1
        if p.bit_length() != bits:
            return None
        if gmpy2.powmod(2, p - 1, p) == 1 and is_safe_prime(p):
            return p
    return None
