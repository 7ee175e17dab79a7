"""A halt, and a team's own limits, while sessions run: nothing leaves that would not be granted now."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from oms_core.errors import CountersealError, Reason, Refused
from tests.people import EXECUTION, NOW, intent, sign_request
from tests.unit.cosigner.node import Node, activate
from tests.unit.cosigner.running import Running, make_engine, signing
from tests.unit.cosigner.specs import spec

CAP = "- rule: small\n  limit: {amount: 100, every: 24h}\n  when: {asset: ETH}\n"


async def test_a_halt_ends_the_sessions_that_run_and_no_share_leaves(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(node)
    engine, request = make_engine(node, monkeypatch), sign_request(intent())
    running = Running(engine, spec(request))
    await running.begin(node, request, signing)
    await running.until("presign.3")
    node.halt.halt("now", NOW)
    with pytest.raises(Refused) as caught:
        await running.end()
    assert caught.value.reason == Reason.HALTED
    assert "sign.1" not in running.said
    assert node.ledger.facts(NOW).spent == ()
    assert engine.open_sessions == 0


async def test_orders_side_by_side_do_not_exceed_a_teams_own_limit_together(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 60 was granted while nothing had been spent; 100 are allowed here, far more by the workspace."""
    activate(node)
    node.guard = node.guarded(CAP)
    engine = make_engine(node, monkeypatch, CAP)
    sessions = []
    for number in range(2):
        order = intent(60, intent_id=f"int_{number}")
        request = sign_request(order, execution=replace(EXECUTION, nonce=number))
        running = Running(engine, spec(request))
        await running.begin(node, request, signing)
        await running.until("presign.3")
        sessions.append(running)
    ends = await asyncio.gather(*(running.end() for running in sessions), return_exceptions=True)
    refusals = [end for end in ends if isinstance(end, CountersealError)]
    assert [one.reason for one in refusals] == [Reason.VELOCITY_EXCEEDED]
    assert refusals[0].details["rule"] == "local:small"
    assert [one.amount for one in node.ledger.facts(NOW).spent] == [60]
