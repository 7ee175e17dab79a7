"""Rules R2 and R3: one bit a repetition, all repetitions there, so that guessing is all a forger of s ∉ ⟨t⟩ can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from typing import Any

import gmpy2
import pytest

from oms_core.crypto.params import L112, L128, TOY, Level
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.crypto.sampling import below
from oms_core.crypto.transcript import Challenge
from oms_core.errors import ProofInvalid
from oms_core.zk import aff_g_star, dec, mod, prm
from tests.primes import pedersen
from tests.unit.zk.cases import CASES, CONTEXT, Case

FULL = replace(TOY, repetitions=128)
"""Small moduli, all repetitions."""

TRIES = 1000


class Guesser:
    """Proves s = -t^λ by guessing each bit: for 0 it sends A = t^a, for 1 it sends A = -t^a, so that -s·-t^a fits."""

    def __init__(self, level: Level) -> None:
        self.level, secret = level, pedersen(level, 1)
        self.N, self.t, self.lam = secret.N, secret.t, secret.secret[2]
        self.statement = PedersenPublic(int(self.N), int(-secret.s % self.N), int(self.t))
        self.guess = [below(2) for _ in range(level.repetitions)]
        self.a = [below(int(self.N) >> 1) - int(self.lam) * g for g in self.guess]
        self.A = [self.first(a, g) for a, g in zip(self.a, self.guess, strict=True)]

    def first(self, a: int, guess: int) -> int:
        return int((-1) ** guess * gmpy2.powmod(self.t, a, self.N) % self.N)

    def again(self, k: int) -> prm.Proof:
        """A fresh first message in one place is a fresh challenge in all: the cheapest next try."""
        self.guess[k] ^= 1
        self.a[k] = below(int(self.N) >> 1) - int(self.lam) * self.guess[k]
        self.A[k] = self.first(self.a[k], self.guess[k])
        z = [int(a + g * self.lam) for a, g in zip(self.a, self.guess, strict=True)]
        return prm.Proof(tuple(self.A), tuple(z))


def accepts(level: Level, x: PedersenPublic, proof: prm.Proof) -> bool:
    """Whether the proof verifies; anything but its equations being wrong is the forger's mistake."""
    try:
        prm.verify(level, CONTEXT, x, proof)
    except ProofInvalid as error:
        if "t^z" not in error.message:
            raise
        return False
    return True


@pytest.mark.covers("R2")
def test_guessing_the_bits_of_s_outside_the_powers_of_t_fails_a_thousand_times() -> None:
    forger = Guesser(FULL)
    assert gmpy2.jacobi(forger.statement.s, forger.N) == 1  # nothing that is public tells -t^λ from t^λ
    assert not any(accepts(FULL, forger.statement, forger.again(k % 128)) for k in range(TRIES))


@pytest.mark.covers("R2")
def test_the_same_guesser_succeeds_against_few_repetitions() -> None:
    few = replace(TOY, repetitions=4)
    forger = Guesser(few)
    assert any(accepts(few, forger.statement, forger.again(k % 4)) for k in range(TRIES))


