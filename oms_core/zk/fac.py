"""Π^fac: a modulus has no small factor (CGGMP24 Fig. 26, spec §5.7).

statement   N0; the verifier's ring-Pedersen N̂, s, t
witness     p, q
relation    N0 = p·q with p, q ≤ √N0·2^ℓ
proves only p, q ≤ √N0·2^(ℓ+ε); together with Π^mod these are the primes
"""

from __future__ import annotations

import gmpy2

from oms_core.crypto.paillier import PaillierPublic, PaillierSecret
from oms_core.crypto.params import Level
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.crypto.sampling import symmetric
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.encoding import document
from oms_core.zk.claims import claim, residues


@document("fac-statement/1")
class Statement:
    """The prover's modulus, the verifier's triple."""

    N0: PaillierPublic
    pedersen: PedersenPublic


@document("fac-commitment/1")
class Commitment:
    """First message."""

    P: int
    Q: int
    A: int
    B: int
    T: int


@document("fac-proof/1")
class Proof:
    """First message and answers."""

    commitment: Commitment
    z1: int
    z2: int
    w1: int
    w2: int
    v: int


def prove(level: Level, context: ProofContext, pedersen: PedersenPublic, secret: PaillierSecret) -> Proof:
    """Prove the size of the factors to the owner of ``pedersen``."""
    x, (p, q) = Statement(secret.public, pedersen), secret.factors
    N0, N, root, both = secret.N, pedersen.N, gmpy2.isqrt(secret.N), level.ell + level.epsilon
    while True:
        alpha, beta = symmetric(root << both), symmetric(root << both)
        mu, nu = symmetric(N << level.ell), symmetric(N << level.ell)
        r = symmetric(N0 * N << both)
        a, b = symmetric(N << both), symmetric(N << both)
        com = Commitment(
            P=pedersen.commit(p, mu),
            Q=(Q := pedersen.commit(q, nu)),
            A=pedersen.commit(alpha, a),
            B=pedersen.commit(beta, b),
            T=pedersen.power(Q, alpha) * pedersen.power(pedersen.t, r) % N,
        )
        e = Challenge("fac", context, x, com).signed(level.ell)
        z1, z2 = alpha + e * p, beta + e * q
        if abs(z1) <= root << both and abs(z2) <= root << both:
            return Proof(com, z1, z2, a + e * mu, b + e * nu, r - e * nu * p)


def verify(level: Level, context: ProofContext, x: Statement, proof: Proof) -> None:
    """Raises `ProofInvalid` with the claim that fails."""
    com, N0, rp, both = proof.commitment, x.N0.N, x.pedersen, level.ell + level.epsilon
    root = gmpy2.isqrt(N0)
    hidden = ((1 << both) + (1 << 2 * level.ell)) * rp.N
    claim(N0.bit_length() >= 4 * level.ell, "N0 has at least 4ℓ bits")
    claim(abs(proof.z1) <= root << both, "z1 ∈ ±2^(ℓ+ε)·√N0")
    claim(abs(proof.z2) <= root << both, "z2 ∈ ±2^(ℓ+ε)·√N0")
    claim(abs(proof.w1) <= hidden and abs(proof.w2) <= hidden, "w1 and w2 are in the range of an honest prover")
    claim(
        abs(proof.v) <= (N0 * rp.N << both) + (rp.N << 2 * level.ell + level.modulus_bits),
        "v is in the range of an honest prover",
    )
    residues(rp, (com.P, com.Q, com.A, com.B, com.T), "P, Q, A, B and T are units modulo N̂")
    e = Challenge("fac", context, x, com).signed(level.ell)
    claim(rp.holds(proof.z1, proof.w1, com.A, com.P, e), "s^z1·t^w1 = A·P^e")
    claim(rp.holds(proof.z2, proof.w2, com.B, com.Q, e), "s^z2·t^w2 = B·Q^e")
    left = rp.power(com.Q, proof.z1) * rp.power(rp.t, proof.v) % rp.N
    claim(left == com.T * rp.power(rp.s, N0 * e) % rp.N, "Q^z1·t^v = T·(s^N0)^e")
