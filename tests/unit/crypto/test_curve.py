"""secp256k1 with its identity: the group laws, against python-ecdsa, and every form of a point that is not taken."""

from __future__ import annotations

import pickle

import pytest
from ecdsa import SECP256k1
from ecdsa.ellipticcurve import INFINITY
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.crypto.curve import IDENTITY, G, P, Point, Q, centered, mul_base, random_scalar, total
from oms_core.encoding import decode, document, encode
from oms_core.errors import Malformed

scalars = st.one_of(st.integers(-3, 3), st.integers(Q - 3, Q + 3), st.integers(-(1 << 300), 1 << 300))


@document("holder/1")
class Holder:
    point: Point


def independent(k: int) -> bytes:
    """k·G by python-ecdsa, in our form."""
    point = SECP256k1.generator * (k % Q)
    return b"\0" if point == INFINITY else point.to_bytes("compressed")


def test_the_constants_are_those_of_the_standard() -> None:
    assert SECP256k1.order == Q
    assert SECP256k1.curve.p() == P
    assert G.uncompressed() == SECP256k1.generator.to_bytes("uncompressed")
    assert G.x == SECP256k1.generator.x()


@given(scalars)
@settings(max_examples=60)
def test_multiples_are_those_that_another_library_computes(k: int) -> None:
    assert mul_base(k).to_bytes() == (G * k).to_bytes() == (k * G).to_bytes() == independent(k)
    assert (mpz(k) * G) == (G * mpz(k)) == mul_base(mpz(k)) == mul_base(k)


@given(scalars, scalars)
@settings(max_examples=60)
def test_points_add_subtract_and_scale_as_their_scalars(a: int, b: int) -> None:
    A, B = mul_base(a), mul_base(b)
    assert A + B == B + A == mul_base(a + b)
    assert mul_base(a - b) == A - B
    assert mul_base(-a) == -A
    assert A * b == B * a == mul_base(a * b)
    assert total([A, B, A]) == mul_base(2 * a + b)


def test_the_identity_is_neutral_on_both_sides_and_absorbs_scalars() -> None:
    assert G + IDENTITY == IDENTITY + G == G - IDENTITY == G
    assert IDENTITY + IDENTITY == -IDENTITY == IDENTITY * 7 == IDENTITY - IDENTITY == IDENTITY
    assert IDENTITY - G == -G


def test_all_ways_to_nothing_lead_to_the_identity() -> None:
    for made in (G - G, -G + G, G * 0, G * Q, G * -Q, mul_base(0), mul_base(Q), total([]), total([G, G, mul_base(-2)])):
        assert made.is_identity
        assert made == IDENTITY
    assert not G.is_identity
    assert G * (Q - 1) == -G != G


def test_the_identity_has_one_byte_and_no_coordinates() -> None:
    assert IDENTITY.to_bytes() == b"\0"
    assert not IDENTITY.has_odd_y
    with pytest.raises(Malformed, match="no coordinates"):
        _ = IDENTITY.x
    with pytest.raises(Malformed, match="no uncompressed form"):
        IDENTITY.uncompressed()


@given(st.integers(1, Q - 1))
@settings(max_examples=30)
def test_a_point_is_read_back_from_its_33_bytes_with_its_parity(k: int) -> None:
    point = mul_base(k)
    again = Point.from_bytes(point.to_bytes())
    assert again == point
    assert hash(again) == hash(point)
    assert (again.x, again.has_odd_y) == (point.x, point.has_odd_y)
    assert (-point).has_odd_y != point.has_odd_y
    assert (-point).x == point.x
    full = point.uncompressed()
    assert (len(full), full[1:33], full[64] & 1) == (65, point.to_bytes()[1:], point.has_odd_y)


def coordinate(x: int, prefix: int = 2) -> bytes:
    return bytes([prefix]) + x.to_bytes(32, "big")


ON_CURVE = [1, 2, 3, 4, 6, 8]  # small x with a point; 5, 7 and 9 have none


