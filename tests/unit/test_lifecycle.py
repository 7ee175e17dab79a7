"""The lifecycle: the whole table, written down a second time, and every step that is not in it."""

from __future__ import annotations

from itertools import product

import pytest

from oms_core.errors import Conflict, Reason
from oms_core.lifecycle import NEXT, TERMINAL, IllegalTransition, State, advance

ALLOWED = """
    SUBMITTED         PENDING_APPROVAL APPROVED REJECTED EXPIRED CANCELLED REPLACED
    PENDING_APPROVAL  APPROVED DENIED REJECTED EXPIRED CANCELLED REPLACED QUARANTINED
    APPROVED          SIGNING PENDING_APPROVAL REJECTED EXPIRED CANCELLED REPLACED QUARANTINED
    SIGNING           SIGNED APPROVED REJECTED EXPIRED QUARANTINED
    SIGNED            BROADCAST CONFIRMED QUARANTINED
    BROADCAST         MINED QUARANTINED
    MINED             CONFIRMED FAILED_ON_CHAIN BROADCAST
    CONFIRMED
    REJECTED
    DENIED
    EXPIRED
    CANCELLED
    REPLACED
    FAILED_ON_CHAIN
    QUARANTINED
"""
STEPS = {State(was): {State(to) for to in rest} for was, *rest in map(str.split, ALLOWED.strip().splitlines())}
PAIRS = list(product(State, State))


@pytest.mark.parametrize(("was", "to"), [pair for pair in PAIRS if pair[1] in STEPS[pair[0]]])
def test_an_order_goes_on_by_a_step_in_the_table(was: State, to: State) -> None:
    assert advance("txn_1", was, to) is to


@pytest.mark.parametrize(("was", "to"), [pair for pair in PAIRS if pair[1] not in STEPS[pair[0]]])
def test_a_step_that_is_not_in_the_table_is_refused_and_says_from_where_to_where(was: State, to: State) -> None:
    with pytest.raises(IllegalTransition) as caught:
        advance("txn_1", was, to)
    assert isinstance(caught.value, Conflict)
    assert caught.value.reason is Reason.WRONG_STATE
    assert caught.value.details == {"order_id": "txn_1", "was": was, "to": to}


def test_every_state_has_its_line_in_the_table() -> None:
    assert set(NEXT) == set(STEPS) == set(State)


def test_nothing_follows_a_terminal_state_and_something_every_other() -> None:
    assert {state for state in State if not STEPS[state]} == TERMINAL


def test_every_state_is_reached_from_the_first_and_leads_to_an_end() -> None:
    def reach(start: State) -> set[State]:
        seen, todo = {start}, [start]
        while todo:
            for following in NEXT[todo.pop()] - seen:
                seen.add(following)
                todo.append(following)
        return seen

    assert reach(State.SUBMITTED) == set(State)
    assert all(reach(state) & TERMINAL for state in State)


def test_a_signed_order_is_never_rejected_denied_expired_or_withdrawn() -> None:
    harmless = {State.REJECTED, State.DENIED, State.EXPIRED, State.CANCELLED, State.REPLACED}
    for state in (State.SIGNED, State.BROADCAST, State.MINED):
        assert not NEXT[state] & harmless
