"""Packs as a coordinator makes them from its database: they verify, and who asked for one stands in the log."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from auditor.pack import read_pack
from auditor.verify import verify_pack
from coordinator import clock as module_of_clock
from coordinator import evidence
from coordinator.anchorbook import AnchorBook
from coordinator.chainbook import ChainBook
from coordinator.evidence import Packing
from coordinator.journal import Journal
from coordinator.keybook import KeyBook
from coordinator.parts import Books
from coordinator.standing import Standing
from coordinator.store import Store
from coordinator.tables import anchors, log_items, orders, workspace_changes, workspace_versions
from oms_core.chains.header import read_header
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import NotFound, Reason, Unavailable
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.log.anchor import anchor_call
from oms_core.log.entries import WORKSPACE_APPROVED, read_entry, read_record
from oms_core.log.note import read_note, with_signatures, write_note
from oms_core.log.tree import leaf_hash
from oms_core.workspace import Workspace, workspace_digest
from tests.evidence import TXN, Story, story
from tests.people import NOW, workspace
from tests.unit.auditor.test_pack_anchors import LISTED, ORDER
from tests.unit.log import anchors as blocks
from tests.witnessed import FOUR

PINNED = workspace_digest(workspace())


def newest(made: Story, index: int) -> bytes:
    record = read_record(read_entry(made.items[index].entry), made.items[index])
    assert record is not None
    return record.documents[0]


class Kept:
    """A story in a database, and the witnesses who follow it."""

    def __init__(self, engine: AsyncEngine, made: Story) -> None:
        self.engine, self.made = engine, made
        self.journal = Journal(engine, made.log.key, made.origin)
        books = Books(Store(engine), KeyBook(engine), ChainBook(engine), AnchorBook(engine), self.journal)
        standing = Standing(made.workspace)
        self.packing = Packing(books, standing)

    async def write(self) -> None:
        """Everything that a coordinator would have by now."""
        rows = []
        for index, one in enumerate(self.made.items):
            entry = read_entry(one.entry)
            row = {"index": index, "entry": one.entry, "record": one.record, "salt": one.salt, "at": entry.at}
            rows.append({**row, "subject": entry.subject, "leaf": leaf_hash(one.entry)})
        order = {"order_id": TXN, "wallet_id": "wal_1", "state": "CONFIRMED", "proposal": b"", "subject": b"s"}
        async with self.engine.begin() as connection:
            await connection.execute(insert(log_items), rows)
            await connection.execute(insert(orders).values(**order, created_at=0.0))
            for index, one in enumerate(self.made.items):
                if read_entry(one.entry).event == WORKSPACE_APPROVED:
                    await self._version(connection, newest(self.made, index), self.made.workspace)

    async def _version(self, connection: Any, request: bytes, version: Workspace) -> None:
        subject = subject_digest(decode(ChangeWorkspaceRequest, request, 8 << 20).proposal.subject)
        what = {"digest": workspace_digest(version), "subject": subject}
        values = {"number": version.version, "request": request, "at": 0.0, **what}
        await connection.execute(insert(workspace_versions).values(values))
        change = {"change_id": "chg_1", "state": "ACTIVE", "proposal": b"", "version": version.version, **what}
        await connection.execute(insert(workspace_changes).values(**change, created_at=0.0))

    async def witness(self, by: tuple[int, ...] = FOUR) -> int:
        """What grew is cosigned."""
        note, size = await self.journal.checkpoint()
        read = read_note(note)
        lines = [self.made.witnesses[i].cosign(read.body, NOW + 200) for i in by]
        if lines:
            await self.journal.keep_cosignatures(size, write_note(with_signatures(read, lines)).encode())
        return size


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are dated as the story is, before it is witnessed, whatever the year."""
    monkeypatch.setattr(module_of_clock, "time", SimpleNamespace(**vars(time) | {"time": lambda: NOW + 150}))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "PATIENCE", 0.3)
    monkeypatch.setattr(evidence, "LONGEST", 0.6)


async def test_the_pack_of_an_order_verifies_and_who_asked_for_it_stands_in_the_log(engine: AsyncEngine) -> None:
    kept = Kept(engine, story())
    await kept.write()
    cosigned = await kept.witness()
    data, size = await kept.packing.export(TXN, "auditor-1")
    assert size == cosigned
    report = verify_pack(data, PINNED)
    assert (report.size, report.cosigners) == (cosigned, FOUR)
    assert any("people changed the workspace" in one for one in report.claims)
    last = (await kept.journal.items(size, size + 9, 1 << 20))[-1]
    entry = read_entry(last.entry)
    record = read_record(entry, last)
    assert (entry.event, entry.subject) == ("evidence.exported", TXN)
    assert record is not None
    assert record.actor == "auditor-1"
    await kept.witness()
    data, _ = await kept.packing.export(TXN, "auditor-2")
    assert verify_pack(data, PINNED).size == size + 1


async def test_a_pack_says_what_three_of_five_have_cosigned_where_no_more_do(
    engine: AsyncEngine, hurried: None
) -> None:
    kept = Kept(engine, story())
    await kept.write()
    await kept.witness((1, 3, 5))
    data, _ = await kept.packing.export(TXN, "auditor")
    assert verify_pack(data, PINNED).cosigners == (1, 3, 5)


async def test_there_is_no_pack_while_too_few_have_cosigned_anything(engine: AsyncEngine, hurried: None) -> None:
    kept = Kept(engine, story())
    await kept.write()
    await kept.witness((1, 2))
    with pytest.raises(Unavailable) as caught:
        await kept.packing.export(TXN, "auditor")
    assert caught.value.reason == Reason.NOT_LOGGED


async def test_there_is_no_pack_of_an_order_that_there_is_not(engine: AsyncEngine) -> None:
    kept = Kept(engine, story())
    await kept.write()
    with pytest.raises(NotFound):
        await kept.packing.export("txn_none", "auditor")
    assert await kept.journal.length() == kept.made.size


async def test_a_pack_holds_the_oldest_anchor_that_is_younger_than_the_order(engine: AsyncEngine) -> None:
    made = Story(LISTED)
    made.wallet()
    made.order()
    size, note = made.size, made.note(at=NOW + 120).decode()
    sent = blocks.signed(anchor_call(note))
    receipt = blocks.receipt(sent, note)
    header = read_header(receipt.header)
    made.tell("order.submitted", ORDER)
    made.tell("order.signed", ORDER, sent)
    made.tell("order.mined", ORDER, note=f"in block {header.number} 0x{header.hash.hex()}")
    kept = Kept(engine, made)
    await kept.write()
    row = {"order_id": ORDER, "state": "ANCHORED", "size": size, "checkpoint": note, "proposal": b""}
    older = {**row, "order_id": "txn_older", "size": 3}
    async with engine.begin() as connection:
        await connection.execute(insert(anchors).values(**row, receipt=encode(receipt), created_at=2.0))
        await connection.execute(insert(anchors).values(**older, receipt=b"", created_at=1.0))
    await kept.witness()
    data, _ = await kept.packing.export(TXN, "auditor")
    anchor = read_pack(data).anchor
    assert anchor is not None
    assert anchor.order == ORDER
    said = verify_pack(data, workspace_digest(LISTED), header.hash).claims
    assert any(f"its first {size} entries are older than block" in one for one in said)
