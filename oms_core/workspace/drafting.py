"""A version that people wrote, put in its place behind the current one."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from oms_core.workspace import AddressEntry, ContractEntry, Workspace, workspace_digest

E = TypeVar("E", AddressEntry, ContractEntry)


def successor(current: Workspace, drafted: Workspace, created_at: int) -> Workspace:
    """The draft as the next version: number, parent and times (Unix seconds) are what they have to be.

    An entry that is new, or has moved to another account, has been added now; all others when they were.
    """
    return replace(
        drafted,
        version=current.version + 1,
        parent=workspace_digest(current),
        created_at=created_at,
        address_book=_dated(current.address_book, drafted.address_book, created_at),
        contracts=_dated(current.contracts, drafted.contracts, created_at),
    )


def _dated(before: tuple[E, ...], after: tuple[E, ...], created_at: int) -> tuple[E, ...]:
    held = {(one.entry_id, one.chain, one.address): one.added_at for one in before}
    return tuple(replace(one, added_at=held.get((one.entry_id, one.chain, one.address), created_at)) for one in after)