@pytest.mark.covers("R2")
def test_one_long_challenge_would_let_a_power_be_split_and_there_is_none() -> None:
    # c-split: with t = s^5 and 5 | ord(s) no λ exists, yet one repetition with a long challenge c is answered by
    # z = a + c/5 whenever 5 | c.
    p, q = smooth_pair()
    N = p * q
    s = gmpy2.powmod(7, 2, N)
    statement = PedersenPublic(int(N), int(s), int(gmpy2.powmod(s, 5, N)))
    assert all(gmpy2.powmod(s, (prime - 1) // 5, prime) != 1 for prime in (p, q))
    while True:
        a = below(int(N))
        A = statement.power(statement.t, a)
        c = Challenge("prm", CONTEXT, statement, (A,)).scalar()
        if c % 5 == 0 and c > 0:
            break
    long = prm.Proof((int(A),), (a + c // 5,))
    assert statement.power(statement.t, long.z[0]) == A * statement.power(statement.s, c) % N
    with pytest.raises(ProofInvalid, match="exactly m"):
        prm.verify(FULL, CONTEXT, statement, long)
    with pytest.raises(ProofInvalid, match="t\\^z"):
        prm.verify(FULL, CONTEXT, statement, prm.Proof(long.A * 128, long.z * 128))


@cache
def smooth_pair() -> tuple[Any, Any]:
    """Two primes p with 5 | p-1 for which 49 generates a group with 5 in its order."""
    found: list[Any] = []
    start = gmpy2.mpz(1) << 511
    while len(found) < 2:
        start = gmpy2.next_prime(start)
        if start % 5 == 1 and gmpy2.powmod(49, (start - 1) // 5, start) != 1:
            found.append(start)
    return found[0], found[1]


@cache
def case(name: str) -> Case:
    return CASES[name](TOY)


def vectors(proof: Any) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
    """Each vector of a proof, by its path."""
    for field in fields(proof):
        value = getattr(proof, field.name)
        if isinstance(value, tuple):
            yield (field.name,), value
        elif field.name == "commitment":
            yield from (((field.name, *path), inner) for path, inner in vectors(value))


def changed(proof: Any, path: tuple[str, ...], value: Any) -> Any:
    name, *rest = path
    return replace(proof, **{name: changed(getattr(proof, name), tuple(rest), value) if rest else value})


VECTORS = [
    ("prm", prm.Proof, 2),
    ("mod", mod.Proof, 1),
    ("dec", dec.Proof, 6),
    ("aff-g*", aff_g_star.Proof, 7),
]


@pytest.mark.covers("R2", "R3")
@pytest.mark.parametrize("length", [0, 1, TOY.repetitions - 1, TOY.repetitions + 1, 2 * TOY.repetitions])
@pytest.mark.parametrize(("name", "kind", "count"), VECTORS, ids=[row[0] for row in VECTORS])
def test_vectors_of_another_length_are_refused_one_by_one_and_together(
    name: str, kind: type, count: int, length: int
) -> None:
    made = case(name)
    assert type(made.proof) is kind
    found = list(vectors(made.proof))
    assert len(found) == count
    together = made.proof
    for path, vector in found:
        resized = (vector * 2)[:length]
        together = changed(together, path, resized)
        with pytest.raises(ProofInvalid, match="exactly m"):
            made.check(CONTEXT, made.statement, changed(made.proof, path, resized))
    with pytest.raises(ProofInvalid, match="exactly m"):
        made.check(CONTEXT, made.statement, together)


@pytest.mark.covers("R2", "R3")
@pytest.mark.parametrize("name", [row[0] for row in VECTORS])
def test_the_number_of_repetitions_is_the_verifiers_and_not_the_proofs(name: str) -> None:
    short, full = CASES[name](TOY), CASES[name](FULL)
    full.check(CONTEXT, full.statement, full.proof)
    with pytest.raises(ProofInvalid, match="exactly m"):
        full.check(CONTEXT, full.statement, short.proof)
    with pytest.raises(ProofInvalid, match="exactly m"):
        short.check(CONTEXT, short.statement, full.proof)
    assert min(L112.repetitions, L128.repetitions) >= 128
    with pytest.raises(AssertionError):
        replace(L112, repetitions=127).check()


@pytest.mark.covers("R2", "R3")
@pytest.mark.parametrize("name", [row[0] for row in VECTORS])
def test_one_wrong_repetition_among_honest_ones_is_found_wherever_it_stands(name: str) -> None:
    made = case(name)
    for path, vector in vectors(made.proof):
        for at, other in ((0, 1), (len(vector) // 2, 0), (len(vector) - 1, 0)):
            if vector[at] == vector[other]:
                continue
            swapped = (*vector[:at], vector[other], *vector[at + 1 :])
            with pytest.raises(ProofInvalid):
                made.check(CONTEXT, made.statement, changed(made.proof, path, swapped))
