"""The coordinator's log: what happens is written down in the transaction in which it happens, and signed soon after.

An append is one row and two look-ups by index; no hash of the tree is made in it. `Journal.checkpoint` extends the
tiles by what is new and signs the head. Every transaction that writes holds the database's one lock from its beginning
(coordinator/tables.py), also across replicas, so entries have indices without gaps, in the order of their effects.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TypeVar
from weakref import WeakKeyDictionary

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Engine, RowMapping, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.clock import LogClock, clock_of
from coordinator.database import one, reading
from coordinator.tables import log_checkpoints, log_items
from coordinator.tiling import built, extend, tiles_in
from oms_core.encoding import decode, encode
from oms_core.errors import LocalError, Malformed, Reason, Unavailable
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.log.entries import (
    GENESIS,
    SALT,
    WORKSPACE_APPROVED,
    Item,
    Record,
    item,
    read_entry,
    read_record,
    spells_a_key,
)
from oms_core.log.note import (
    LOG,
    Checkpoint,
    Note,
    Verifier,
    log_message,
    log_signature,
    read_checkpoint,
    read_note,
    verify_log,
    with_signatures,
    write_note,
)
from oms_core.log.tiles import hashes_from
from oms_core.log.tree import EMPTY_ROOT, Hashes, consistency_proof, inclusion_proof, leaf_hash, root
from oms_core.workspace import Workspace

COORDINATOR, OPERATOR = "coordinator", "operator"
"""The actors of what nobody else has asked for, and of what was said at the coordinator's console."""
WITHHELD = "withheld: it spells what may be a private key"
"""In the place of a remark: others choose the words of some, and would keep from the log what they did."""

_MOST = 4096  # items at once
_LAST = select(log_items.c.index, log_items.c.at).order_by(log_items.c.index.desc()).limit(1)
_PREVIOUS = select(func.max(log_items.c.index)).where(log_items.c.subject == bindparam("subject")).scalar_subquery()
_BEFORE = _LAST.add_columns(_PREVIOUS)

T = TypeVar("T")

_bells: WeakKeyDictionary[Engine, asyncio.Event] = WeakKeyDictionary()


async def append(connection: AsyncConnection, event: str, subject: str, record: Record) -> int:
    """One entry in the caller's transaction; returns its index. Raises `Malformed`, TOO_LARGE for its record.

    Its time never falls, also when the clock does; nor is it before what witnesses have said, who for ever refuse an
    entry from before they have cosigned without it. Raises `Unavailable` (LOG_STALE) while our clock is ahead.
    """
    last = (await connection.execute(_BEFORE, {"subject": subject})).first()
    now = clock_of(connection.engine.sync_engine).now()
    salt = secrets.token_bytes(SALT)
    index, at, previous = (last[0] + 1, max(last[1], now), last[2]) if last else (0, now, None)
    if spells_a_key(record.note.encode()):
        record = replace(record, note=WITHHELD)
    made = item(index, at, event, subject, previous if subject and previous is not None else -1, record, salt)
    values = {"index": index, "entry": made.entry, "record": made.record, "salt": salt, "subject": subject, "at": at}
    await connection.execute(insert(log_items).values(**values, leaf=leaf_hash(made.entry)))
    _bell(connection.engine).set()  # whoever wakes up waits for this transaction's lock before it looks
    return index


async def events(connection: AsyncConnection, subject: str) -> list[str]:
    """What has happened to a subject so far, in order."""
    query = select(log_items.c.entry).where(log_items.c.subject == subject).order_by(log_items.c.index)
    return [read_entry(bytes(entry)).event for entry in (await connection.execute(query)).scalars()]


async def last_event(connection: AsyncConnection, subject: str) -> str:
    """What happened to a subject last; empty if nothing did."""
    query = select(log_items.c.entry).where(log_items.c.subject == subject).order_by(log_items.c.index.desc())
    entry = (await connection.execute(query.limit(1))).scalar()
    return read_entry(bytes(entry)).event if entry else ""


async def said_at(connection: AsyncConnection, subject: str, event: str) -> Record | None:
    """What stands beside the newest entry of this event about a subject; None if there is none."""
    columns = select(log_items.c.entry, log_items.c.record, log_items.c.salt)
    query = columns.where(log_items.c.subject == subject).order_by(log_items.c.index.desc())
    for row in await connection.execute(query):
        if (entry := read_entry(bytes(row.entry))).event == event:
            return read_record(entry, Item(bytes(row.entry), bytes(row.record), bytes(row.salt)))
    return None


def _bell(engine: AsyncEngine) -> asyncio.Event:
    return _bells.setdefault(engine.sync_engine, asyncio.Event())


