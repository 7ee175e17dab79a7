"""Sampling: the bounds are exact, each value can come, and a unit is what it says."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from oms_core.crypto.sampling import below, is_unit, symmetric, unit


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], int]], list[int]]:
    """Let the generator answer with a function of the bound it is asked for; the bounds asked for are in the list."""

    def install(answer: Callable[[int], int]) -> list[int]:
        asked: list[int] = []

        def randbelow(bound: int) -> int:
            asked.append(bound)
            return answer(bound)

        monkeypatch.setattr("secrets.randbelow", randbelow)
        return asked

    return install


@pytest.mark.parametrize("bound", [1, 2, 1 << 256, 1 << 2048])
def test_below_asks_the_generator_for_exactly_its_bound(draws, bound: int) -> None:
    asked = draws(lambda n: n - 1)
    assert below(bound) == below(mpz(bound)) == bound - 1
    assert asked == [bound, bound]


@pytest.mark.parametrize("bound", [0, 1, 2, 1 << 256, 1 << 1280])
def test_a_symmetric_sample_reaches_both_ends_and_no_further(draws, bound: int) -> None:
    asked = draws(lambda n: 0)
    assert symmetric(bound) == symmetric(mpz(bound)) == -bound
    assert asked == [2 * bound + 1] * 2
    draws(lambda n: n - 1)
    assert symmetric(bound) == bound
    draws(lambda n: n // 2)
    assert symmetric(bound) == 0


def test_every_value_of_a_small_range_comes_and_none_outside() -> None:
    assert {below(5) for _ in range(400)} == set(range(5))
    assert {symmetric(2) for _ in range(400)} == {-2, -1, 0, 1, 2}
    assert {unit(15) for _ in range(600)} == {1, 2, 4, 7, 8, 11, 13, 14}


@pytest.mark.parametrize("bound", [0, -1])
def test_nothing_is_below_zero(bound: int) -> None:
    with pytest.raises(ValueError):
        below(bound)


def test_a_negative_bound_has_no_symmetric_range() -> None:
    with pytest.raises(ValueError):
        symmetric(-1)


@given(st.integers(-50, 200), st.integers(2, 120))
def test_a_unit_is_between_zero_and_the_modulus_and_shares_no_factor(a: int, modulus: int) -> None:
    expected = 0 < a < modulus and math.gcd(a, modulus) == 1
    assert is_unit(a, modulus) == is_unit(mpz(a), mpz(modulus)) == expected


@pytest.mark.parametrize("a", [0, -1, 15, 16, 3, 5, 10, 31, -14])
def test_what_is_out_of_range_or_shares_a_factor_is_no_unit(a: int) -> None:
    assert not is_unit(a, 15)


def test_a_sample_that_is_no_unit_is_drawn_again(draws) -> None:
    answers = iter([0, 3, 5, 10, 7, 1])
    asked = draws(lambda n: next(answers))
    assert unit(15) == 7
    assert asked == [15] * 5


def test_samples_do_not_repeat() -> None:
    assert len({below(1 << 256) for _ in range(500)}) == 500
    assert len({symmetric(1 << 256) for _ in range(500)}) == 500
    assert {value > 0 for value in (symmetric(1 << 256) for _ in range(200))} == {True, False}
