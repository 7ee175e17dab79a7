"""Π^elog: a logarithm equals the plaintext of an El-Gamal commitment (CGGMP24 Fig. 23, spec §5.2).

statement   L, M, X, Y, H
witness     y, λ
relation    L = λ·G,  M = y·G + λ·X,  Y = y·H
"""

from __future__ import annotations

from dataclasses import dataclass, field

from oms_core.crypto.curve import G, Point, Q, mul_base, random_scalar
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.encoding import document
from oms_core.zk.claims import claim, not_identity, scalars


@document("elog-statement/1")
class Statement:
    """The commitment (L, M) under X, and Y to the base H."""

    L: Point
    M: Point
    X: Point
    Y: Point
    H: Point


@dataclass(frozen=True, slots=True)
class Witness:
    """y, the logarithm; λ, the commitment's randomness."""

    y: int = field(repr=False)
    lam: int = field(repr=False)


@document("elog-commitment/1")
class Commitment:
    """First message."""

    A: Point
    N: Point
    B: Point


@document("elog-proof/1")
class Proof:
    """First message and answers."""

    commitment: Commitment
    z: int
    u: int


def prove(context: ProofContext, x: Statement, w: Witness) -> Proof:
    """Prove the relation for a witness that satisfies it."""
    alpha, mu = random_scalar(), random_scalar()
    com = Commitment(mul_base(alpha), mul_base(mu) + alpha * x.X, mu * x.H)
    e = Challenge("elog", context, x, com).scalar()
    return Proof(com, (alpha + e * w.lam) % Q, (mu + e * w.y) % Q)


def verify(context: ProofContext, x: Statement, proof: Proof) -> None:
    """Raises `ProofInvalid` with the claim that fails."""
    com, z, u = proof.commitment, proof.z, proof.u
    not_identity((x.H, x.X), "H and X are not the identity")
    scalars((z, u), "z, u ∈ [0, q)")
    e = Challenge("elog", context, x, com).scalar()
    claim(mul_base(z) == com.A + e * x.L, "z·G = A + e·L")
    claim(u * G + z * x.X == com.N + e * x.M, "u·G + z·X = N + e·M")
    claim(u * x.H == com.B + e * x.Y, "u·H = B + e·Y")
