"""Ten thousand past orders, decided once more under a draft: seconds, and orders a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from bench.report import Figure
from oms_core.analysis.backtest import PastOrder, Shift
from oms_core.analysis.backtest import backtest as replayed
from oms_core.analysis.orders import Deed, Order
from oms_core.chains.intent import Intent
from oms_core.policy.rules import DAY, Action
from tests.unit.analysis.world import COIN, NOW, USDC, workspace
from tests.unit.policy.world import CHAIN, DOLLAR, ETHER, KRAKEN, STRANGER

ORDERS, DAYS = 10_000, 90
CURRENT = """
- rule: all
  permit:
  when: {action: TRANSFER, initiator.role: trader}
- rule: big
  require: {approvals: 2, from groups: [risk]}
  when: {amount.usd: above 100,000 USD}
- rule: daily
  limit: {usd: 50,000,000, per: [initiator], every: 24h}
"""
DRAFT = """
- rule: book
  permit:
  when: {action: TRANSFER, initiator.role: trader, destination.type: WHITELISTED}
- rule: others
  permit:
  when: {action: TRANSFER, initiator.role: trader, amount.usd: at most 10,000 USD}
- rule: big
  require: {approvals: 2, from groups: [risk], distinct teams: yes}
  when: {amount.usd: above 50,000 USD}
- rule: daily
  limit: {usd: 2,000,000, per: [initiator], every: 24h}
"""


def backtest() -> Iterator[Figure]:
    """Replay the same orders under both; limits count those of a day."""
    old, new, past = workspace(CURRENT), workspace(DRAFT), [_past(number) for number in range(ORDERS)]
    started = time.perf_counter()
    report = replayed(old, new, past)
    spent = time.perf_counter() - started
    counts = {shift.value: report.counts[shift] for shift in Shift}
    conditions: dict[str, object] = {"orders": ORDERS, "days": DAYS, **counts}
    yield Figure("backtest", "seconds for all orders under two versions", spent, conditions)
    yield Figure("backtest_rate", "orders a second", ORDERS / spent, {"orders": ORDERS})


def _past(number: int) -> PastOrder:
    """Sums from 10 USD to a few hundred thousand, to two destinations, spread evenly."""
    worth = 10 + (number * 7919) % 150_000
    asset, amount = (USDC, worth * DOLLAR) if number % 3 else (COIN, worth * ETHER // 3_000)
    at = NOW - DAYS * DAY + number * DAYS * DAY // ORDERS
    order = Order(
        "desk" if number % 2 else "tara",
        "wal_hot" if number % 5 else "wal_cold",
        Deed(Action.TRANSFER, CHAIN, asset, amount),
        STRANGER if number % 4 == 0 else KRAKEN,
        at,
    )
    assert isinstance(order.subject, Intent)
    return PastOrder(f"tx_{number:05}", replace(order.subject, intent_id=f"int_{number:05}"), at, (), number % 10 != 0)
