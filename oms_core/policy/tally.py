"""Sums of spends since any second, made once and asked often."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from oms_core.policy.facts import FEE, Spend
from oms_core.policy.index import Index
from oms_core.policy.rules import Per, Unit
from oms_core.policy.spends import UNPRICED

Key = tuple[str, ...]


class NotKnown(Exception):
    """Why a sum is not known."""


class Tally:
    """What some spends amount to in a unit. COUNT counts operations, each once. ``fees`` tells of fees among them."""

    def __init__(self, unit: Unit, spends: Sequence[Spend]) -> None:
        self.fees = any(spend.operation == FEE for spend in spends)
        if unit is Unit.COUNT:
            newest: dict[tuple[bytes, int], int] = {}
            for spend in spends:
                key = (spend.subject, spend.operation)
                newest[key] = max(spend.at, newest.get(key, spend.at))
            rows = [(at, 1, "") for at in newest.values()]
        else:
            rows = [_row(unit, spend) for spend in spends]
        rows.sort()
        self._ats = [at for at, _, _ in rows]
        self._sums = [0, *accumulate(number for _, number, _ in rows)]
        self._flaws = [(at, flaw) for at, _, flaw in rows if flaw]

    def since(self, start: int) -> int:
        """The sum from a second on, the future included. Raises `NotKnown` if any part of it has no worth."""
        for at, flaw in self._flaws:
            if at >= start:
                raise NotKnown(flaw)
        return self._sums[-1] - self._sums[bisect_left(self._ats, start)]


def _row(unit: Unit, spend: Spend) -> tuple[int, int, str]:
    number = spend.usd_micro if unit is Unit.USD else spend.amount
    if number == UNPRICED and unit is Unit.USD:
        return spend.at, 0, f"what {spend.asset} is worth is not known"
    return (spend.at, number, "") if number >= 0 else (spend.at, 0, "a spend is negative")


def grouped(index: Index, unit: Unit, per: Sequence[Per], spends: Iterable[Spend]) -> dict[Key, list[Spend]]:
    """Spends by what is counted apart. Base units of different assets are no sum, so assets always are, there.

    Where operations are counted, fees are not.
    """
    base, counts = unit is Unit.BASE, unit is Unit.COUNT
    names = [_NAMES[one] for one in sorted({*per, Per.ASSET} if base else per)]
    groups: dict[Key, list[Spend]] = {}
    for spend in spends:
        if (not base or spend.asset) and not (counts and spend.operation == FEE):
            groups.setdefault(tuple([name(index, spend) for name in names]), []).append(spend)
    return groups


_NAMES: dict[Per, Callable[[Index, Spend], str]] = {
    Per.INITIATOR: lambda index, spend: f"person {index.person(spend.initiator)}",
    Per.SOURCE: lambda _, spend: f"wallet {spend.wallet_id}",
    Per.DESTINATION: lambda _, spend: f"to {spend.chain} 0x{spend.destination.hex()}",
    Per.ASSET: lambda _, spend: f"asset {spend.asset}",
    Per.PROTOCOL: lambda _, spend: f"protocol {spend.protocol}",
}
