"""Erased records: gone from the database's files, while every entry, proof and head stays as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.erasing import erase
from coordinator.journal import Journal
from oms_core.errors import Conflict, NotFound, Reason, Refused
from oms_core.log.entries import KEPT, Item, read_entry, read_record
from oms_core.log.note import read_note, verify_log
from oms_core.log.tree import leaf_hash, verify_consistency, verify_inclusion
from tests.integration.test_journal import KEY, SAID, add
from tests.logs import ORIGIN

PERSONAL = b"Lena Personal, born on a Tuesday, " * 400


@pytest.fixture
def log(engine: AsyncEngine) -> Journal:
    return Journal(engine, KEY, ORIGIN)


async def test_an_erased_record_is_gone_and_the_tree_does_not_notice(engine: AsyncEngine, log: Journal) -> None:
    for note in ("first", "second", "third"):
        await add(engine, record=replace(SAID, note=note, documents=(PERSONAL,)))
    before, size = await log.checkpoint()
    items = await log.items(0, 9, 1 << 20)
    made = await erase(engine, 1, "she asked for it")
    after = await log.items(0, 9, 1 << 20)
    assert after[1] == Item(items[1].entry, b"", b"")
    assert (after[0], after[2]) == (items[0], items[2])
    assert read_record(read_entry(after[1].entry), after[1]) is None
    said = read_entry(after[made].entry)
    record = read_record(said, after[made])
    assert record is not None
    assert (said.event, said.subject, record.note) == ("log.erased", "txn_1", "entry 1: she asked for it")
    now, larger = await log.checkpoint()
    old, new = verify_log(read_note(before), log.verifier), verify_log(read_note(now), log.verifier)
    verify_consistency(size, old.root, larger, new.root, await log.consistency(size, larger))
    verify_inclusion(leaf_hash(after[1].entry), 1, larger, await log.inclusion(1, larger), new.root)


async def test_what_cosigners_keep_is_never_erased(engine: AsyncEngine, log: Journal) -> None:
    for event in sorted(KEPT):
        index = await add(engine, event=event)
        with pytest.raises(Refused) as caught:
            await erase(engine, index, "anyway")
        assert caught.value.reason is Reason.NOT_ELIGIBLE
    assert all(one.record for one in await log.items(0, 9, 1 << 20))
    assert len(await log.items(0, 9, 1 << 20)) == len(KEPT)


async def test_what_is_not_there_or_is_erased_already_says_so(engine: AsyncEngine) -> None:
    await add(engine)
    with pytest.raises(NotFound):
        await erase(engine, 7, "no such entry")
    await erase(engine, 0, "once")
    with pytest.raises(Conflict):
        await erase(engine, 0, "twice")


async def test_no_file_of_an_sqlite_database_holds_what_was_erased(engine: AsyncEngine, database: str) -> None:
    if not database.startswith("sqlite"):
        pytest.skip("what PostgreSQL keeps on its disk is its server's matter")
    await add(engine, record=replace(SAID, documents=(b"kept", PERSONAL)))
    await add(engine, record=replace(SAID, documents=(b"kept",)))
    path = database.removeprefix("sqlite:///")

    def found() -> bool:
        data = b""
        for suffix in ("", "-wal"):
            with open(path + suffix, "rb") as file:
                data += file.read()
        return b"born on a Tuesday" in data

    assert found()
    await erase(engine, 0, "she asked for it")
    assert not found()
