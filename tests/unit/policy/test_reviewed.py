"""Ways around rules that a reviewer found: what a careful person reads in a rule is what it does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Reason
from oms_core.policy.facts import Facts, Provenance
from oms_core.policy.judge import Outcome
from oms_core.policy.spends import spends_of
from tests.unit.policy.world import (
    NOW,
    OPAQUE,
    ROUTER,
    STRANGER,
    allow,
    decide,
    intent,
    observed,
    token,
    workspace,
)

WETH = b"\x55" * 20  # where tokens of the tests are


def listed_token() -> tuple[object, ...]:
    """The registry, with the token's own contract in it, as one has for depositing and withdrawing."""
    (router,) = workspace().contracts
    return (router, replace(router, entry_id="weth", label="Weth", address=WETH, protocol="weth"))


@pytest.mark.parametrize("when", ["registry.state: ACTIVE", "protocol: weth", "registry.severity: at most 3"])
@pytest.mark.parametrize("operation", [allow(spender=STRANGER), token(to=STRANGER)])
def test_that_a_token_is_listed_lets_nobody_take_it(when: str, operation: object) -> None:
    rule = f"- rule: one\n  permit:\n  when: {{{when}}}\n"
    decided = decide(rule, operation, contracts=listed_token())  # type: ignore[arg-type]
    assert decided.reason is Reason.NO_PERMIT


def test_an_allowance_counts_for_the_protocol_that_may_take_it() -> None:
    operations = (allow(spender=ROUTER),)
    made = workspace(contracts=listed_token())
    (spend,) = spends_of(made, intent(), operations, NOW)
    assert spend.protocol == "uniswap"
    rule = "- rule: one\n  permit:\n  when: {protocol: uniswap}\n"
    assert decide(rule, *operations, contracts=listed_token()).outcome is Outcome.PERMIT


@pytest.mark.parametrize("field", ["amount.usd: above 2,500 USD", "amount: above 5", "asset: ETH"])
@pytest.mark.parametrize("value", [0, 1])
def test_of_what_nobody_can_read_nobody_knows_that_it_moves_nothing(field: str, value: int) -> None:
    rules = f"""
- rule: anything
  permit:
  when: {{opaque: yes}}
- rule: risk
  require: {{approvals: 1, from groups: [risk]}}
  when: {{{field}}}
"""
    assert decide(rules, replace(OPAQUE, value=value)).outcome is Outcome.NEEDS_APPROVAL
    small = "- rule: small\n  permit:\n  when: {opaque: yes, amount.usd: at most 10 USD}\n"
    assert decide(small, replace(OPAQUE, value=value)).outcome is Outcome.DENY


def test_sources_that_contradict_each_other_make_no_account_our_own() -> None:
    rule = "- rule: own\n  permit:\n  when: {destination.type: OWN}\n"
    says = [observed("destination.own", 1), observed("destination.own", 0, Provenance.ATTESTED)]
    assert decide(rule, facts=Facts(NOW, (), tuple(says[:1]))).outcome is Outcome.PERMIT
    assert decide(rule, facts=Facts(NOW, (), tuple(says))).reason is Reason.NO_PERMIT
