"""What has to hold of the roster over all versions: a cosigner's key has one place, and does not come back to it."""

from __future__ import annotations

from collections.abc import Iterable

from oms_core.errors import Reason, Refused
from oms_core.workspace import Workspace


def check_identities(following: Workspace, current: Workspace, older: Iterable[Workspace]) -> None:
    """Each cosigner's key of the next version is where it was, or is new. Raises `Refused` (PEER_IDENTITY).

    ``older`` are the versions before the current one; they are looked at only if a key is not where it was.

    Cosigners remember boots, heads and convictions of their peers by index, and shares are dealt to an index. A key
    that moved to another one, or that came back after it was replaced, would inherit what was remembered of another
    node; and a stolen token that has been replaced must never count again. Who left comes back with a new token.
    """
    held = _keys(current)
    fresh = [(*place, key) for place, key in sorted(_keys(following).items()) if held.get(place) != key]
    if not fresh:
        return
    known = {(name, key) for one in (current, *older) for (name, _), key in _keys(one).items()}
    for name, index, key in fresh:
        if (name, key) in known:
            text = f"the {name} key of cosigner {index} had another place, or was replaced before"
            raise Refused(text, Reason.PEER_IDENTITY)


def _keys(workspace: Workspace) -> dict[tuple[str, int], bytes]:
    """The keys by their kind and the cosigner's index."""
    return {(name, one.index): getattr(one, name) for one in workspace.roster for name in ("identity", "witness")}
