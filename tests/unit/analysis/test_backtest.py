"""Back-tests: past orders under a draft, each at its own time, with what had been spent until then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.analysis.backtest import PastOrder, Report, Shift, backtest, from_lines, to_line
from oms_core.analysis.orders import Deed, Order
from oms_core.chains.intent import Bounds
from oms_core.errors import Malformed
from oms_core.policy.facts import Observation, Provenance
from oms_core.policy.rules import Action
from tests.unit.analysis.world import COIN, NOW, USDC, workspace
from tests.unit.policy.world import CHAIN, DOLLAR, KRAKEN, STRANGER

PERMIT = "- rule: all\n  permit:\n  when: {action: TRANSFER}\n"
BOOK = "- rule: book\n  permit:\n  when: {action: TRANSFER, destination.type: WHITELISTED}\n"
DAILY = "- rule: daily\n  limit: {usd: 100, every: 1h}\n"


def past(name: str, usd: int, at: int = 0, to: bytes = KRAKEN, signed: bool = True, asset: str = USDC) -> PastOrder:
    order = Order("desk", "wal_hot", Deed(Action.TRANSFER, CHAIN, asset, usd * DOLLAR), to, NOW + at)
    subject = replace(order.subject, intent_id=f"int_{name}")  # type: ignore[arg-type]
    return PastOrder(name, subject, NOW + at, (), signed)


def paying(order: PastOrder) -> PastOrder:
    """With a fee of at most 0.01 ETH."""
    return replace(order, subject=replace(order.subject, bounds=Bounds(10**16, 21_000)))  # type: ignore[call-arg]


def replayed(old: str, new: str, *orders: PastOrder) -> Report:
    return backtest(workspace(old), workspace(new), orders)


def test_orders_are_counted_by_what_becomes_of_them() -> None:
    orders = [past("a", 1), past("b", 2, to=STRANGER), past("c", 3, to=STRANGER)]
    report = replayed(PERMIT, BOOK, *orders)
    assert dict(report.counts) == {Shift.SAME: 1, Shift.NEWLY_DENIED: 2}
    assert [one.order_id for one in report.examples[Shift.NEWLY_DENIED]] == ["b", "c"]
    assert replayed(BOOK, PERMIT, *orders).counts[Shift.NEWLY_PERMITTED] == 2


def test_more_and_fewer_approvals_are_counted_in_people() -> None:
    one = "- rule: one\n  require: {approvals: 1, from groups: [risk]}\n"
    other = "- rule: other\n  require: {approvals: 1, from groups: [chiefs]}\n"
    assert replayed(PERMIT + one, PERMIT + one + other, past("a", 1)).counts[Shift.SAME] == 1, "ravi is in both"
    assert replayed(PERMIT, PERMIT + one, past("a", 1)).counts[Shift.MORE_APPROVALS] == 1
    assert replayed(PERMIT + one, PERMIT, past("a", 1)).counts[Shift.FEWER_APPROVALS] == 1


def test_what_nobody_can_approve_counts_as_denied() -> None:
    nine = "- rule: nine\n  require: {approvals: 9, from groups: [risk]}\n"
    assert replayed(PERMIT, PERMIT + nine, past("a", 1)).counts[Shift.NEWLY_DENIED] == 1


def test_what_was_signed_counts_against_limits_within_their_window() -> None:
    orders = [past("a", 60), past("b", 60, at=10), past("c", 60, at=3601)]
    report = replayed(PERMIT, PERMIT + DAILY, *orders)
    assert [one.order_id for one in report.examples[Shift.NEWLY_DENIED]] == ["b"], "a left the window before c came"
    unsigned = [past("a", 60, signed=False), past("b", 60, at=10)]
    assert replayed(PERMIT, PERMIT + DAILY, *unsigned).counts[Shift.SAME] == 2


def test_fees_of_signed_orders_count_against_limits_too() -> None:
    """30 USD are sent and as many may be paid, twice, of 100."""
    orders = [paying(past(name, 30, at=at)) for at, name in enumerate("ab")]
    assert replayed(PERMIT, PERMIT + DAILY, *orders).counts[Shift.NEWLY_DENIED] == 1
    without = DAILY + "  when: {fee: no}\n"
    assert replayed(PERMIT, PERMIT + without, *orders).counts[Shift.SAME] == 2


def test_orders_are_replayed_by_time_however_they_come() -> None:
    orders = [past("b", 60, at=10), past("a", 60)]
    (example,) = replayed(PERMIT, PERMIT + DAILY, *orders).examples[Shift.NEWLY_DENIED]
    assert (example.order_id, example.after.partition(":")[0]) == ("b", "DENY")


def test_classes_of_orders_that_no_permit_covers_are_named() -> None:
    report = replayed(PERMIT, BOOK, past("a", 2, to=STRANGER), past("b", 3, to=STRANGER), past("c", 1))
    ((gap, count),) = report.gaps.items()
    assert count == 2
    assert gap.startswith(f"TRANSFER by desk from wal_hot of {USDC} to one-time 0x4444")


def test_an_order_that_cannot_even_be_read_under_the_draft_is_newly_denied() -> None:
    old = workspace(PERMIT)
    without = replace(old, assets=tuple(one for one in old.assets if one.asset == COIN))
    report = backtest(old, without, [past("a", 1)])
    assert report.counts[Shift.NEWLY_DENIED] == 1
    assert "ACTION_MISMATCH" in report.examples[Shift.NEWLY_DENIED][0].after


def test_past_orders_go_to_lines_and_back() -> None:
    orders = [past("a", 1), replace(past("b", 2), observed=(Observation("risk.score", -1, 7, Provenance.ATTESTED),))]
    assert list(from_lines([to_line(one) for one in orders])) == orders
    for broken in ("{}", "nonsense", '{"document": "zz"}', '{"document": "00"}'):
        with pytest.raises(Malformed, match="line 2"):
            list(from_lines([to_line(orders[0]), broken]))
