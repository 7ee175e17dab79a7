"""Ways around rules that a reviewer found: what a careful person reads in a rule is what it does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Reason
from oms_core.policy.facts import Provenance
from oms_core.policy.judge import Outcome
from oms_core.policy.spends import spends_of
from tests.unit.policy.world import NOW, ROUTER, STRANGER, allow, decide, intent, token, workspace

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
    (spend,) = spends_of(made, intent(), operations, NOW, Provenance.OWN)
    assert spend.protocol == "uniswap"
    rule = "- rule: one\n  permit:\n  when: {protocol: uniswap}\n"
    assert decide(rule, *operations, contracts=listed_token()).outcome is Outcome.PERMIT
