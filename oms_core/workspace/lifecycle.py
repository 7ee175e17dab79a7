"""The lifecycle of a change of the workspace, in one table."""

from __future__ import annotations

from enum import StrEnum

from oms_core.errors import Conflict, Reason


class ChangeState(StrEnum):
    """Where a change stands.

    PROPOSED: people are asked. APPROVED: they have agreed. SCHEDULED: cosigners have seen that, and their delay runs.
    ACTIVE: all but one at the most stand on the new version. SUPERSEDED: another version has followed, after this one
    or in its place.
    """

    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    SCHEDULED = "SCHEDULED"
    ACTIVE = "ACTIVE"
    REJECTED = "REJECTED"
    SUPERSEDED = "SUPERSEDED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


_OVER = {ChangeState.REJECTED, ChangeState.SUPERSEDED, ChangeState.EXPIRED, ChangeState.WITHDRAWN}

NEXT: dict[ChangeState, frozenset[ChangeState]] = {
    ChangeState.PROPOSED: frozenset({ChangeState.APPROVED, *_OVER}),
    ChangeState.APPROVED: frozenset({ChangeState.SCHEDULED, ChangeState.SUPERSEDED}),
    ChangeState.SCHEDULED: frozenset({ChangeState.ACTIVE, ChangeState.SUPERSEDED}),
    ChangeState.ACTIVE: frozenset({ChangeState.SUPERSEDED}),
    ChangeState.REJECTED: frozenset(),
    ChangeState.SUPERSEDED: frozenset(),
    ChangeState.EXPIRED: frozenset(),
    ChangeState.WITHDRAWN: frozenset(),
}
"""Once it is APPROVED it stands in the log, where cosigners wait for it: only another change can take its place."""

ENDED = frozenset({ChangeState.ACTIVE, *_OVER})
"""Where nothing more is done for a change."""


def advance(change_id: str, was: ChangeState, to: ChangeState) -> ChangeState:
    """Return ``to`` if the table allows the step. Raises `Conflict` (WRONG_STATE)."""
    if to not in NEXT[was]:
        raise Conflict(f"change {change_id} is {was}, and cannot become {to}", Reason.WRONG_STATE)
    return to
