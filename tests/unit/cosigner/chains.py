"""The chain of workspaces at a node whose coordinator logs what it offers, and where the node has followed that."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from sqlalchemy import Connection, func, insert, select

from cosigner.chain import Chain
from cosigner.logbook import followed, put
from cosigner.store import log_changes
from cosigner.versions import LIMIT, Said
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode
from oms_core.errors import CountersealError
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.workspace import ChangeWorkspace

APART = 1 << 40  # places in a log that no test's own log comes to


class LoggedChain(Chain):
    """Every request stands in the log before it is looked at, since it was first offered."""

    def offer(self, data: bytes, now: int) -> Said:
        with self._engine.begin() as connection, suppress(CountersealError):
            follow(connection, data, now)
        return super().offer(data, now)


def follow(connection: Connection, data: bytes, at: int) -> None:
    """The log says, since this moment, that these approved the change; at this moment it has full cosignatures."""
    head = followed(connection)
    put(connection, replace(head, full_at=max(head.full_at, at)))
    wish = decode(ChangeWorkspaceRequest, data, LIMIT).proposal.subject
    if not isinstance(wish, ChangeWorkspace):
        return
    change = subject_digest(wish)
    held = connection.execute(select(log_changes.c.request).filter_by(change=change)).scalars()
    given = decode(ChangeWorkspaceRequest, data, LIMIT).approvals
    if all(decode(ChangeWorkspaceRequest, one, LIMIT).approvals != given for one in held):
        index = max(APART, connection.execute(select(func.max(log_changes.c.index))).scalar() or 0) + 1
        row = {"index": index, "at": at, "change": change, "parent": wish.next.parent, "request": data}
        connection.execute(insert(log_changes).values(row))
