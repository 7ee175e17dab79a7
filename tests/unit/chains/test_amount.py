"""Amounts at the edges: what is too large, too fine or negative never becomes a number."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_core.chains.amount import MAX_BASE_UNITS, format_amount, parse_amount
from oms_core.errors import Malformed, Reason


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [("0", 18, 0), ("1", 0, 1), ("007", 0, 7), ("1.500", 1, 15), ("0.000000000000000001", 18, 1), ("5.0", 0, 5)],
)
def test_an_amount_becomes_base_units(text: str, decimals: int, units: int) -> None:
    assert parse_amount(text, decimals) == units


@given(st.integers(0, 10**50), st.integers(0, 18), st.integers(0, 10**18))
def test_parsing_agrees_with_decimal_arithmetic(whole: int, decimals: int, fraction: int) -> None:
    text = f"{whole}.{str(fraction)[: decimals or 1]}" if decimals else str(whole)
    with localcontext(prec=120):
        assert parse_amount(text, decimals) == Decimal(text).scaleb(decimals)


def test_the_largest_amount_passes_and_one_more_does_not() -> None:
    assert parse_amount(format_amount(MAX_BASE_UNITS, 18), 18) == MAX_BASE_UNITS
    for text, decimals in ((format_amount(MAX_BASE_UNITS + 1, 18), 18), ("9" * 60, 18)):
        with pytest.raises(Malformed, match="2\\^256"):
            parse_amount(text, decimals)


def test_digits_of_other_scripts_are_refused() -> None:
    for text in ("１", "१", "٣", "1٫5", "²"):
        with pytest.raises(Malformed) as caught:
            parse_amount(text, 18)
        assert caught.value.reason is Reason.MALFORMED


def test_one_digit_too_many_is_refused_unless_it_is_zero() -> None:
    assert parse_amount("1.10", 1) == 11
    with pytest.raises(Malformed) as caught:
        parse_amount("1.01", 1)
    assert caught.value.reason is Reason.PRECISION


def test_a_negative_amount_is_not_shown_as_something_else() -> None:
    with pytest.raises(Malformed) as caught:
        format_amount(-1, 18)
    assert caught.value.reason is Reason.NEGATIVE_AMOUNT
