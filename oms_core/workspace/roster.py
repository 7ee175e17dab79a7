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
    older = tuple(older)
    for name in ("identity", "witness"):
        held = _keys(current, name)
        fresh = {index: key for index, key in _keys(following, name).items() if held.get(index) != key}
        if not fresh:
            continue
        known = {key for one in (current, *older) for key in _keys(one, name).values()}
        for index, key in sorted(fresh.items()):
            if key in known:
                text = f"the {name} key of cosigner {index} had another place, or was replaced before"
                raise Refused(text, Reason.PEER_IDENTITY)


def _keys(workspace: Workspace, name: str) -> dict[int, bytes]:
    return {member.index: getattr(member, name) for member in workspace.roster}
