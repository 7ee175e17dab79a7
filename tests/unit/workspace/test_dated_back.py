"""Ages count from when an entry says that it was added, so it cannot say so long before people were asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.intent import CLOCK_SKEW
from oms_core.errors import Malformed, Reason
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.policy.rules import DAY
from oms_core.workspace import AddressEntry, Direction
from oms_core.workspace.change import MAX_WAIT, verify_change
from tests.people import NOW, STRANGE, approve, following, reform, workspace_request
from tests.unit.workspace.test_change import ENTRY, PLAIN, refusal

OLD = replace(PLAIN, created_at=NOW - 3 * DAY, address_book=(replace(PLAIN.address_book[0], added_at=NOW - 3 * DAY),))
KEPT = OLD.address_book[0]


def listing(written: int, *book: AddressEntry, **decided: int) -> ChangeWorkspaceRequest:
    """A change of ``OLD`` that says it was written then, and when each of the committee decided."""
    dated = tuple(one if one.address == KEPT.address else replace(one, added_at=written) for one in book)
    made = following(OLD, created_at=written, address_book=dated)
    wish = reform(made, valid_from=NOW - 2 * DAY, valid_until=NOW + 9000)
    return workspace_request(wish, *(approve(wish, who, decided_at=at, under=OLD) for who, at in decided.items()))


TOO_OLD = NOW - MAX_WAIT - CLOCK_SKEW - 1


def test_an_entry_cannot_have_been_added_long_before_the_last_approver_decided() -> None:
    for written in (NOW, NOW - MAX_WAIT, TOO_OLD + 1):
        request = listing(written, KEPT, ENTRY, carol=NOW, alice=NOW)
        assert verify_change(request, OLD, NOW).direction is Direction.LOOSEN
    error = refusal(listing(TOO_OLD, KEPT, ENTRY, carol=NOW, alice=NOW), OLD)
    assert (error.reason, type(error)) == (Reason.EXPIRED, Malformed)
    assert "entry new: added_at: 86461 seconds before the last approver decided" in error.message


@pytest.mark.parametrize("liar", ["carol", "alice"])
def test_an_approver_who_dates_her_own_decision_back_with_the_change_gains_nothing_by_it(liar: str) -> None:
    decided = {name: TOO_OLD if name == liar else NOW for name in ("carol", "alice")}
    assert refusal(listing(TOO_OLD, KEPT, ENTRY, **decided), OLD).reason is Reason.EXPIRED


def test_an_entry_that_moves_is_new() -> None:
    moved = replace(KEPT, address=STRANGE)
    assert verify_change(listing(TOO_OLD + 1, moved, carol=NOW, alice=NOW), OLD, NOW).parts
    assert "entry known: added_at" in refusal(listing(TOO_OLD, moved, carol=NOW, alice=NOW), OLD).message


def test_people_may_take_longer_over_a_change_without_new_entries() -> None:
    renamed = replace(KEPT, label="Somebody known")
    assert verify_change(listing(TOO_OLD, renamed, carol=NOW, alice=NOW), OLD, NOW).parts
