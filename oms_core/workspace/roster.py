"""What has to hold of the roster over all versions: an identity key has one place, and does not come back to it."""

from __future__ import annotations

from collections.abc import Iterable

from oms_core.errors import Reason, Refused
from oms_core.workspace import Workspace, identities


def check_identities(following: Workspace, current: Workspace, older: Iterable[Workspace]) -> None:
    """Each identity key of the next version is where it was, or is new. Raises `Refused` (PEER_IDENTITY).

    ``older`` are the versions before the current one; they are looked at only if a key is not where it was.

    Cosigners remember boots, heads and convictions of their peers by index, and shares are dealt to an index. A key
    that moved to another one, or that came back after it was replaced, would inherit what was remembered of another
    node; and a stolen token that has been replaced must never count again. Who left comes back with a new token.
    """
    held = identities(current)
    fresh = {index: key for index, key in identities(following).items() if held.get(index) != key}
    if not fresh:
        return
    known = {key for one in (current, *older) for key in identities(one).values()}
    for index, key in sorted(fresh.items()):
        if key in known:
            text = f"the identity key of cosigner {index} had another place, or was replaced before"
            raise Refused(text, Reason.PEER_IDENTITY)
