"""Numbers as rules write them: whole or decimal, in thousands with commas, with a unit. No floats, no guessing.

A comma sets off exactly three digits, a point stands before decimals. Half of the world writes it the other way round:
what could be either, ``1.000``, is refused, and is never written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from oms_core.chains.amount import MAX_BASE_UNITS, format_amount, parse_amount
from oms_core.errors import Malformed, Reason
from oms_core.workspace import Asset

NATIVE = "ETH"
NATIVE_DECIMALS = 18
USD_DECIMALS = 6
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(0|[1-9][0-9]{0,9})([smhd])\Z")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,79})\Z")
_CUT = re.compile(r"-?0[0-9]")
_EITHER = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}\Z")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?\Z")


def whole(text: str) -> int:
    """An integer: ``1,000,000`` or ``1000000``. Raises `Malformed`."""
    plain = _ungrouped(text)
    if not _WHOLE.match(plain) or plain == "-0":
        raise Malformed(f"{text[:40]!r} is not a whole number")
    return int(plain)


def natural(text: str) -> int:
    """An integer from 0 to 2^256 - 1. Raises `Malformed` (NEGATIVE_AMOUNT)."""
    number = whole(text)
    if number < 0:
        raise Malformed(f"{text[:40]} is negative", Reason.NEGATIVE_AMOUNT)
    if number > MAX_BASE_UNITS:
        raise Malformed(f"{text[:40]} is above 2^256 - 1")
    return number


def _ungrouped(text: str) -> str:
    """Without commas between thousands. Raises `Malformed` for what is left of a number that was cut at one."""
    if _CUT.match(text):
        raise Malformed(f"{text[:40]!r} begins with 0: the rest of a number that was cut at a comma?")
    if "," in text and not _GROUPED.match(text):
        raise Malformed(f"{text[:40]!r} is not a number: commas set off three digits each, a point is before decimals")
    return text.replace(",", "")


def decimal(text: str, decimals: int) -> int:
    """``1,250.5`` in units of the last of so many decimals. Raises `Malformed`, PRECISION for more than that."""
    plain = _ungrouped(text)
    if _EITHER.match(text):
        small = f"{text}0" if decimals > 3 else f"{int(text.replace('.', '')):,} base units"
        raise Malformed(
            f"{text} may be meant for {text.replace('.', ',')}, or for {small}: one of these is to be written"
        )
    if len(plain.partition(".")[2]) > decimals:
        raise Malformed(f"{text[:40]} has more than {decimals} digits after the point", Reason.PRECISION)
    return parse_amount(plain, decimals)


def grouped(number: int) -> str:
    """An integer with its thousands set off."""
    return f"{number:,}"


def seconds(text: str) -> int:
    """``90s``, ``15m``, ``24h`` or ``7d``. Raises `Malformed`."""
    match = _DURATION.match(text)
    if not match:
        raise Malformed(f"{text[:40]!r} is not a time span: digits and s, m, h or d")
    return int(match[1]) * _SPANS[match[2]]


def duration(number: int) -> str:
    """The longest unit that leaves nothing over."""
    unit = next((u for u in ("d", "h", "m") if number and number % _SPANS[u] == 0), "s")
    return f"{number // _SPANS[unit]}{unit}"


def micro_usd(text: str) -> int:
    """``500,000 USD``, ``0.25 USD`` or the number alone. Raises `Malformed`."""
    return decimal(text.removesuffix(" USD"), USD_DECIMALS)


def usd(number: int) -> str:
    """A worth in USD, exactly."""
    return _decimal(number, USD_DECIMALS) + " USD"


def wei(text: str) -> int:
    """``1.5 ETH``, or wei as an integer alone. Raises `Malformed`."""
    if text.endswith(f" {NATIVE}"):
        return decimal(text.removesuffix(f" {NATIVE}"), NATIVE_DECIMALS)
    return natural(text)


def ether(number: int) -> str:
    """Wei, as coins."""
    return f"{_decimal(number, NATIVE_DECIMALS)} {NATIVE}"


def base_units(text: str, assets: Iterable[Asset]) -> int:
    """``100 USDC`` for a rule that speaks of these assets only, or an integer of base units. Raises `Malformed`."""
    number, blank, symbol = text.partition(" ")
    if not blank:
        return natural(number)
    decimals = {one.decimals if one.symbol == symbol else None for one in assets}
    if len(decimals) != 1 or None in decimals:
        raise Malformed(f"{symbol[:20]!r} is a unit only where the rule's asset is {symbol[:20]!r} alone")
    return decimal(number, next(d for d in decimals if d is not None))


def in_units(number: int, assets: Iterable[Asset]) -> str:
    """An amount as `base_units` reads it."""
    kinds = {(one.symbol, one.decimals) for one in assets}
    if len(kinds) != 1:
        return grouped(number)
    ((symbol, decimals),) = kinds
    text = _decimal(number, decimals)
    return grouped(number) if _EITHER.match(text) else f"{text} {symbol}"


def _decimal(number: int, decimals: int) -> str:
    text, _, fraction = format_amount(number, decimals).partition(".")
    made = f"{int(text):,}.{fraction}" if fraction else f"{int(text):,}"
    return f"{made}0" if _EITHER.match(made) and decimals > len(fraction) else made
