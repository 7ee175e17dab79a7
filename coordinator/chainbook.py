"""What the coordinator remembers of the workspace's chain: changes on their way, versions, what nodes have signed."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.store import Call, one, remember, stage
from coordinator.tables import statements, workspace_changes, workspace_versions
from oms_core.errors import Conflict, NotFound, Reason
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
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(workspace_changes).values(values))
                await stage(connection, change["change_id"], ChangeState.PROPOSED, "")
                await remember(connection, call, change["change_id"])
        except IntegrityError:
            raise Conflict("this wish was submitted before") from None

    async def change(self, change_id: str) -> RowMapping:
        """Raises `NotFound` (UNKNOWN_TRANSACTION)."""
        query = select(workspace_changes).where(workspace_changes.c.change_id == change_id)
        async with self._engine.begin() as connection:
            row = await one(connection, query)
        if row is None:
            raise NotFound(f"no change {change_id[:64]!r}", Reason.UNKNOWN_TRANSACTION)
        return row

    async def changes(self, *states: ChangeState) -> list[RowMapping]:
        """All changes, or those in one of these states, oldest first."""
        query = select(workspace_changes).order_by(workspace_changes.c.created_at)
        if states:
            query = query.where(workspace_changes.c.state.in_(states))
        async with self._engine.begin() as connection:
            return list((await connection.execute(query)).mappings())

    async def move(self, change_id: str, was: ChangeState, to: ChangeState, **values: Any) -> None:
        """One step. Raises `Conflict` (WRONG_STATE) if the change is not in ``was`` any more."""
        advance(change_id, was, to)
        at = (workspace_changes.c.change_id == change_id) & (workspace_changes.c.state == was)
        async with self._engine.begin() as connection:
            statement = update(workspace_changes).where(at)
            done = await connection.execute(statement.values(state=to, **{"reason": "", "detail": "", **values}))
            if done.rowcount != 1:
                raise Conflict(f"the change is not {was}", Reason.WRONG_STATE)
            await stage(connection, change_id, to, values.get("reason", ""))

    async def note(self, change_id: str, **values: Any) -> None:
        """Change what is said about a change, not its state."""
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

    async def kept(self, subject: bytes, kind: str) -> dict[int, bytes]:
        """Statements of one kind about a change, by cosigner."""
        query = select(statements).where(statements.c.subject == subject, statements.c.kind == kind)
        async with self._engine.begin() as connection:
            rows = (await connection.execute(query.order_by(statements.c.cosigner))).mappings()
            return {row["cosigner"]: bytes(row["document"]) for row in rows}

    # Versions

    async def add_version(self, number: int, digest: bytes, subject: bytes, request: bytes) -> None:
        """A version that counts. Once; raises `Conflict` (POLICY_VERSION_MISMATCH) if another one has its number."""
        query = select(workspace_versions).where(workspace_versions.c.number == number)
        values = {"number": number, "digest": digest, "subject": subject, "request": request, "at": time.time()}
        async with self._engine.begin() as connection:
            held = await one(connection, query)
            if held is None:
                await connection.execute(insert(workspace_versions).values(values))
            elif (held["digest"], held["subject"]) != (digest, subject):
                raise Conflict(f"there is another version {number}", Reason.POLICY_VERSION_MISMATCH)

    async def versions(self, after: int) -> list[RowMapping]:
        """Versions with a higher number, in order."""
        query = select(workspace_versions).where(workspace_versions.c.number > after)
        async with self._engine.begin() as connection:
            return list((await connection.execute(query.order_by(workspace_versions.c.number))).mappings())
