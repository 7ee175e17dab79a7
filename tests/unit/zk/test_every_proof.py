"""What holds for each proof alike: honest ones verify, bent ones do not, whatever is bent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import pytest

from oms_core.crypto.curve import IDENTITY, G, Point, Q
from oms_core.crypto.paillier import PaillierPublic
from oms_core.crypto.params import L112, L128, TOY, Level
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, ProofInvalid
from tests.unit.zk.cases import CASES, CONTEXT, Case


@cache
def case(name: str, level: Level = TOY) -> Case:
    return CASES[name](level)


def bent(value: Any) -> Iterator[Any]:
    """Every value of the same type that is one step of mischief away."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, Point):
        yield from (value + G, -value, IDENTITY, 2 * value)
    elif isinstance(value, PaillierPublic):
        yield from (PaillierPublic(int(value.N) + 2), PaillierPublic(int(value.N) * 3))
    elif isinstance(value, PedersenPublic):
        N, s, t = value.__canonical__()
        yield from (PedersenPublic(N + 2, s, t), PedersenPublic(N, s * s % N, t), PedersenPublic(N, t, s))
    elif isinstance(value, tuple):
        yield from (value[:-1], (), (*value, value[-1]), value[:1])
        for item in bent(value[0]):
            yield (item, *value[1:])
        for item in bent(value[-1]):
            yield (*value[:-1], item)
    elif is_dataclass(value):
        for field in fields(value):
            for changed in bent(getattr(value, field.name)):
                yield replace(value, **{field.name: changed})
    elif isinstance(value, bytes):
        yield from (value + b"\x00", value[:-1])
    elif isinstance(value, str):
        yield value + "'"
    else:
        value = int(value)
        yield from {value + 1, value - 1, -value - 1, value + Q, 0, 1 << 20_000} - {value}


@pytest.mark.parametrize("level", [TOY, L112], ids=lambda level: level.name)
@pytest.mark.parametrize("name", CASES)
def test_an_honest_proof_verifies_and_survives_the_wire(name: str, level: Level) -> None:
    made = case(name, level)
    made.check(CONTEXT, made.statement, decode(type(made.proof), encode(made.proof)))


@pytest.mark.parametrize("name", ["enc-elg", "aff-g", "fac", "elog"])
def test_an_honest_proof_verifies_at_level_128(name: str) -> None:
    made = case(name, L128)
    made.check(CONTEXT, made.statement, made.proof)


@pytest.mark.parametrize("name", CASES)
def test_a_proof_with_any_field_changed_is_refused(name: str) -> None:
    made = case(name)
    count = 0
    for changed in bent(made.proof):
        with pytest.raises((ProofInvalid, Malformed)):
            made.check(CONTEXT, made.statement, changed)
        count += 1
    assert count >= 4


@pytest.mark.parametrize("name", CASES)
def test_a_proof_for_any_other_statement_is_refused(name: str) -> None:
    made = case(name)
    statements = bent(made.statement)
    count = 0
    for changed in statements:
        with pytest.raises(CountersealError):
            made.check(CONTEXT, changed, made.proof)
        count += 1
    assert count >= 2


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "context",
    [
        replace(CONTEXT, ssid=b"t" * 32),
        replace(CONTEXT, slot="other"),
        replace(CONTEXT, prover=3),
        replace(CONTEXT, verifier=3),
        replace(CONTEXT, verifier=None),
        replace(CONTEXT, extra=b""),
    ],
    ids=["session", "slot", "prover", "verifier", "no verifier", "extra"],
)
def test_a_proof_from_another_place_is_refused(name: str, context: Any) -> None:
    made = case(name)
    with pytest.raises(ProofInvalid):
        made.check(context, made.statement, made.proof)


@pytest.mark.parametrize("name", ["prm", "mod", "aff-g*", "dec"])
@pytest.mark.parametrize("length", [0, 1, -1, +1])
def test_a_proof_with_another_number_of_repetitions_is_refused(name: str, length: int) -> None:
    made = case(name)
    m = TOY.repetitions if length in (-1, 1) else 0

    def cut(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*values, values[-1])[: m + length]

    proof = made.proof
    changed = {f.name: cut(value) for f in fields(proof) if isinstance(value := getattr(proof, f.name), tuple)}
    with pytest.raises(ProofInvalid, match="exactly m"):
        made.check(CONTEXT, made.statement, replace(made.proof, **changed))


def test_a_witness_does_not_show_itself() -> None:
    from tests.unit.zk.cases import aff_g_parts, enc_elg_parts

    for _, witness in (enc_elg_parts(TOY), aff_g_parts(TOY)):
        shown = repr(witness)
        assert not any(str(int(getattr(witness, f.name))) in shown for f in fields(witness))
