"""Brings the store of an earlier version to what this one reads. SQLite's ``user_version`` says how far it has come."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, delete, insert, select, update

from cosigner.store import log_counters, log_versions
from oms_core.encoding import decode
from oms_core.errors import LocalError, Reason
from oms_core.history import WORKSPACE_LIMIT, authenticators
from oms_core.workspace import Workspace, workspace_digest

VERSION = 1


def upgrade(engine: Engine) -> None:
    """In one transaction, before anything is decided.

    Raises `LocalError` (STORE_CORRUPT) for a store of a later version, or one that cannot be brought to this one.
    """
    with engine.begin() as connection:
        version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version > VERSION:
            text = f"the store was written by a later version of this program ({version}, and this knows {VERSION})"
            raise LocalError(f"{text}: run that one", Reason.STORE_CORRUPT)
        if version < 1:
            _name_counters_by_key(connection)
        if version < VERSION:
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _name_counters_by_key(connection: Connection) -> None:
    """A counter's use was kept by the credential's id alone; it is each of its keys' that a version in the log names.

    Forgotten, the same counter could speak for another approval here, and nowhere else.
    """
    named, ours = dict[bytes, set[bytes]](), set[bytes]()
    for row in connection.execute(select(log_versions)):
        version = decode(Workspace, row.document, WORKSPACE_LIMIT)
        if workspace_digest(version) != row.digest:
            raise LocalError("the store has another document for a version of the workspace", Reason.STORE_CORRUPT)
        for credential_id, name in authenticators(version):
            named.setdefault(credential_id, set()).add(name)
            ours.add(name)
    for row in connection.execute(select(log_counters)).all():
        if row.credential in ours:
            continue
        if row.credential not in named:
            text = "an authenticator's counter stands in the store that is no one's in its log"
            said = "put a new store in its place, restore this node's backup there, and run `cosigner reconcile`"
            raise LocalError(f"{text}: {said}", Reason.STORE_CORRUPT)
        connection.execute(delete(log_counters).filter_by(credential=row.credential, counter=row.counter))
        for name in sorted(named[row.credential]):
            _use_up(connection, name, row.counter, row.challenge)


def _use_up(connection: Connection, name: bytes, counter: int, challenge: bytes) -> None:
    """What was kept first stands."""
    mine = (log_counters.c.credential == name) & (log_counters.c.counter == counter)
    if not connection.execute(update(log_counters).where(mine).values(challenge=challenge)).rowcount:
        connection.execute(insert(log_counters).values(credential=name, counter=counter, challenge=challenge))
