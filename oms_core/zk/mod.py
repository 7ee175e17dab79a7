"""Π^mod: a modulus is a product of two primes, coprime to its order (CGGMP24 Fig. 12, spec §5.5).

    statement   N
    witness     p, q with p, q ≡ 3 mod 4
    relation    N = p·q and gcd(N, φ(N)) = 1

The verifier insists on Jacobi(w|N) = -1: with w = 0 every fourth-root equation holds by itself (CVE-2025-66016).
"""

from __future__ import annotations

from typing import Any

import gmpy2
from gmpy2 import mpz, powmod

from oms_core.crypto.paillier import PaillierPublic, PaillierSecret
from oms_core.crypto.params import Level
from oms_core.crypto.sampling import is_unit, unit
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.encoding import document
from oms_core.zk.claims import claim

_PRIMALITY_ROUNDS = 25


@document("mod-answer/1")
class Answer:
    """x^4 = (-1)^a·w^b·y and z^N = y."""

    x: int
    a: int
    b: int
    z: int


@document("mod-proof/1")
class Proof:
    """w with Jacobi symbol -1, and m answers."""

    w: int
    answers: tuple[Answer, ...]


def prove(level: Level, context: ProofContext, secret: PaillierSecret) -> Proof:
    """Prove that N is a Paillier-Blum modulus, by the owner of its factors."""
    N = secret.N
    w = unit(int(N))
    while gmpy2.jacobi(w, N) != -1:
        w = unit(int(N))
    ys = Challenge("mod", context, secret.public, w).residues(int(N), level.repetitions)
    return Proof(w, tuple(_answer(secret, w, mpz(y)) for y in ys))


def _answer(secret: PaillierSecret, w: int, y: Any) -> Answer:
    p, q = secret.factors
    for a in (0, 1):
        for b in (0, 1):
            candidate = (-1) ** a * w**b * y % secret.N
            if gmpy2.legendre(candidate, p) == 1 == gmpy2.legendre(candidate, q):
                return Answer(_fourth_root(candidate, p, q), a, b, int(secret.root(y)))
    raise ValueError("the modulus is not of Blum's kind")


def _fourth_root(square: Any, p: Any, q: Any) -> int:
    """The fourth root that is itself a square, for p, q ≡ 3 mod 4."""
    root_p = powmod(square % p, powmod((p + 1) // 4, 2, p - 1), p)
    root_q = powmod(square % q, powmod((q + 1) // 4, 2, q - 1), q)
    return int(root_p + (root_q - root_p) * gmpy2.invert(p, q) % q * p)


def verify(level: Level, context: ProofContext, x: PaillierPublic, proof: Proof) -> None:
    """Raises `ProofInvalid` with the claim that fails."""
    N, w = x.N, proof.w
    claim(len(proof.answers) == level.repetitions, "exactly m answers")
    claim(all(answer.a in (0, 1) and answer.b in (0, 1) for answer in proof.answers), "a, b ∈ {0, 1}")
    claim(N.bit_length() == level.modulus_bits and N % 2 == 1, "N is odd and of the level's size")
    claim(0 < w < N and gmpy2.jacobi(w, N) == -1, "Jacobi(w|N) = -1")
    claim(all(is_unit(answer.x, N) and is_unit(answer.z, N) for answer in proof.answers), "x and z are units modulo N")
    claim(not gmpy2.is_prime(N, _PRIMALITY_ROUNDS), "N is not prime")
    ys = Challenge("mod", context, PaillierPublic(int(N)), w).residues(int(N), level.repetitions)
    for y, answer in zip(ys, proof.answers, strict=True):
        claim(is_unit(y, N), "y is a unit modulo N")
        claim(powmod(answer.z, N, N) == y, "z^N = y")
        claim(powmod(answer.x, 4, N) == (-1) ** answer.a * mpz(w) ** answer.b * y % N, "x^4 = (-1)^a·w^b·y")
