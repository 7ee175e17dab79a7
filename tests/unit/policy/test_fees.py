"""What an order may pay as fee leaves as well: limits count its most, as coins, and never as an operation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.intent import Bounds, Intent, Message
from oms_core.chains.operations import Operation
from oms_core.errors import Malformed, Reason
from oms_core.policy.check import check_rule
from oms_core.policy.decision import Decision, Outcome
from oms_core.policy.facts import FEE, Facts, Spend
from oms_core.policy.limits import Keys, quota
from oms_core.policy.rules import DAY, Action, Operator, Rule
from oms_core.policy.spends import spends_of
from oms_core.policy.text import rules_from_yaml
from tests.unit.policy.world import (
    ASSETS,
    CHAIN,
    COIN,
    DOLLAR,
    ETHER,
    KRAKEN,
    MESSAGE,
    NOW,
    ROUTER,
    USDC,
    allow,
    call,
    decide,
    deny,
    intent,
    pay,
    permit,
    quorum,
    require,
    spent,
    test,
    token,
    wish,
    workspace,
)

FEE_OF = 10**16  # wei: 30 USD
ANY = "- rule: any\n  permit:\n"


def order(fee: int = FEE_OF, **changes: object) -> Intent:
    return intent(bounds=Bounds(fee, 100_000), **changes)


def under(limit: str, *operations: Operation, fee: int = FEE_OF, past: tuple[Spend, ...] = ()) -> Decision:
    return decide(ANY + f"- rule: limit\n  limit: {limit}\n", *operations, subject=order(fee), facts=Facts(NOW, past))


def paid(fee: int = FEE_OF, at: int = NOW - 60) -> Spend:
    """The fee of an earlier transfer of tokens."""
    (made,) = (one for one in made_of(order(fee, intent_id="int_0"), token(5)) if one.operation == FEE)
    return replace(made, at=at)


def made_of(subject: Intent, *operations: Operation) -> tuple[Spend, ...]:
    return spends_of(workspace(), subject, operations, NOW)


def test_the_most_that_an_order_may_pay_as_fee_is_a_spend_of_its_chains_coin() -> None:
    moved, fee = made_of(order(), token(5 * DOLLAR))
    assert (moved.operation, moved.asset, moved.amount) == (0, USDC, 5 * DOLLAR)
    assert (fee.operation, fee.asset, fee.amount, fee.usd_micro) == (FEE, COIN, FEE_OF, 30 * DOLLAR)
    assert (fee.action, fee.destination, fee.chain) == (Action.TRANSFER, KRAKEN, CHAIN)


def test_an_order_of_many_operations_pays_one_fee_which_goes_with_the_outermost() -> None:
    made = made_of(order(), call(to=ROUTER), token(5), allow(7))
    assert [one.operation for one in made] == [0, 1, 2, FEE]
    assert (made[-1].action, made[-1].destination, made[-1].protocol) == (Action.CALL, ROUTER, "uniswap")


@pytest.mark.parametrize(
    "made",
    [
        made_of(order(0), pay(5)),
        made_of(intent(action=Message("I own this"), bounds=Bounds(0, 0)), MESSAGE),
        spends_of(workspace(), wish(), (MESSAGE,), NOW),
    ],
    ids=["without a fee", "a message", "a wish for a key"],
)
def test_what_pays_nothing_has_no_fee(made: tuple[Spend, ...]) -> None:
    assert [one.operation for one in made] == [0]


# Base units of the coin


COINS = "{amount: 1 ETH}\n  when: {asset: ETH}"
COINS_A_DAY = "{amount: 1 ETH, every: 24h}\n  when: {asset: ETH}"


def test_coins_and_their_fee_are_one_sum() -> None:
    assert under(COINS, pay(ETHER - FEE_OF)).outcome is Outcome.PERMIT
    decision = under(COINS, pay(ETHER - FEE_OF + 1))
    assert decision.reason is Reason.LIMIT_EXCEEDED
    assert "with its fee" in decision.detail
    assert decision.limits[0].after == ETHER + 1


def test_a_limit_on_coins_counts_the_fee_of_an_order_that_moves_only_tokens() -> None:
    assert under(COINS, token(), fee=ETHER).outcome is Outcome.PERMIT
    decision = under(COINS, token(), fee=ETHER + 1)
    assert decision.reason is Reason.LIMIT_EXCEEDED
    (use,) = decision.limits
    assert (use.key, use.after) == ((f"asset {COIN}",), ETHER + 1)


def test_a_limit_on_tokens_does_not_count_fees() -> None:
    limit = "{amount: 100 USDC}\n  when: {asset: USDC}"
    decision = under(limit, token(100 * DOLLAR), fee=ETHER)
    assert decision.outcome is Outcome.PERMIT
    assert [use.key for use in decision.limits] == [(f"asset {USDC}",)]


def test_fees_of_the_past_count_in_their_window_and_not_after_it() -> None:
    rest = ETHER - 2 * FEE_OF
    assert under(COINS_A_DAY, pay(rest), past=(paid(),)).outcome is Outcome.PERMIT
    assert under(COINS_A_DAY, pay(rest + 1), past=(paid(),)).reason is Reason.VELOCITY_EXCEEDED
    assert under(COINS_A_DAY, pay(rest + 1), past=(paid(at=NOW - DAY),)).outcome is Outcome.PERMIT


# USD, and what has no worth


def test_fees_count_in_usd_at_the_coins_price() -> None:
    limit = "{usd: 1,000, every: 24h, per: [initiator]}"
    assert under(limit, token(940 * DOLLAR), past=(paid(),)).outcome is Outcome.PERMIT
    assert under(limit, token(941 * DOLLAR), past=(paid(),)).reason is Reason.VELOCITY_EXCEEDED


def test_a_fee_in_a_coin_without_a_price_may_be_worth_anything() -> None:
    unpriced = tuple(one for one in ASSETS if one.asset != COIN)
    rules = ANY + "- rule: limit\n  limit: {usd: 1,000}\n"
    assert decide(rules, token(5), subject=order(0), assets=unpriced).outcome is Outcome.PERMIT
    decision = decide(rules, token(5), subject=order(), assets=unpriced)
    assert decision.reason is Reason.FACT_UNKNOWN


# Operations are counted, fees are not


@pytest.mark.parametrize("limit", ["{count: 2, every: 24h}", "{count: 1, every: 24h, per: [asset]}"])
def test_a_fee_is_no_operation_of_its_own(limit: str) -> None:
    past = (*made_of(order(intent_id="int_0"), pay(5)),)
    decision = under(limit, token(5), past=past)
    assert decision.outcome is Outcome.PERMIT
    assert {use.after for use in decision.limits} <= {1, 2}


def test_a_limit_that_counts_transfers_of_coins_does_not_hear_of_fees() -> None:
    decision = under("{count: 0, every: 24h}\n  when: {asset: ETH}", token(5))
    assert (decision.outcome, decision.limits) == (Outcome.PERMIT, ())


def test_a_quota_tells_fees_as_used_and_not_as_operations() -> None:
    rules = rules_from_yaml("- rule: limit\n  limit: {usd: 1,000, every: 24h}\n", ASSETS)
    made = quota(workspace(*rules), Facts(NOW, (spent(100), paid())), "limit", Keys())
    assert (made.used, made.count) == (130 * DOLLAR, 1)


# Which fees a limit speaks of


@pytest.mark.parametrize(
    ("when", "counts"),
    [
        ("", True),
        ("initiator.user: desk", True),
        ("source.wallet: wal_hot", True),
        ("source.wallet: wal_cold", False),
        ("action: TRANSFER", True),
        ("action: CALL", False),
        ("destination.entry: kraken", True),
        ("destination.entry: router", False),
        ("protocol: uniswap", False),
        ("asset: ETH", True),
        ("asset.class: native", True),
        ("asset.class: stable", False),
        ("amount: at least 0.01 ETH, asset: ETH", True),
        ("amount: above 0.01 ETH, asset: ETH", False),
        ("amount.usd: at most 30 USD", True),
        ("amount.usd: above 30 USD", False),
        ("fee: yes", True),
        ("fee: no", False),
        ("simulation.loss: above 5", True),
    ],
)
def test_a_fee_has_the_orders_people_the_outermost_operations_destination_and_an_amount_of_its_own(
    when: str, counts: bool
) -> None:
    """The order moves a token worth nothing, so that only its fee can be too much; and the same of a fee before."""
    now = f"{{usd: 10}}\n  when: {{{when}}}"
    assert (under(now, token(0)).outcome is Outcome.DENY) is counts
    before = f"{{usd: 50, every: 24h}}\n  when: {{{when}}}"
    assert (under(before, token(0), past=(paid(),)).outcome is Outcome.DENY) is counts


def test_a_limit_may_leave_fees_out_and_another_speak_of_fees_alone() -> None:
    rules = """
