"""Generated rules over a small world, for what has to hold of all rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from oms_core.analysis.orders import Order
from oms_core.analysis.tables import Tables
from oms_core.analysis.universe import universe
from oms_core.chains.operations import Operation
from oms_core.policy.rules import Cap, Kind, Operator, Rule, Test, Unit
from oms_core.workspace import Workspace
from tests.unit.analysis.world import COIN, NOW, USDC
from tests.unit.policy.world import DOLLAR, TEXT, quorum, require, rule

some = st.sampled_from
IS, IS_NOT = Operator.IS, Operator.IS_NOT
ORDERED = (Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST)


def texts(field: str, *values: int | str) -> st.SearchStrategy[Test]:
    return st.builds(
        Test, st.just(field), some([IS, IS_NOT]), st.lists(some(values), min_size=1, unique=True).map(tuple)
    )


def numbers(field: str, *values: int) -> st.SearchStrategy[Test]:
    return st.builds(Test, st.just(field), some(ORDERED), some(values).map(lambda value: (value,)))


tests = st.one_of(
    texts("action", "TRANSFER", "APPROVE", "CALL", "MESSAGE", "KEY_CREATE"),
    texts("initiator.user", "desk", "tara"),
    texts("initiator.group", "traders", "risk"),
    texts("source.wallet", "wal_hot", "wal_other"),
    texts("source.tag", "trading"),
    texts("destination.type", "WHITELISTED", "CONTRACT", "ONE_TIME"),
    texts("destination.entry", "kraken"),
    texts("destination.address", TEXT[bytes.fromhex("11" * 20)]),
    texts("asset", COIN, USDC),
    texts("asset.class", "stable"),
    texts("protocol", "uniswap"),
    texts("opaque", 0, 1),
    texts("purpose", "given"),
    numbers("amount.usd", 1000 * DOLLAR, 5000 * DOLLAR),
    numbers("amount", 10**18),
    numbers("destination.age", 20 * 86_400),
    numbers("risk.score", 50),
)
whens = st.lists(tests, max_size=3).map(tuple)
FEES = tuple((Test("fee", IS, (paid,)),) for paid in (0, 1))  # what a LIMIT alone may ask
caps = st.builds(Cap, some([Unit.USD, Unit.COUNT]), some([0, 1, 5000 * DOLLAR]), some([0, 3600]), st.none(), st.none(),
                 st.just(()))  # fmt: skip


@st.composite
def rules(draw: st.DrawFn, fees: bool = False) -> tuple[Rule, ...]:
    """A few rules of all kinds; some begin or end. With ``fees``, limits may speak of them or leave them out."""
    made: list[Rule] = []
    for at in range(draw(st.integers(1, 6))):
        kind, when = draw(some([Kind.PERMIT, Kind.PERMIT, Kind.DENY, Kind.LIMIT, Kind.REQUIRE])), draw(whens)
        name = f"r{at}"
        if kind is Kind.REQUIRE:
            asked = quorum(draw(st.integers(1, 2)), *draw(some([("risk",), ("chiefs",), ("risk", "chiefs")])))
            one = require(asked, when=when, rule_id=name)
        else:
            fee = draw(some([(), (), *FEES])) if fees and kind is Kind.LIMIT else ()
            one = rule(name, kind, *when, *fee, caps=(draw(caps),) if kind is Kind.LIMIT else ())
        starts, ends = draw(some([(0, 0), (0, 0), (NOW + 100, 0), (0, NOW + 100)]))
        made.append(replace(one, starts=starts, ends=ends))
    return tuple(made)


def orders(under: list[Workspace], data: st.DataObject, count: int = 60) -> Iterator[tuple[Order, Sequence[Operation]]]:
    """Some of those that stand for all, with what they do."""
    choices = universe(under, NOW)
    tables = Tables(under[0], choices)
    for _ in range(count):
        order = choices.order([data.draw(st.integers(0, size - 1)) for size in choices.sizes])
        if order is not None and tables.operation(order) is not None:
            yield order, tables.operations(order)


__all__ = ["orders", "rules", "tests"]
