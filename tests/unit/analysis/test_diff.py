"""Differences: each order that is shown fares otherwise, and where none is shown none does."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms_core.analysis.diff import Effect, difference, effect_of
from oms_core.policy.decision import Outcome
from oms_core.policy.judge import judge, judge_operations
from oms_core.policy.rules import Rule
from oms_core.workspace import Group
from tests.unit.analysis import generated
from tests.unit.analysis.world import NOW, USDC, workspace

PERMIT = "- rule: all\n  permit:\n  when: {action: TRANSFER, amount.usd: at most 1,000 USD}\n"
TWO = "- rule: two\n  require: {approvals: 2, from groups: [risk]}\n  when: {amount.usd: above 100 USD}\n"


def effects(old: str, new: str, **changes: object) -> set[Effect]:
    return {one.effect for one in difference(workspace(old), workspace(new, **changes), NOW).examples}


def test_the_same_rules_in_another_order_are_known_to_change_nothing() -> None:
    assert difference(workspace(PERMIT + TWO), workspace(TWO + PERMIT), NOW).none


def test_a_bound_that_moves_shows_an_order_just_beside_it() -> None:
    wider = PERMIT.replace("1,000 USD", "2,000 USD")
    found = difference(workspace(PERMIT), workspace(wider), NOW)
    assert {one.effect for one in found.examples} == {Effect.NEWLY_PERMITTED}
    amounts = {one.order.deed.amount for one in found.examples if one.order.deed.asset == USDC}
    assert amounts == {1_000_000_001}, "the first that is permitted now"
    for one in found.examples:
        assert one.before is not None
        assert one.after is not None
        assert judge(workspace(PERMIT), one.order.subject, one.order.facts).digest == one.before.digest
        assert one.after.outcome is Outcome.PERMIT


def test_each_effect_is_told_apart() -> None:
    assert effects(PERMIT, PERMIT + TWO) == {Effect.APPROVALS}
    assert effects(PERMIT + TWO, PERMIT + TWO.replace("2, from", "1, from")) == {Effect.APPROVALS}
    assert effects(PERMIT, "") == {Effect.NEWLY_DENIED}
    assert effects(PERMIT, PERMIT + "- rule: none\n  deny:\n  when: {source.wallet: wal_cold}\n") == {
        Effect.NEWLY_DENIED
    }


def test_other_people_in_a_group_are_other_approvals() -> None:
    fewer = (Group("risk", ("ravi", "rosa")), Group("chiefs", ("cleo", "ravi")), Group("traders", ("desk", "tara")))
    assert effects(PERMIT + TWO, PERMIT + TWO, groups=fewer) == {Effect.APPROVALS}


def test_an_asset_that_comes_in_is_seen() -> None:
    old = workspace(PERMIT)
    without = replace(old, assets=tuple(asset for asset in old.assets if asset.asset != USDC))
    found = difference(without, old, NOW)
    assert {(one.effect, one.order.deed.asset) for one in found.examples} == {(Effect.NEWLY_PERMITTED, USDC)}


def test_whoever_leaves_can_propose_no_more() -> None:
    old = workspace(PERMIT)
    found = difference(old, replace(old, users=tuple(one for one in old.users if one.user_id != "tara")), NOW)
    assert {(one.effect, one.order.initiator) for one in found.examples} == {(Effect.NEWLY_DENIED, "tara")}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(generated.rules(), generated.rules(), st.data())
def test_where_nothing_is_said_to_change_no_order_fares_otherwise(
    rules: tuple[Rule, ...], others: tuple[Rule, ...], data: st.DataObject
) -> None:
    """The second version shares some rules with the first."""
    old = workspace(rules)
    new = workspace(
        (
            *rules[: data.draw(st.integers(0, len(rules)))],
            *(replace(one, rule_id=f"n{one.rule_id}") for one in others[:1]),
        )
    )
    found = difference(old, new, NOW, most=3)
    shown = {one.effect for one in found.examples}
    for one in found.examples:
        assert effect_of(one.before, one.after) is one.effect
    for order, made in generated.orders([old, new], data):
        effect = effect_of(*(judge_operations(under, order.subject, made, order.facts) for under in (old, new)))
        assert effect is None or effect in shown or (order.deed.inside and not found.complete)


COINS = """
- rule: all
  permit:
  when: {action: TRANSFER}
- rule: coins
  limit: {amount: 1 ETH}
  when: {asset: ETH}
"""


def test_a_limit_that_no_longer_counts_fees_shows_an_order_that_its_fee_kept_back() -> None:
    found = difference(workspace(COINS), workspace(COINS.replace("asset: ETH}", "asset: ETH, fee: no}")), NOW)
    assert {one.effect for one in found.examples} == {Effect.NEWLY_PERMITTED}
    assert all(one.order.max_fee_total for one in found.examples)


def test_a_limit_on_fees_that_moves_shows_a_fee_just_beside_it() -> None:
    fees = "- rule: all\n  permit:\n- rule: fees\n  limit: {amount: 0.1 ETH}\n  when: {asset: ETH, fee: yes}\n"
    found = difference(workspace(fees), workspace(fees.replace("0.1 ETH", "0.2 ETH")), NOW)
    assert {one.effect for one in found.examples} == {Effect.NEWLY_PERMITTED}
    assert {one.order.max_fee_total for one in found.examples} == {10**17 + 1}
