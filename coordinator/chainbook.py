"""What the coordinator remembers of the workspace's chain: changes on their way, versions, what nodes have signed."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.calls import Call, remember
from coordinator.database import one, read, read_one, reading
from coordinator.journal import COORDINATOR, append, events, said_at
from coordinator.staging import OURS, By, said, stage
from coordinator.tables import statements, workspace_changes, workspace_versions
from oms_core.errors import Conflict, Malformed, NotFound, Reason
from oms_core.log.entries import WORKSPACE_APPROVED, Record
from oms_core.workspace.lifecycle import ChangeState, advance

SCHEDULING, ADOPTION = "SCHEDULING", "ADOPTION"


class ChainBook:
    """Over the same database as orders and wallets."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    # Changes

    async def add(self, change: dict[str, Any], call: Call) -> None:
        """A new change. Raises `Conflict` if its wish was submitted before."""
        values = {**change, "state": ChangeState.PROPOSED, "created_at": time.time()}
        by = values.pop("by", OURS)
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(workspace_changes).values(values))
                await stage(connection, change["change_id"], ChangeState.PROPOSED, "", change["proposal"], by=by)
                await remember(connection, call, change["change_id"])
        except IntegrityError:
            raise Conflict("this wish was submitted before") from None

    async def change(self, change_id: str) -> RowMapping:
        """Raises `NotFound` (UNKNOWN_TRANSACTION)."""
        query = select(workspace_changes).where(workspace_changes.c.change_id == change_id)
        row = await read_one(self._engine, query)
        if row is None:
            raise NotFound(f"no change {change_id[:64]!r}", Reason.UNKNOWN_TRANSACTION)
        return row

    async def changes(self, *states: ChangeState) -> list[RowMapping]:
        """All changes, or those in one of these states, oldest first."""
        query = select(workspace_changes).order_by(workspace_changes.c.created_at)
        if states:
            query = query.where(workspace_changes.c.state.in_(states))
        return await read(self._engine, query)

    async def move(
        self, change_id: str, was: ChangeState, to: ChangeState, document: bytes = b"", by: By = OURS, **values: Any
    ) -> None:
        """One step; to APPROVED with the ChangeWorkspaceRequest, by which witnesses of the log know what is coming.

        To WITHDRAWN it is with its initiator's SignedWithdrawal.
        Raises `Conflict` (WRONG_STATE) if the change is not in ``was`` any more.
        """
        advance(change_id, was, to)
        if (to in (ChangeState.APPROVED, ChangeState.WITHDRAWN)) is not bool(document):
            raise Malformed("a change is approved by a request, withdrawn by its initiator's word, and by nothing else")
        at = (workspace_changes.c.change_id == change_id) & (workspace_changes.c.state == was)
        async with self._engine.begin() as connection:
            statement = update(workspace_changes).where(at)
            done = await connection.execute(statement.values(state=to, **{"reason": "", "detail": "", **values}))
            if done.rowcount != 1:
                raise Conflict(f"the change is not {was}", Reason.WRONG_STATE)
            reason, documents = values.get("reason", ""), (document,) if document else ()
            await stage(connection, change_id, to, reason, *documents, told=said(values), by=by)

    async def approved(self, change_id: str) -> bytes:
        """The ChangeWorkspaceRequest by which the log says that people have approved it.

        Raises `NotFound` (NOT_LOGGED).
        """
        async with reading(self._engine) as connection:
            found = await said_at(connection, change_id, WORKSPACE_APPROVED)
        if found is None:
            raise NotFound(f"no change {change_id[:64]!r} stands in the log as approved", Reason.NOT_LOGGED)
        return found.documents[0]

    async def note(self, change_id: str, **values: Any) -> None:
        """Change what is said about a change, its reason and detail, not its state."""
        assert set(values) <= {"reason", "detail"}
        at = workspace_changes.c.change_id == change_id
        async with self._engine.begin() as connection:
            await connection.execute(update(workspace_changes).where(at).values(**values))

    # What nodes have signed about a change

    async def keep(self, subject: bytes, index: int, kind: str, document: bytes) -> None:
        """Keep a node's statement; the first stands."""
        key = (statements.c.subject == subject) & (statements.c.cosigner == index) & (statements.c.kind == kind)
        values = {"subject": subject, "cosigner": index, "kind": kind, "document": document}
        async with self._engine.begin() as connection:
            if await one(connection, select(statements).where(key)) is None:
                await connection.execute(insert(statements).values(values))
                name, by = await name_of(connection, subject), (f"cosigner-{index}", b"")
                await append(connection, f"workspace.{kind.lower()}", name, Record(*by, "", (document,)))

    async def kept(self, subject: bytes, kind: str) -> dict[int, bytes]:
        """Statements of one kind about a change, by cosigner."""
        query = select(statements).where(statements.c.subject == subject, statements.c.kind == kind)
        rows = await read(self._engine, query.order_by(statements.c.cosigner))
        return {row["cosigner"]: bytes(row["document"]) for row in rows}

    # Versions

    async def add_version(self, number: int, digest: bytes, subject: bytes, request: bytes) -> None:
        """A version that counts. Once; raises `Conflict` (POLICY_VERSION_MISMATCH) if another one has its number.

        One that was learnt from nodes is in the log as approved from now on, as witnesses expect it.
        """
        query = select(workspace_versions).where(workspace_versions.c.number == number)
        values = {"number": number, "digest": digest, "subject": subject, "request": request, "at": time.time()}
        async with self._engine.begin() as connection:
            held = await one(connection, query)
            if held is None:
                await connection.execute(insert(workspace_versions).values(values))
                name = await name_of(connection, subject)
                if WORKSPACE_APPROVED not in await events(connection, name):
                    await append(connection, WORKSPACE_APPROVED, name, Record(COORDINATOR, b"", "learnt", (request,)))
                leaf = Record(COORDINATOR, b"", f"version {number} {digest.hex()}", ())
                await append(connection, "workspace.version", name, leaf)
            elif (held["digest"], held["subject"]) != (digest, subject):
                raise Conflict(f"there is another version {number}", Reason.POLICY_VERSION_MISMATCH)

    async def versions(self, after: int) -> list[RowMapping]:
        """Versions with a higher number, in order."""
        query = select(workspace_versions).where(workspace_versions.c.number > after)
        return await read(self._engine, query.order_by(workspace_versions.c.number))


async def name_of(connection: AsyncConnection, subject: bytes) -> str:
    """By which a change is called in the log: our id; for one that never came to us, its subject's digest."""
    query = select(workspace_changes.c.change_id).where(workspace_changes.c.subject == subject)
    row = await one(connection, query)
    return str(row["change_id"]) if row is not None else subject.hex()
