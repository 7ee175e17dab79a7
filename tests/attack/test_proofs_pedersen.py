"""Rules R6, R8 and R9: ring-Pedersen triples that would open a prover's secrets, and primes that would not be safe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import gmpy2
import pytest
from gmpy2 import mpz

from oms_core.crypto.paillier import check_modulus
from oms_core.crypto.params import L112, TOY, Level
from oms_core.crypto.pedersen import PedersenPublic, PedersenSecret, check_pedersen, generate_pedersen
from oms_core.crypto.primes import is_safe_prime, safe_prime
from oms_core.crypto.sampling import below
from oms_core.crypto.transcript import Challenge
from oms_core.errors import LocalError, ProofInvalid
from oms_core.protocol import auxinfo
from oms_core.zk import prm
from tests.attack.moduli import filled, prime, small
from tests.primes import pedersen, primes
from tests.unit.zk.cases import CONTEXT

FULL = replace(TOY, repetitions=128)
"""Small moduli, all repetitions."""


def prove(level: Level, x: PedersenPublic, lam: int, order: Any, sign: int = 1) -> prm.Proof:
    """Π^prm for s = ±t^λ as an honest prover would make it for s = t^λ."""
    a = [below(order) for _ in range(level.repetitions)]
    A = tuple(int(x.power(x.t, a_k)) for a_k in a)
    bits = Challenge("prm", CONTEXT, x, A).bits(level.repetitions)
    return prm.Proof(A, tuple(int((a_k + e_k * lam) % order) for a_k, e_k in zip(a, bits, strict=True)))


def batch_holds(level: Level, x: PedersenPublic, proof: prm.Proof) -> bool:
    """What a verifier would check who saves work by one random combination of all repetitions."""
    bits = Challenge("prm", CONTEXT, x, proof.A).bits(level.repetitions)
    weights = [below(1 << 128) for _ in bits]
    left = x.power(x.t, sum(z * d for z, d in zip(proof.z, weights, strict=True)))
    right = prod(x.power(A, d) for A, d in zip(proof.A, weights, strict=True)) % x.N
    return bool(left == right * x.power(x.s, sum(e * d for e, d in zip(bits, weights, strict=True))) % x.N)


@pytest.mark.covers("R6", "R2")
def test_minus_a_power_of_t_passes_half_of_all_batches_and_never_passes_one_by_one() -> None:
    secret = pedersen(FULL, 1)
    x = PedersenPublic(int(secret.N), int(-secret.s % secret.N), int(secret.t))
    passed = 0
    for _ in range(24):
        proof = prove(FULL, x, int(secret.secret[2]), secret.group_order)
        passed += batch_holds(FULL, x, proof)
        with pytest.raises(ProofInvalid, match=r"t\^z"):
            prm.verify(FULL, CONTEXT, x, proof)
    assert 0 < passed < 24  # 24 fair coins


def triple(change: Callable[[PedersenSecret], tuple[Any, Any, Any]]) -> PedersenPublic:
    return PedersenPublic(*map(int, change(pedersen(L112, 1))))


def of_order_two(k: PedersenSecret) -> Any:
    """-1 modulo one factor, 1 modulo the other."""
    p, q, _ = k.secret
    return (1 + q * gmpy2.invert(q, p) * -2) % k.N


PROVABLE: dict[str, tuple[Callable[[PedersenSecret], tuple[Any, Any, Any]], int]] = {
    "t = 1, s = 1": (lambda k: (k.N, 1, 1), 0),
    "t = N-1, s = N-1": (lambda k: (k.N, k.N - 1, k.N - 1), 1),
    "t = N-1, s = 1": (lambda k: (k.N, 1, k.N - 1), 0),
    "s = 1": (lambda k: (k.N, 1, k.t), 0),
    "s = t": (lambda k: (k.N, k.t, k.t), 1),
    "t of order 2, s = t": (lambda k: (k.N, of_order_two(k), of_order_two(k)), 1),
    "t of order 2, s = 1": (lambda k: (k.N, 1, of_order_two(k)), 0),
}


@pytest.mark.covers("R8", "K12")
@pytest.mark.parametrize("name", PROVABLE)
def test_a_degenerate_triple_has_a_true_proof_and_is_refused_before_it(name: str) -> None:
    change, lam = PROVABLE[name]
    x = triple(change)
    prm.verify(L112, CONTEXT, x, prove(L112, x, lam, pedersen(L112, 1).group_order))
    with pytest.raises(ProofInvalid, match="trivial"):
        check_pedersen(x, L112)


UNFIT: dict[str, Callable[[PedersenSecret], tuple[Any, Any, Any]]] = {
    "s = 0": lambda k: (k.N, 0, k.t),
    "t = 0": lambda k: (k.N, k.s, 0),
    "s = N": lambda k: (k.N, k.N, k.t),
    "s + N": lambda k: (k.N, k.s + k.N, k.t),
    "t + N": lambda k: (k.N, k.s, k.t + k.N),
    "s - N": lambda k: (k.N, k.s - k.N, k.t),
    "t - N": lambda k: (k.N, k.s, k.t - k.N),
    "s a factor": lambda k: (k.N, k.secret[0], k.t),
    "s a multiple of a factor": lambda k: (k.N, 6 * k.secret[1], k.t),
    "t a factor": lambda k: (k.N, k.s, k.secret[0]),
}


@pytest.mark.covers("R8", "K12", "R12")
@pytest.mark.parametrize("name", UNFIT)
def test_s_and_t_that_are_no_units_are_refused_with_any_proof(name: str) -> None:
    x = triple(UNFIT[name])
    honest = prm.prove(L112, CONTEXT, pedersen(L112, 1))
    with pytest.raises(ProofInvalid, match="units"):
        check_pedersen(x, L112)
    for proof in (honest, prm.Proof((0,) * 128, (0,) * 128), prm.Proof((1,) * 128, (0,) * 128)):
        with pytest.raises(ProofInvalid, match="units"):
            prm.verify(L112, CONTEXT, x, proof)


@pytest.mark.covers("R8", "K12")
def test_moduli_that_are_short_long_even_or_smooth_are_refused() -> None:
    key, toy = pedersen(L112, 1), pedersen(TOY, 1)
    check_pedersen(key.public, L112)
    prm.verify(TOY, CONTEXT, toy.public, prm.prove(TOY, CONTEXT, toy))
    # A golden shoe: long enough for s^x to stay below it, so that x is read off over the integers.
    huge = PedersenPublic(1 << 65535 | 1, 2, 3)
    for N in (toy.public, huge, PedersenPublic(int(key.N + 1), 2, 3), PedersenPublic(int(key.N) * 2, 3, 5)):
        with pytest.raises(ProofInvalid, match="odd and has"):
            check_pedersen(N, L112)
    small_factor, smooth = int(prod(filled(3))), int(prod(filled(*small(4, 15))))
    for N in (small_factor, smooth, int(prime(2048))):
        check_pedersen(PedersenPublic(N, 2, 7), L112)  # says nothing of factors: that is the other check's work
        with pytest.raises(ProofInvalid):
            check_modulus(N, L112)


@pytest.mark.covers("R8", "K12", "R2")
def test_s_outside_the_powers_of_t_is_refused_with_every_proof_that_looks_honest() -> None:
    key = pedersen(L112, 1)
    p, q, lam = key.secret
    outside = next(v for v in range(2, 100) if gmpy2.jacobi(v, key.N) == 1 and gmpy2.legendre(v, p) == -1)
    for s in (outside, -key.s % key.N, key.s * of_order_two(key) % key.N):
        x = PedersenPublic(int(key.N), int(s), int(key.t))
        check_pedersen(x, L112)
        for guess in (int(lam), (p - 1) * (q - 1) // 2):
            with pytest.raises(ProofInvalid, match=r"t\^z"):
                prm.verify(L112, CONTEXT, x, prove(L112, x, int(guess), key.group_order))


@pytest.mark.covers("R9")
def test_generated_primes_are_safe_long_and_different() -> None:
    found = [safe_prime(bits) for bits in (128, 192, 256, 256, 320)]
    assert len(set(found)) == 5
    for p, bits in zip(found, (128, 192, 256, 256, 320), strict=True):
        assert p.bit_length() == bits
        assert p >> bits - 2 == 3
        assert p % 4 == 3
        assert gmpy2.is_prime(p, 40)
        assert gmpy2.is_prime((p - 1) // 2, 40)
    assert (found[2] * found[3]).bit_length() == 512


@pytest.mark.covers("R9", "R8")
def test_generated_parameters_are_squares_and_powers_of_each_other() -> None:
    p, q = primes(TOY, 1)[2:]
    for _ in range(8):
        key = generate_pedersen(p, q)
        _, _, lam = key.secret
        check_pedersen(key.public, TOY)
        assert 0 <= lam < (mpz(p) - 1) * (mpz(q) - 1) // 4
        assert key.s == gmpy2.powmod(key.t, lam, key.N)
        assert all(gmpy2.legendre(value, factor) == 1 for value in (key.s, key.t) for factor in (p, q))
        # of the full order p'q': every square but those that are 1 modulo a factor
        assert all(key.t % factor != 1 for factor in (p, q))


@pytest.mark.covers("R9", "K10")
def test_primes_that_are_not_safe_are_never_published_as_ones_own() -> None:
    p, q, p_hat, q_hat = primes(L112, 1)
    auxinfo._check_own((p, q, p_hat, q_hat), L112.prime_bits)
    plain = int(prime(1024))
    assert gmpy2.is_prime(plain)
    assert not is_safe_prime(plain)
    for unfit in (
        (plain, q, p_hat, q_hat),
        (p, q, p_hat, plain),
        (p, p, p_hat, q_hat),
        (p, q, p, q),
        (p, q, p_hat, primes(TOY, 1)[0]),
        (p, q, p_hat, -q_hat),
        (p, q, p_hat, (q_hat - 1) // 2),
    ):
        with pytest.raises(LocalError):
            auxinfo._check_own(unfit, L112.prime_bits)
