"""Safe primes: what is found is one, with its two top bits set, and the sieve passes over none."""

from __future__ import annotations

import json
from pathlib import Path

import gmpy2
import pytest

from oms_core.crypto import primes
from oms_core.crypto.primes import is_safe_prime, safe_prime
from oms_core.errors import LocalError

HELD = json.loads((Path(__file__).parents[2] / "vectors" / "safe_primes.json").read_text())


@pytest.fixture(scope="module")
def found() -> list[int]:
    return [safe_prime(256) for _ in range(4)]


def test_a_safe_prime_of_256_bits_is_prime_and_so_is_half_of_it(found: list[int]) -> None:
    for p in found:
        assert gmpy2.is_prime(p, 50)
        assert gmpy2.is_prime((p - 1) // 2, 50)
        assert p % 4 == 3
        assert p % 3 == 2
        assert is_safe_prime(p)


def test_its_two_top_bits_are_set_so_that_products_have_the_exact_size(found: list[int]) -> None:
    assert [p >> 254 for p in found] == [3, 3, 3, 3]
    assert {(p * q).bit_length() for p in found for q in found} == {512}


def test_no_safe_prime_comes_twice(found: list[int]) -> None:
    assert len(set(found)) == 4


@pytest.mark.parametrize("bits", [128, 129, 200])
def test_any_size_from_128_bits_on_is_exact(bits: int) -> None:
    p = safe_prime(bits)
    assert p.bit_length() == bits
    assert p >> (bits - 2) == 3
    assert is_safe_prime(p)


@pytest.mark.parametrize("bits", [127, 64, 1, 0, -256])
def test_fewer_than_128_bits_are_refused(bits: int) -> None:
    with pytest.raises(LocalError, match="at least 128 bits"):
        safe_prime(bits)


def test_small_safe_primes_are_the_published_ones() -> None:
    # OEIS A005385, without 5 = 2·2 + 1, the only one that is not 3 modulo 4.
    published = [7, 11, 23, 47, 59, 83, 107, 167, 179, 227, 263, 347, 359, 383, 467, 479, 503]
    assert [n for n in range(-20, 510) if is_safe_prime(n)] == published


@pytest.mark.parametrize("bent", ["negative", "even", "prime only", "half only", "next"])
def test_what_lacks_one_of_the_two_primes_is_not_safe(bent: str, found: list[int]) -> None:
    p = found[0]
    prime_only = next(n for n in range(p + 4, p + 100_000, 4) if gmpy2.is_prime(n) and not gmpy2.is_prime(n // 2))
    half = next(n for n in range(p // 2 + 2, p, 2) if gmpy2.is_prime(n) and not gmpy2.is_prime(2 * n + 1))
    values = {"negative": -p, "even": p + 1, "prime only": prime_only, "half only": 2 * half + 1, "next": p + 2}
    assert not is_safe_prime(values[bent])


def test_the_sieving_primes_are_all_odd_primes_below_2_to_the_16() -> None:
    small = primes._odd_primes(1 << 16)
    assert small == [n for n in range(3, 1 << 16, 2) if gmpy2.is_prime(n)] == primes._SMALL
    assert len(small) == 6541


@pytest.mark.parametrize("seed", [0, 1 << 60, 0x5A5A5A5A5A5A5A5A5A5A5A5A])
def test_the_sieve_finds_the_very_first_safe_prime_of_its_block(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr("secrets.randbits", lambda bits: seed)
    start = seed | 1 | 3 << 125
    candidates = (2 * (start + 2 * k) + 1 for k in range(primes._BLOCK))
    assert primes._search(128) == next(p for p in candidates if is_safe_prime(p))


def test_a_block_that_runs_over_the_size_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbits", lambda bits: (1 << bits) - 1)
    beyond = ((1 << 128) - 1 + 4 * k for k in range(primes._BLOCK))
    assert any(is_safe_prime(p) for p in beyond)
    assert primes._search(128) is None


def test_an_empty_block_is_followed_by_a_fresh_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = primes.secrets.randbits, []

    def randbits(bits: int) -> int:
        asked.append(bits)
        return (1 << bits) - 1 if len(asked) < 3 else real(bits)

    monkeypatch.setattr("secrets.randbits", randbits)
    assert is_safe_prime(safe_prime(256))
    assert asked[:3] == [255, 255, 255]


@pytest.mark.parametrize("bits", [512, 1024, 1536])
def test_the_safe_primes_that_the_tests_hold_are_safe_of_their_size_and_different(bits: int) -> None:
    held = [int(text, 16) for text in HELD[str(bits)]]
    assert len(set(held)) == len(held) >= 12
    assert all(p >> (bits - 2) == 3 for p in held)
    assert all(is_safe_prime(p) for p in held[:4])
