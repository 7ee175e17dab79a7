"""A halt, and a team's own limits, while sessions run: nothing leaves that would not be granted now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cosigner import engine as module
from cosigner.engine import Engine
from oms_core.errors import Reason, Refused
from oms_core.evidence import SignRequest
from oms_core.history import AUTHORIZED_FOR
from oms_core.keys import KeyState
from oms_core.readings import plain_decision
from oms_core.workspace import workspace_digest
from tests.people import EXECUTION, NOW, intent, rules, sign_request, workspace
from tests.unit.cosigner.node import Node, activate, material
from tests.unit.cosigner.running import Running, make_engine, signing
from tests.unit.cosigner.specs import spec
from tests.witnessed import Logbook

CAP = "- rule: small\n  limit: {amount: 100, every: 24h}\n  when: {asset: ETH, fee: no}\n"


async def before_its_share(node: Node, engine: Engine, request: SignRequest) -> Running:
    """A session that has come so far that its signature's share is next."""
    running = Running(engine, spec(request))
    await running.begin(node, request, signing)
    await running.until("presign.3")
    return running


async def test_a_halt_ends_the_sessions_that_run_and_no_share_leaves(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(node)
    engine, request = make_engine(node, monkeypatch), sign_request(intent())
    running = await before_its_share(node, engine, request)
    node.halt.halt("now", NOW)
    with pytest.raises(Refused) as caught:
        await running.end()
    assert caught.value.reason == Reason.HALTED
    assert "sign.1" not in running.said
    assert node.committed() == []
    assert engine.open_sessions == 0


async def test_a_session_that_was_held_open_does_not_sign_by_an_old_word_of_the_witnesses(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the entry was made anew meanwhile, on whatever the node has been shown since."""
    activate(node)
    engine, request = make_engine(node, monkeypatch), sign_request(intent())
    running = await before_its_share(node, engine, request)
    later = NOW + AUTHORIZED_FOR + 1
    node.logged(request, later)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: later, monotonic=time.monotonic))
    with pytest.raises(Refused) as caught:
        await running.end()
    assert caught.value.reason == Reason.LOG_STALE
    assert node.committed() == []


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (lambda node: node.halt.halt("now", NOW), Reason.HALTED),
        (lambda node: node.boots._note("a peer has heard of a later boot"), Reason.ROLLBACK_DETECTED),
    ],
    ids=["its operator halts it", "another session notices that it is an old copy"],
)
async def test_what_stops_a_node_between_its_last_look_and_the_ledgers_entry_stops_the_share_too(
    node: Node, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Node], None], expected: Reason
) -> None:
    activate(node)
    engine, request = make_engine(node, monkeypatch), sign_request(intent())
    running = await before_its_share(node, engine, request)
    record, before = node.ledger.record, node.token.counters().writes

    def meanwhile(*about: Any) -> Any:
        happens(node)
        return record(*about)

    monkeypatch.setattr(node.ledger, "record", meanwhile)
    with pytest.raises(Refused) as caught:
        await running.end()
    assert caught.value.reason == expected
    assert "sign.1" not in running.said
    assert node.committed() == []
    assert node.token.counters().writes == before


async def test_a_key_that_is_made_or_dealt_while_the_operator_halts_the_node_is_not_confirmed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(node)
    engine = make_engine(node, monkeypatch)
    node.halt.halt("now", NOW)
    with pytest.raises(Refused) as caught:
        node.vault.note(engine._counted(workspace(), material()))
    assert caught.value.reason == Reason.HALTED
    assert node.token.counters()[1] == 0


LATER = NOW + 5
WANTS_FIVE = f"""
- rule: want-five
  require: {{cosigners: [5]}}
  when: {{action: TRANSFER}}
  starts: {datetime.fromtimestamp(LATER, UTC):%Y-%m-%dT%H:%M:%SZ}
"""


async def ended(
    node: Node, monkeypatch: pytest.MonkeyPatch, parties: tuple[int, ...], local: str, anew: bool = True
) -> Running:
    """A session that began before a rule wanted cosigner 5, and signs after that; meanwhile it is logged ``anew``."""
    node.guard = node.guarded(local)
    request = replace(sign_request(intent()), workspace=workspace_digest(node.vault.workspace()))
    request = replace(request, decision=plain_decision(intent(), node.vault.workspace()))
    engine = make_engine(node, monkeypatch, local)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: LATER, monotonic=time.monotonic))
    running = Running(engine, spec(request, parties=parties))
    await running.begin(node, request, signing)
    if anew:
        node.logged(request, LATER)
    await running.end()
    return running


@pytest.mark.parametrize("local", [False, True], ids=["the workspace's", "the team's own"])
async def test_a_cosigner_that_a_rule_has_come_to_want_has_to_be_there_when_a_share_leaves(
    node: Node, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    shared = workspace() if local else replace(workspace(), rules=(*rules(), *rules(WANTS_FIVE)))
    node.vault.pin_workspace(shared)
    node.log = Logbook(shared)
    node.vault.put_key("wal_1", material(), KeyState.ACTIVE)
    own = WANTS_FIVE if local else ""
    with pytest.raises(Refused, match="wants cosigners") as caught:
        await ended(node, monkeypatch, (1, 2, 3), own)
    assert caught.value.reason == Reason.QUORUM_UNAVAILABLE
    assert node.committed() == []
    assert (await ended(node, monkeypatch, (1, 2, 5), own)).said[-1] == "sign.1"


async def test_a_rule_that_begins_after_an_order_was_logged_wants_nobody_for_that_entry(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = replace(workspace(), rules=(*rules(), *rules(WANTS_FIVE)))
    node.vault.pin_workspace(shared)
    node.log = Logbook(shared)
    node.vault.put_key("wal_1", material(), KeyState.ACTIVE)
    assert (await ended(node, monkeypatch, (1, 2, 3), "", anew=False)).said[-1] == "sign.1"


async def test_orders_side_by_side_do_not_exceed_a_teams_own_limit_together(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 60, where 100 are allowed here and far more by the workspace: the one that was logged first wins."""
    activate(node)
    node.guard = node.guarded(CAP)
    engine = make_engine(node, monkeypatch, CAP)
    first, second = (
        sign_request(intent(60, intent_id=f"int_{number}"), execution=replace(EXECUTION, nonce=number))
        for number in range(2)
    )
    running = await before_its_share(node, engine, first)
    with pytest.raises(Refused) as caught:
        await Running(engine, spec(second)).begin(node, second, signing)
    assert (caught.value.reason, caught.value.details["rule"]) == (Reason.VELOCITY_EXCEEDED, "local:small")
    await running.end()
    assert node.committed() == [running.spec.digest]


async def test_a_teams_own_limit_is_looked_at_again_when_a_share_is_about_to_leave(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(node)
    node.guard = node.guarded(CAP)
    engine, first = make_engine(node, monkeypatch, CAP), sign_request(intent(60))
    running = await before_its_share(node, engine, first)
    for request in (sign_request(intent(60, intent_id="int_2"), execution=replace(EXECUTION, nonce=8)), first):
        node.log.authorize(request)
    node.follow()
    with pytest.raises(Refused) as caught:
        await running.end()
    assert (caught.value.reason, caught.value.details["rule"]) == (Reason.VELOCITY_EXCEEDED, "local:small")
    assert node.committed() == []
