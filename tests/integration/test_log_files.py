"""The log as static files: what C2SP tlog-tiles has there, written once, and enough to verify everything offline."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.journal import Journal
from coordinator.log_files import write_files
from oms_core.errors import LocalError, ProofInvalid, Reason
from oms_core.log.note import Checkpoint, read_note, verify_log
from oms_core.log.tiles import entries_path, read_bundle, tile_path
from oms_core.log.tree import Frontier, leaf_hash
from tests.integration.test_journal import KEY, add, fill, naive
from tests.logs import ORIGIN, WITNESSES, Tree


@pytest.fixture
def log(engine: AsyncEngine) -> Journal:
    return Journal(engine, KEY, ORIGIN)


def verified(folder: Path, log: Journal) -> tuple[Checkpoint, list[bytes]]:
    """The head that stands there, and all entries, which lead to its root; every tile is the naive tree's."""
    head = verify_log(read_note((folder / "checkpoint").read_bytes()), log.verifier)
    entries: list[bytes] = []
    for number in range(-(-head.size // 256)):
        entries += read_bundle((folder / entries_path(number, min(256, head.size - 256 * number))).read_bytes())
    assert Frontier().extended(map(leaf_hash, entries)).root() == head.root
    for (level, number), data in Tree(entries).tiles.items():
        assert (folder / tile_path(level, number, len(data) // 32)).read_bytes() == data
    return head, entries


async def test_files_hold_the_whole_log_at_each_size_and_grow_by_what_is_new(
    engine: AsyncEngine, log: Journal, tmp_path: Path
) -> None:
    await fill(engine, 10)
    folder, size = tmp_path / "www", 10
    for more in (0, 246, 1, 300, 211, 0):
        await fill(engine, more)
        size += more
        await log.checkpoint()
        written = await write_files(log, folder)
        head, entries = verified(folder, log)
        assert (head.size, entries) == (size, (await naive(engine)).entries)
        assert written <= 3 * (2 + more // 256)
    assert written == 0
    assert (folder / "tile/0/000").stat().st_size == 8192
    assert not (folder / "tile/0/000.p").exists()
    assert not list(folder.rglob("*.new"))


async def test_cosignatures_that_come_later_are_written_without_the_tiles(
    engine: AsyncEngine, log: Journal, tmp_path: Path
) -> None:
    await fill(engine, 5)
    note, size = await log.checkpoint()
    await write_files(log, tmp_path)
    line = WITNESSES[0].cosign(read_note(note).body).line().encode()
    await log.keep_cosignatures(size, note + line)
    assert await write_files(log, tmp_path) == 1
    assert (tmp_path / "checkpoint").read_bytes() == note + line


async def test_files_never_go_back_to_a_smaller_head(engine: AsyncEngine, log: Journal, tmp_path: Path) -> None:
    await fill(engine, 5)
    await log.checkpoint()
    await write_files(log, tmp_path)
    note = await log.sign_at(3)
    await log.keep_cosignatures(3, note + WITNESSES[0].cosign(read_note(note).body).line().encode())
    assert await write_files(log, tmp_path) == 0
    assert verified(tmp_path, log)[0].size == 5


async def test_a_folder_with_another_log_is_left_alone(engine: AsyncEngine, log: Journal, tmp_path: Path) -> None:
    await fill(engine, 5)
    await log.checkpoint()
    await write_files(log, tmp_path)
    forged = log._note(4, b"\x05" * 32)
    (tmp_path / "checkpoint").write_bytes(forged)
    with pytest.raises(LocalError) as caught:
        await write_files(log, tmp_path)
    assert caught.value.reason is Reason.LOG_FORKED
    (tmp_path / "checkpoint").write_bytes(Journal(engine, KEY, "log.example/other")._note(4, b"\x05" * 32))
    with pytest.raises(ProofInvalid):
        await write_files(log, tmp_path)
    assert (await add(engine)) == 5
