"""Rules R31 and P42: a proof that no honest prover could send is refused before it costs anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import gmpy2
import pytest

from oms_core.crypto import curve, paillier, pedersen
from oms_core.crypto.curve import Point
from oms_core.crypto.paillier import PaillierPublic, check_modulus
from oms_core.crypto.params import L112, TOY
from oms_core.crypto.pedersen import PedersenPublic, check_pedersen
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.zk import enc_elg, mod
from tests.unit.zk.cases import CASES, CONTEXT, Case

HUGE = 1 << 1_000_000
AT_ONCE = 2.0
"""Seconds of this thread's own work. What is measured takes milliseconds, and what must not be done takes minutes."""


@cache
def case(name: str) -> Case:
    return CASES[name](L112 if name in ("enc-elg", "aff-g", "fac") else TOY)


class Counter:
    """Calls of what is expensive."""

    def __init__(self) -> None:
        self.calls = 0

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.calls += 1
            return function(*args)

        return counted


@contextmanager
def counted() -> Iterator[Counter]:
    """Exponentiations, primality tests and multiplications of points, wherever a verifier can call them."""
    counter = Counter()
    with pytest.MonkeyPatch.context() as patch:
        for module in (paillier, pedersen, mod):
            patch.setattr(module, "powmod", counter.counting(gmpy2.powmod))
        patch.setattr(gmpy2, "is_prime", counter.counting(gmpy2.is_prime))
        patch.setattr(Point, "__mul__", counter.counting(Point.__mul__))
        patch.setattr(Point, "__rmul__", counter.counting(Point.__rmul__))
        patch.setattr(curve, "PrivateKey", counter.counting(curve.PrivateKey))
        yield counter


def replaced(value: Any, change: Callable[[int], int]) -> Iterator[Any]:
    """The document with one integer changed, for each; in a vector for the first and the last item."""
    if isinstance(value, tuple):
        for at in {0, len(value) - 1} if value else ():
            for item in replaced(value[at], change):
                yield (*value[:at], item, *value[at + 1 :])
    elif is_dataclass(value):
        for field in fields(value):
            for item in replaced(getattr(value, field.name), change):
                yield replace(value, **{field.name: item})  # type: ignore[type-var]
    elif hasattr(value, "__index__"):
        yield change(int(value))


def resized(value: Any) -> Iterator[Any]:
    """The document with one vector of another length, for each."""
    for field in fields(value):
        part = getattr(value, field.name)
        if isinstance(part, tuple):
            yield from (replace(value, **{field.name: new}) for new in ((), part[:-1], (*part, part[0]), part * 100))
        elif is_dataclass(part):
            yield from (replace(value, **{field.name: new}) for new in resized(part))


def refused_for_nothing(made: Case, statement: Any, proof: Any) -> None:
    with counted() as counter:
        start = time.thread_time()
        with pytest.raises(ProofInvalid):
            made.check(CONTEXT, statement, proof)
        spent = time.thread_time() - start
    assert counter.calls == 0
    assert spent < AT_ONCE


@pytest.mark.covers("P42", "R31")
@pytest.mark.parametrize("name", CASES)
def test_an_honest_proof_does_cost_exponentiations_and_the_counter_sees_them(name: str) -> None:
    made = case(name)
    with counted() as counter:
        made.check(CONTEXT, made.statement, made.proof)
    assert counter.calls >= 2


@pytest.mark.covers("P42", "R31")
@pytest.mark.parametrize("value", [HUGE, -HUGE], ids=["huge", "huge and negative"])
@pytest.mark.parametrize("name", CASES)
def test_a_huge_integer_anywhere_in_a_proof_is_refused_without_any_exponentiation(name: str, value: int) -> None:
    made = case(name)
    count = 0
    for proof in replaced(made.proof, lambda _: value):
        refused_for_nothing(made, made.statement, proof)
        count += 1
    assert count >= 1


@pytest.mark.covers("P42", "R31", "R12")
@pytest.mark.parametrize("name", ["enc-elg", "aff-g", "aff-g*", "dec"])
def test_a_huge_ciphertext_in_a_statement_is_refused_without_any_exponentiation(name: str) -> None:
    made = case(name)
    signers = getattr(made.statement, "signers", None)
    count = 0
    for statement in replaced(made.statement, lambda _: HUGE):
        if getattr(statement, "signers", None) == signers:
            refused_for_nothing(made, statement, made.proof)
            count += 1
    assert count == {"enc-elg": 1, "aff-g": 3, "aff-g*": 3, "dec": 2}[name]


@pytest.mark.covers("P42", "R3", "R31")
@pytest.mark.parametrize("name", ["prm", "mod", "aff-g*", "dec"])
def test_a_vector_of_another_length_is_refused_without_any_exponentiation(name: str) -> None:
    made = case(name)
    count = 0
    for proof in resized(made.proof):
        refused_for_nothing(made, made.statement, proof)
        count += 1
    assert count == 4 * {"prm": 2, "mod": 1, "aff-g*": 7, "dec": 6}[name]


@pytest.mark.covers("P42", "R12")
@pytest.mark.parametrize("name", ["enc-elg", "aff-g", "fac", "prm", "mod", "aff-g*", "dec"])
def test_a_residue_of_zero_is_refused_without_any_exponentiation(name: str) -> None:
    made = case(name)
    count = 0
    for proof in replaced(made.proof, lambda _: 0):
        if proof == made.proof:
            continue
        with counted() as counter, pytest.raises(ProofInvalid) as refusal:
            made.check(CONTEXT, made.statement, proof)
        if "unit" in refusal.value.message or "Jacobi" in refusal.value.message:
            assert counter.calls == 0
            count += 1
    assert count >= 2


@pytest.mark.covers("R31", "P42", "R4")
@pytest.mark.parametrize("bits", [65_536, 1_000_000])
def test_a_modulus_of_huge_length_is_refused_at_once(bits: int) -> None:
    N = (1 << bits - 1) + 1
    honest = case("mod")
    for refuse in (
        lambda: check_modulus(N, L112),
        lambda: check_pedersen(PedersenPublic(N, 2, 3), L112),
        lambda: honest.check(CONTEXT, PaillierPublic(N), honest.proof),
    ):
        with counted() as counter:
            start = time.thread_time()
            with pytest.raises(ProofInvalid):
                refuse()
            spent = time.thread_time() - start
        assert counter.calls == 0
        assert spent < AT_ONCE


@pytest.mark.covers("R31", "P42")
def test_a_message_beyond_its_limit_is_not_even_read() -> None:
    made = case("enc-elg")
    data = encode(made.proof)
    limit = 2 * len(data)
    assert decode(enc_elg.Proof, data, limit) == made.proof
    large = encode(replace(made.proof, z3=HUGE))
    start = time.thread_time()
    with pytest.raises(Malformed) as refusal:
        decode(enc_elg.Proof, large, limit)
    assert time.thread_time() - start < AT_ONCE
    assert refusal.value.reason is Reason.TOO_LARGE
