"""The log as files that any web server can serve (C2SP tlog-tiles): checkpoint, tiles, and bundles of entries.

Entries hold nothing personal, and records are not among the files. What stands there is kept, and only what is new is
written; the checkpoint comes last, so that whoever reads meanwhile finds all that it promises.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sqlalchemy import Connection, select

from coordinator.database import reading
from coordinator.journal import Journal
from coordinator.tables import log_items
from coordinator.tiling import tiles_in
from oms_core.errors import LocalError, Reason
from oms_core.log.note import Checkpoint, read_note, verify_log
from oms_core.log.tiles import TILE_HEIGHT, TILE_WIDTH, bundle, entries_path, hashes_from, tile_path
from oms_core.log.tree import EMPTY_ROOT, HASH, root

_CHECKPOINT = "checkpoint"


async def write_files(journal: Journal, folder: Path) -> int:
    """Bring a folder up to the newest checkpoint that witnesses have cosigned; returns how many files are new.

    Raises `LocalError` (LOG_FORKED) if the folder holds another log, or a head that this one does not extend.
    """
    note, _, _ = await journal.newest()
    head = verify_log(read_note(note), journal.verifier)
    before = _before(journal, folder / _CHECKPOINT)
    if before.size > head.size:  # of a time when nobody had cosigned yet
        return 0
    async with reading(journal.engine) as connection:
        await connection.run_sync(_check, before)
        written = 0
        for level, number, width in _new_tiles(before.size, head.size):
            tile = await connection.run_sync(lambda inner, at: tiles_in(inner)(*at), (level, number))
            _write(folder, tile_path(level, number, width), tile[: width * HASH])
            written += 1
            if level == 0:
                entries = await connection.run_sync(_entries, number * TILE_WIDTH, width)
                _write(folder, entries_path(number, width), bundle(entries))
                written += 1
    if (folder / _CHECKPOINT).exists() and (folder / _CHECKPOINT).read_bytes() == note:
        return written
    os.sync()  # a checkpoint that outlives a power cut without its tiles would never get them
    _write(folder, _CHECKPOINT, note)
    return written + 1


def _before(journal: Journal, path: Path) -> Checkpoint:
    if not path.exists():
        return Checkpoint(journal.origin, 0, EMPTY_ROOT)
    return verify_log(read_note(path.read_bytes()), journal.verifier)


def _check(connection: Connection, before: Checkpoint) -> None:
    if before.size and root(before.size, hashes_from(tiles_in(connection), before.size)) != before.root:
        raise LocalError("the folder holds a log that this one does not extend", Reason.LOG_FORKED)


def _new_tiles(old: int, new: int) -> list[tuple[int, int, int]]:
    """(level, number, width) of the tiles that a tree has and a smaller one of size ``old`` had not, or not so wide."""
    found, level = list[tuple[int, int, int]](), 0
    while new >> level * TILE_HEIGHT:
        had, has = old >> level * TILE_HEIGHT, new >> level * TILE_HEIGHT
        if has > had:
            numbers = range(had // TILE_WIDTH, -(-has // TILE_WIDTH))
            found += [(level, number, min(TILE_WIDTH, has - number * TILE_WIDTH)) for number in numbers]
        level += 1
    return found


def _entries(connection: Connection, start: int, width: int) -> list[bytes]:
    query = select(log_items.c.entry).where(log_items.c.index >= start, log_items.c.index < start + width)
    return [bytes(one) for one in connection.execute(query.order_by(log_items.c.index)).scalars()]


def _write(folder: Path, name: str, data: bytes) -> None:
    """A file is there whole or not at all. Where it is a whole tile, partial ones of its place are needed no more."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.replace(path)
    if ".p/" not in name:
        shutil.rmtree(folder / f"{name}.p", ignore_errors=True)
