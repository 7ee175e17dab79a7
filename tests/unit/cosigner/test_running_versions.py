"""Orders that were approved under earlier versions of the workspace, at a node that has come through them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.encoding import encode
from oms_core.errors import Reason
from oms_core.evidence import SignRequest
from oms_core.readings import plain_decision
from oms_core.workspace import Workspace, workspace_digest
from tests.people import DELAY, NOW, approve, following, intent, reform, sign_request, workspace_request
from tests.unit.cosigner.node import Node, activate
from tests.unit.cosigner.running import Running, make_engine, signing
from tests.unit.cosigner.specs import refused, spec
from tests.unit.cosigner.test_chain import chain_of, disabled


def goes_over(node: Node, *versions: Workspace) -> None:
    """The node adopts these, one after the other."""
    for number, made in enumerate(versions):
        wanted, before = reform(made, change_id=f"chg_{number}"), node.vault.workspace()
        request = workspace_request(wanted, *(approve(wanted, name, under=before) for name in ("alice", "carol")))
        node.log.approve(request)
        if chain_of(node).offer(encode(request), NOW).adoption is None:
            assert chain_of(node).offer(encode(request), NOW + DELAY).adoption is not None


def enabled(user_id: str, before: Workspace) -> Workspace:
    """The next version, in which she may again what she might not."""
    users = tuple(replace(one, enabled=True) if one.user_id == user_id else one for one in before.users)
    return following(before, users=users)


def approved_before(node: Node) -> SignRequest:
    """An order that was approved under the first version, as it is shown under the one that counts."""
    order, now = intent(500), node.vault.workspace()
    request = sign_request(order, approve(order, "ravi"), approve(order, "olga"))
    return replace(request, workspace=workspace_digest(now), decision=plain_decision(order, now))


async def test_an_order_that_was_approved_two_versions_ago_is_signed_if_nothing_was_void_since(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(node)
    first = disabled("tara")
    goes_over(node, first, enabled("tara", first))
    engine, request = make_engine(node, monkeypatch), approved_before(node)
    running = Running(engine, spec(request))
    await running.begin(node, request, signing)
    await running.end()
    assert running.said[-1] == "sign.1"


def test_an_order_whose_approver_was_disabled_for_one_version_is_refused(node: Node) -> None:
    activate(node)
    first = disabled("olga")
    goes_over(node, first, enabled("olga", first))
    request = approved_before(node)
    error = refused(node.guard, spec(request), request)
    assert (error.reason, error.message) == (Reason.NOT_ELIGIBLE, "olga was disabled in the meantime")
