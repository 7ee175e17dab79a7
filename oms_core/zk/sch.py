"""Π^sch: knowledge of a discrete logarithm (spec §2.6).

    statement   X
    witness     x
    relation    X = x·G

The first message A = τ·G is committed to before the challenge can be known, so making and answering are two calls.
"""

from __future__ import annotations

from oms_core.crypto.curve import Point, Q, mul_base, random_scalar
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.encoding import document
from oms_core.zk.claims import claim, not_identity, scalars


@document("sch-statement/1")
class Statement:
    """The point whose logarithm is known."""

    X: Point


@document("sch-proof/1")
class Proof:
    """The answer z = τ + e·x mod q."""

    z: int


def commit() -> tuple[int, Point]:
    """A fresh (τ, A = τ·G). τ is secret and answers exactly one challenge."""
    tau = random_scalar()
    return tau, mul_base(tau)


def respond(context: ProofContext, x: Statement, A: Point, tau: int, secret: int) -> Proof:
    """Answer the challenge for the first message A."""
    e = Challenge("sch", context, x, A).scalar()
    return Proof((tau + e * secret) % Q)


def verify(context: ProofContext, x: Statement, A: Point, proof: Proof) -> None:
    """Raises `ProofInvalid` with the claim that fails."""
    not_identity((x.X, A), "X and A are not the identity")
    scalars((proof.z,), "z ∈ [0, q)")
    e = Challenge("sch", context, x, A).scalar()
    claim(mul_base(proof.z) == A + e * x.X, "z·G = A + e·X")
