"""What stands in the log: entries, which are the leaves of the tree, and records, which stand beside it.

An entry says what happened to what, when, and where the same subject was spoken of before. Who did it, and with which
documents, is in its record, to which the entry commits by a salted hash: a record can be erased, and the tree stands.
"""

from __future__ import annotations

import re

from oms_core.encoding import decode, digest, document, encode
from oms_core.errors import Malformed, Reason

GENESIS = "log.genesis"
"""The first entry. Its record holds version 0 of the workspace, or the one that the log begins with."""
WORKSPACE_APPROVED = "workspace.approved"
"""A change of the workspace that people have approved, before nodes are asked to adopt it: ChangeWorkspaceRequest."""
AUTHORIZED = "authorized"
"""Cosigners are about to be asked for their shares of this: SignRequest, CreateRequest or ChangeRequest."""
SIGNED = "order.signed"
"""An order's bytes are signed: its record holds the transaction, or a message's signature."""
MADE = "wallet.pre_active"
"""A key is made: its record holds everyone's signed confirmation."""
FORMERLY, NOW = "order.formerly", "order.now"
"""An order has another id now; it had another one before. They stand one behind the other: each names the other's."""
COUNTED = frozenset({AUTHORIZED, GENESIS, WORKSPACE_APPROVED})
"""What cosigners count by: whoever follows the log from its beginning needs these records."""
KEPT = COUNTED | {SIGNED, MADE}
"""Cosigners keep these records, from which a coordinator makes its books again. They are never erased."""

ENTRY_LIMIT = 512  # bytes
RECORD_LIMIT = 8 << 20  # bytes
SALT = 16  # bytes
_EVENT = re.compile(r"[a-z][a-z_]{0,31}(?:\.[a-z][a-z_]{0,31})?\Z")
_SUBJECT = re.compile(r"[A-Za-z0-9._-]{0,64}\Z")
_SECRETS = (b"PRIVATE KEY-----", b"AGE-SECRET-KEY-")


@document("log-entry/1")
class Entry:
    """One leaf: its place, when (Unix seconds, never falling), what happened (``order.approved``) to which subject.

    ``subject`` is the id of an order, a wallet or a change, or empty; ``previous`` the index of the entry before it
    that has the same one, -1 if there is none. ``record`` is the `commitment` to what stands beside the tree.
    """

    index: int
    at: int
    event: str
    subject: str
    previous: int
    record: bytes


@document("log-record/1")
class Record:
    """What stands beside the tree: who did it, with which credential or key, a remark, and canonical documents."""

    actor: str
    credential: bytes
    note: str
    documents: tuple[bytes, ...]


@document("log-item/1")
class Item:
    """An entry with its record, in bytes as they were hashed; ``record`` and ``salt`` are empty where it was erased."""

    entry: bytes
    record: bytes
    salt: bytes


def commitment(salt: bytes, record: bytes) -> bytes:
    """The 32 bytes by which an entry holds its record. ``salt`` has 16 random bytes."""
    return digest("log record", salt, record)


def item(index: int, at: int, event: str, subject: str, previous: int, record: Record, salt: bytes) -> Item:
    """A new item. Raises `Malformed`, TOO_LARGE for its record, and what `check_entry` raises."""
    written = encode(record)
    if len(written) > RECORD_LIMIT:
        raise Malformed(f"a record of {len(written)} bytes", Reason.TOO_LARGE)
    if spells_a_key(written):
        raise Malformed("a record holds a private key")
    entry = Entry(index, at, event, subject, previous, commitment(salt, written))
    check_entry(entry)
    return Item(encode(entry), written, salt)


def spells_a_key(data: bytes) -> bool:
    """Whether a private key may be in it: nothing like that is written down, whoever said it."""
    return any(secret in data for secret in _SECRETS)


def check_entry(entry: Entry) -> None:
    """Shape alone. Raises `Malformed`."""
    if not 0 <= entry.index < 1 << 62 or not 0 <= entry.at < 1 << 40 or not -1 <= entry.previous < entry.index:
        raise Malformed("an entry's numbers are out of range")
    if not _EVENT.match(entry.event) or not _SUBJECT.match(entry.subject) or len(entry.record) != 32:
        raise Malformed("an entry's event, subject or record is out of shape")


def read_entry(data: bytes) -> Entry:
    """A leaf. Raises `Malformed`."""
    entry = decode(Entry, data, ENTRY_LIMIT)
    check_entry(entry)
    return entry


def read_record(entry: Entry, one: Item) -> Record | None:
    """The record beside an entry; None if it was erased. Raises `Malformed` (DIGEST_MISMATCH) if it is another one."""
    if not one.record and not one.salt:
        return None
    if len(one.salt) != SALT or commitment(one.salt, one.record) != entry.record:
        raise Malformed("the record is not the one that the entry commits to", Reason.DIGEST_MISMATCH)
    return decode(Record, one.record, RECORD_LIMIT)
