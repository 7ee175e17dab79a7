"""A version that people wrote takes its place behind the current one."""

from __future__ import annotations

from dataclasses import replace

from oms_core.workspace import AddressEntry, EntryState, workspace_digest
from oms_core.workspace.change import check_successor
from oms_core.workspace.check import check_workspace
from oms_core.workspace.drafting import successor
from tests.people import CHAIN, NOW, STRANGE, workspace


def test_a_draft_becomes_the_next_version_and_only_what_is_new_is_dated_now() -> None:
    before = workspace()
    added = AddressEntry("new", "New one", CHAIN, STRANGE, (), EntryState.ACTIVE, 7)
    moved = replace(before.address_book[0], address=bytes.fromhex("44" * 20))
    drafted = replace(before, version=9, address_book=(moved, before.address_book[1], added))
    made = successor(before, drafted, NOW + 5)
    check_workspace(made)
    check_successor(before, made)
    assert (made.version, made.parent, made.created_at) == (1, workspace_digest(before), NOW + 5)
    assert [entry.added_at for entry in made.address_book] == [NOW + 5, NOW, NOW + 5]
