"""Π^dec: a decryption in the exponent, without set-up (CGGMP24 Fig. 28, with the ranges of spec §5.8).

statement   Paillier N0 (the prover's); ciphertexts K, D; points X, T; base B; the number of signers
witness     x, y, ρ
relation    enc_0(y; ρ) = K^x·D,  X = x·G,  T = y·B,  x ∈ ±2^ℓ
proves only x ∈ ±2^(ℓ+ε) and y ∈ ±2^b_w, which has to be far below N0: else y + N0 would do as well (rule R13)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from oms_core.crypto.curve import Point, mul_base
from oms_core.crypto.paillier import PaillierPublic, PaillierSecret
from oms_core.crypto.params import Level
from oms_core.crypto.sampling import symmetric, unit
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.encoding import document
from oms_core.zk.claims import ciphertexts, claim, in_range, not_identity


@document("dec-statement/1")
class Statement:
    """The prover's key, what it multiplied (K), what it added (D), x·G (X), y·B (T), and how many signers there are."""

    N0: PaillierPublic
    K: int
    D: int
    X: Point
    T: Point
    B: Point
    signers: int


@dataclass(frozen=True, slots=True)
class Witness:
    """The multiplier, the plaintext and its nonce."""

    x: int = field(repr=False)
    y: int = field(repr=False)
    rho: int = field(repr=False)


@document("dec-commitment/1")
class Commitment:
    """First messages, m of each."""

    A: tuple[int, ...]
    B: tuple[Point, ...]
    C: tuple[Point, ...]


@document("dec-proof/1")
class Proof:
    """First messages and answers, m of each."""

    commitment: Commitment
    z: tuple[int, ...]
    w: tuple[int, ...]
    nu: tuple[int, ...]


def mask_bits(level: Level, signers: int) -> int:
    """b_w: room for the masks of all peers as far as Π^aff-g bounds them, and ε_dec bits to hide them."""
    return level.ell_prime + level.epsilon + 1 + max(1, (signers - 1).bit_length()) + level.epsilon_dec


def prove(level: Level, context: ProofContext, x: Statement, w: Witness, secret: PaillierSecret) -> Proof:
    """Prove the relation with the factors of N0; draws again where an answer would leave its range."""
    bits = mask_bits(level, x.signers)
    while True:
        alpha = [symmetric(1 << level.ell + level.epsilon) for _ in range(level.repetitions)]
        beta = [symmetric(1 << bits) for _ in range(level.repetitions)]
        r = [unit(int(secret.N)) for _ in range(level.repetitions)]
        com = Commitment(
            A=tuple(
                int(secret.add(secret.encrypt(b, n), secret.power(x.K, -a)))
                for a, b, n in zip(alpha, beta, r, strict=True)
            ),
            B=tuple(b * x.B for b in beta),
            C=tuple(mul_base(a) for a in alpha),
        )
        e = Challenge("dec", context, x, com).bits(level.repetitions)
        z = tuple(a + e_k * w.x for a, e_k in zip(alpha, e, strict=True))
        v = tuple(b + e_k * w.y for b, e_k in zip(beta, e, strict=True))
        if all(in_range(z_k, level.ell + level.epsilon) for z_k in z) and all(in_range(v_k, bits) for v_k in v):
            nu = tuple(int(n * w.rho % secret.N if e_k else n) for n, e_k in zip(r, e, strict=True))
            return Proof(com, z, v, nu)


def verify(level: Level, context: ProofContext, x: Statement, proof: Proof) -> None:
    """Raises `ProofInvalid` with the claim that fails."""
    com, N0, m, bits = proof.commitment, x.N0, level.repetitions, mask_bits(level, x.signers)
    vectors = (com.A, com.B, com.C, proof.z, proof.w, proof.nu)
    claim(all(len(vector) == m for vector in vectors), "exactly m first messages and m answers")
    claim(1 << bits + 2 < N0.N, "2^(b_w+1) < N0/2")
    not_identity((x.B,), "B is not the identity")
    claim(all(in_range(z, level.ell + level.epsilon) for z in proof.z), "z ∈ ±2^(ℓ+ε)")
    claim(all(in_range(w, bits) for w in proof.w), "w ∈ ±2^b_w")
    ciphertexts(N0, (x.K, x.D, *com.A), "K, D and every A are units modulo N0²")
    claim(all(N0.is_nonce(nu) for nu in proof.nu), "every ν is a unit modulo N0")
    e = Challenge("dec", context, x, com).bits(m)
    for k in range(m):
        z, w, bit = proof.z[k], proof.w[k], e[k]
        claim(mul_base(z) == (com.C[k] + x.X if bit else com.C[k]), "z·G = C + e·X")
        claim(w * x.B == (com.B[k] + x.T if bit else com.B[k]), "w·B = B_k + e·T")
        left = N0.add(N0.encrypt(w, proof.nu[k]), N0.power(x.K, -z))
        claim(left == (N0.add(com.A[k], x.D) if bit else com.A[k]), "enc_0(w; ν)·K^-z = A·D^e")
