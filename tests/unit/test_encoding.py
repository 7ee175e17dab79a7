"""The canonical encoding: one form for each value, and nothing else is read."""

from __future__ import annotations

from enum import StrEnum

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_core.cbor import MAX_INTEGER, scan
from oms_core.crypto.curve import G, Point
from oms_core.encoding import decode, decode_one_of, digest, document, encode
from oms_core.errors import Malformed, Reason


class Colour(StrEnum):
    RED = "RED"


@document("inner/1")
class Inner:
    number: int
    point: Point


@document("outer/1")
class Outer:
    name: str
    data: bytes
    inner: Inner
    many: tuple[Inner, ...]
    pair: tuple[int, str]
    maybe: int | None
    colour: Colour
    table: dict[int, bytes]


@document("other/1")
class Other:
    name: str


INNER = Inner(-(2**300), G)
OUTER = Outer("é", b"\x00", INNER, (INNER, Inner(0, 2 * G)), (1, "x"), None, Colour.RED, {2: b"b", 1: b"a"})

values = st.recursive(
    st.one_of(st.integers(-(2**80), 2**80), st.text(max_size=8), st.binary(max_size=8), st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)


def test_a_document_reads_back_what_was_written() -> None:
    assert decode(Outer, encode(OUTER)) == OUTER


@given(st.integers(), st.integers())
def test_integers_of_any_size_read_back(a: int, b: int) -> None:
    made = Inner(a, G)
    assert decode(Inner, encode(made)) == made
    assert (encode(Inner(a, G)) == encode(Inner(b, G))) == (a == b)


@given(values, values)
def test_different_values_have_different_bytes(a: object, b: object) -> None:
    same = repr(a) == repr(b)
    assert (encode(a) == encode(b)) == same


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([b"a$b"], [b"a", b"b"]),
        ([1, 256], [0x010100]),
        ([[1], 2], [1, [2]]),
        ([b""], []),
        (b"1", "1"),
        (1, True),
        (0, False),
        ("1", 1),
        (None, b""),
    ],
)
def test_values_that_could_be_confused_are_not(a: object, b: object) -> None:
    assert encode(a) != encode(b)
    assert digest("x", a) != digest("x", b)


def test_a_digest_depends_on_its_context_and_on_how_items_are_grouped() -> None:
    made = {
        digest("a", 1, 2),
        digest("b", 1, 2),
        digest("a", [1, 2]),
        digest("a", 2, 1),
        digest("a", 1, 2, size=64)[:32],
    }
    assert len(made) == 4


def test_every_changed_bit_is_refused_or_is_another_value() -> None:
    good = encode(OUTER)
    for at in range(len(good) * 8):
        bent = bytearray(good)
        bent[at // 8] ^= 1 << (at % 8)
        try:
            assert decode(Outer, bytes(bent)) != OUTER
        except Malformed:
            continue


def test_every_prefix_and_every_suffix_is_refused() -> None:
    good = encode(OUTER)
    for cut in range(len(good)):
        with pytest.raises(Malformed):
            decode(Outer, good[:cut])
    with pytest.raises(Malformed, match="trailing"):
        decode(Outer, good + b"\x00")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(Outer, data)


@pytest.mark.parametrize(
    "written",
    [
        "1801",  # 1 in two bytes
        "190001",  # 1 in three bytes
        "1a00000001",
        "1b0000000000000001",
        "3800",  # -1 in two bytes
        "5801ff",  # one byte string with a long head
        "c249000000000000000001",  # bignum with leading zeros
        "c248ffffffffffffffff",  # bignum that fits an integer
        "c240",
        "f90000",  # floats
        "fa00000000",
        "fb0000000000000000",
        "5f41ff41ffff",  # indefinite lengths
        "9f01ff",
        "bf6161 01ff".replace(" ", ""),
        "f7",  # undefined
        "f8ff",  # simple value
        "c001",  # tags
        "d81c80",
        "d8238161",
        "a2616201616101",  # keys out of order
        "a2616101616102",  # key twice
        "1c",  # reserved
        "ff",
    ],
)
def test_a_form_that_is_not_the_shortest_deterministic_one_is_refused(written: str) -> None:
    inside = cbor2.dumps("other/1").hex()
    data = bytes.fromhex("a2" + "6140" + inside + "646e616d65" + written)
    with pytest.raises(Malformed):
        decode(Other, data)


def test_deep_nesting_is_refused_before_it_is_read() -> None:
    with pytest.raises(Malformed, match="deep"):
        decode(Other, b"\x81" * 10_000 + b"\x01")


def test_an_integer_is_never_longer_than_python_writes_in_decimal() -> None:
    """What is said of a number that is out of range names it; a longer one would be an error of its own there."""
    for longest in ((1 << 8 * MAX_INTEGER) - 1, -(1 << 8 * MAX_INTEGER)):
        assert str(decode(Inner, encode(Inner(longest, G))).number) == str(longest)
        with pytest.raises(Malformed, match="an integer of 1786 bytes"):
            decode(Inner, encode(Inner(longest * 2, G)))


def test_a_length_beyond_the_data_is_refused_before_anything_is_made() -> None:
    for head in ("9b7fffffffffffffff", "bb7fffffffffffffff", "5b7fffffffffffffff"):
        with pytest.raises(Malformed):
            decode(Other, bytes.fromhex(head))


def test_more_bytes_than_the_limit_are_refused_by_size() -> None:
    with pytest.raises(Malformed) as caught:
        decode(Outer, encode(OUTER), limit=10)
    assert caught.value.reason == Reason.TOO_LARGE


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(Malformed) as caught:
        decode(Other, cbor2.dumps({"@": "other/1", "name": "x", "more": 1}, canonical=True))
    assert caught.value.reason == Reason.UNKNOWN_FIELD


@pytest.mark.parametrize(
    "table",
    [
        {"@": "other/1"},
        {"@": "other/2", "name": "x"},
        {"name": "x"},
        {"@": "other/1", "name": 1},
        {"@": "other/1", "name": b"x"},
        ["other/1", "x"],
        1,
    ],
)
def test_another_shape_than_the_documents_is_refused(table: object) -> None:
    with pytest.raises(Malformed):
        decode(Other, cbor2.dumps(table, canonical=True))


def test_a_boolean_is_no_integer() -> None:
    with pytest.raises(Malformed):
        decode(Inner, encode(Inner(True, G)))


def test_a_point_that_is_none_is_refused() -> None:
    good = encode(Inner(1, G))
    with pytest.raises(Malformed):
        decode(Inner, good.replace(G.to_bytes(), b"\x05" + G.to_bytes()[1:]))


def test_one_of_several_kinds_is_told_apart_by_its_name() -> None:
    kinds = (Inner, Other)
    assert decode_one_of(kinds, encode(Other("x"))) == Other("x")
    with pytest.raises(Malformed) as caught:
        decode_one_of(kinds, encode(OUTER))
    assert caught.value.reason == Reason.UNSUPPORTED_TYPE


def test_what_has_no_canonical_form_is_not_written() -> None:
    for value in (1.5, {1, 2}, object(), {b"x": 1}):
        with pytest.raises(TypeError):
            encode(value)


def test_keys_of_different_kinds_stand_in_the_order_of_their_bytes_and_can_be_read_again() -> None:
    for mixed in ({24: 1, -1: 2}, {"a": 1, 300: 2, -500: 3}, {"bb": 1, "a": 2, 70000: 3}):
        data = encode(mixed)
        assert scan(data, [100]) == len(data)
        assert encode(dict(reversed(mixed.items()))) == data
