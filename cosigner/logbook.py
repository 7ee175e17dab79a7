"""What this node has on disk of the log that it follows: tiles, entries, and its head. All inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert

from cosigner.store import log_head, log_items, log_tiles
from oms_core.errors import LocalError, Malformed, Reason
from oms_core.log.entries import KEPT, Entry, Item
from oms_core.log.tiles import hashes_from, new_tiles
from oms_core.log.tree import EMPTY_ROOT, Hashes, frontier
from oms_core.log.tree import root as root_of
from oms_core.log.witness import Head

MAX_ITEMS = 2000  # at once
_ONLY = 1


@dataclass(frozen=True, slots=True)
class Followed:
    """How far this node has followed the log. All times are in Unix seconds, 0 if there was none.

    ``at`` is the last entry's; ``note`` the checkpoint of this tree under the log's signature, with the cosignatures
    that are known of it. The first ``cosigned`` entries are a tree that it has cosigned, last at ``cosigned_at``. What
    comes next was made after ``since``; ``full_at`` is the newest moment that full cosignatures vouch for.
    """

    size: int = 0
    root: bytes = EMPTY_ROOT
    at: int = 0
    note: str = ""
    cosigned: int = 0
    cosigned_at: int = 0
    since: int = 0
    full_at: int = 0

    @property
    def tree(self) -> Head:
        """The tree alone, as a witness decides about it."""
        return Head(self.size, self.root)


def followed(connection: Connection) -> Followed:
    """The head."""
    row = connection.execute(select(log_head)).first()
    if row is None:
        return Followed()
    return Followed(**{name: getattr(row, name) for name in Followed.__slots__})


def put(connection: Connection, head: Followed) -> None:
    """Make this the head."""
    values = {name: getattr(head, name) for name in Followed.__slots__}
    change = insert(log_head).values(id=_ONLY, **values)
    connection.execute(change.on_conflict_do_update(index_elements=["id"], set_=values))


def hashes(connection: Connection, size: int) -> Hashes:
    """The subtrees of the first ``size`` entries, for one question. Raises as `hashes_from` does."""
    return hashes_from(lambda level, index: _tile(connection, level, index), size)


def root_at(connection: Connection, head: Followed, size: int) -> bytes:
    """The root of the first ``size`` entries, of which the node has followed that many. Raises `LocalError`."""
    return head.root if size == head.size else root_of(size, hashes(connection, size))


def grow(connection: Connection, head: Followed, leaf_hashes: Sequence[bytes]) -> bytes:
    """Put these leaves after those of the head; returns the new root.

    Reads one tile a level, whatever the tree's size. Raises `LocalError` (STORE_CORRUPT) if the tiles are another tree.
    """
    before = frontier(head.size, hashes(connection, head.size))
    if before.root() != head.root:
        raise LocalError("the store's tiles are not those of its head", Reason.STORE_CORRUPT)
    changed = new_tiles(head.size, leaf_hashes, lambda level, index: _tile(connection, level, index))
    for (level, index), written in changed.items():
        values = {"level": level, "index": index, "hashes": written}
        change = insert(log_tiles).values(values)
        connection.execute(change.on_conflict_do_update(index_elements=["level", "index"], set_={"hashes": written}))
    return before.extended(leaf_hashes).root()


def keep(connection: Connection, entries: Sequence[Entry], items: Sequence[Item]) -> None:
    """Entries as they were followed, each with its record if it is `KEPT`: no other record stays here.

    Raises `Malformed` if one does not name the last entry before it that has its subject: so nobody who is shown the
    entries of one subject alone is shown fewer than there are between the first and the last. A store that followed
    before it kept entries knows none of those, and takes one that names one of them.
    """
    rows, newest = [], dict[str, int]()
    first = connection.execute(select(func.min(log_items.c.index))).scalar()
    first = entries[0].index if first is None else first
    for entry, one in zip(entries, items, strict=True):
        last = newest.get(entry.subject, -2) if entry.subject else -1
        last = _last(connection, entry.subject) if last == -2 else last
        unknown = bool(entry.subject) and last == -1 and 0 <= entry.previous < first
        if entry.previous != last and not unknown:
            raise Malformed(f"entry {entry.index} names {entry.previous} as the one before it, and that is {last}")
        newest[entry.subject] = entry.index
        record, salt = (one.record, one.salt) if entry.event in KEPT else (b"", b"")
        row = {"index": entry.index, "subject": entry.subject, "entry": one.entry, "record": record, "salt": salt}
        rows.append(row)
    connection.execute(insert(log_items), rows)


def _last(connection: Connection, subject: str) -> int:
    query = select(func.max(log_items.c.index)).where(log_items.c.subject == subject)
    last = connection.execute(query).scalar()
    return -1 if last is None else int(last)


def kept(connection: Connection, start: int, limit_bytes: int) -> list[Item]:
    """Entries from ``start`` on: at most 2000, at least one if there is one, no more bytes than that otherwise."""
    query = select(log_items.c.entry, log_items.c.record, log_items.c.salt).where(log_items.c.index >= start)
    found, total = list[Item](), 0
    for row in connection.execute(query.order_by(log_items.c.index).limit(MAX_ITEMS)):
        one = Item(*map(bytes, row))
        total += len(one.entry) + len(one.record)
        if found and total > limit_bytes:
            break
        found.append(one)
    return found


def _tile(connection: Connection, level: int, index: int) -> bytes:
    query = select(log_tiles.c.hashes).where(log_tiles.c.level == level, log_tiles.c.index == index)
    return bytes(connection.execute(query).scalar() or b"")
