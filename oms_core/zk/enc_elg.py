"""Π^enc-elg: a Paillier plaintext is small and equals an El-Gamal plaintext (CGGMP24 Fig. 24, spec §5.3).

statement   Paillier N0, ciphertext C; points A, B, X; the verifier's ring-Pedersen N̂, s, t
witness     x, ρ, b
relation    C = enc_0(x; ρ),  B = b·G,  X = b·A + x·G,  x ∈ ±2^ℓ
proves only x ∈ ±2^(ℓ+ε): the slack every caller has to leave room for
"""

from __future__ import annotations

from dataclasses import dataclass, field

from oms_core.crypto.curve import Point, Q, mul_base, random_scalar
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import Level
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.crypto.sampling import symmetric, unit
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.encoding import document
from oms_core.zk.claims import ciphertexts, claim, hidden, in_range, not_identity, residues, scalars

Equation = tuple[int, int, int]
"""(m, r, c): enc(m; r) = c modulo N0², still to be checked by the caller, alone or with others of the same sender."""


@document("enc-elg-statement/1")
class Statement:
    """The prover's key and ciphertext, the El-Gamal commitment (B, X) under A, the verifier's triple."""

    N0: PaillierPublic
    C: int
    A: Point
    B: Point
    X: Point
    pedersen: PedersenPublic


@dataclass(frozen=True, slots=True)
class Witness:
    """The plaintext, its nonce, and the commitment's randomness."""

    x: int = field(repr=False)
    rho: int = field(repr=False)
    b: int = field(repr=False)


@document("enc-elg-commitment/1")
class Commitment:
    """First message."""

    S: int
    T: int
    D: int
    Y: Point
    Z: Point


@document("enc-elg-proof/1")
class Proof:
    """First message and answers."""

    commitment: Commitment
    z1: int
    z2: int
    z3: int
    w: int


def prove(level: Level, context: ProofContext, x: Statement, w: Witness) -> Proof:
    """Prove the relation; draws again (probability below 2^-250) where an answer would leave its range."""
    N0, rp = x.N0, x.pedersen
    while True:
        alpha = symmetric(1 << level.ell + level.epsilon)
        mu = symmetric(rp.N << level.ell)
        r = unit(N0.N)
        beta = random_scalar()
        gamma = symmetric(rp.N << level.ell + level.epsilon)
        com = Commitment(
            S=rp.commit(w.x, mu),
            T=rp.commit(alpha, gamma),
            D=N0.encrypt(alpha, r),
            Y=beta * x.A + mul_base(alpha),
            Z=mul_base(beta),
        )
        e = Challenge("enc-elg", context, x, com).scalar()
        z1 = alpha + e * w.x
        if in_range(z1, level.ell + level.epsilon):
            z2 = r * N0.power_modulus(w.rho, e) % N0.N
            return Proof(com, z1, z2, gamma + e * mu, (beta + e * w.b) % Q)


def verify(level: Level, context: ProofContext, x: Statement, proof: Proof) -> None:
    """Raises `ProofInvalid` with the claim that fails."""
    m, r, c = verify_but_encryption(level, context, x, proof)
    claim(x.N0.encrypt(m, r) == c, "enc(z1; z2) = D·C^e")


def verify_but_encryption(level: Level, context: ProofContext, x: Statement, proof: Proof) -> Equation:
    """Verify all but the encryption equation, which is returned. Raises `ProofInvalid` with the claim that fails."""
    com, N0, rp = proof.commitment, x.N0, x.pedersen
    not_identity((x.A, x.B), "A and B are not the identity")
    scalars((proof.w,), "w ∈ [0, q)")
    claim(in_range(proof.z1, level.ell + level.epsilon), "z1 ∈ ±2^(ℓ+ε)")
    hidden(proof.z3, level, rp, "z3 is in the range of an honest prover")
    ciphertexts(N0, (x.C, com.D), "C and D are units modulo N0²")
    residues(rp, (com.S, com.T), "S and T are units modulo N̂")
    claim(N0.is_nonce(proof.z2), "z2 is a unit modulo N0")
    e = Challenge("enc-elg", context, x, com).scalar()
    claim(proof.w * x.A + mul_base(proof.z1) == com.Y + e * x.X, "w·A + z1·G = Y + e·X")
    claim(mul_base(proof.w) == com.Z + e * x.B, "w·G = Z + e·B")
    claim(rp.holds(proof.z1, proof.z3, com.T, com.S, e), "s^z1·t^z3 = T·S^e")
    return proof.z1, proof.z2, N0.add(com.D, N0.power(x.C, e))
