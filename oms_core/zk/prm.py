"""Π^prm: ring-Pedersen parameters are well formed (CGGMP24 Fig. 13, spec §5.6).

    statement   N̂, s, t
    witness     λ, φ(N̂)
    relation    s = t^λ mod N̂

m repetitions with one-bit challenges, each verified by itself: one long challenge, or a weighted batch, is unsound in
a group with small orders (rules R2 and R6).
"""

from __future__ import annotations

from oms_core.crypto.params import Level
from oms_core.crypto.pedersen import PedersenPublic, PedersenSecret
from oms_core.crypto.sampling import below
from oms_core.crypto.transcript import Challenge, ProofContext
from oms_core.encoding import document
from oms_core.zk.claims import claim, residues


@document("prm-proof/1")
class Proof:
    """m first messages and m answers."""

    A: tuple[int, ...]
    z: tuple[int, ...]


def prove(level: Level, context: ProofContext, secret: PedersenSecret) -> Proof:
    """Prove that s is a power of t, by the owner of the factorisation."""
    phi, (_, _, lam) = secret.group_order, secret.secret
    a = [below(phi) for _ in range(level.repetitions)]
    A = tuple(secret.power(secret.t, a_k) for a_k in a)
    bits = Challenge("prm", context, secret.public, A).bits(level.repetitions)
    return Proof(A, tuple((a_k + e_k * lam) % phi for a_k, e_k in zip(a, bits, strict=True)))


def verify(level: Level, context: ProofContext, x: PedersenPublic, proof: Proof) -> None:
    """Raises `ProofInvalid` with the claim that fails."""
    claim(len(proof.A) == len(proof.z) == level.repetitions, "exactly m first messages and m answers")
    residues(x, (x.s, x.t, *proof.A), "s, t and every A are units modulo N̂")
    claim(all(0 <= z < x.N for z in proof.z), "z ∈ [0, N̂)")
    bits = Challenge("prm", context, x, proof.A).bits(level.repetitions)
    for A, z, e in zip(proof.A, proof.z, bits, strict=True):
        claim(x.power(x.t, z) == (A * x.s % x.N if e else A), "t^z = A·s^e")
