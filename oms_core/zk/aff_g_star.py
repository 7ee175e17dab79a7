"""Π^aff-g*: an affine operation with its multiplier in the exponent, without set-up (CGGMP24 Fig. 27, spec §5.9).

statement   Paillier N0 (the receiver's) and N1 (the prover's); ciphertexts C, D under N0, Y under N1; point X
witness     x, y, ρ, ρ_y
relation    D = C^x · enc_0(y; ρ),  Y = enc_1(y; ρ_y),  X = x·G,  x ∈ ±2^ℓ,  y ∈ ±2^ℓ′
proves only x ∈ ±2^(ℓ+ε) and y ∈ ±2^(ℓ′+ε)

One-bit challenges take the place of the verifier's ring-Pedersen key, so everybody can check it, at m times the cost.
"""

from __future__ import annotations

from oms_core.crypto.curve import Point, mul_base
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import Level
from oms_core.crypto.sampling import symmetric, unit
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.encoding import document
from oms_core.zk.aff_g import Witness
from oms_core.zk.claims import ciphertexts, claim, in_range


@document("aff-g-star-statement/1")
class Statement:
    """The keys of receiver and prover, what was multiplied (C), the result (D), the encrypted mask (Y), x·G (X)."""

    N0: PaillierPublic
    N1: PaillierPublic
    C: int
    D: int
    Y: int
    X: Point


@document("aff-g-star-commitment/1")
class Commitment:
    """First messages, m of each."""

    A: tuple[int, ...]
    B: tuple[int, ...]
    R: tuple[Point, ...]


@document("aff-g-star-proof/1")
class Proof:
    """First messages and answers, m of each."""

    commitment: Commitment
    z: tuple[int, ...]
    z_y: tuple[int, ...]
    w: tuple[int, ...]
    lam: tuple[int, ...]


def prove(level: Level, context: ProofContext, x: Statement, w: Witness) -> Proof:
    """Prove the relation; draws again where an answer would leave its range."""
    N0, N1, m = x.N0, x.N1, level.repetitions
    while True:
        alpha = [symmetric(1 << level.ell + level.epsilon) for _ in range(m)]
        beta = [symmetric(1 << level.ell_prime + level.epsilon) for _ in range(m)]
        r, s = [unit(int(N0.N)) for _ in range(m)], [unit(int(N1.N)) for _ in range(m)]
        com = Commitment(
            A=tuple(int(N0.add(N0.power(x.C, a), N0.encrypt(b, n))) for a, b, n in zip(alpha, beta, r, strict=True)),
            B=tuple(int(N1.encrypt(b, n)) for b, n in zip(beta, s, strict=True)),
            R=tuple(mul_base(a) for a in alpha),
        )
        e = Challenge("aff-g*", context, x, com).bits(m)
        z = tuple(a + e_k * w.x for a, e_k in zip(alpha, e, strict=True))
        z_y = tuple(b + e_k * w.y for b, e_k in zip(beta, e, strict=True))
        if _ranges(level, z, z_y):
            return Proof(
                com,
                z,
                z_y,
                tuple(int(n * w.rho % N0.N if e_k else n) for n, e_k in zip(r, e, strict=True)),
                tuple(int(n * w.rho_y % N1.N if e_k else n) for n, e_k in zip(s, e, strict=True)),
            )


def verify(level: Level, context: ProofContext, x: Statement, proof: Proof) -> None:
    """Raises `ProofInvalid` with the claim that fails."""
    com, N0, N1, m = proof.commitment, x.N0, x.N1, level.repetitions
    vectors = (com.A, com.B, com.R, proof.z, proof.z_y, proof.w, proof.lam)
    claim(all(len(vector) == m for vector in vectors), "exactly m first messages and m answers")
    claim(_ranges(level, proof.z, proof.z_y), "z ∈ ±2^(ℓ+ε) and z′ ∈ ±2^(ℓ′+ε)")
    ciphertexts(N0, (x.C, x.D, *com.A), "C, D and every A are units modulo N0²")
    ciphertexts(N1, (x.Y, *com.B), "Y and every B are units modulo N1²")
    claim(all(N0.is_nonce(w) for w in proof.w), "every w is a unit modulo N0")
    claim(all(N1.is_nonce(lam) for lam in proof.lam), "every λ is a unit modulo N1")
    e = Challenge("aff-g*", context, x, com).bits(m)
    for k in range(m):
        z, z_y, bit = proof.z[k], proof.z_y[k], e[k]
        claim(mul_base(z) == (com.R[k] + x.X if bit else com.R[k]), "z·G = R + e·X")
        claim(N1.encrypt(z_y, proof.lam[k]) == (N1.add(com.B[k], x.Y) if bit else com.B[k]), "enc_1(z′; λ) = B·Y^e")
        left = N0.add(N0.power(x.C, z), N0.encrypt(z_y, proof.w[k]))
        claim(left == (N0.add(com.A[k], x.D) if bit else com.A[k]), "C^z·enc_0(z′; w) = A·D^e")


def _ranges(level: Level, z: tuple[int, ...], z_y: tuple[int, ...]) -> bool:
    return all(in_range(z_k, level.ell + level.epsilon) for z_k in z) and all(
        in_range(z_k, level.ell_prime + level.epsilon) for z_k in z_y
    )
