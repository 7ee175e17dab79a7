"""Rules R10 and R11: plaintexts, multipliers and masks that are too large, and products that are not what they claim.

The liar knows a true but large witness. It may run the prover's formulas with it, or prove all that a smaller number
with the same points allows, or cut answers into their ranges: each leaves one claim that does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto.curve import G, Q, centered, mul_base, random_scalar
from oms_core.crypto.params import L112, TOY, Level
from oms_core.crypto.sampling import symmetric, unit
from oms_core.errors import ProofInvalid
from oms_core.zk import aff_g, aff_g_star, dec, elog, enc_elg
from tests.primes import paillier
from tests.unit.zk.cases import CONTEXT, aff_g_parts, dec_parts, enc_elg_parts

FULL = replace(TOY, repetitions=128)
LONG = 2_400
"""Slack, in bits, with which the prover's own loop ends for every witness below."""


def patient(level: Level) -> Level:
    """The same level with ranges so wide that the prover's formulas give an answer for any witness."""
    return replace(level, epsilon=LONG)


@contextmanager
def small_masks(module: Any, level: Level = L112) -> Iterator[None]:
    """The liar masks as little as honest ranges ask, whatever width its loop allows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "symmetric", lambda bound: symmetric(int(bound) >> LONG - level.epsilon))
        yield


# Π^enc-elg: K = enc(2^1500), G = enc(2^800)

EXCESSIVE = [1 << 1500, 1 << 800, -(1 << 800), 1 << 1024, (1 << 768) + 1]


@pytest.mark.covers("R10", "P25")
@pytest.mark.parametrize("x", EXCESSIVE, ids=lambda x: f"{x.bit_length()} bits")
def test_a_plaintext_out_of_range_leaves_the_range_with_its_true_witness(x: int) -> None:
    statement, witness = enc_elg_parts(L112, x)
    with small_masks(enc_elg):
        proof = enc_elg.prove(patient(L112), CONTEXT, statement, witness)
    with pytest.raises(ProofInvalid, match="z1 ∈"):
        enc_elg.verify(L112, CONTEXT, statement, proof)
    # The witness is true: with room for it, every equation holds.
    enc_elg.verify(patient(L112), CONTEXT, statement, proof)


@pytest.mark.covers("R10", "P25")
@pytest.mark.parametrize("x", EXCESSIVE, ids=lambda x: f"{x.bit_length()} bits")
def test_a_plaintext_out_of_range_does_not_pass_for_the_small_number_with_the_same_point(x: int) -> None:
    statement, witness = enc_elg_parts(L112, x)
    small = replace(witness, x=centered(x))
    assert mul_base(small.x) == mul_base(x)
    proof = enc_elg.prove(L112, CONTEXT, statement, small)
    with pytest.raises(ProofInvalid, match=r"enc\(z1; z2\)"):
        enc_elg.verify(L112, CONTEXT, statement, proof)


@pytest.mark.covers("R10", "P25")
@pytest.mark.parametrize("x", [1 << 1500, 1 << 800], ids=lambda x: f"{x.bit_length()} bits")
def test_answers_about_a_plaintext_out_of_range_cannot_be_cut_to_fit(x: int) -> None:
    statement, witness = enc_elg_parts(L112, x)
    proof = enc_elg.prove(patient(L112), CONTEXT, statement, witness)
    N, bound = int(statement.N0.N), 1 << L112.ell + L112.epsilon
    slack = proof.z3 % int(statement.pedersen.N << L112.ell)
    for z1, claim in (
        (proof.z1 % bound, r"w·A"),
        (proof.z1 % N % bound, r"w·A"),
        (0, r"w·A"),
        (centered(proof.z1), r"s\^z1"),  # fits the points, and neither commitment nor ciphertext
    ):
        with pytest.raises(ProofInvalid, match=claim):
            enc_elg.verify(L112, CONTEXT, statement, replace(proof, z1=z1, z3=slack))


# Π^aff-g: a multiplier γ + q·2^600, a mask of 2^1900


def far(gamma: int) -> int:
    return gamma + Q * (1 << 600)


@pytest.mark.covers("R10", "P26")
def test_a_multiplier_out_of_range_leaves_the_range_although_its_point_is_right() -> None:
    gamma = centered(random_scalar())
    statement, witness = aff_g_parts(L112, x=far(gamma))
    assert mul_base(gamma) == statement.X
    with small_masks(aff_g):
        proof = aff_g.prove(patient(L112), CONTEXT, statement, witness)
    assert abs(proof.z2) <= 1 << L112.ell_prime + L112.epsilon
    with pytest.raises(ProofInvalid, match="z1 ∈"):
        aff_g.verify(L112, CONTEXT, statement, proof)
    aff_g.verify(patient(L112), CONTEXT, statement, proof)
    with pytest.raises(ProofInvalid, match=r"C\^z1"):
        aff_g.verify(L112, CONTEXT, statement, aff_g.prove(L112, CONTEXT, statement, replace(witness, x=gamma)))


@pytest.mark.covers("R10", "P26")
@pytest.mark.parametrize("y", [1 << 1900, -(1 << 1900), 1 << 1793], ids=lambda y: f"{y.bit_length()} bits")
def test_a_mask_out_of_range_leaves_the_range(y: int) -> None:
    statement, witness = aff_g_parts(L112, y=y)
    with small_masks(aff_g):
        proof = aff_g.prove(patient(L112), CONTEXT, statement, witness)
    assert abs(proof.z1) <= 1 << L112.ell + L112.epsilon
    with pytest.raises(ProofInvalid, match="z2 ∈"):
        aff_g.verify(L112, CONTEXT, statement, proof)
    aff_g.verify(patient(L112), CONTEXT, statement, proof)
    smaller = aff_g.prove(L112, CONTEXT, statement, replace(witness, y=y % (1 << 1280)))
    with pytest.raises(ProofInvalid, match=r"C\^z1"):
        aff_g.verify(L112, CONTEXT, statement, smaller)


@pytest.mark.covers("R10", "P26")
def test_the_proof_without_setup_has_the_same_ranges() -> None:
    gamma = centered(random_scalar())
    for x, y in ((far(gamma), 0), (gamma, 1 << TOY.ell_prime + TOY.epsilon + 1)):
        s, witness = aff_g_parts(FULL, x=x, y=y)
        statement = aff_g_star.Statement(s.N0, s.N1, s.C, s.D, s.Y, s.X)
        with small_masks(aff_g_star, FULL):
            proof = aff_g_star.prove(patient(FULL), CONTEXT, statement, witness)
        with pytest.raises(ProofInvalid, match="z ∈"):
            aff_g_star.verify(FULL, CONTEXT, statement, proof)
        aff_g_star.verify(patient(FULL), CONTEXT, statement, proof)


# Π^aff-g and Π^aff-g*: D, F (here Y) and X that do not belong together


def other_multiplier(s: aff_g.Statement, w: aff_g.Witness) -> aff_g.Statement:
    return replace(s, D=int(s.N0.add(s.N0.power(s.C, w.x + 1), s.N0.encrypt(w.y, w.rho))))


def other_factor(s: aff_g.Statement, w: aff_g.Witness) -> aff_g.Statement:
    C = int(s.N0.encrypt(centered(random_scalar()), unit(int(s.N0.N))))
    return replace(s, D=int(s.N0.add(s.N0.power(C, w.x), s.N0.encrypt(w.y, w.rho))))


def other_mask(s: aff_g.Statement, w: aff_g.Witness) -> aff_g.Statement:
    return replace(s, Y=int(s.N1.encrypt(w.y + 1, w.rho_y)))


def other_point(s: aff_g.Statement, w: aff_g.Witness) -> aff_g.Statement:
    return replace(s, X=s.X + G)


def no_mask(s: aff_g.Statement, w: aff_g.Witness) -> aff_g.Statement:
    return replace(s, D=int(s.N0.power(s.C, w.x)))


def other_nonce(s: aff_g.Statement, w: aff_g.Witness) -> aff_g.Statement:
    return replace(s, D=int(s.N0.add(s.D, s.N0.encrypt(0, 2))))


Lie = Callable[[aff_g.Statement, aff_g.Witness], aff_g.Statement]
PRODUCT, MASK, POINT = r"A·D\^e", r"enc_1", r"z1?·G"
LIES: dict[str, tuple[Lie, str]] = {
    "D made with x + 1": (other_multiplier, PRODUCT),
    "D made from another C": (other_factor, PRODUCT),
    "D without its mask": (no_mask, PRODUCT),
    "D with another nonce": (other_nonce, PRODUCT),
    "F of y + 1": (other_mask, MASK),
    "X of x + 1": (other_point, POINT),
}


@pytest.mark.covers("R11", "P26")
@pytest.mark.parametrize("name", LIES)
def test_a_product_that_is_not_what_it_claims_is_refused_by_the_equation_that_binds_it(name: str) -> None:
    lie, claim = LIES[name]
    honest, witness = aff_g_parts(L112)
    statement = lie(honest, witness)
    with pytest.raises(ProofInvalid, match=claim):
        aff_g.verify(L112, CONTEXT, statement, aff_g.prove(L112, CONTEXT, statement, witness))


@pytest.mark.covers("R11", "P26")
@pytest.mark.parametrize("name", LIES)
def test_a_product_that_is_not_what_it_claims_is_refused_without_setup_as_well(name: str) -> None:
    lie, claim = LIES[name]
    honest, witness = aff_g_parts(FULL)
    s = lie(honest, witness)
    statement = aff_g_star.Statement(s.N0, s.N1, s.C, s.D, s.Y, s.X)
    with pytest.raises(ProofInvalid, match=claim):
        aff_g_star.verify(FULL, CONTEXT, statement, aff_g_star.prove(FULL, CONTEXT, statement, witness))


@pytest.mark.covers("R11", "P26")
def test_a_multiplier_that_fits_d_and_not_its_point_is_refused_by_the_point() -> None:
    # The other half of x + 1: a witness that is true for D and F, where only X = x·G is false.
    statement, witness = aff_g_parts(L112)
    lied = replace(other_multiplier(statement, witness), X=statement.X)
    proof = aff_g.prove(L112, CONTEXT, lied, replace(witness, x=witness.x + 1))
    with pytest.raises(ProofInvalid, match="z1·G"):
        aff_g.verify(L112, CONTEXT, lied, proof)


@pytest.mark.covers("R11", "P25")
def test_a_ciphertext_of_another_number_than_the_committed_one_is_refused() -> None:
    statement, witness = enc_elg_parts(L112)
    other = replace(statement, C=int(paillier(L112, 1).encrypt(witness.x + 1, witness.rho)))
    with pytest.raises(ProofInvalid, match=r"enc\(z1; z2\)"):
        enc_elg.verify(L112, CONTEXT, other, enc_elg.prove(L112, CONTEXT, other, witness))
    proof = enc_elg.prove(L112, CONTEXT, other, replace(witness, x=witness.x + 1))
    with pytest.raises(ProofInvalid, match="w·A"):
        enc_elg.verify(L112, CONTEXT, other, proof)


@pytest.mark.covers("R11")
def test_a_nonce_point_of_another_number_than_the_committed_one_is_refused() -> None:
    gamma, b, Y = random_scalar(), random_scalar(), mul_base(random_scalar())
    honest = elog.Statement(mul_base(b), mul_base(gamma) + b * Y, Y, mul_base(gamma), G)
    for lied, claim in (
        (replace(honest, Y=honest.Y + G), "u·H"),
        (replace(honest, M=honest.M + G), "u·G"),
        (replace(honest, L=honest.L + G), "z·G"),
    ):
        with pytest.raises(ProofInvalid, match=claim):
            elog.verify(CONTEXT, lied, elog.prove(CONTEXT, lied, elog.Witness(gamma, b)))


@pytest.mark.covers("R11", "R13")
@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (lambda s: replace(s, X=s.X + G), "z·G"),
        (lambda s: replace(s, T=s.T + s.B), "w·B"),
        (lambda s: replace(s, B=2 * s.B), "w·B"),
        (lambda s: replace(s, D=int(s.N0.add(s.D, s.N0.encrypt(1, 1)))), "enc_0"),
        (lambda s: replace(s, K=int(s.N0.add(s.K, s.N0.encrypt(1, 1)))), "enc_0"),
    ],
    ids=["X", "T", "B", "D", "K"],
)
def test_a_decryption_that_is_not_what_it_claims_is_refused_by_the_equation_that_binds_it(
    change: Callable[[dec.Statement], dec.Statement], claim: str
) -> None:
    honest, witness = dec_parts(FULL)
    lied = change(honest)
    with pytest.raises(ProofInvalid, match=claim):
        dec.verify(FULL, CONTEXT, lied, dec.prove(FULL, CONTEXT, lied, witness, paillier(FULL, 1)))
