"""Ten thousand mutations of honest proofs, the same in every run: each is refused, by a claim and by nothing else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import pytest

from oms_core.crypto.curve import IDENTITY, G, Point, Q
from oms_core.crypto.params import L112, TOY, Level
from oms_core.encoding import decode, encode
from oms_core.errors import ProofInvalid
from tests.unit.zk.cases import CASES, CONTEXT, Case

Path = tuple[str | int, ...]


@cache
def case(name: str, level: Level, number: int = 0) -> Case:
    """An honest proof as it comes from the wire."""
    made = CASES[name](level)
    return replace(made, proof=decode(type(made.proof), encode(made.proof)))


def kind(value: Any) -> tuple[type, ...]:
    return (type(value), *map(type, value[:1])) if isinstance(value, tuple) else (type(value),)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every integer, point and vector of a proof, with its path."""
    if is_dataclass(value):
        for field in fields(value):
            yield from leaves(getattr(value, field.name), (*path, field.name))
        return
    if isinstance(value, tuple):
        for at, item in enumerate(value):
            yield from leaves(item, (*path, at))
    yield path, value


def put(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    first, rest = path[0], path[1:]
    if isinstance(value, tuple):
        assert isinstance(first, int)
        return (*value[:first], put(value[first], rest, new), *value[first + 1 :])
    return replace(value, **{str(first): put(getattr(value, str(first)), rest, new)})


def bent_integer(v: int, rng: random.Random) -> int:
    bits = max(v.bit_length(), 8)
    return rng.choice(
        [
            v + 1,
            v - 1,
            -v,
            ~v,
            v ^ 1 << rng.randrange(bits),
            v + (1 << rng.randrange(2 * bits)),
            v - (1 << rng.randrange(2 * bits)),
            v * 2,
            v * rng.randrange(3, 1000),
            v // 2,
            v + rng.choice((1, -1, 2, 1 << 64)) * Q,
            v % Q,
            int(hex(v)[:1:-1] if v > 0 else "0", 16),
            rng.getrandbits(bits),
            rng.getrandbits(256),
            0,
            1,
            2,
        ]
    )


def bent_point(v: Point, rng: random.Random) -> Point:
    k = rng.randrange(2, Q)
    return rng.choice([v + G, v - G, -v, 2 * v, k * v, v + k * G, k * G, G, IDENTITY])


def bent_vector(v: tuple[Any, ...], rng: random.Random) -> tuple[Any, ...]:
    i, j = rng.randrange(len(v)), rng.randrange(len(v))
    swapped = list(v)
    swapped[i], swapped[j] = v[j], v[i]
    return rng.choice(
        [v[:i], v[i:], (*v[:i], *v[i + 1 :]), (*v, v[i]), tuple(swapped), v[1:] + v[:1], v[::-1], (v[i],) * len(v)]
    )


def mutant(proof: Any, other: Any, rng: random.Random) -> Any:
    """The proof with one leaf bent, exchanged for another leaf of its type, or taken from another honest proof."""
    found = list(leaves(proof))
    path, value = rng.choice(found)
    if rng.random() < 0.15:
        return put(proof, path, dict(leaves(other))[path])
    if rng.random() < 0.15:
        return put(proof, path, rng.choice([new for _, new in found if kind(new) == kind(value)]))
    if isinstance(value, Point):
        return put(proof, path, bent_point(value, rng))
    if isinstance(value, tuple):
        return put(proof, path, bent_vector(value, rng))
    return put(proof, path, bent_integer(int(value), rng))


def outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except ProofInvalid as refusal:
        return refusal.message
    return "accepted"


def mutate(name: str, level: Level, count: int) -> Counter[str]:
    """How ``count`` mutants were judged. Whatever is raised and is not `ProofInvalid` ends the test."""
    made, other, rng = case(name, level), case(name, level, 1), random.Random(f"{name} {level.name} {count}")
    made.check(CONTEXT, made.statement, made.proof)
    outcomes: Counter[str] = Counter()
    while outcomes.total() < count:
        changed = mutant(made.proof, other.proof, rng)
        if changed != made.proof:
            judged = outcome(lambda changed=changed: made.check(CONTEXT, made.statement, changed))
            outcomes[judged] += 1
            assert judged != "accepted", changed
    return outcomes


CLAIMS = {"sch": 2, "elog": 3, "enc-elg": 6, "aff-g": 7, "prm": 3, "mod": 5, "fac": 6, "aff-g*": 5, "dec": 5}
"""How many different claims a few hundred mutants meet at least."""


@pytest.mark.covers("R3", "R12", "R15")
@pytest.mark.parametrize("name", CASES)
def test_no_mutant_of_a_small_sample_is_accepted(name: str) -> None:
    assert mutate(name, TOY, 100).total() == 100


@pytest.mark.slow
@pytest.mark.attack
@pytest.mark.covers("R3", "R12", "R15")
@pytest.mark.parametrize("name", CASES)
def test_no_mutant_of_ten_thousand_is_accepted(name: str) -> None:
    count = 10_000 // len(CASES) + 1
    outcomes = mutate(name, TOY, count)
    assert outcomes.total() == count
    assert len(outcomes) >= CLAIMS[name]


@pytest.mark.slow
@pytest.mark.attack
@pytest.mark.covers("R3", "R12", "R15")
@pytest.mark.parametrize("name", CASES)
def test_no_mutant_of_three_hundred_at_full_size_is_accepted(name: str) -> None:
    count = 300 // len(CASES) + 1
    assert mutate(name, L112, count).total() == count