class Journal:
    """The log in a database: appending to it, its tiles, and its heads under the log's key."""

    def __init__(self, engine: AsyncEngine, key: Ed25519PrivateKey, origin: str, *others: Ed25519PrivateKey) -> None:
        """``others`` sign as well: nodes that have gone over to a new key want that one, all others the old one."""
        self._engine, self.origin = engine, origin
        self._keys = {Verifier(origin, one.public_key().public_bytes_raw(), LOG): one for one in (key, *others)}
        self.verifier = next(iter(self._keys))
        self.grown = _bell(engine)
        """Set by whatever is appended through this process; whoever waits clears it, then asks for a checkpoint."""

    async def begin(self, workspace: Workspace, later: tuple[bytes, ...] = ()) -> None:
        """GENESIS with the workspace, where there is no log yet, and the changes that have led on from it.

        ``later`` are ChangeWorkspaceRequests. Raises `LocalError` (CONFIG_INVALID) if the log in the database or its
        key is not the newest workspace's.
        """
        documents = [decode(ChangeWorkspaceRequest, one, 8 << 20) for one in later]
        newest = documents[-1].wish.next if documents else workspace
        if newest.log.origin != self.origin or newest.log.public not in {one.key for one in self._keys}:
            raise LocalError("log.key is not the key of the workspace's log", Reason.CONFIG_INVALID)
        async with self._engine.begin() as connection:
            if await self.size(connection):
                first = await one(connection, select(log_items).where(log_items.c.index == 0))
                _check_genesis(first, self.origin)
                return
            record = Record(COORDINATOR, b"", "", (encode(workspace),))
            await append(connection, GENESIS, "", record)
            for request in documents:
                record = Record(COORDINATOR, b"", "before the log began", (encode(request),))
                await append(connection, WORKSPACE_APPROVED, request.wish.change_id, record)

    @property
    def engine(self) -> AsyncEngine:
        """The database."""
        return self._engine

    async def size(self, connection: AsyncConnection) -> int:
        """How many entries there are, this transaction's own among them."""
        last = (await connection.execute(_LAST)).first()
        return last[0] + 1 if last else 0

    async def length(self) -> int:
        """As `size`, without holding anybody up."""
        async with reading(self._engine) as connection:
            return await self.size(connection)

    # Heads

    async def checkpoint(self) -> tuple[bytes, int]:
        """The newest head under the log's key, and its size; signed now if the log has grown.

        Raises `LocalError` (STORE_CORRUPT) if the tree does not extend what was signed before: then nothing is signed.
        """
        while True:
            async with self._engine.begin() as connection:
                size = await self.size(connection)
                if await connection.run_sync(extend) == size:  # else there is more than a transaction should do
                    return await self._head(connection, size), size

    async def _head(self, connection: AsyncConnection, size: int) -> bytes:
        held = await self._newest(connection, 0)
        if held is not None and held["size"] == size:
            return await self._signed_by_all(connection, held)
        note, made = await connection.run_sync(self._signed, size, held)
        values = {"size": size, "at": int(time.time()), "root": made, "note": note, "count": 0}
        useless = log_checkpoints.delete().where(log_checkpoints.c.count == 0)  # they can be signed again
        await connection.execute(useless)
        await connection.execute(insert(log_checkpoints).values(values))
        return note

    async def sign_at(self, size: int) -> bytes:
        """The head that the log had, or would have had, with so many entries. Raises `Malformed` above its size."""
        return await self._over(size, lambda hashes: self._note(size, root(size, hashes)))

    async def keep_cosignatures(self, size: int, note: bytes) -> None:
        """Keep witnesses' lines, which the caller has verified; each witness's newest takes the place of its older one.

        Raises `Malformed` (DIGEST_MISMATCH) if the note is not of this log's head.
        """
        own, given = await self.sign_at(size), read_note(note)
        async with self._engine.begin() as connection:
            held = await one(connection, select(log_checkpoints).where(log_checkpoints.c.size == size))
            kept = read_note(bytes(held["note"]) if held is not None else own)
            if given.body != kept.body:
                raise Malformed("cosignatures of another head", Reason.DIGEST_MISMATCH)
            lines = {(one.name, one.key_id): one for one in (*kept.signatures, *given.signatures)}
            values = {
                "size": size,
                "at": int(time.time()),
                "root": read_checkpoint(kept.body).root,
                "note": write_note(Note(kept.body, tuple(lines.values()))).encode(),
                "count": len({name for name, _ in lines} - {self.origin}),
            }
            await connection.execute(log_checkpoints.delete().where(log_checkpoints.c.size == size))
            await connection.execute(insert(log_checkpoints).values(values))

    @property
    def clock(self) -> LogClock:
        """By which entries are dated."""
        return clock_of(self._engine.sync_engine)

    async def newest(self, wanted: int = 1) -> tuple[bytes, int, int]:
        """The newest head with so many cosignatures, its size, and how many it has; without any, if none has.

        Raises `Unavailable` (NOT_LOGGED) where no head was signed yet: who asks has none signed, see `Meeting`.
        """
        async with reading(self._engine) as connection:
            held = await self._newest(connection, wanted) or await self._newest(connection, 0)
        if held is None:
            raise Unavailable("no head of this log has been signed yet", Reason.NOT_LOGGED)
        return bytes(held["note"]), int(held["size"]), int(held["count"])

    async def cosigned(self, connection: AsyncConnection) -> int:
        """The size of the newest head that some witness has cosigned; 0 if there is none."""
        held = await self._newest(connection, 1)
        return int(held["size"]) if held is not None else 0

    def own(self, note: bytes) -> Checkpoint:
        """A head under this log's key. Raises `ProofInvalid` or `Malformed` for any other."""
        return verify_log(read_note(note), *self._keys)

    async def lacks(self, note: bytes) -> str:
        """What is missing here of a head under this log's key, in words; empty if the database holds all of it.

        Two heads that do not fit and have both been cosigned are no loss but two histories: see `Conflicts`.
        Raises `ProofInvalid` or `Malformed` for what is no head of this log.
        """
        head, size = self.own(note), await self.length()
        if head.size > size:
            return f"{head.size} entries of this log, and here are {size}"
        made = await self._over(head.size, lambda hashes: root(head.size, hashes))
        async with reading(self._engine) as connection:
            if made == head.root or head.size <= await self.cosigned(connection):
                return ""
        return f"{head.size} entries of this log, and not all of them are here"

    # Entries and proofs

    async def items(self, start: int, stop: int, limit_bytes: int) -> list[Item]:
        """Entries from ``start`` on, below ``stop``: as many as fit, at least one if there is one, at most 4096."""
        rows = log_items.c.index >= start, log_items.c.index < min(stop, start + _MOST)
        columns = (log_items.c.entry, log_items.c.record, log_items.c.salt)
        length = func.length(log_items.c.entry) + func.length(log_items.c.record)
        lengths = select(length + SALT).where(*rows).order_by(log_items.c.index)
        async with reading(self._engine) as connection:
            count = total = 0
            for length in (await connection.execute(lengths)).scalars():
                total += length
                if count and total > limit_bytes:
                    break
                count += 1
            query = select(*columns).where(*rows).order_by(log_items.c.index).limit(count)
            return [Item(*map(bytes, row)) for row in await connection.execute(query)]

    async def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """The path of an entry in a tree of this size. Raises `Malformed` if there is no such tree or entry."""
        return await self._over(size, lambda hashes: inclusion_proof(index, size, hashes))

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the newer tree extends the older. Raises `Malformed` if there are no such trees."""
        return await self._over(new, lambda hashes: consistency_proof(old, new, hashes))

    # Tiles

    async def _over(self, size: int, ask: Callable[[Hashes], T]) -> T:
        """What ``ask`` finds in the first ``size`` entries. Raises `Malformed` if there are fewer."""
        async with reading(self._engine) as connection:
            if size <= await connection.run_sync(built):
                return await connection.run_sync(lambda inner: ask(hashes_from(tiles_in(inner), size)))
        if size > await self._extend():
            raise Malformed(f"the log has no {size} entries")
        return await self._over(size, ask)

    async def _extend(self) -> int:
        """Bring the tiles up to what is in the log now, a chunk a transaction; how many entries that are."""
        size = await self.length()
        while True:
            async with self._engine.begin() as connection:
                there = await connection.run_sync(extend)
            if there >= size:
                return there

    def _signed(self, connection: Connection, size: int, held: RowMapping | None) -> tuple[bytes, bytes]:
        read = cache(tiles_in(connection))
        if held is not None and root(held["size"], hashes_from(read, held["size"])) != held["root"]:
            raise LocalError("the log's tree is not the one that was signed before", Reason.STORE_CORRUPT)
        made = root(size, hashes_from(read, size)) if size else EMPTY_ROOT
        return self._note(size, made), made

    async def _signed_by_all(self, connection: AsyncConnection, held: RowMapping) -> bytes:
        """A kept head; where it is of a time before one of our keys, with that one's line, too."""
        note = bytes(held["note"])
        signed = with_signatures(read_note(note), read_note(self._note(held["size"], held["root"])).signatures)
        if signed != read_note(note):
            note = write_note(signed).encode()
            mine = update(log_checkpoints).where(log_checkpoints.c.size == held["size"])
            await connection.execute(mine.values(note=note))
        return note

    def _note(self, size: int, made: bytes) -> bytes:
        body = Checkpoint(self.origin, size, made).body()
        lines = (log_signature(verifier, key.sign(log_message(body))) for verifier, key in self._keys.items())
        return write_note(Note(body, tuple(lines))).encode()

    @staticmethod
    async def _newest(connection: AsyncConnection, wanted: int) -> RowMapping | None:
        query = select(log_checkpoints).where(log_checkpoints.c.count >= wanted)
        query = query.order_by(log_checkpoints.c.size.desc()).limit(1)
        return await one(connection, query)


def _check_genesis(first: RowMapping | None, origin: str) -> None:
    record = None
    if first is not None and (entry := read_entry(first["entry"])).event == GENESIS:
        record = read_record(entry, Item(first["entry"], first["record"], first["salt"]))
    if record is None:
        raise LocalError("the log in the database does not begin as one", Reason.STORE_CORRUPT)
    if decode(Workspace, record.documents[0], 4 << 20).log.origin != origin:
        raise LocalError("the log in the database is another one than the workspace's", Reason.CONFIG_INVALID)
