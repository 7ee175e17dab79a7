"""Heads of the log that do not fit each other, each under its signature: while one stands, this node does nothing.

It is in the store, so restarts keep it. That a node goes on all the same, on the tree that it has followed, is its
operator's word, and is about the heads that are known by then.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.sqlite import insert

from cosigner.store import log_conflicts
from oms_core.encoding import decode, encode
from oms_core.errors import LocalError, Malformed, Reason, Refused
from oms_core.log.conflict import LogConflict

log = structlog.get_logger()

LIMIT = 64 * 1024  # bytes of a conflict


def standing(connection: Connection) -> LogConflict | None:
    """The oldest one that the operator has not lifted."""
    query = select(log_conflicts.c.document).filter_by(lifted=0).order_by(log_conflicts.c.at, log_conflicts.c.size)
    return _read(connection.execute(query).scalar())


def newest(connection: Connection) -> LogConflict | None:
    """The newest one, lifted or not: to be shown."""
    query = select(log_conflicts.c.document).order_by(log_conflicts.c.at.desc(), log_conflicts.c.size)
    return _read(connection.execute(query).scalar())


def check(connection: Connection) -> None:
    """Raises `Refused` (LOG_FORKED) while one stands."""
    if connection.execute(select(log_conflicts.c.size).filter_by(lifted=0)).first() is not None:
        text = "the log has signed two heads that do not fit; see `cosigner log-conflict`"
        raise Refused(text, Reason.LOG_FORKED)


def find(connection: Connection, size: int, root: bytes) -> LogConflict | None:
    """That of this head, lifted or not."""
    return _read(connection.execute(select(log_conflicts.c.document).filter_by(size=size, root=root)).scalar())


def count(connection: Connection) -> int:
    """How many stand."""
    return connection.execute(select(func.count()).select_from(log_conflicts).filter_by(lifted=0)).scalar_one()


def keep(connection: Connection, size: int, root: bytes, conflict: LogConflict, now: int) -> None:
    """The head of this size and root does not fit. Once is enough."""
    values = {"size": size, "root": root, "document": encode(conflict), "at": now, "lifted": 0}
    connection.execute(insert(log_conflicts).values(values).on_conflict_do_nothing())
    log.critical("the log has forked", size=size, root=root.hex())


def lift(connection: Connection, now: int) -> int:
    """The operator's word to go on; returns how many stood."""
    return connection.execute(update(log_conflicts).filter_by(lifted=0).values(lifted=now)).rowcount


def _read(document: bytes | None) -> LogConflict | None:
    if document is None:
        return None
    try:
        return decode(LogConflict, document, LIMIT)
    except Malformed as error:
        raise LocalError("the store's conflict of the log is damaged", Reason.STORE_CORRUPT) from error
