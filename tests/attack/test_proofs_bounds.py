"""The exact bounds of spec §5: the largest answer that an honest prover may send is looked at, one more is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import gmpy2
import pytest

from oms_core.crypto.curve import Q
from oms_core.crypto.paillier import PaillierSecret
from oms_core.crypto.params import L112, TOY
from oms_core.errors import ProofInvalid
from oms_core.zk import fac
from tests.attack.moduli import prime
from tests.primes import pedersen
from tests.unit.zk.cases import CASES, CONTEXT, Case

ELL, EPSILON, ELL_PRIME = TOY.ell, TOY.epsilon, TOY.ell_prime


@cache
def case(name: str) -> Case:
    return CASES[name](TOY)


def hidden(x: Any) -> int:
    return int((2 ** (ELL + EPSILON) + Q * 2**ELL) * x.pedersen.N)


def hidden_factor(x: Any) -> int:
    return int((2 ** (ELL + EPSILON) + 2 ** (2 * ELL)) * x.pedersen.N)


def root(x: Any) -> int:
    return int(gmpy2.isqrt(x.N0.N)) * 2 ** (ELL + EPSILON)


def free(x: Any) -> int:
    return int(2 ** (ELL + EPSILON) * x.N0.N * x.pedersen.N + 2 ** (2 * ELL) * x.pedersen.N * 2**TOY.modulus_bits)


def small(x: Any) -> int:
    return 2 ** (ELL + EPSILON)


def masked(x: Any) -> int:
    return 2 ** (ELL_PRIME + EPSILON)


def decrypted(x: Any) -> int:
    assert x.signers == 3
    return 2 ** (ELL_PRIME + EPSILON + 1 + 2 + TOY.epsilon_dec)


BOUNDS: list[tuple[str, str, Callable[[Any], int], str]] = [
    ("enc-elg", "z1", small, "z1 ∈"),
    ("enc-elg", "z3", hidden, "z3 is in the range"),
    ("aff-g", "z1", small, "z1 ∈"),
    ("aff-g", "z2", masked, "z2 ∈"),
    ("aff-g", "z3", hidden, "z3 is in the range"),
    ("aff-g", "z4", hidden, "z4 is in the range"),
    ("fac", "z1", root, "z1 ∈"),
    ("fac", "z2", root, "z2 ∈"),
    ("fac", "w1", hidden_factor, "w1 and w2 are in the range"),
    ("fac", "w2", hidden_factor, "w1 and w2 are in the range"),
    ("fac", "v", free, "v is in the range"),
    ("dec", "z", small, "z ∈"),
    ("dec", "w", decrypted, "w ∈"),
    ("aff-g*", "z", small, "z ∈"),
    ("aff-g*", "z_y", masked, "z ∈"),
]


@pytest.mark.covers("R10", "R13", "R31")
@pytest.mark.parametrize("sign", [1, -1], ids=["above", "below"])
@pytest.mark.parametrize(("name", "field", "bound", "claim"), BOUNDS, ids=[f"{row[0]} {row[1]}" for row in BOUNDS])
def test_an_answer_at_its_bound_is_looked_at_and_one_beyond_is_not(
    name: str, field: str, bound: Callable[[Any], int], claim: str, sign: int
) -> None:
    made = case(name)
    old = getattr(made.proof, field)
    last = old[-1] if isinstance(old, tuple) else old
    limit = bound(made.statement)
    assert abs(last) <= limit
    for value, refused_by in ((sign * limit, "="), (sign * (limit + 1), claim)):
        new = (*old[:-1], value) if isinstance(old, tuple) else value
        with pytest.raises(ProofInvalid) as refusal:
            made.check(CONTEXT, made.statement, replace(made.proof, **{field: new}))
        assert refused_by in refusal.value.message


@pytest.mark.covers("R31")
def test_an_answer_of_the_modulus_itself_is_one_too_many() -> None:
    made = case("prm")
    N = int(made.statement.N)
    for value, claim in ((N - 1, r"t\^z"), (N, "z ∈"), (-1, "z ∈")):
        with pytest.raises(ProofInvalid, match=claim):
            made.check(CONTEXT, made.statement, replace(made.proof, z=(*made.proof.z[:-1], value)))


@pytest.mark.covers("R7")
def test_a_modulus_too_short_for_the_bound_on_its_factors_to_mean_anything_is_refused() -> None:
    rp = pedersen(L112, 2)
    for bits, accepted in ((1024, True), (1022, False)):
        secret = PaillierSecret(int(prime(bits // 2, 1)), int(prime(bits // 2, 2)))
        assert secret.N.bit_length() == bits
        x = fac.Statement(secret.public, rp)
        proof = fac.prove(L112, CONTEXT, rp, secret)
        if accepted:
            fac.verify(L112, CONTEXT, x, proof)
        else:
            with pytest.raises(ProofInvalid, match="4ℓ bits"):
                fac.verify(L112, CONTEXT, x, proof)