def test_small_coordinates_are_points_exactly_where_the_equation_has_a_root() -> None:
    found = []
    for x in range(10):
        rest = (x**3 + 7) % P
        if pow(rest, (P - 1) // 2, P) == 1:
            found.append(x)
            assert Point.from_bytes(coordinate(x)).x == x
        else:
            with pytest.raises(Malformed, match="not a point of secp256k1"):
                Point.from_bytes(coordinate(x))
    assert found == ON_CURVE


@pytest.mark.parametrize("x", [0, 5, 7, 9])
@pytest.mark.covers("P40")
def test_an_x_off_the_curve_is_refused_with_either_parity(x: int) -> None:
    for prefix in (2, 3):
        with pytest.raises(Malformed, match="not a point of secp256k1"):
            Point.from_bytes(coordinate(x, prefix))


@pytest.mark.parametrize("x", ON_CURVE)
@pytest.mark.parametrize("prefix", [2, 3])
@pytest.mark.covers("P40")
def test_an_x_beyond_the_field_is_not_reduced_even_where_its_remainder_is_a_point(x: int, prefix: int) -> None:
    assert Point.from_bytes(coordinate(x, prefix)).has_odd_y == (prefix == 3)
    with pytest.raises(Malformed, match="not a point of secp256k1"):
        Point.from_bytes(coordinate(P + x, prefix))


@pytest.mark.parametrize("x", [P, 2**256 - 1])
def test_an_x_at_the_ends_beyond_the_field_is_refused(x: int) -> None:
    with pytest.raises(Malformed, match="not a point of secp256k1"):
        Point.from_bytes(coordinate(x))


@pytest.mark.parametrize("prefix", [*range(2), *range(4, 10), 0x42, 0x80, 0x82, 0xFF])
@pytest.mark.covers("P40")
def test_33_bytes_with_another_prefix_are_refused(prefix: int) -> None:
    with pytest.raises(Malformed, match="not a point of secp256k1"):
        Point.from_bytes(bytes([prefix]) + G.to_bytes()[1:])


FULL = G.uncompressed()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        bytes(32),
        G.to_bytes()[:-1],
        G.to_bytes() + b"\0",
        FULL,
        bytes([6 | FULL[64] & 1]) + FULL[1:],
        bytes([7 ^ FULL[64] & 1]) + FULL[1:],
        FULL[1:],
    ],
    ids=["empty", "identity", "zeros", "short", "long", "uncompressed", "hybrid", "wrong hybrid", "coordinates"],
)
def test_every_other_length_and_form_of_a_point_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed, match="a point has 33 bytes"):
        Point.from_bytes(data)


@pytest.mark.covers("P40")
def test_33_zeros_are_not_the_identity() -> None:
    with pytest.raises(Malformed, match="not a point of secp256k1"):
        Point.from_canonical(bytes(33))


@pytest.mark.parametrize("value", [None, 0, "\0", [2], True])
def test_a_point_is_read_from_bytes_only(value: object) -> None:
    with pytest.raises(Malformed, match="a point is bytes"):
        Point.from_canonical(value)


@pytest.mark.parametrize("point", [G, -G, IDENTITY])
def test_a_point_survives_encoding_and_pickling(point: Point) -> None:
    assert decode(Holder, encode(Holder(point))) == Holder(point)
    assert pickle.loads(pickle.dumps(point)) == point


def test_a_point_equals_no_other_thing() -> None:
    assert G.to_bytes() != G
    assert IDENTITY != 0
    assert len({G, mul_base(1), -G, IDENTITY, G - G}) == 3
    assert repr(G) == f"Point({G.to_bytes().hex()})"


def test_random_scalars_are_in_the_group_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {random_scalar() for _ in range(200)}
    assert len(drawn) == 200
    assert all(0 < k < Q for k in drawn)
    for lowest, expected in ((True, 1), (False, Q - 1)):
        monkeypatch.setattr("secrets.randbelow", lambda bound, lowest=lowest: 0 if lowest else bound - 1)
        assert random_scalar() == expected


@pytest.mark.parametrize(
    ("a", "expected"),
    [
        (0, 0),
        (1, 1),
        (-1, -1),
        (Q - 1, -1),
        (Q, 0),
        ((Q - 1) // 2, (Q - 1) // 2),
        ((Q + 1) // 2, -(Q - 1) // 2),
        (-(Q - 1) // 2, -(Q - 1) // 2),
        (-(Q + 1) // 2, (Q - 1) // 2),
    ],
    ids=range(9),
)
def test_the_centred_remainder_is_the_smallest_one(a: int, expected: int) -> None:
    assert centered(a) == centered(mpz(a)) == expected


@given(scalars)
def test_the_centred_remainder_stands_for_the_same_scalar_in_the_right_range(a: int) -> None:
    assert (centered(a) - a) % Q == 0
    assert abs(centered(a)) <= (Q - 1) // 2
