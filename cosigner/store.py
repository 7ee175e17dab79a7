"""The SQLite file of a cosigner: every commit is on disk before it returns, every transaction takes the write lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.exc import DatabaseError

from oms_core.errors import LocalError, Reason

metadata = MetaData()

sealed = Table(
    "sealed",
    metadata,
    Column("name", String, primary_key=True),
    Column("wallet_id", String, nullable=False, index=True),
    Column("state", String, nullable=False),
    Column("clear", LargeBinary, nullable=False),
    Column("blob", LargeBinary, nullable=False),
)

signed = Table(
    "signed",
    metadata,
    Column("chain", String, primary_key=True),
    Column("account", LargeBinary, primary_key=True),
    Column("nonce", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("wallet_id", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("subject"),
)

log_authorized = Table(
    "log_authorized",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False, index=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("request", LargeBinary, nullable=False),
    Column("signs", LargeBinary, nullable=False),
    Column("workspace", LargeBinary, nullable=False),
)
"""By subject: between which entries, and when last, cosigners were asked for it; what for; under which version."""

log_wishes = Table(
    "log_wishes",
    metadata,
    Column("request", LargeBinary, primary_key=True),
    Column("at", BigInteger, nullable=False),
)
"""Requests to change a key, by their digests, approvals and all, and when each stood in the log first."""

log_spends = Table(
    "log_spends",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("operation", Integer, nullable=False),
    Column("action", String, nullable=False),
    Column("wallet_id", String, nullable=False),
    Column("initiator", String, nullable=False),
    Column("chain", String, nullable=False),
    Column("destination", LargeBinary, nullable=False),
    Column("protocol", String, nullable=False),
    Column("asset", String, nullable=False),
    Column("amount", String, nullable=False),
    Column("usd_micro", String, nullable=False),
)

log_counters = Table(
    "log_counters",
    metadata,
    Column("credential", LargeBinary, primary_key=True),
    Column("counter", Integer, primary_key=True, autoincrement=False),
    Column("challenge", LargeBinary, nullable=False),
)
"""``credential`` stands for its id with its public key."""

log_versions = Table(
    "log_versions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

log_changes = Table(
    "log_changes",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("change", LargeBinary, nullable=False, index=True),
    Column("parent", LargeBinary, nullable=False, index=True),
    Column("request", LargeBinary, nullable=False),
)

log_passed = Table("log_passed", metadata, Column("index", BigInteger, primary_key=True, autoincrement=False))
"""Of `log_changes`, those that people had not approved, as was seen when they were followed: they are never due."""

messages = Table(
    "messages",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)

seen = Table(
    "seen",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("at", BigInteger, nullable=False),
)

sessions = Table("sessions", metadata, Column("session_id", LargeBinary, primary_key=True))

counters = Table(
    "counters",
    metadata,
    Column("credential_id", LargeBinary, primary_key=True),
    Column("counter", Integer, primary_key=True, autoincrement=False),
    Column("challenge", LargeBinary, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("receipt", LargeBinary, nullable=False),
)

gone = Table(
    "gone",
    metadata,
    Column("key_id", LargeBinary, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

certificates = Table(
    "certificates",
    metadata,
    Column("key_id", LargeBinary, primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

stops = Table(
    "stops",
    metadata,
    Column("wallet_id", String, primary_key=True),
    Column("valid_from", BigInteger, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("change", LargeBinary, nullable=False),
    Column("clear", LargeBinary, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    Column("scheduling", LargeBinary, nullable=False),
    Column("adoption", LargeBinary, nullable=False),
)

sightings = Table(
    "sightings",
    metadata,
    Column("change", LargeBinary, primary_key=True),
    Column("parent", LargeBinary, nullable=False),
    Column("scheduling", LargeBinary, nullable=False),
)

resumed = Table("resumed", metadata, Column("wallet_id", String, primary_key=True))
"""Whose newest stop has been answered by a wish to resume."""

erasing = Table("erasing", metadata, Column("label", String, primary_key=True))

heads = Table(
    "heads",
    metadata,
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
    Column("head", LargeBinary, nullable=False),
)

convictions = Table(
    "convictions",
    metadata,
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("evidence", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)

halts = Table(
    "halts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("reason", String, nullable=False),
    Column("at", BigInteger, nullable=False),
)

boots = Table(
    "boots",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
    Column("starting", Integer, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("writes", BigInteger, nullable=False),
    Column("reconciled_at", BigInteger, nullable=False),
    Column("rolled_back", String, nullable=False),
    Column("forgiven", BigInteger, nullable=False),
)
"""``forgiven``: the size of the tree that the token held when the operator reconciled a store with a smaller one."""

log_tiles = Table(
    "log_tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

log_items = Table(
    "log_items",
    metadata,
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("subject", String, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Index("log_items_by_subject", "subject", "index"),
)
"""All entries that this node has followed; of records, those that cosigners count by."""

log_head = Table(
    "log_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("note", String, nullable=False),
    Column("cosigned", BigInteger, nullable=False),
    Column("cosigned_at", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("full_at", BigInteger, nullable=False),
)
"""The tree that this node follows, when its last entry was made, and the log's note of it; how much of it this node has
cosigned, and when last; before when nothing more may be; and the newest moment that full cosignatures vouch for."""

log_notes = Table(
    "log_notes",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, primary_key=True),
    Column("note", String, nullable=False),
)
"""Signed heads of larger trees than this node's, to be compared when it has come so far."""

log_conflicts = Table(
    "log_conflicts",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("lifted", BigInteger, nullable=False),
)
"""By the head that does not fit. ``lifted``: when the operator said to go on all the same; 0 if not."""


def open_store(path: Path) -> Engine:
    """Open or make the file (mode 0600). Raises `LocalError` (STORE_CORRUPT) for what is not our database."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    try:
        metadata.create_all(engine)
        with engine.begin() as connection:
            for table in metadata.sorted_tables:  # a store of an earlier version has the table, and not all of these
                for one in table.indexes:
                    one.create(connection, checkfirst=True)
            if connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
                raise LocalError("the store fails its integrity check", Reason.STORE_CORRUPT)
    except DatabaseError:
        raise LocalError("the store is not a readable database", Reason.STORE_CORRUPT) from None
    return engine


@contextmanager
def showing(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads, and waits for no writer: for what is shown. What decides takes its turn."""
    with engine.connect() as connection:
        yield connection.execution_options(cosigner_shows=True)


def _on_connect(connection: Any, _: object) -> None:
    connection.isolation_level = None
    # Two thousand entries of the log in one transaction take seconds, on a busy machine many.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=60000", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _on_begin(connection: Any) -> None:
    shows = connection.get_execution_options().get("cosigner_shows")
    connection.exec_driver_sql("BEGIN" if shows else "BEGIN IMMEDIATE")
