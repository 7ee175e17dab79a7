"""A next version of the workspace that people have not asked for (C05, C06, A11, A12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oms_core.approvals import Verdict
from oms_core.errors import Reason
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.policy.rules import DAY
from oms_core.workspace import Workspace, workspace_digest
from tests.attack.coordinator import nodes
from tests.attack.coordinator.authenticator import Press
from tests.attack.coordinator.changes import asked, back_again, looser, offered, own_key, promoted, self_made, tighter
from tests.attack.coordinator.nodes import ALL, Five
from tests.attack.coordinator.scene import Scene
from tests.attack.coordinator.world import keys

pytestmark = pytest.mark.attack


@pytest.fixture(scope="module")
def standing(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Five]:
    with nodes.fresh(prepared, tmp_path_factory.mktemp("standing") / "nodes") as made:
        yield made


HOSTILE: dict[str, tuple[Callable[[Scene], ChangeWorkspaceRequest], Reason]] = {
    "nobody has approved it": (lambda s: asked(s, looser, ()), Reason.APPROVAL_MISSING),
    "one has, where two are needed": (lambda s: asked(s, looser, ("sonja",)), Reason.APPROVAL_MISSING),
    "people of another group have": (lambda s: asked(s, looser, ("olga", "ravi")), Reason.NOT_ELIGIBLE),
    "its initiator has": (lambda s: asked(s, looser, ("sam", "sonja")), Reason.SELF_APPROVAL),
    "one person twice": (lambda s: asked(s, looser, ("sonja", "sonja")), Reason.DUPLICATE_PERSON),
    "an admin whose key is revoked": (lambda s: asked(s, looser, ("sonja", "stan")), Reason.CREDENTIAL_REVOKED),
    "unregistered keys": (lambda s: asked(s, looser, key=keys().stranger), Reason.CREDENTIAL_UNKNOWN),
    "without user verification": (lambda s: asked(s, looser, how=Press(flags=1)), Reason.UV_REQUIRED),
    "at another origin": (lambda s: asked(s, looser, how=Press(origin="https://evil.example")), Reason.ORIGIN_MISMATCH),
    "they have denied it": (lambda s: asked(s, looser, verdict=Verdict.DENY), Reason.APPROVAL_DENIED),
    "the order desk proposes it": (
        lambda s: asked(s, looser, initiator="desk", signer=keys().desk),
        Reason.NOT_ELIGIBLE,
    ),
    "under a key that is not the initiator's": (
        lambda s: asked(s, looser, signer=keys().desk),
        Reason.CREDENTIAL_UNKNOWN,
    ),
    "judged by its own governance": (lambda s: asked(s, self_made, ("sonja",)), Reason.APPROVAL_MISSING),
    "a key enrolled by a stolen session": (
        lambda s: asked(s, own_key, initiator="desk", signer=keys().desk),
        Reason.NOT_ELIGIBLE,
    ),
    "a key enrolled by one admin": (lambda s: asked(s, own_key, ("sonja",)), Reason.APPROVAL_MISSING),
    "a revoked key that comes back": (lambda s: asked(s, back_again), Reason.MALFORMED),
    "an approver who gains by it": (lambda s: asked(s, promoted), Reason.SELF_APPROVAL),
    "another parent": (lambda s: asked(s, looser, parent=bytes(32)), Reason.POLICY_VERSION_MISMATCH),
    "a version left out": (lambda s: asked(s, looser, version=2), Reason.POLICY_VERSION_MISMATCH),
    "the same version": (lambda s: asked(s, looser, version=0), Reason.POLICY_VERSION_MISMATCH),
    "dated back": (lambda s: asked(s, looser, created_at=1), Reason.MALFORMED),
    "a roster with one key in two places": (lambda s: asked(s, _doubled), Reason.MALFORMED),
    "approvals of another change": (
        lambda s: replace(asked(s, looser, ()), approvals=asked(s, tighter).approvals),
        Reason.CHALLENGE_MISMATCH,
    ),
}


def _doubled(workspace: Workspace) -> Workspace:
    first, second, *rest = workspace.roster
    return replace(workspace, roster=(first, replace(second, identity=first.identity), *rest))


@pytest.mark.covers("C05", "C06", "A11", "A12")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_next_version_that_people_have_not_asked_for_is_taken_by_no_node(standing: Five, name: str) -> None:
    five, scene = standing, Scene(standing.workspace, nodes.material(1), seed=0)
    make, reason = HOSTILE[name]
    request = make(scene)
    for later in (0, DAY, 2 * DAY):
        assert offered(five, request, scene.now + later) == [reason] * 5
    assert all(node.vault.workspace() == scene.workspace for node in five.nodes.values())
    forged = replace(scene.legal(), workspace=workspace_digest(request.proposal.subject.next))  # type: ignore[union-attr]
    for index in ALL:
        parties = (1, 2, 3) if index < 4 else (1, 4, 5)
        spec = replace(scene.session(forged), parties=parties)
        assert five.nodes[index].asked(spec, scene.request(forged), scene.now) == Reason.POLICY_VERSION_MISMATCH
