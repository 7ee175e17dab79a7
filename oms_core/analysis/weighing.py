"""Which LIMITs object to which choices when nothing has been spent: one order is too much, or its worth is not known.

A limit hears of what an order moves and of what it may pay as fee one by one, and may speak of either or of both. The
more may be paid, the sooner it objects; so of each deed only the least fee is looked for from which on it does.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from itertools import product

from oms_core.analysis.tables import Axis, Cell, Tables
from oms_core.policy.compiled import FALSE, TRUE, Compiled, Ready
from oms_core.policy.limits import Spending, weigh
from oms_core.policy.spends import spends_of

PAID = frozenset({"asset", "asset.class", "amount", "amount.usd", "fee"})
"""Fields that show something else of a fee than of the operation that it goes with."""


class Weighing:
    """The answers of one workspace's limits."""

    def __init__(self, tables: Tables, rules: Compiled) -> None:
        self._tables, self._rules = tables, rules
        self.fees = [place for place, fee in enumerate(tables.choices.fee) if fee]

    def over(self, ready: Ready, moves: bool, pays: bool) -> tuple[tuple[Axis, ...], list[Cell]]:
        """Where a limit objects that speaks of what is moved, of what is paid, or of both."""
        calendar = any(cap.calendar for cap in ready.rule.caps)
        axes: tuple[Axis, ...] = (*(("deed", "read") if moves else ("sort",)), *(("now",) if calendar else ()))
        alone, cells = _asking_nothing(ready), []
        for cell in product(*(range(self._tables.size(axis)) for axis in axes)):
            chosen = dict(zip(axes, cell, strict=True))
            if not pays:
                cells += [cell] if self._objects(alone, chosen, moves, pays) else []
                continue
            fees = range(self._tables.size("fee"))
            least = bisect_left(fees, True, key=lambda fee: self._objects(alone, {**chosen, "fee": fee}, moves, True))
            cells += [(cell[0], fee, *cell[1:]) for fee in fees[least:]]
        return (axes[0], *(("fee",) if pays else ()), *axes[1:]), cells

    def _objects(self, alone: Ready, chosen: dict[Axis, int], moves: bool, pays: bool) -> bool:
        order = self._tables.example(chosen)
        operation = self._tables.operation(order) if order else None
        if order is None or operation is None:
            return False
        facts = order.facts
        adds = spends_of(self._tables.workspace, order.subject, [operation], facts.now)
        truths = [TRUE if one else FALSE for one in (moves, pays)]
        return bool(weigh(alone, truths, Spending(self._rules, facts, adds))[1])


def _asking_nothing(ready: Ready) -> Ready:
    """The same caps without the tests: whether those hold, other formulas say."""
    return replace(ready, tests=(), past=())
