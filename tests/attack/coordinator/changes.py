"""Wishes for a next version of the workspace, and bringing them to the nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from oms.signer import ProposalSigner
from oms_core.approvals import Verdict
from oms_core.authorize import expected_claim
from oms_core.encoding import encode
from oms_core.errors import CountersealError, Reason
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.policy.rules import DAY
from oms_core.workspace import ChangeWorkspace, Workspace, workspace_digest
from tests.attack.coordinator.authenticator import PROPER, Authenticator, Press
from tests.attack.coordinator.nodes import Five
from tests.attack.coordinator.scene import Scene
from tests.attack.coordinator.world import keys
from tests.unit.cosigner.chains import LoggedChain

Edit = Callable[[Workspace], Workspace]
QUORUM = ("sonja", "saul")


SEEN, ADOPTED = "seen approved", "adopted"


def looser(workspace: Workspace) -> Workspace:
    """Nobody from risk has to be asked any longer."""
    return replace(workspace, rules=tuple(rule for rule in workspace.rules if rule.rule_id != "require-risk"))


def tighter(workspace: Workspace) -> Workspace:
    return replace(workspace, rules=tuple(rule for rule in workspace.rules if rule.rule_id != "permit-deposits"))


def own_key(workspace: Workspace) -> Workspace:
    """A second key for Olga, which is the thief's."""
    credential = keys().stranger.credential()
    return _edited(workspace, "olga", lambda one: {"credentials": (*one.credentials, credential)})


def back_again(workspace: Workspace) -> Workspace:
    """Stan's revoked key is his again."""
    return _edited(workspace, "stan", lambda one: {"credentials": (replace(one.credentials[0], revoked=False),)})


def self_made(workspace: Workspace) -> Workspace:
    """Governance asks for one approval only, and for a minute."""
    one = workspace.governance[0].approvals
    eased = tuple(replace(each, approvals=replace(one, delay=60 * i)) for i, each in enumerate(workspace.governance))
    return replace(looser(workspace), governance=eased)


def promoted(workspace: Workspace) -> Workspace:
    """Sonja may propose orders as well as approve them."""
    return _edited(workspace, "sonja", lambda one: {"roles": (*one.roles, "trader")})


def _edited(workspace: Workspace, name: str, change: Callable[[Any], dict[str, Any]]) -> Workspace:
    users = tuple(replace(one, **change(one)) if one.user_id == name else one for one in workspace.users)
    return replace(workspace, users=users)


def asked(
    scene: Scene,
    edit: Edit,
    approvers: tuple[str, ...] = QUORUM,
    initiator: str = "sam",
    signer: ProposalSigner | None = None,
    how: Press = PROPER,
    key: Authenticator | None = None,
    verdict: Verdict = Verdict.APPROVE,
    **changes: Any,
) -> ChangeWorkspaceRequest:
    """A wish for the next version, and these people's approvals of it."""
    now, current = scene.now, scene.workspace
    plain = replace(edit(current), version=current.version + 1, parent=workspace_digest(current), created_at=now)
    following = replace(plain, **changes)
    wish = ChangeWorkspace("chg_1", following, initiator, "", now - 60, now + 10 * DAY)
    approvals = []
    for person in approvers:
        claim = expected_claim(wish, current, person, verdict, now, now + 5 * DAY)
        approvals.append((key or keys().people[person]).press(claim, how))
    return ChangeWorkspaceRequest((signer or keys().sam).propose(wish), tuple(approvals), ())


def chains(five: Five) -> dict[int, LoggedChain]:
    """Whatever is offered stands in the log: that alone makes nothing approved."""
    return {i: LoggedChain(node.store, node.token, node.vault.versions, node.boots) for i, node in five.nodes.items()}


def offered(five: Five, request: ChangeWorkspaceRequest, now: int) -> list[Reason | str]:
    """What each node answers."""
    said: list[Reason | str] = []
    for chain in chains(five).values():
        try:
            said.append(ADOPTED if chain.offer(encode(request), now).adoption else SEEN)
        except CountersealError as error:
            said.append(error.reason)
    return said


def adopt(five: Five, scene: Scene, request: ChangeWorkspaceRequest) -> Scene:
    """Every node goes over, after the delay; honest people and clocks follow."""
    assert offered(five, request, scene.now) == [SEEN] * 5
    assert offered(five, request, scene.now + DAY) == [ADOPTED] * 5
    later = Scene(five.nodes[1].vault.workspace(), scene.material, seed=1)
    later.now = scene.now + DAY
    return later
