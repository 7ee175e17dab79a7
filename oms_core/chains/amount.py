"""Amounts as people write them, to and from integer base units. No floats, no exponents, no guessing."""

from __future__ import annotations

import re

from oms_core.errors import Malformed, Reason

MAX_BASE_UNITS = (1 << 256) - 1
_DECIMAL = re.compile(r"(-?)([0-9]{1,60})(?:\.([0-9]{1,60}))?\Z")


def parse_amount(text: str, decimals: int) -> int:
    """Base units of a decimal amount, ``decimals`` digits after the point at most.

    Raises `Malformed`: NEGATIVE_AMOUNT, PRECISION for too many digits, MALFORMED for anything else.
    """
    match = _DECIMAL.match(text)
    if not match:
        raise Malformed(f"{text[:40]!r} is not an amount: digits, and at most one point")
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    if sign:
        raise Malformed(f"{text} is negative", Reason.NEGATIVE_AMOUNT)
    if len(fraction.rstrip("0")) > decimals:
        raise Malformed(f"{text} has more than {decimals} digits after the point", Reason.PRECISION)
    base_units = int(whole + fraction.rstrip("0").ljust(decimals, "0"))
    if base_units > MAX_BASE_UNITS:
        raise Malformed(f"{text[:40]} is above 2^256 - 1 base units")
    return base_units


def format_amount(base_units: int, decimals: int) -> str:
    """The decimal amount without trailing zeros. Raises `Malformed` (NEGATIVE_AMOUNT): half a sign would mislead."""
    if base_units < 0:
        raise Malformed(f"{base_units} base units are negative", Reason.NEGATIVE_AMOUNT)
    whole, fraction = divmod(base_units, 10**decimals)
    digits = str(fraction).zfill(decimals).rstrip("0") if decimals else ""
    return f"{whole}.{digits}" if digits else str(whole)
