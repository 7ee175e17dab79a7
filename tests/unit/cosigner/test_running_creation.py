"""A key that is made while something happens: confirmed once at most, and what was not confirmed is made again."""

from __future__ import annotations

from typing import Any

import pytest

from cosigner.engine import Engine
from oms_core.approvals import Approval
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode
from oms_core.errors import Conflict, Reason, Refused
from oms_core.evidence import ChangeWorkspaceRequest, CreateRequest
from oms_core.keys import KeyState
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.shares import SignedConfirmation
from oms_core.workspace import Workspace, workspace_digest
from tests.people import NOW, approve, propose, wish, workspace
from tests.unit.cosigner.node import Node
from tests.unit.cosigner.running import Running, creating, make_engine
from tests.unit.cosigner.specs import refused, spec
from tests.unit.cosigner.test_chain import chain_of, disabled
from tests.unit.cosigner.test_chain import request as workspace_change

WISH = wish(wallet_id="wal_2", threshold=2, parties=(1, 2, 3))
KEY = subject_digest(WISH)


def asked(under: Workspace | None = None) -> CreateRequest:
    """The wish with its approvals, shown under some version."""
    given: tuple[Approval, ...] = (approve(WISH, "sam"), approve(WISH, "sonja"))
    return CreateRequest(propose(WISH), workspace_digest(under or workspace()), given)


def making(request: CreateRequest) -> SessionSpec:
    return spec(request, protocol="create-key", key_id=KEY, epoch_hash=b"", threshold=2, parties=(1, 2, 3))


@pytest.fixture
def engine(node: Node, monkeypatch: pytest.MonkeyPatch) -> Engine:
    node.vault.pin_workspace(workspace())
    return make_engine(node, monkeypatch)


async def begun(node: Node, engine: Engine, request: CreateRequest) -> Running:
    running = Running(engine, making(request))
    await running.begin(node, request, creating)
    return running


async def up_to_its_end(node: Node, engine: Engine, request: CreateRequest) -> Running:
    """The share is sealed, and nobody has been told that it is kept."""
    running = await begun(node, engine, request)
    await running.until("create.done")
    return running


def held(node: Node) -> list[tuple[bytes, str]]:
    return [(one.key_id, one.state) for one in node.vault.all_keys(pending=True)]


def sealed(node: Node) -> Any:
    """What the node holds of the key."""
    return node.vault.epoch(KEY, 0).share.public_key


async def test_a_key_that_is_made_while_nothing_happens_is_confirmed(node: Node, engine: Engine) -> None:
    running = await up_to_its_end(node, engine, asked())
    before = node.token.counters().writes
    assert held(node) == [(KEY, KeyState.PENDING)]
    said = decode(SignedConfirmation, (await running.end()).result).confirmation
    assert (said.public_key, held(node)) == (sealed(node), [(KEY, KeyState.PRE_ACTIVE)])
    assert node.token.counters().writes == before + 1


async def test_a_key_that_is_made_while_the_workspace_changes_is_made_again_under_the_next_version(
    node: Node, engine: Engine
) -> None:
    running = await up_to_its_end(node, engine, asked())
    first, after = sealed(node), disabled("eve")
    data = workspace_change(after, "alice")
    node.log.approve(decode(ChangeWorkspaceRequest, data))
    assert chain_of(node).offer(data, NOW).adoption is not None
    with pytest.raises(Refused) as caught:
        await running.end()
    assert (caught.value.reason, held(node)) == (Reason.POLICY_VERSION_MISMATCH, [(KEY, KeyState.PENDING)])
    again = await up_to_its_end(node, engine, asked(after))
    assert sealed(node) != first
    said = decode(SignedConfirmation, (await again.end()).result).confirmation
    assert (said.public_key, held(node)) == (sealed(node), [(KEY, KeyState.PRE_ACTIVE)])


async def test_of_two_sessions_for_one_wish_only_the_one_whose_share_is_kept_is_confirmed(
    node: Node, engine: Engine
) -> None:
    """Whoever is shown the first one's confirmation would rely on a share that is gone."""
    first = await up_to_its_end(node, engine, asked())
    second = await up_to_its_end(node, engine, asked())
    with pytest.raises(Conflict, match="another session has made the key"):
        await first.end()
    assert held(node) == [(KEY, KeyState.PENDING)]
    said = decode(SignedConfirmation, (await second.end()).result).confirmation
    assert (said.public_key, held(node)) == (sealed(node), [(KEY, KeyState.PRE_ACTIVE)])


async def test_what_was_confirmed_is_never_put_aside_for_another_attempt(node: Node, engine: Engine) -> None:
    request = asked()
    late = await begun(node, engine, request)
    await (await up_to_its_end(node, engine, request)).end()
    kept = sealed(node)
    with pytest.raises(Conflict, match="made already"):
        await late.until("create.done")
    assert refused(node.guard, making(request), request).reason == Reason.WRONG_STATE
    assert (sealed(node), held(node)) == (kept, [(KEY, KeyState.PRE_ACTIVE)])
    node.restart()
    assert (sealed(node), held(node)) == (kept, [(KEY, KeyState.PRE_ACTIVE)])


async def test_an_attempt_that_came_to_nothing_leaves_no_key_in_the_token(node: Node, engine: Engine) -> None:
    destroyed: list[str] = []
    destroy = node.token.destroy
    node.token.destroy = lambda label: (destroyed.append(label), destroy(label))[1]  # type: ignore[method-assign]
    await up_to_its_end(node, engine, asked())
    assert destroyed == []
    await up_to_its_end(node, engine, asked())
    assert destroyed == [f"{KEY.hex()}-0"]
