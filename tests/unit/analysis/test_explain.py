"""Words: a decision with every value and its source, rules that read back as themselves."""

from __future__ import annotations

from oms_core.analysis.explain import decision_lines, rules_lines
from oms_core.analysis.orders import Deed, Order
from oms_core.policy.facts import Observation, Provenance
from oms_core.policy.judge import judge
from oms_core.policy.rules import Action
from oms_core.policy.text import rules_from_yaml
from tests.unit.analysis.world import ASSETS, NOW, USDC, workspace
from tests.unit.policy.world import CHAIN, DOLLAR, KRAKEN

RULES = """
- rule: never
  deny:
  when: {initiator.user: eve}
- rule: scored
  deny:
  when: {risk.score: above 50}
- rule: daily
  limit: {usd: 1,000, per: [initiator], every: 24h}
- rule: big
  require: {approvals: 2, from groups: [risk], delay: 1h}
- rule: all
  permit:
  when: {action: TRANSFER}
"""
ORDER = Order(
    "desk", "wal_hot", Deed(Action.TRANSFER, CHAIN, USDC, 100 * DOLLAR), KRAKEN, NOW,
    observed=(Observation("risk.score", -1, 7, Provenance.ATTESTED),),
)  # fmt: skip


def lines(order: Order = ORDER, every: bool = True) -> list[str]:
    return list(decision_lines(judge(workspace(RULES), order.subject, order.facts), every))


def test_every_rule_is_there_with_the_first_test_that_was_not_met_and_what_was_seen() -> None:
    said = "\n".join(lines())
    assert "never: 'initiator.user is eve' does not hold: initiator.user is desk (order)" in said
    assert "scored: 'risk.score above 50' does not hold: risk.score is 7 (ATTESTED)" in said
    assert "never" not in "\n".join(lines(every=False))


def test_each_value_is_there_with_its_source() -> None:
    assert "  risk.score: 7 (ATTESTED)" in lines()
    assert "  action: TRANSFER (bytes)" in lines()
    unknown = Order("desk", "wal_hot", ORDER.deed, KRAKEN, NOW)
    assert "  risk.score: not known" in lines(unknown)


def test_what_is_needed_and_how_far_limits_are_used_is_said() -> None:
    said = lines()
    assert said[0] == "NEEDS_APPROVAL (APPROVAL_MISSING)"
    assert any(
        one.endswith("0 of 2 approvals by groups risk (nobody yet); could approve: ravi, ravi2, remy, rosa, sync")
        for one in said
    )
    assert any("limit daily: 100 USD of 1,000 USD" in one for one in said)
    assert any(one.startswith("  waits 1h") for one in said)


def test_the_rules_that_are_shown_read_back_as_themselves() -> None:
    under = workspace(RULES)
    again = rules_from_yaml(rules_lines(under), ASSETS)
    assert set(again) == set(under.rules)
    assert [rule.kind for rule in again] == sorted(
        (r.kind for r in again), key=["DENY", "LIMIT", "REQUIRE", "PERMIT"].index
    )
