"""Packs of evidence: all that the log says of an order and of what it rests on, under one checkpoint with proofs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from sqlalchemy import RowMapping, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from auditor.heads import known_lines, verify_head
from auditor.pack import Held, Pack, PackAnchor, write_pack
from coordinator.anchorbook import AnchorState
from coordinator.chainbook import name_of
from coordinator.database import reading
from coordinator.journal import append
from coordinator.parts import Books
from coordinator.standing import Standing, Stands
from coordinator.tables import log_items
from oms_core.encoding import decode
from oms_core.errors import Malformed, ProofInvalid, Reason, Unavailable
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.history import WORKSPACE_LIMIT
from oms_core.log.anchor import AnchorReceipt
from oms_core.log.entries import RECORD_LIMIT, WORKSPACE_APPROVED, Entry, Item, Record, read_entry, read_record
from oms_core.log.note import read_note, write_note
from oms_core.log.quorum import degraded, full
from oms_core.workspace import workspace_digest

EXPORTED = "evidence.exported"
PATIENCE, LONGEST = 5.0, 20.0  # seconds for full cosignatures of the order's last entry, and for any
_LOOK = 0.25  # seconds between looks
_ENDS = ("order.signed", "order.mined", "order.confirmed")  # what a pack shows of its anchor's order


class Packing(Stands):
    """Makes packs, and writes down for whom."""

    def __init__(self, books: Books, standing: Standing) -> None:
        self._journal, self._store, self._chain_book = books.journal, books.store, books.chain
        self._anchors, self._standing = books.anchors, standing

    async def export(self, order_id: str, whom: str) -> tuple[bytes, int]:
        """The pack of an order, and the size of the tree that it is under.

        Raises `NotFound`, and `Unavailable` (NOT_LOGGED) while too few witnesses have cosigned any checkpoint.
        """
        order = await self._store.order(order_id)
        async with self._journal.engine.begin() as connection:
            await append(connection, EXPORTED, order_id, Record(whom, b"", "", ()))
        versions = await self._chain_book.versions(0)
        async with reading(self._journal.engine) as connection:
            told = await _items(connection, order_id, order["wallet_id"])
            told += await _beginning(connection, versions)
        last = max(entry.index for entry, _ in told if entry.event != EXPORTED)
        note, size = await self._head(last)
        anchor, more = await self._anchor(last, size)
        chosen = {entry.index: one for entry, one in [*told, *more] if entry.index < size}
        held = [Held(one, await self._journal.inclusion(index, size)) for index, one in sorted(chosen.items())]
        return write_pack(Pack(order_id, note, tuple(held), anchor)), size

    async def _head(self, last: int) -> tuple[str, int]:
        """A checkpoint above ``last``, in full if that comes soon; else the newest that an honest witness has seen."""
        n, began = len(self._workspace.roster), time.monotonic()
        while True:
            waited = time.monotonic() - began
            best: tuple[str, int] | None = None
            for wanted in (full(n), degraded(n)):
                found = await self._cosigned(wanted)
                if found is not None and found[1] > last and (wanted == full(n) or waited > PATIENCE):
                    return found
                best = best or found
            if waited > LONGEST:
                break
            await asyncio.sleep(_LOOK)
        if best is None:
            raise Unavailable("too few witnesses have cosigned a checkpoint of the log", Reason.NOT_LOGGED)
        return best

    async def _cosigned(self, wanted: int) -> tuple[str, int] | None:
        """The newest note that so many of the roster have cosigned, with no line that is anybody else's."""
        data, size, _ = await self._journal.newest(wanted)
        note = write_note(known_lines(read_note(data), self._workspace))
        try:
            vouched = verify_head(note, self._workspace)
        except (ProofInvalid, Malformed):
            return None
        return (note, size) if len(vouched.cosigned) >= wanted else None

    async def _anchor(self, last: int, size: int) -> tuple[PackAnchor | None, list[tuple[Entry, Item]]]:
        """The oldest anchor that comes after ``last``, or the newest one; with what the log says of its transaction."""
        rows = [row for row in await self._anchors.list(500, AnchorState.ANCHORED) if row["size"] <= size]
        later = [row for row in rows if row["size"] > last]
        for row in (*later[::-1], *rows):
            async with reading(self._journal.engine) as connection:
                about = [one for one in await _items(connection, row["order_id"]) if one[0].index < size]
            ends = [one for one in about if one[0].event in _ENDS]
            if {entry.event for entry, _ in ends} >= set(_ENDS[:2]):
                receipt = decode(AnchorReceipt, bytes(row["receipt"]), RECORD_LIMIT)
                path = await self._journal.consistency(row["size"], size)
                return PackAnchor(row["order_id"], receipt, path), ends
        return None, []


async def _beginning(connection: AsyncConnection, versions: Sequence[RowMapping]) -> list[tuple[Entry, Item]]:
    """GENESIS, and the changes by which the workspace has come to the version that counts."""
    query = select(log_items).where(log_items.c.index == 0)
    found = _read((await connection.execute(query)).mappings())
    for row in versions:
        wish = _request(row["request"]).wish  # by whose own id it is called where it is older than the log
        about = await _items(connection, await name_of(connection, row["subject"]), wish.change_id)
        found += [one for one in about if _brings(*one, row["digest"])][:1]
    return found


async def _items(connection: AsyncConnection, *subjects: str) -> list[tuple[Entry, Item]]:
    query = select(log_items).where(or_(*(log_items.c.subject == subject for subject in subjects)))
    return _read((await connection.execute(query.order_by(log_items.c.index))).mappings())


def _read(rows: Iterable[RowMapping]) -> list[tuple[Entry, Item]]:
    found: Sequence[Item] = [Item(bytes(row["entry"]), bytes(row["record"]), bytes(row["salt"])) for row in rows]
    return [(read_entry(one.entry), one) for one in found]


def _brings(entry: Entry, one: Item, version: bytes) -> bool:
    """Whether this entry is the approval of the change that led to a version."""
    record = read_record(entry, one) if entry.event == WORKSPACE_APPROVED else None
    if record is None or len(record.documents) != 1:
        return False
    return workspace_digest(_request(record.documents[0]).wish.next) == version


def _request(document: bytes) -> ChangeWorkspaceRequest:
    return decode(ChangeWorkspaceRequest, document, WORKSPACE_LIMIT)
