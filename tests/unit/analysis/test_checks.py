"""Checks: what is said to be dead or shadowed changes nothing when it goes, and the known mistakes are found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from oms_core.analysis.checks import Finding, Problem, check_rules
from oms_core.analysis.claims import Asker, People
from oms_core.analysis.orders import KEYS, Order
from oms_core.analysis.stricter import limit_covers, requirement_covers
from oms_core.policy.decision import Decision, Outcome
from oms_core.policy.judge import judge_operations
from oms_core.policy.rules import Kind, Requirement, Rule
from oms_core.workspace import Group, Workspace
from tests.unit.analysis import generated
from tests.unit.analysis.world import NOW, devnet, workspace
from tests.unit.policy.world import limit, quorum, require, usd

PERMIT = "- rule: all\n  permit:\n  when: {action: [TRANSFER, KEY_CREATE]}\n"
TWO = "- rule: two\n  require: {approvals: 2, from groups: [risk]}\n"


def found(rules: str, **changes: object) -> list[tuple[Problem, str]]:
    return [
        (one.problem, one.about) for one in check_rules(workspace(rules, **changes), NOW) if "group" not in one.about
    ]


def test_good_rules_have_no_findings() -> None:
    assert (
        found(PERMIT + "- rule: two\n  require: {approvals: 2, from groups: [risk]}\n  when: {action: TRANSFER}\n")
        == []
    )


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("- rule: off\n  deny:\n  enabled: no\n", (Problem.OFF, "off")),
        ("- rule: old\n  deny:\n  ends: 2020-01-01T00:00:00Z\n", (Problem.OFF, "old")),
        ("- rule: no\n  deny:\n  when: {amount: {above: 5, below: 5}}\n", (Problem.CONTRADICTORY, "no")),
        ("- rule: who\n  deny:\n  when: {initiator.user: nobody}\n", (Problem.DEAD, "who")),
        ("- rule: both\n  deny:\n  when: {initiator.user: desk, initiator.role: risk}\n", (Problem.DEAD, "both")),
        ("- rule: same\n  permit:\n  when: {action: TRANSFER}\n", (Problem.SHADOWED, "same")),
        ("- rule: less\n  permit:\n  when: {action: TRANSFER, asset: USDC}\n", (Problem.SHADOWED, "less")),
        ("- rule: calls\n  permit:\n  when: {action: CALL}\n- rule: none\n  deny:\n  when: {action: CALL}\n",
         (Problem.DEAD, "calls")),
        ("- rule: wide\n  limit: {usd: 100, every: 24h}\n- rule: loose\n  limit: {usd: 200}\n  when: {asset: USDC}\n",
         (Problem.SHADOWED, "loose")),
        (TWO + "- rule: one\n  require: {approvals: 1, from groups: [risk, chiefs]}\n  when: {asset: USDC}\n",
         (Problem.SHADOWED, "one")),
        ("- rule: nine\n  require: {approvals: 9, from groups: [risk]}\n", (Problem.UNSATISFIABLE, "nine")),
    ],
)  # fmt: skip
def test_each_kind_of_mistake_is_found(rules: str, expected: tuple[Problem, str]) -> None:
    assert expected in found(rules.replace("USDC", '"USDC"') + PERMIT)


def test_a_permit_of_calls_is_not_dead_because_limits_hold_the_same_bytes_at_a_strangers_for_unreadable() -> None:
    calls = "- rule: calls\n  permit:\n  when: {action: CALL, registry.state: ACTIVE, opaque: no}\n"
    assert found(calls + "- rule: small\n  limit: {usd: 100}\n  when: {action: CALL}\n") == []
    unread = calls.replace("registry.state: ACTIVE, opaque: no", "opaque: yes")
    assert (Problem.DEAD, "calls") in found(unread + "- rule: small\n  limit: {usd: 100}\n  when: {action: CALL}\n")


def test_no_rule_of_the_development_network_is_dead(tmp_path: Path) -> None:
    under = devnet(tmp_path)
    findings = [(one.problem, one.about) for one in check_rules(under, under.created_at, 600_000)]
    assert findings == [(Problem.SHADOWED, "deny-anchor-contracts"), (Problem.UNREACHABLE, "group cro")]


def test_tests_that_contradict_each_other_on_what_is_not_known_still_apply() -> None:
    both = "- rule: both\n  deny:\n  when:\n  - {source.tag: trading}\n  - {source.tag: not trading}\n"
    assert found(both + PERMIT) == [(Problem.CONTRADICTORY, "both")], "it denies wallets that are not listed"


def test_a_quorum_that_only_some_initiators_cannot_have_is_found() -> None:
    narrow = "- rule: narrow\n  require: {approvals: 1, from users: [tara2]}\n  when: {action: TRANSFER}\n"
    under = workspace(PERMIT + narrow)
    tara = next(one for one in under.users if one.user_id == "tara")
    second = replace(tara, user_id="tara2", roles=("risk",), proposal_keys=())
    findings = check_rules(replace(under, users=(*under.users, second)), NOW)
    texts = [one.text for one in findings if (one.problem, one.about) == (Problem.UNSATISFIABLE, "narrow")]
    assert texts == ["orders of tara would wait for ever: too few others may approve them"]


def test_a_group_of_which_nobody_speaks_and_one_that_cannot_answer_are_found() -> None:
    rules = "- rule: idle\n  require: {approvals: 1, from groups: [idle, risk]}\n"
    groups = (Group("idle", ("desk",)), Group("risk", ("ravi", "rosa")), Group("spare", ("sam",)))
    findings = check_rules(workspace(PERMIT + rules, groups=groups), NOW)
    assert {(one.about) for one in findings if one.problem is Problem.UNREACHABLE} == {"group idle", "group spare"}


def test_a_limit_in_a_window_is_covered_only_if_as_many_past_spends_count() -> None:
    wide, narrow = limit(usd(100, 3600)), limit(usd(200, 3600), when=generated_when())
    assert limit_covers(wide, narrow)
    assert not limit_covers(limit(usd(100, 3600), when=generated_when()), limit(usd(200, 3600)))
    assert limit_covers(limit(usd(100, 60), when=generated_when()), limit(usd(200))), "what is too much at once is so"
    assert not limit_covers(limit(usd(100, 60)), limit(usd(200, 3600))), "the longer window counts more"


def generated_when() -> tuple[object, ...]:
    from tests.unit.policy.world import test

    return (test("asset", generated.IS, "x"),)


def required(rule: Rule) -> Requirement:
    assert rule.requirement is not None
    return rule.requirement


def test_a_requirement_is_covered_only_by_one_that_asks_for_as_much() -> None:
    two, one = quorum(2, "risk"), quorum(1, "risk", "chiefs")
    assert requirement_covers(required(require(two)), required(require(one)))
    assert not requirement_covers(required(require(one)), required(require(two)))
    assert not requirement_covers(required(require(two)), required(require(one, one))), "one quorum is not two"
    assert requirement_covers(required(require(two)), required(require(one, one, overlap=True)))
    assert requirement_covers(required(require(two)), required(require(any_of=(quorum(9, "x"), one))))
    assert not requirement_covers(required(require(any_of=(two, quorum(9, "x")))), required(require(one)))
    for name, value in {"delay": 5, "expires_in": 5, "cosigners": (1,)}.items():
        assert not requirement_covers(required(require(two)), replace(required(require(one)), **{name: value}))


IDLE = {Problem.OFF, Problem.DEAD, Problem.SHADOWED}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate, Phase.reuse]
)
@given(generated.rules(), st.data())
def test_what_is_found_changes_no_decision_when_it_goes(rules: tuple[Rule, ...], data: st.DataObject) -> None:
    """All of it at once, for orders drawn from those that stand for all."""
    under = workspace(rules)
    findings: tuple[Finding, ...] = check_rules(under, NOW)
    idle = {one.about for one in findings if one.problem in IDLE}
    permits = {one.rule_id for one in rules if one.kind is Kind.PERMIT}
    idle |= {one.about for one in findings if one.problem is Problem.CONTRADICTORY} & permits
    kept = replace(under, rules=tuple(one for one in rules if one.rule_id not in idle))
    for order, made in generated.orders([under], data):
        one, other = (judge_operations(those, order.subject, made, order.facts) for those in (under, kept))
        assert one.outcome is other.outcome
        if one.outcome is not Outcome.DENY:
            assert asked(under, order, one) == asked(kept, order, other)


def asked(under: Workspace, order: Order, decision: Decision) -> object:
    """How many people an order takes."""
    subject = order.subject
    applied = {line.rule_id for line in decision.trace if line.applies}
    asks = tuple(rule.requirement for rule in under.rules if rule.rule_id in applied and rule.requirement)
    person = next(one.person_id for one in under.users if one.user_id == subject.initiator)
    asker = Asker(person, subject.wallet_id, order.deed.action in KEYS)
    found = People(under).least(asks, asker, "")
    return found and found.cost


FEES = "- rule: fees\n  limit: {amount: 0.1 ETH}\n  when: {asset: ETH, fee: yes}\n"


def test_a_limit_on_fees_alone_is_not_dead_although_no_operation_fits_it() -> None:
    assert found(PERMIT + FEES) == []


def test_a_limit_that_leaves_fees_out_does_not_shadow_one_that_counts_them() -> None:
    coins = "- rule: coins\n  limit: {amount: 2 ETH}\n  when: {asset: ETH}\n"
    tighter = "- rule: moved\n  limit: {amount: 1 ETH}\n  when: {asset: ETH, fee: no}\n"
    assert found(PERMIT + coins + tighter) == []
    assert found(PERMIT + coins + tighter.replace(", fee: no", "")) == [(Problem.SHADOWED, "coins")]
