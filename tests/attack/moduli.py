"""Moduli as an attacker would make them, and the two proofs about a modulus as far as its owner can make them."""

from __future__ import annotations

import random
from functools import cache
from itertools import product
from math import prod
from typing import Any

import gmpy2
from gmpy2 import mpz

from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import L112, Level
from oms_core.crypto.sampling import is_unit, symmetric, unit
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.zk import fac, mod

BITS = L112.modulus_bits


@cache
def prime(bits: int, seed: int = 0, residue: int = 3) -> Any:
    """A prime of exactly ``bits`` bits, its two top bits set, ≡ residue mod 4; the same for the same seed."""
    rng = random.Random(f"{bits} {seed} {residue}")
    while True:
        found = gmpy2.next_prime(mpz(rng.getrandbits(bits)) | mpz(3) << bits - 2)
        if found.bit_length() == bits and found % 4 == residue:
            return found


@cache
def fill(rest: Any) -> Any:
    """A prime ≡ 3 mod 4 that makes ``rest`` a modulus of exactly the level's size."""
    candidate = gmpy2.next_prime((mpz(3) << BITS - 2) // rest)
    while candidate % 4 != 3:
        candidate = gmpy2.next_prime(candidate)
    assert (rest * candidate).bit_length() == BITS
    return candidate


def small(count: int, bits: int = 17) -> list[Any]:
    """The first primes ≡ 3 mod 4 of this size."""
    found: list[Any] = []
    candidate = mpz(1) << bits - 1
    while len(found) < count:
        candidate = gmpy2.next_prime(candidate)
        if candidate % 4 == 3:
            found.append(candidate)
    return found


def filled(*factors: Any) -> list[Any]:
    """These prime factors and one more, for a modulus of the level's size."""
    return [*map(mpz, factors), fill(prod(map(mpz, factors)))]


def roots(factors: list[Any]) -> Any:
    """The exponent that takes N-th roots modulo a squarefree N coprime to φ(N); 1 where there is none."""
    N, phi = prod(factors), prod((p - 1) * p ** (factors.count(p) - 1) for p in set(factors))
    return gmpy2.invert(N, phi) if gmpy2.gcd(N, phi) == 1 else mpz(1)


def challenges(context: ProofContext, N: Any, w: int, level: Level = L112) -> list[int]:
    """The y of Π^mod."""
    return Challenge("mod", context, PaillierPublic(int(N)), w).residues(int(N), level.repetitions)


def prove_mod(context: ProofContext, factors: list[Any], w: int | None = None) -> mod.Proof:
    """The best Π^mod that the owner of these prime factors can make.

    For a y without a fourth root, whatever the sign and the power of w, it sends an answer that satisfies one equation.
    """
    N = prod(factors)
    while w is None:  # until no y is a multiple of a small prime: that would be refused by itself
        drawn = unit(int(N))
        if gmpy2.jacobi(drawn, N) == -1 and all(is_unit(y, N) for y in challenges(context, N, drawn)):
            w = drawn
    exponent, answers = roots(factors), []
    for y in challenges(context, N, w):
        z = int(gmpy2.powmod(y, exponent, N))
        for a, b in product((0, 1), repeat=2):
            value = (-1) ** a * mpz(w) ** b * y % N
            if all(gmpy2.legendre(value, p) == 1 for p in set(factors)):
                answers.append(mod.Answer(fourth_root(value, factors), a, b, z))
                break
        else:
            answers.append(mod.Answer(1 + len(answers), 0, 0, z))
    return mod.Proof(w, tuple(answers))


def fourth_root(value: Any, factors: list[Any]) -> int:
    """By CRT over the distinct primes ≡ 3 mod 4; a root modulo N itself if N is squarefree."""
    N, x = prod(set(factors)), mpz(0)
    for p in set(factors):
        cofactor = N // p
        x += gmpy2.powmod(value, gmpy2.powmod((p + 1) // 4, 2, p - 1), p) * cofactor * gmpy2.invert(cofactor, p)
    return int(x % N)


def even_split(factors: list[Any]) -> tuple[Any, Any]:
    """N in two factors, as close to each other as taking the largest prime and then others gives it."""
    N, best = prod(factors), (mpz(1), prod(factors))
    part = mpz(1)
    for p in sorted(factors, reverse=True):
        part *= p
        best = min(best, (part, N // part), key=max)
    return best


def prove_fac(level: Level, context: ProofContext, x: fac.Statement, p: Any, q: Any) -> fac.Proof:
    """Π^fac for any p·q = N0 with the prover's own formulas; the first answer is given, in range or not."""
    N0, rp, both = x.N0.N, x.pedersen, level.ell + level.epsilon
    root, N = gmpy2.isqrt(N0), rp.N
    alpha, beta = symmetric(root << both), symmetric(root << both)
    mu, nu = symmetric(N << level.ell), symmetric(N << level.ell)
    r, a, b = symmetric(N0 * N << both), symmetric(N << both), symmetric(N << both)
    Q = rp.commit(q, nu)
    T = rp.power(Q, alpha) * rp.power(rp.t, r) % N
    com = fac.Commitment(*map(int, (rp.commit(p, mu), Q, rp.commit(alpha, a), rp.commit(beta, b), T)))
    e = Challenge("fac", context, x, com).signed(level.ell)
    return fac.Proof(com, *map(int, (alpha + e * p, beta + e * q, a + e * mu, b + e * nu, r - e * nu * p)))
