"""Rule R1: what is hashed has one reading only, so nobody chooses the reading after seeing the challenge."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_core.crypto.params import TOY
from oms_core.crypto.transcript import Challenge
from oms_core.encoding import decode, digest, encode
from oms_core.errors import Malformed
from oms_core.zk import prm
from tests.unit.zk.cases import CONTEXT, elog_case, enc_elg_case, prm_case

DELIMITERS = (b"$", b"|", b"\x00", b",", b"\xff")

leaves = st.none() | st.booleans() | st.integers() | st.integers(-(1 << 4096), 1 << 4096) | st.binary() | st.text()
values = st.recursive(leaves, lambda items: st.lists(items, max_size=4).map(tuple), max_leaves=12)


def shape(value: Any) -> Any:
    """The value with the type of each part, so that True and 1, or b"" and "", are told apart."""
    return tuple(shape(item) for item in value) if isinstance(value, tuple) else (type(value).__name__, value)


def tuples(value: Any) -> Any:
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


def neighbours(value: Any) -> Iterator[Any]:
    """The same content with a boundary moved: joined, split, nested deeper, flattened, padded, of another type."""
    yield (value,)
    if isinstance(value, tuple):
        for at, item in enumerate(value):
            yield (*value[:at], (item,), *value[at + 1 :])
            if isinstance(item, tuple):
                yield (*value[:at], *item, *value[at + 1 :])
        for at in range(len(value) - 1):
            first, second = value[at], value[at + 1]
            yield (*value[:at], (first, second), *value[at + 2 :])
            if isinstance(first, bytes) and isinstance(second, bytes):
                yield from ((*value[:at], first + joint + second, *value[at + 2 :]) for joint in (b"", *DELIMITERS))
                yield (*value[:at], first + second[:1], second[1:], *value[at + 2 :])
        yield from ((*value, None), (*value, b""), (*value, 0), value[:-1])
    elif isinstance(value, bytes):
        yield from (value + b"\x00", b"\x00" + value, int.from_bytes(value, "big"), value.hex())
    elif isinstance(value, str):
        yield from (value + "\x00", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, int):
        yield from (-value, value << 8, str(value), bool(value))


@pytest.mark.covers("R1")
@given(values)
def test_the_encoding_can_be_read_back_to_the_very_value(value: Any) -> None:
    assert shape(tuples(cbor2.loads(encode(value)))) == shape(value)


@pytest.mark.covers("R1")
@given(values, values)
@pytest.mark.covers("P41")
def test_two_values_have_one_encoding_only_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (encode(one) == encode(other)) == (shape(one) == shape(other))


@pytest.mark.covers("R1")
@given(values)
def test_moving_a_boundary_changes_the_encoding_and_the_digest(value: Any) -> None:
    for moved in neighbours(value):
        if shape(moved) != shape(value):
            assert encode(moved) != encode(value)
            assert digest("tag", moved) != digest("tag", value)


@pytest.mark.covers("R1")
@pytest.mark.covers("P41")
def test_a_hundred_thousand_random_values_have_as_many_encodings() -> None:
    rng = random.Random(2021_060)
    small: list[Any] = [None, True, False, 0, 1, -1, 255, 256, 65793, b"", b"a", b"$", b"a$b", "", "a", "$", "a$b"]

    def draw(depth: int) -> Any:
        if depth == 0 or rng.random() < 0.3:
            return rng.choice(small)
        return tuple(draw(depth - 1) for _ in range(rng.randrange(4)))

    seen: dict[bytes, Any] = {}
    for _ in range(100_000):
        value = draw(4)
        assert shape(seen.setdefault(encode(value), value)) == shape(value)
    assert len(seen) > 10_000


@pytest.mark.covers("R1")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((b"a$b",), (b"a", b"b")),
        ((1, 256), (0x010100,)),
        ((0x010100,), (b"\x01\x01\x00",)),
        ((1, 256), (256, 1)),
        (((1,), 2), ((1, 2),)),
        (((), ()), ((),)),
        ((b"", b"a"), (b"a", b"")),
        ((b"",), ()),
        ((0,), (False,)),
        ((1,), (True,)),
        ((0,), (b"",)),
        ((None,), ()),
        (("a",), (b"a",)),
        ((-1,), (1,)),
        ((-(1 << 64),), (1 << 64,)),
        (((1 << 64) - 1,), (1 << 64,)),
    ],
)
def test_pairs_that_a_careless_encoding_confuses_stay_apart(one: Any, other: Any) -> None:
    assert encode(one) != encode(other)
    assert digest("tag", *one) != digest("tag", *other)
    assert Challenge("tag", CONTEXT, one, ()).scalar() != Challenge("tag", CONTEXT, other, ()).scalar()


@pytest.mark.covers("R1")
def test_minus_zero_is_zero_and_has_no_second_form() -> None:
    assert encode([0, -0]) == encode([0, 0])
    # 0 as a bignum, 0 in two bytes, and 2^64 with a leading zero: forms that are not the shortest.
    for data in (b"\xc2\x40", b"\x18\x00", b"\xc2\x4a\x00\x01" + bytes(8)):
        assert isinstance(cbor2.loads(data), int)
        with pytest.raises(Malformed):
            decode(prm.Proof, encode(prm.Proof((0,), (0,))).replace(b"\x81\x00", b"\x81" + data, 1))


@pytest.mark.covers("R1")
def test_a_stream_that_reads_as_one_number_or_as_two_gives_two_challenges() -> None:
    # α-shuffle: the hash is fixed over the bytes a|D|a|D|a…, and their division into numbers is chosen afterwards.
    made = prm_case(TOY)
    size = (made.statement.N.bit_length() + 7) // 8
    for joint in DELIMITERS:
        A = [int(a) for a in made.proof.A]
        joined = int.from_bytes(A[0].to_bytes(size, "big") + joint + A[1].to_bytes(size, "big"), "big")
        readings = [tuple(A), (joined, *A[2:]), (A[0], joined, *A[3:]), tuple(A[:-1])]
        bits = {tuple(Challenge("prm", CONTEXT, made.statement, reading).bits(128)) for reading in readings}
        assert len(bits) == len(readings)


@pytest.mark.covers("R1")
def test_content_that_moves_between_neighbouring_fields_changes_the_challenge() -> None:
    made = elog_case(TOY)
    base = Challenge("elog", CONTEXT, made.statement, made.proof.commitment).scalar()
    for context in (
        replace(CONTEXT, ssid=CONTEXT.ssid + b"s", slot="lot"),
        replace(CONTEXT, slot="slot1", prover=2),
        replace(CONTEXT, ssid=CONTEXT.ssid[:-1], extra=b"s" + CONTEXT.extra),
        replace(CONTEXT, prover=12, verifier=None),
        replace(CONTEXT, prover=CONTEXT.verifier or 0, verifier=CONTEXT.prover),
    ):
        assert Challenge("elog", context, made.statement, made.proof.commitment).scalar() != base
    s, com = made.statement, made.proof.commitment
    assert Challenge("elog", CONTEXT, replace(s, L=s.M, M=s.L), com).scalar() != base
    assert Challenge("elog", CONTEXT, s, replace(com, A=com.N, N=com.A)).scalar() != base
    assert Challenge("elog", CONTEXT, (s, com), ()).scalar() != base
    assert Challenge("elog'", CONTEXT, s, com).scalar() != base


@pytest.mark.covers("R1")
def test_a_proof_on_the_wire_is_read_in_one_way_or_not_at_all() -> None:
    for made in (prm_case(TOY), enc_elg_case(TOY)):
        data = encode(made.proof)
        assert encode(decode(type(made.proof), data)) == data
        for bad in (data + b"\x00", data[:-1], b"\x81" + data, data.replace(b"-proof/1", b"-proof/2")):
            with pytest.raises(Malformed):
                decode(type(made.proof), bad)