- rule: any
  permit:
- rule: coins
  limit: {amount: 1 ETH, every: 24h}
  when: {asset: ETH, fee: no}
- rule: fees
  limit: {amount: 0.02 ETH, every: 24h}
  when: {asset: ETH, fee: yes}
"""
    decision = decide(rules, pay(ETHER), subject=order(2 * FEE_OF))
    assert decision.outcome is Outcome.PERMIT
    assert {use.rule_id: use.after for use in decision.limits} == {"coins": ETHER, "fees": 2 * FEE_OF}
    assert decide(rules, pay(ETHER), subject=order(2 * FEE_OF + 1)).objections[0].rule_id == "fees"
    assert decide(rules, pay(ETHER + 1), subject=order(FEE_OF)).objections[0].rule_id == "coins"
    decision = decide(rules, pay(1), subject=order(FEE_OF), facts=Facts(NOW, (paid(), paid(1))))
    assert decision.objections[0].rule_id == "fees"


def test_what_gives_something_back_still_pays_its_fee_when_a_limit_is_used_up() -> None:
    assert under("{usd: 100, every: 24h}", allow(0), past=(spent(100),), fee=0).outcome is Outcome.PERMIT
    assert under("{usd: 100, every: 24h}", allow(0), past=(spent(100),)).reason is Reason.VELOCITY_EXCEEDED


_PAID = test("fee", Operator.IS, 1)


@pytest.mark.parametrize("made", [permit(_PAID), deny(_PAID), require(quorum(1, "risk"), when=(_PAID,))])
def test_only_a_limit_may_ask_for_fees_by_themselves(made: Rule) -> None:
    with pytest.raises(Malformed, match="a LIMIT alone sees fees"):
        check_rule(workspace(), made)


def test_no_permit_denial_or_approval_is_decided_by_what_is_paid_as_fee() -> None:
    rules = """
- rule: tokens
  permit:
  when: {asset: USDC}
- rule: no-coins
  deny:
  when: {asset: ETH}
- rule: ask
  require: {approvals: 1, from groups: [risk]}
  when: {action: TRANSFER, amount.usd: "above 10 USD"}
"""
    assert decide(rules, token(5), subject=order()).outcome is Outcome.PERMIT


# The trace


def test_the_trace_says_that_a_limit_applies_to_the_fee() -> None:
    (_, line) = under(COINS, token()).trace
    assert (line.applies, line.results, line.fee, line.operation) == (True, ("FALSE",), "TRUE", FEE)
    assert line.text == "all of it holds of the fee"
    (permits, line) = under("{usd: 10}\n  when: {action: CALL}", token()).trace
    assert (permits.results, permits.fee) == (("TRUE",), "")
    assert (line.applies, line.results, line.fee, line.operation) == (False, ("FALSE",), "FALSE", 0)


def test_a_decision_is_another_with_another_fee() -> None:
    one, other = (under(COINS, token(), fee=fee).digest for fee in (1, 2))
    assert one != other
    assert one == under(COINS, token(), fee=1).digest
