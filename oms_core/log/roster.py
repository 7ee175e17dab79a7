"""The keys of the log and of its witnesses, as the workspace names them."""

from __future__ import annotations

from oms_core.log.note import LOG, WITNESS, Verifier
from oms_core.memo import by_identity
from oms_core.workspace import Workspace


@by_identity(size=4)
def log_verifier(workspace: Workspace) -> Verifier:
    """The log's own key; its name is the origin."""
    return Verifier(workspace.log.origin, workspace.log.public, LOG)


@by_identity(size=4)
def witness_verifiers(workspace: Workspace) -> dict[int, Verifier]:
    """Every cosigner's witness key by its index; a cosigner's name is the origin's, and its index."""
    origin = workspace.log.origin
    return {one.index: Verifier(f"{origin}/cosigner-{one.index}", one.witness, WITNESS) for one in workspace.roster}
