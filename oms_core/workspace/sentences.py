"""What a change of the workspace means, in the words that people approve."""

from __future__ import annotations

from oms_core.workspace import Direction, Workspace, governed, workspace_digest
from oms_core.workspace.parts import direction_of, parts
from oms_core.workspace.quorums import newly_unmet
from oms_core.workspace.words import requirement_words, span_words, time_words


def sentences(old: Workspace, new: Workspace) -> tuple[str, ...]:
    """The whole change in plain words, every part of it.

    Raises `Malformed` for what cannot be shown: an address that is none, a time beyond the calendar.
    """
    found = parts(old, new)
    way = direction_of(found)
    approvals = governed(old, way).approvals
    what = "LOOSENS what is possible" if way is Direction.LOOSEN else "only tightens what is possible"
    return (
        f"Change workspace {old.name} from version {old.version} to {new.version}; it {what}.",
        f"It stands on {workspace_digest(old).hex()} and becomes {workspace_digest(new).hex()}.",
        f"Written {time_words(new.created_at)}, parent {new.parent.hex() or 'none'}.",
        f"It takes {requirement_words(approvals)}.",
        f"It counts {span_words(approvals.delay)} after that." if approvals.delay else "It counts at once after that.",
        *(f"{part.direction}: {part.path}: {part.words}." for part in found),
        *(f"WARNING: after this, {unmet.words}." for unmet in newly_unmet(old, new)),
    )
