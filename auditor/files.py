"""Logs in files: a folder of tiles as a web server offers them (C2SP tlog-tiles), and an export as JSON Lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path as File

from auditor.lines import LINE_LIMIT, read_line
from auditor.logs import Answer, Ask, Extends, Items, LogReport, Path, drive, verify_log
from auditor.trusted import read_file
from oms_core.errors import LocalError, Malformed, Reason
from oms_core.log.entries import ENTRY_LIMIT, Item, read_entry
from oms_core.log.note import LIMIT, read_checkpoint, read_note
from oms_core.log.tiles import TILE_HEIGHT, TILE_WIDTH, entries_path, hashes_from, read_bundle, tile_path
from oms_core.log.tree import HASH, consistency_proof, inclusion_proof
from oms_core.workspace import Workspace

_BUNDLE = TILE_WIDTH * (ENTRY_LIMIT + 2)  # bytes


class Folder:
    """A folder with a checkpoint, tiles and bundles of entries; records are not among them."""

    def __init__(self, folder: File) -> None:
        """Raises `LocalError` if there is no checkpoint, `Malformed` if it is none."""
        self._folder = folder
        self.note = self._read("checkpoint", LIMIT)
        self.size = read_checkpoint(read_note(self.note).body).size
        self.first, self.records = 0, False

    def answer(self, asked: Ask) -> Answer:
        """What a verification asks for. Raises `LocalError` for a file that is missing."""
        match asked:
            case Items(start, limit):
                return self._items(start, limit)
            case Path(index, size):
                return inclusion_proof(index, size, hashes_from(self._tile, size))
            case Extends(old, new):
                return consistency_proof(old, new, hashes_from(self._tile, new))

    def _items(self, start: int, limit: int) -> list[Item]:
        number, offset = divmod(start, TILE_WIDTH)
        width = min(TILE_WIDTH, self.size - number * TILE_WIDTH)
        entries = read_bundle(self._read(entries_path(number, width), _BUNDLE))
        return [Item(one, b"", b"") for one in entries[offset : offset + limit]]

    def _tile(self, level: int, number: int) -> bytes:
        width = min(TILE_WIDTH, (self.size >> level * TILE_HEIGHT) - number * TILE_WIDTH)
        return self._read(tile_path(level, number, width), TILE_WIDTH * HASH)

    def _read(self, name: str, limit: int) -> bytes:
        return read_file(self._folder / name, limit, regular=True)


class Export:
    """A file of lines, read once from its beginning; with a folder of tiles beside it, its entries can be placed."""

    def __init__(self, file: File, tiles: Folder | None = None) -> None:
        """Raises `LocalError` if there is no such file, `Malformed` if it does not end with a checkpoint."""
        self._file, self._tiles = file, tiles
        self.first, last, self.records = self._look()
        self._head = read_checkpoint(read_note(last).body)
        self.note: str | bytes = tiles.note if tiles is not None else last
        self._lines: Iterator[Item] | None = None

    def answer(self, asked: Ask) -> Answer:
        """What a verification asks for; entries in order, since the file is read once."""
        if isinstance(asked, Items):
            if self._lines is None:
                self._lines = islice(self._items(), max(0, asked.start - self.first), None)
            return list(islice(self._lines, asked.limit))
        return self._tiles.answer(asked) if self._tiles is not None else None

    def _look(self) -> tuple[int, str, bool]:
        """The first index, the checkpoint, and whether records are there."""
        first, with_records, note = -1, False, ""
        for text in self._texts():
            if first < 0:
                found = read_line(text)
                if isinstance(found, str):
                    break
                with_records, first = found[1], _index(found[0])
            elif text.startswith('{"checkpoint"'):
                end = read_line(text)
                note = end if isinstance(end, str) else ""
        if first < 0 or not note:
            raise Malformed("an export has lines of entries, and ends with a checkpoint")
        return first, note, with_records

    def _items(self) -> Iterator[Item]:
        for text in self._texts():
            found = read_line(text, self._head)
            if isinstance(found, str):
                continue
            if found[1] != self.records:
                raise Malformed("an export has records with all of its lines, or with none")
            yield found[0]

    def _texts(self) -> Iterator[str]:
        try:
            if not self._file.is_file():
                raise LocalError(f"cannot read {self._file.name}: not a regular file", Reason.CONFIG_INVALID)
            with self._file.open(encoding="utf-8", newline="\n") as file:
                while text := file.readline(LINE_LIMIT):
                    yield text
        except (OSError, ValueError) as error:
            raise LocalError(f"cannot read {self._file.name}: {type(error).__name__}", Reason.CONFIG_INVALID) from None


def open_log(tiles: File | None, export: File | None) -> Folder | Export:
    """The log in these files. Raises `LocalError` if there are none, and as either of them."""
    folder = Folder(tiles) if tiles is not None else None
    if export is not None:
        return Export(export, folder)
    if folder is None:
        raise LocalError("name --tiles or --export", Reason.CONFIG_INVALID)
    return folder


def verify_files(
    source: Folder | Export, pinned: bytes, workspace: Workspace | None, first: int | None, last: int | None
) -> LogReport:
    """As `verify_log`, from the first entry that is there unless ``first`` is named; tells how far it has come."""

    def answer(asked: Ask) -> Answer:
        tell_progress(asked)
        return source.answer(asked)

    begin = source.first if first is None else first
    return drive(verify_log(source.note, pinned, workspace, source.records, begin, last), answer)


def tell_progress(asked: Ask) -> None:
    """How far a verification has come, to whoever looks on."""
    if isinstance(asked, Items) and asked.start and sys.stderr.isatty():
        sys.stderr.write(f"\r{asked.start} entries")
        sys.stderr.flush()


def _index(one: Item) -> int:
    return read_entry(one.entry).index
