"""The lifecycle of an order, in one table (CUSTODY's states, as far as they exist here)."""

from __future__ import annotations

from enum import StrEnum

from oms_core.errors import Conflict, Reason


class State(StrEnum):
    """Where an order stands."""

    SUBMITTED = "SUBMITTED"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    APPROVED = "APPROVED"
    SIGNING = "SIGNING"
    SIGNED = "SIGNED"
    BROADCAST = "BROADCAST"
    MINED = "MINED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    DENIED = "DENIED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    REPLACED = "REPLACED"
    FAILED_ON_CHAIN = "FAILED_ON_CHAIN"
    QUARANTINED = "QUARANTINED"


WITHDRAWN = (State.CANCELLED, State.REPLACED)
"""Ends that the initiator asked for: never once cosigners were asked to sign, since a share may be out by then."""

NEXT: dict[State, frozenset[State]] = {
    State.SUBMITTED: frozenset({State.PENDING_APPROVAL, State.APPROVED, State.REJECTED, State.EXPIRED, *WITHDRAWN}),
    State.PENDING_APPROVAL: frozenset(
        {State.APPROVED, State.DENIED, State.REJECTED, State.EXPIRED, State.QUARANTINED, *WITHDRAWN}
    ),
    State.APPROVED: frozenset(
        {State.SIGNING, State.PENDING_APPROVAL, State.REJECTED, State.EXPIRED, State.QUARANTINED, *WITHDRAWN}
    ),
    State.SIGNING: frozenset({State.SIGNED, State.APPROVED, State.REJECTED, State.EXPIRED, State.QUARANTINED}),
    State.SIGNED: frozenset({State.BROADCAST, State.CONFIRMED, State.QUARANTINED}),
    State.BROADCAST: frozenset({State.MINED, State.QUARANTINED}),
    State.MINED: frozenset({State.CONFIRMED, State.FAILED_ON_CHAIN, State.BROADCAST}),
    State.CONFIRMED: frozenset(),
    State.REJECTED: frozenset(),
    State.DENIED: frozenset(),
    State.EXPIRED: frozenset(),
    State.CANCELLED: frozenset(),
    State.REPLACED: frozenset(),
    State.FAILED_ON_CHAIN: frozenset(),
    State.QUARANTINED: frozenset(),
}
"""SIGNING goes back to APPROVED when no quorum answers, APPROVED to PENDING_APPROVAL when approvals have ended, or the
workspace has changed so that they are not what it takes, MINED to BROADCAST when a reorganisation drops its block.

What cosigners were asked to sign, and may be paid although no database says so any more, ends QUARANTINED.

A message, which goes to no chain, is CONFIRMED once it is signed.
"""

TERMINAL = frozenset(state for state, following in NEXT.items() if not following)


class IllegalTransition(Conflict):
    """An order cannot go from ``was`` to ``to``."""

    default_reason = Reason.WRONG_STATE

    def __init__(self, order_id: str, was: State, to: State) -> None:
        super().__init__(f"order {order_id} is {was}, and cannot become {to}", order_id=order_id, was=was, to=to)


def advance(order_id: str, was: State, to: State) -> State:
    """Return ``to`` if the table allows the step. Raises `IllegalTransition`."""
    if to not in NEXT[was]:
        raise IllegalTransition(order_id, was, to)
    return to
