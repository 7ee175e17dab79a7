"""Rules R4 and R7: moduli that are no product of two large primes, each with the best proofs that its owner can make.

Nobody of `check_modulus`, Π^mod and Π^fac sees every bad modulus; the table says who sees which, and that one does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from math import prod
from typing import Any

import gmpy2
import pytest
from gmpy2 import mpz

from oms_core.crypto.paillier import PaillierPublic, check_modulus
from oms_core.crypto.params import L112
from oms_core.crypto.sampling import symmetric
from oms_core.errors import ProofInvalid
from oms_core.zk import fac, mod
from tests.attack.moduli import BITS, even_split, filled, prime, prove_fac, prove_mod, small
from tests.primes import paillier, pedersen, primes
from tests.unit.zk.cases import CONTEXT


@dataclass(frozen=True)
class Bad:
    """Prime factors, and the claim with which check_modulus, Π^mod and Π^fac refuse them; None where they cannot."""

    factors: Callable[[], list[Any]]
    public: str | None = None
    mod: str | None = None
    fac: str | None = None


RANGE, SIZE = r"z[12] ∈", "odd and of the level's size"
ROOT, FOURTH_ROOT = r"z\^N = y", r"x\^4 ="
BAD = {
    "16 primes of 17 bits": Bad(lambda: filled(*small(16)), None, FOURTH_ROOT, RANGE),
    "60 primes of 17 bits": Bad(lambda: filled(*small(60)), None, FOURTH_ROOT, None),
    "a prime of 17 bits": Bad(lambda: filled(small(1)[0]), None, None, RANGE),
    "a prime of 200 bits": Bad(lambda: filled(prime(200)), None, None, RANGE),
    "a prime below 2^16": Bad(lambda: filled(65519), r"below 2\^16", None, RANGE),
    "three large primes": Bad(lambda: filled(prime(683), prime(684)), None, FOURTH_ROOT, None),
    "p²·q": Bad(lambda: filled(prime(683), prime(683)), None, ROOT, None),
    "p²": Bad(lambda: [mpz(primes(L112, 1)[0])] * 2, "square", "Jacobi", None),
    "even": Bad(lambda: filled(2, prime(1024)), r"below 2\^16", SIZE, None),
    "a prime": Bad(lambda: [prime(BITS)], "a prime", "not prime", RANGE),
    "2047 bits": Bad(lambda: [prime(1024), prime(1022)], "2048 bits", SIZE, None),
    "2049 bits": Bad(lambda: [prime(1025), prime(1024)], "2048 bits", SIZE, None),
    "1024 bits": Bad(lambda: [prime(512), prime(512, 1)], "2048 bits", SIZE, None),
}


def refused(expected: str | None, check: Callable[[], None]) -> None:
    if expected is None:
        check()
    else:
        with pytest.raises(ProofInvalid, match=expected):
            check()


@pytest.mark.covers("R4", "R7", "K10", "K11")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_modulus_is_refused_in_spite_of_the_best_proofs_there_are(name: str) -> None:
    bad = BAD[name]
    factors = bad.factors()
    N = PaillierPublic(int(prod(factors)))
    assert all(gmpy2.is_prime(p) for p in factors)
    if N.N % 2 == 0 or gmpy2.is_square(N.N):  # no w has the symbol that an honest prover starts with
        of_mod = mod.Proof(2, (mod.Answer(1, 0, 0, 1),) * L112.repetitions)
    else:
        of_mod = prove_mod(CONTEXT, factors)
    of_fac = fac.Statement(N, pedersen(L112, 2))
    factored = prove_fac(L112, CONTEXT, of_fac, *even_split(factors))

    refused(bad.public, lambda: check_modulus(int(N.N), L112))
    refused(bad.mod, lambda: mod.verify(L112, CONTEXT, N, of_mod))
    refused(bad.fac, lambda: fac.verify(L112, CONTEXT, of_fac, factored))
    assert bad.public or bad.mod or bad.fac


@pytest.mark.covers("R4", "R7", "K10")
def test_an_honest_modulus_passes_all_three_with_the_same_provers() -> None:
    secret = paillier(L112, 1)
    factors = list(secret.factors)
    x = fac.Statement(secret.public, pedersen(L112, 2))
    check_modulus(int(secret.N), L112)
    mod.verify(L112, CONTEXT, secret.public, prove_mod(CONTEXT, factors))
    fac.verify(L112, CONTEXT, x, prove_fac(L112, CONTEXT, x, *factors))


@pytest.mark.covers("R4", "K10", "K12")
def test_a_modulus_of_another_party_or_with_one_of_its_primes_is_refused() -> None:
    p, q, p_hat, q_hat = primes(L112, 1)
    fresh, other, _, _ = primes(L112, 2)
    others = (p * q, p_hat * q_hat)
    check_modulus(fresh * other, L112, others)
    for N in (p * q, p_hat * q_hat, p * fresh, q_hat * fresh, p * p_hat):
        with pytest.raises(ProofInvalid, match="shares no factor"):
            check_modulus(N, L112, others)


# Π^fac, when the split is uneven: every way to bring the long factor's answer back into its range.


def uneven() -> tuple[fac.Statement, Any, Any]:
    p, q = filled(prime(200))
    return fac.Statement(PaillierPublic(int(p * q)), pedersen(L112, 2)), p, q


@pytest.mark.covers("R7")
def test_an_answer_cut_into_the_range_fails_its_equation() -> None:
    x, p, q = uneven()
    bound = int(gmpy2.isqrt(x.N0.N)) << L112.ell + L112.epsilon
    proof = prove_fac(L112, CONTEXT, x, p, q)
    assert abs(proof.z1) <= bound < abs(proof.z2)
    for z2 in (proof.z2 % bound, -(-proof.z2 % bound), proof.z2 % int(x.N0.N) % bound, 0):
        with pytest.raises(ProofInvalid, match=r"s\^z2"):
            fac.verify(L112, CONTEXT, x, replace(proof, z2=z2))


@pytest.mark.covers("R7")
def test_factors_of_a_good_size_whose_product_is_another_number_fail_the_last_equation() -> None:
    x, _, _ = uneven()
    root = gmpy2.isqrt(x.N0.N)
    for p, q in ((root, root), (root, root + 1), (-root, -root), paillier(L112, 1).factors):
        with pytest.raises(ProofInvalid, match=r"Q\^z1"):
            fac.verify(L112, CONTEXT, x, prove_fac(L112, CONTEXT, x, p, q))


@pytest.mark.covers("R7")
def test_a_mask_chosen_for_a_guessed_challenge_does_not_bring_the_answer_into_range() -> None:
    # β = -e'·q would make z2 = (e - e')·q: small only for the right guess among 2^257.
    x, p, q = uneven()
    calls = count(1)

    def mask(bound: int) -> int:
        call = next(calls)
        return -call * int(q) if call % 7 == 2 else symmetric(bound)  # β is the second of seven

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.attack.moduli.symmetric", mask)
        for _ in range(20):
            proof = prove_fac(L112, CONTEXT, x, p, q)
            assert proof.z2 % q == 0
            with pytest.raises(ProofInvalid, match="z2 ∈"):
                fac.verify(L112, CONTEXT, x, proof)


@pytest.mark.covers("R7", "R14")
@pytest.mark.parametrize("change", ["ssid", "extra", "prover", "verifier", "slot"])
def test_a_proof_of_factors_from_another_run_or_for_another_verifier_is_refused(change: str) -> None:
    secret = paillier(L112, 1)
    x = fac.Statement(secret.public, pedersen(L112, 2).public)
    proof = fac.prove(L112, CONTEXT, x.pedersen, secret)
    fac.verify(L112, CONTEXT, x, proof)
    elsewhere = {"ssid": b"t" * 32, "extra": b"another rho", "prover": 3, "verifier": 3, "slot": "fac'"}[change]
    with pytest.raises(ProofInvalid, match=r"s\^z1"):
        fac.verify(L112, replace(CONTEXT, **{change: elsewhere}), x, proof)
    third = fac.Statement(secret.public, pedersen(L112, 3).public)
    with pytest.raises(ProofInvalid):
        fac.verify(L112, CONTEXT, third, proof)
