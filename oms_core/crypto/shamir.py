"""Shamir sharing over the scalars, Feldman commitments, Lagrange coefficients (spec §3.1, §3.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from oms_core.crypto.curve import Point, Q, mul_base, random_scalar, total
from oms_core.errors import Malformed

MAX_INDEX = 2**16 - 1


def check_indices(indices: Sequence[int]) -> None:
    """Each in [1, 2^16-1] and none twice: never 0, never reduced. Raises `Malformed` (rule R21)."""
    if any(type(i) is not int or not 1 <= i <= MAX_INDEX for i in indices):
        raise Malformed("a party's index is between 1 and 65535")
    if len(set(indices)) != len(indices):
        raise Malformed("a party's index appears twice")


class Polynomial:
    """A secret polynomial of degree ``terms`` - 1 with coefficients in [1, q-1]; ``constant`` may be given."""

    __slots__ = ("_coefficients",)

    def __init__(self, terms: int, constant: int | None = None) -> None:
        first = random_scalar() if constant is None else constant
        self._coefficients = (first, *(random_scalar() for _ in range(terms - 1)))

    def __call__(self, index: int) -> int:
        """The share of ``index``, in [0, q)."""
        value = 0
        for coefficient in reversed(self._coefficients):
            value = (value * index + coefficient) % Q
        return value

    @property
    def constant(self) -> int:
        """The shared secret."""
        return self._coefficients[0]

    @property
    def coefficients(self) -> tuple[int, ...]:
        """All of them, lowest degree first: secret."""
        return self._coefficients

    def commitments(self) -> tuple[Point, ...]:
        """Feldman commitments a_k·G, lowest degree first."""
        return tuple(mul_base(a) for a in self._coefficients)

    def __repr__(self) -> str:
        return "Polynomial(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret polynomial is not pickled")


def evaluate_commitments(commitments: Sequence[Point], index: int) -> Point:
    """Σ index^k · F_k by Horner's rule: the public counterpart of a share."""
    value = commitments[-1]
    for commitment in reversed(commitments[:-1]):
        value = value * index + commitment
    return value


def lagrange(j: int, indices: Iterable[int]) -> int:
    """λ_j at 0 for the set ``indices``, in [0, q). Raises `Malformed` if j is not in it."""
    others = sorted(indices)
    check_indices(others)
    if j not in others:
        raise Malformed(f"party {j} is not in the set")
    numerator, denominator = 1, 1
    for other in others:
        if other != j:
            numerator = numerator * other % Q
            denominator = denominator * (other - j) % Q
    return numerator * pow(denominator, -1, Q) % Q


def interpolate(points: dict[int, Point]) -> Point:
    """Value at 0 of the polynomial in the exponent through these public shares."""
    return total(point * lagrange(j, points) for j, point in points.items())
