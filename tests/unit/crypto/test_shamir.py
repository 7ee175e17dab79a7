"""Sharing: any three of five shares are the secret, two are not, and an index is never taken modulo anything."""

from __future__ import annotations

import pickle
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.crypto.curve import IDENTITY, Q, mul_base, total
from oms_core.crypto.shamir import (
    MAX_INDEX,
    Polynomial,
    check_indices,
    evaluate_commitments,
    interpolate,
    lagrange,
)
from oms_core.errors import Malformed

PARTIES = (1, 2, 3, 4, 5)
BAD = [0, -1, -Q, 1 << 16, Q, Q + 1, 1 << 300, True, 1.0, "1", None]


def combine(polynomial: Polynomial, chosen: tuple[int, ...]) -> int:
    return sum(lagrange(j, chosen) * polynomial(j) for j in chosen) % Q


def test_each_of_the_ten_threes_of_five_has_the_secret() -> None:
    polynomial = Polynomial(3)
    threes = list(combinations(PARTIES, 3))
    assert len(threes) == 10
    assert [combine(polynomial, chosen) for chosen in threes] == 10 * [polynomial.constant]


def test_each_of_the_ten_threes_of_five_public_shares_has_the_public_key() -> None:
    polynomial = Polynomial(3)
    shares = {j: mul_base(polynomial(j)) for j in PARTIES}
    for chosen in combinations(PARTIES, 3):
        assert interpolate({j: shares[j] for j in chosen}) == mul_base(polynomial.constant), chosen


def test_four_and_five_shares_agree_and_two_have_something_else() -> None:
    polynomial = Polynomial(3)
    for size in (4, 5):
        assert {combine(polynomial, chosen) for chosen in combinations(PARTIES, size)} == {polynomial.constant}
    assert polynomial.constant not in {combine(polynomial, chosen) for chosen in combinations(PARTIES, 2)}


@given(st.sets(st.integers(1, MAX_INDEX), min_size=2, max_size=6), st.integers(1, 6))
@settings(max_examples=40)
def test_any_set_of_indices_that_is_large_enough_has_the_secret(chosen: set[int], terms: int) -> None:
    polynomial = Polynomial(min(terms, len(chosen)))
    assert combine(polynomial, tuple(chosen)) == polynomial.constant


@given(st.integers(1, MAX_INDEX), st.integers(1, 6))
@settings(max_examples=40)
def test_feldmans_commitments_evaluate_to_the_public_share(index: int, terms: int) -> None:
    polynomial = Polynomial(terms)
    commitments = polynomial.commitments()
    assert len(commitments) == terms
    assert commitments[0] == mul_base(polynomial.constant)
    assert evaluate_commitments(commitments, index) == mul_base(polynomial(index))
    powers = total(commitment * pow(index, k) for k, commitment in enumerate(commitments))
    assert evaluate_commitments(commitments, index) == powers


def test_a_bent_commitment_shows_in_every_public_share() -> None:
    polynomial = Polynomial(3)
    for k in range(3):
        bent = list(polynomial.commitments())
        bent[k] = bent[k] + mul_base(1)
        assert all(evaluate_commitments(bent, j) != mul_base(polynomial(j)) for j in PARTIES)


def test_coefficients_are_never_zero_and_never_repeat() -> None:
    polynomials = [Polynomial(3) for _ in range(20)]
    coefficients = [a for polynomial in polynomials for a in polynomial._coefficients]
    assert all(0 < a < Q for a in coefficients)
    assert len(set(coefficients)) == 60
    assert IDENTITY not in Polynomial(3).commitments()


def test_published_coefficients_of_one_two_three_are_three_minus_three_one() -> None:
    assert [lagrange(j, (1, 2, 3)) for j in (1, 2, 3)] == [3, Q - 3, 1]
    assert lagrange(7, (7,)) == 1


def test_the_coefficients_do_not_depend_on_the_order_of_the_set() -> None:
    for chosen in ((5, 1, 3), (3, 5, 1), [5, 3, 1], {1: "a", 3: "b", 5: "c"}):
        assert [lagrange(j, chosen) for j in (1, 3, 5)] == [lagrange(j, (1, 3, 5)) for j in (1, 3, 5)]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_an_index_that_is_no_number_between_1_and_65535_is_refused_and_not_reduced(bad: object) -> None:
    for indices in ([bad], [1, bad, 3], [bad, 65535]):
        with pytest.raises(Malformed, match="between 1 and 65535"):
            check_indices(indices)


@pytest.mark.parametrize("bad", [0, -1, 1 << 16, Q, Q + 1])
def test_no_coefficient_is_computed_for_an_index_out_of_range(bad: int) -> None:
    with pytest.raises(Malformed, match="between 1 and 65535"):
        lagrange(1, (1, 2, bad))
    with pytest.raises(Malformed, match="between 1 and 65535"):
        lagrange(bad, (1, 2, bad))
    with pytest.raises(Malformed, match="between 1 and 65535"):
        interpolate({1: mul_base(1), bad: mul_base(2)})


@pytest.mark.parametrize("indices", [(1, 1), (1, 2, 3, 2), (MAX_INDEX, 4, MAX_INDEX)])
def test_an_index_that_appears_twice_is_refused(indices: tuple[int, ...]) -> None:
    with pytest.raises(Malformed, match="appears twice"):
        check_indices(indices)
    with pytest.raises(Malformed, match="appears twice"):
        lagrange(indices[0], indices)


def test_indices_at_the_ends_of_the_range_and_none_at_all_are_fine() -> None:
    check_indices([1, MAX_INDEX])
    check_indices([])
    assert MAX_INDEX == 65535


def test_a_party_outside_the_set_has_no_coefficient() -> None:
    with pytest.raises(Malformed, match="party 4 is not in the set"):
        lagrange(4, (1, 2, 3))


def test_a_secret_polynomial_is_neither_shown_nor_pickled() -> None:
    polynomial = Polynomial(3)
    assert repr(polynomial) == "Polynomial(…)"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(polynomial)
