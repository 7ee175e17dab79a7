"""What the coordinator remembers of anchors: which order is to anchor which checkpoint, and the receipts."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.database import one, read
from coordinator.journal import COORDINATOR, append
from coordinator.staging import written
from coordinator.tables import anchors
from oms_core.errors import CountersealError
from oms_core.log.entries import Record, spells_a_key


class AnchorState(StrEnum):
    """Where an anchor stands. FAILED is for good: the next one anchors a newer checkpoint."""

    PROPOSED = "PROPOSED"
    ANCHORED = "ANCHORED"
    FAILED = "FAILED"


class AnchorBook:
    """Over the same database as orders."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, order_id: str, size: int, checkpoint: str, proposal: bytes) -> bool:
        """A new one, unless another one is under way, also another replica's; whether it was added."""
        values = {"order_id": order_id, "size": size, "checkpoint": checkpoint, "proposal": proposal}
        async with self._engine.begin() as connection:
            if await one(connection, select(anchors).where(anchors.c.state == AnchorState.PROPOSED)) is not None:
                return False
            await connection.execute(
                insert(anchors).values(**values, state=AnchorState.PROPOSED, created_at=time.time())
            )
            said = Record(COORDINATOR, b"", f"the checkpoint of {size} entries", (proposal,))
            await append(connection, "anchor.proposed", order_id, said)
        return True

    async def newest(self, *states: AnchorState) -> RowMapping | None:
        """The last one, or the last in one of these states."""
        found = await self.list(1, *states)
        return found[0] if found else None

    async def list(self, limit: int, *states: AnchorState) -> list[RowMapping]:
        """The newest first."""
        query = select(anchors).order_by(anchors.c.created_at.desc(), anchors.c.order_id.desc()).limit(limit)
        if states:
            query = query.where(anchors.c.state.in_(states))
        return await read(self._engine, query)

    async def anchored(self, order_id: str, receipt: bytes, ots: bytes, block: int, at: int) -> None:
        """It is in this block, of this time; ``receipt`` and ``ots`` prove it."""
        values = {"receipt": receipt, "ots": ots, "block_number": block, "block_time": at}
        await self._end(order_id, AnchorState.ANCHORED, reason="", detail="", **values)

    async def failed(self, order_id: str, error: CountersealError) -> None:
        """Nothing will come of it."""
        await self._end(order_id, AnchorState.FAILED, reason=error.reason, detail=error.message[:500])

    async def _end(self, order_id: str, state: AnchorState, **values: Any) -> None:
        at = (anchors.c.order_id == order_id) & (anchors.c.state == AnchorState.PROPOSED)
        async with self._engine.begin() as connection:
            done = await connection.execute(update(anchors).where(at).values(state=state, **values))
            if done.rowcount:
                proofs = tuple(one for one in written(values) if not spells_a_key(one))  # a block has anybody's words
                said = Record(COORDINATOR, b"", str(values["detail"]), proofs)
                await append(connection, f"anchor.{state.lower()}", order_id, said)
