"""Rule R5: w in Π^mod. With w = 0 every fourth-root equation holds by itself, and a modulus of 60 primes passes."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import gmpy2
import pytest
from gmpy2 import mpz

from oms_core.crypto.paillier import PaillierPublic, check_modulus
from oms_core.crypto.params import L112
from oms_core.errors import ProofInvalid
from oms_core.zk import fac, mod
from tests.attack.moduli import challenges, even_split, filled, fourth_root, prove_fac, prove_mod, roots, small
from tests.primes import paillier, pedersen
from tests.unit.zk.cases import CONTEXT


def equations_hold(N: Any, proof: mod.Proof) -> bool:
    """All that a verifier checks who takes no look at w and at units."""
    return all(
        gmpy2.powmod(answer.z, N, N) == y % N
        and gmpy2.powmod(answer.x, 4, N) == (-1) ** answer.a * mpz(proof.w) ** answer.b * y % N
        for y, answer in zip(challenges(CONTEXT, N, proof.w), proof.answers, strict=True)
    )


def with_zero(factors: list[Any], w: int) -> mod.Proof:
    """x = 0 and b = 1 for a w that is 0 modulo N, z the true root."""
    N, exponent = prod(factors), roots(factors)
    ys = challenges(CONTEXT, N, w)
    return mod.Proof(w, tuple(mod.Answer(0, 0, 1, int(gmpy2.powmod(y, exponent, N))) for y in ys))


def with_factor(p_part: list[Any], q: Any, w: int) -> mod.Proof:
    """b = 1, x = 0 modulo the factors in w, and modulo q the root of whichever sign has one."""
    N, exponent = prod(p_part) * q, roots([*p_part, q])
    answers = []
    for y in challenges(CONTEXT, N, w):
        a = int(gmpy2.legendre(w * y, q) == -1)
        root = fourth_root((-1) ** a * mpz(w) * y % q, [q])
        p = prod(p_part)
        x = p * (root * gmpy2.invert(p, q) % q)
        answers.append(mod.Answer(int(x), a, 1, int(gmpy2.powmod(y, exponent, N))))
    return mod.Proof(w, tuple(answers))


def smooth() -> tuple[list[Any], PaillierPublic]:
    factors = filled(*small(60))
    assert all(p % 4 == 3 and p.bit_length() == 17 for p in factors[:60])
    return factors, PaillierPublic(int(prod(factors)))


def refused(N: PaillierPublic, proof: mod.Proof) -> None:
    with pytest.raises(ProofInvalid, match="Jacobi"):
        mod.verify(L112, CONTEXT, N, proof)


@pytest.mark.covers("R5", "K11", "K10")
def test_w_of_zero_makes_every_equation_hold_for_a_product_of_61_primes_and_is_refused() -> None:
    factors, N = smooth()
    forged = with_zero(factors, 0)
    assert equations_hold(N.N, forged)
    # All that stands beside Π^mod lets this modulus through: only the look at w keeps it out.
    check_modulus(int(N.N), L112)
    of_fac = fac.Statement(N, pedersen(L112, 2))
    fac.verify(L112, CONTEXT, of_fac, prove_fac(L112, CONTEXT, of_fac, *even_split(factors)))
    refused(N, forged)


@pytest.mark.covers("R5", "K11")
@pytest.mark.parametrize("multiple", [1, 2, -1])
def test_w_of_n_is_zero_in_disguise_and_is_refused(multiple: int) -> None:
    factors, N = smooth()
    forged = with_zero(factors, multiple * int(N.N))
    assert equations_hold(N.N, forged)
    refused(N, forged)


@pytest.mark.covers("R5", "K11")
def test_w_that_shares_the_small_factors_makes_every_equation_hold_and_is_refused() -> None:
    factors, N = smooth()
    p, q = factors[:-1], factors[-1]
    forged = with_factor(p, q, int(prod(p)))
    assert equations_hold(N.N, forged)
    assert gmpy2.gcd(forged.w, N.N) == prod(p)
    refused(N, forged)


@pytest.mark.covers("R5", "K11")
def test_w_of_a_factor_of_a_true_modulus_is_refused() -> None:
    secret = paillier(L112, 1)
    p, q = secret.factors
    forged = with_factor([p], q, int(p))
    assert equations_hold(secret.N, forged)
    refused(secret.public, forged)


@pytest.mark.covers("R5", "K11")
@pytest.mark.parametrize("kind", ["a square", "a non-residue of both factors", "1"])
def test_w_with_jacobi_symbol_plus_one_is_refused(kind: str) -> None:
    secret = paillier(L112, 1)
    p, q = secret.factors
    wanted = {"a square": 1, "a non-residue of both factors": -1, "1": 1}[kind]
    candidates = range(1 if kind == "1" else 2, 10_000)
    w = next(w for w in candidates if gmpy2.legendre(w, p) == wanted == gmpy2.legendre(w, q))
    forged = prove_mod(CONTEXT, [p, q], w)
    right = sum(
        gmpy2.powmod(answer.x, 4, secret.N) == (-1) ** answer.a * mpz(w) ** answer.b * y % secret.N
        for y, answer in zip(challenges(CONTEXT, secret.N, w), forged.answers, strict=True)
    )
    assert 20 < right < 108  # no better than half: such a w does not reach a y with symbol -1
    refused(secret.public, forged)


@pytest.mark.covers("R5", "K11", "R12")
def test_answers_of_zero_are_refused_even_under_an_honest_w() -> None:
    secret = paillier(L112, 1)
    honest = mod.prove(L112, CONTEXT, secret)
    for field, value in (("x", 0), ("z", 0), ("x", int(secret.N)), ("z", int(secret.N)), ("x", int(secret.factors[0]))):
        answers = tuple(replace(answer, **{field: value}) for answer in honest.answers)
        with pytest.raises(ProofInvalid, match="x and z are units"):
            mod.verify(L112, CONTEXT, secret.public, replace(honest, answers=answers))


@pytest.mark.covers("R5", "K11")
@pytest.mark.parametrize(("a", "b"), [(2, 0), (0, 2), (-1, 0), (0, -1), (1 << 64, 1)])
def test_exponents_other_than_bits_are_refused(a: int, b: int) -> None:
    # A free power of w would be a second unknown for the forger, and a costly one for the verifier.
    secret = paillier(L112, 1)
    honest = mod.prove(L112, CONTEXT, secret)
    answers = (replace(honest.answers[0], a=a, b=b), *honest.answers[1:])
    with pytest.raises(ProofInvalid, match="a, b ∈"):
        mod.verify(L112, CONTEXT, secret.public, replace(honest, answers=answers))


@pytest.mark.covers("R6")
def test_an_error_of_order_two_in_one_answer_is_found_since_nothing_is_batched() -> None:
    secret = paillier(L112, 1)
    honest = mod.prove(L112, CONTEXT, secret)
    for at in (0, 63, 127):
        negated = replace(honest.answers[at], z=int(secret.N) - honest.answers[at].z)
        answers = (*honest.answers[:at], negated, *honest.answers[at + 1 :])
        with pytest.raises(ProofInvalid, match=r"z\^N = y"):
            mod.verify(L112, CONTEXT, secret.public, replace(honest, answers=answers))
