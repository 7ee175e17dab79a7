"""Advice: what may well be meant, and is true; where nothing is said, no order does it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.analysis.advice import advise
from oms_core.analysis.checks import Problem
from tests.unit.analysis.world import ASSETS, COIN, NOW, workspace
from tests.unit.policy.world import CHAIN

PERMIT = "- rule: all\n  permit:\n  when: {action: TRANSFER}\n"
BOOK = "- rule: book\n  permit:\n  when: {action: TRANSFER, destination.type: WHITELISTED}\n"
TWO = "- rule: two\n  require: {approvals: 2, from groups: [risk]}\n"
CHEAP = "- rule: cheap\n  deny:\n  when: {fee.total: above 0.01 ETH}\n"
GOOD = BOOK + TWO + CHEAP


def said(rules: str) -> list[tuple[Problem, str]]:
    return [(one.problem, one.about) for one in advise(workspace(rules), NOW)]


def test_rules_that_bound_fees_destinations_and_sums_get_no_advice() -> None:
    assert said(GOOD) == []


@pytest.mark.parametrize(
    ("bound", "bounded"),
    [
        ("deny:\n  when: {fee.total: above 1 ETH}", True),
        ("deny:\n  when: {fee.total: above 1 ETH, source.wallet: wal_hot}", False),
        ("limit: {amount: 5 ETH}\n  when: {asset: ETH}", True),
        ("limit: {amount: 5 ETH}\n  when: {asset: ETH, fee: no}", False),
        ("limit: {usd: 1,000,000, every: 24h}", True),
        ("limit: {usd: 1,000,000, every: 24h}\n  when: {fee: no}", False),
        ("limit: {count: 5, every: 24h}", False),
    ],
)
def test_it_is_said_when_an_order_may_pay_any_fee(bound: str, bounded: bool) -> None:
    rules = BOOK + TWO + f"- rule: bound\n  {bound}\n"
    assert ((Problem.ANY_FEE, "fees") not in said(rules)) is bounded


def test_a_limit_on_one_coin_does_not_bound_the_fees_of_other_chains() -> None:
    rules = "- rule: bound\n  limit: {amount: 5 ETH}\n  when: {asset: ETH}\n"
    assert (Problem.ANY_FEE, "fees") in said(PERMIT + TWO + rules)
    assert (Problem.ANY_FEE, "fees") not in said(PERMIT.replace("}", f", chain: {CHAIN}}}") + TWO + rules)


def test_it_is_said_when_fees_cannot_be_valued_so_that_no_order_of_a_chain_passes() -> None:
    limited = GOOD + "- rule: daily\n  limit: {usd: 1,000,000, every: 24h}\n"
    unpriced = tuple(replace(one, usd_micro=0) if one.asset == COIN else one for one in ASSETS)
    assert said(limited) == []
    assert [(one.problem, one.about) for one in advise(workspace(limited, assets=unpriced), NOW)] == [
        (Problem.TOO_TIGHT, CHAIN)
    ]
    without = limited + "  when: {fee: no}\n"
    assert advise(workspace(without, assets=unpriced), NOW) == ()


@pytest.mark.parametrize("rule", ["", "- rule: one\n  require: {delay: 1h}\n"])
def test_a_permit_without_a_test_of_the_destination_is_named_unless_people_are_asked(rule: str) -> None:
    assert (Problem.ANYBODY, "all") in said(PERMIT + CHEAP + rule)
    assert (Problem.ANYBODY, "all") not in said(PERMIT + CHEAP + TWO)
    stranger = "- rule: ask\n  require: {approvals: 1, from groups: [risk]}\n  when: {destination.type: ONE_TIME}\n"
    assert (Problem.ANYBODY, "all") not in said(PERMIT + CHEAP + stranger)


def test_a_large_sum_on_one_persons_word_is_shown_by_an_order() -> None:
    one = BOOK + TWO.replace("approvals: 2", "approvals: 1") + CHEAP
    (found,) = advise(workspace(one), NOW)
    assert (found.problem, found.about) == (Problem.FEW_APPROVALS, "large sums")
    assert "is enough for desk: TRANSFER" in found.text
    assert "1,000,000 USDC" in found.text
    small = BOOK + CHEAP + "- rule: small\n  limit: {usd: 900,000}\n"
    assert said(small) == []


@pytest.mark.parametrize("limit", ["{usd: 0}", "{usd: 0, every: 24h}", "{count: 0}"])
def test_a_limit_that_nothing_can_keep_is_too_tight(limit: str) -> None:
    rules = GOOD + f"- rule: tight\n  limit: {limit}\n  when: {{action: TRANSFER, asset: USDC}}\n"
    assert said(rules) == [(Problem.TOO_TIGHT, "tight")]


def test_a_limit_on_one_order_that_other_rules_keep_every_order_below_is_too_wide() -> None:
    below = "- rule: below\n  deny:\n  when: {amount.usd: above 50 USD}\n"
    wide = "- rule: wide\n  limit: {usd: 80}\n"  # 50 USD and a fee of 30 USD
    assert (Problem.TOO_WIDE, "wide") in said(GOOD + below + wide)
    for tighter in (wide.replace("80", "79"), wide.replace("80", "80, every: 24h")):
        assert said(GOOD + below + tighter) == []
