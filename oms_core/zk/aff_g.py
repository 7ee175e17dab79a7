"""Π^aff-g: an affine operation on a ciphertext, with its multiplier in the exponent (CGGMP24 Fig. 25, spec §5.4).

statement   Paillier N0 (the verifier's) and N1 (the prover's); ciphertexts C, D under N0, Y under N1; point X;
            the verifier's ring-Pedersen N̂, s, t
witness     x, y, ρ, ρ_y
relation    D = C^x · enc_0(y; ρ),  Y = enc_1(y; ρ_y),  X = x·G,  x ∈ ±2^ℓ,  y ∈ ±2^ℓ′
proves only x ∈ ±2^(ℓ+ε) and y ∈ ±2^(ℓ′+ε)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from oms_core.crypto.curve import Point, mul_base
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import Level
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.crypto.sampling import symmetric, unit
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.encoding import document
from oms_core.zk.claims import ciphertexts, claim, hidden, in_range, residues
from oms_core.zk.enc_elg import Equation


@document("aff-g-statement/1")
class Statement:
    """The keys of verifier and prover, what was multiplied (C), the result (D), the encrypted mask (Y), x·G (X)."""

    N0: PaillierPublic
    N1: PaillierPublic
    C: int
    D: int
    Y: int
    X: Point
    pedersen: PedersenPublic


@dataclass(frozen=True, slots=True)
class Witness:
    """Multiplier, mask, and the nonces of enc_0(y) and enc_1(y)."""

    x: int = field(repr=False)
    y: int = field(repr=False)
    rho: int = field(repr=False)
    rho_y: int = field(repr=False)


@document("aff-g-commitment/1")
class Commitment:
    """First message."""

    A: int
    B_x: Point
    B_y: int
    E: int
    S: int
    F: int
    T: int


@document("aff-g-proof/1")
class Proof:
    """First message and answers."""

    commitment: Commitment
    z1: int
    z2: int
    z3: int
    z4: int
    w: int
    w_y: int


def prove(level: Level, context: ProofContext, x: Statement, w: Witness) -> Proof:
    """Prove the relation; draws again (probability below 2^-250) where an answer would leave its range."""
    N0, N1, rp = x.N0, x.N1, x.pedersen
    while True:
        alpha = symmetric(1 << level.ell + level.epsilon)
        beta = symmetric(1 << level.ell_prime + level.epsilon)
        r, r_y = unit(N0.N), unit(N1.N)
        gamma, delta = (symmetric(rp.N << level.ell + level.epsilon) for _ in range(2))
        m, mu = (symmetric(rp.N << level.ell) for _ in range(2))
        com = Commitment(
            A=N0.add(N0.power(x.C, alpha), N0.encrypt(beta, r)),
            B_x=mul_base(alpha),
            B_y=N1.encrypt(beta, r_y),
            E=rp.commit(alpha, gamma),
            S=rp.commit(w.x, m),
            F=rp.commit(beta, delta),
            T=rp.commit(w.y, mu),
        )
        e = Challenge("aff-g", context, x, com).scalar()
        z1, z2 = alpha + e * w.x, beta + e * w.y
        if in_range(z1, level.ell + level.epsilon) and in_range(z2, level.ell_prime + level.epsilon):
            return Proof(
                com,
                z1,
                z2,
                gamma + e * m,
                delta + e * mu,
                r * N0.power_modulus(w.rho, e) % N0.N,
                r_y * N1.power_modulus(w.rho_y, e) % N1.N,
            )


def verify(level: Level, context: ProofContext, x: Statement, proof: Proof) -> None:
    """Raises `ProofInvalid` with the claim that fails."""
    m, r, c = verify_but_mask(level, context, x, proof)
    claim(x.N1.encrypt(m, r) == c, "enc_1(z2; w_y) = B_y·Y^e")


def verify_but_mask(level: Level, context: ProofContext, x: Statement, proof: Proof) -> Equation:
    """Verify all but the equation under the prover's N1, which is returned. Raises `ProofInvalid`."""
    com, N0, N1, rp = proof.commitment, x.N0, x.N1, x.pedersen
    claim(in_range(proof.z1, level.ell + level.epsilon), "z1 ∈ ±2^(ℓ+ε)")
    claim(in_range(proof.z2, level.ell_prime + level.epsilon), "z2 ∈ ±2^(ℓ′+ε)")
    hidden(proof.z3, level, rp, "z3 is in the range of an honest prover")
    hidden(proof.z4, level, rp, "z4 is in the range of an honest prover")
    ciphertexts(N0, (x.C, x.D, com.A), "C, D and A are units modulo N0²")
    ciphertexts(N1, (x.Y, com.B_y), "Y and B_y are units modulo N1²")
    residues(rp, (com.E, com.S, com.F, com.T), "E, S, F and T are units modulo N̂")
    claim(N0.is_nonce(proof.w), "w is a unit modulo N0")
    claim(N1.is_nonce(proof.w_y), "w_y is a unit modulo N1")
    e = Challenge("aff-g", context, x, com).scalar()
    claim(mul_base(proof.z1) == com.B_x + e * x.X, "z1·G = B_x + e·X")
    claim(rp.holds(proof.z1, proof.z3, com.E, com.S, e), "s^z1·t^z3 = E·S^e")
    claim(rp.holds(proof.z2, proof.z4, com.F, com.T, e), "s^z2·t^z4 = F·T^e")
    left = N0.add(N0.power(x.C, proof.z1), N0.encrypt(proof.z2, proof.w))
    claim(left == N0.add(com.A, N0.power(x.D, e)), "C^z1·enc_0(z2; w) = A·D^e")
    return proof.z2, proof.w_y, N1.add(com.B_y, N1.power(x.Y, e))
