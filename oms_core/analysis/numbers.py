"""Where the answers of tests can change along a field of numbers: each bound that is named, and its neighbours."""

from __future__ import annotations

from collections.abc import Iterable

from oms_core.policy.rules import Cap, Test, Unit
from oms_core.workspace import Asset

LARGEST = (1 << 256) - 1


def bounds(tests: Iterable[Test], field: str, least: int = 0, most: int = LARGEST) -> list[int]:
    """Just below, at and above every number that a test of the field names, and both ends."""
    named = {value for test in tests if test.field == field for value in test.values if isinstance(value, int)}
    return around(named, least, most)


def around(named: Iterable[int], least: int = 0, most: int = LARGEST) -> list[int]:
    """Just below, at and above every number, and both ends; ascending."""
    near = {value + step for value in named for step in (-1, 0, 1)}
    return sorted({least, most, *(value for value in near if least <= value <= most)})


def amounts(assets: Iterable[Asset], tests: Iterable[Test], caps: Iterable[Cap], least: int) -> list[int]:
    """Base units of an asset between which no test and no cap changes its answer; also in USD, at each of its prices.

    ``assets`` is the same one in several versions of a workspace; in none where it is not registered.
    """
    listed = list(tests)
    named = {
        value for test in listed if test.field in {"amount", "value"} for value in test.values if isinstance(value, int)
    }
    worths = {value for test in listed if test.field == "amount.usd" for value in test.values if isinstance(value, int)}
    for cap in caps:
        if cap.unit is Unit.BASE:
            named.add(cap.maximum)
        elif cap.unit is Unit.USD:
            worths.add(cap.maximum)
    for asset in assets:
        for worth in around(worths) if asset.usd_micro else ():
            # the most that is worth no more than this, being rounded up
            named.add(worth * int(10**asset.decimals) // asset.usd_micro)
    return around(named, least)
