"""Two histories of one log: what shows that the log's key has signed both is kept, and ends all signing here.

Whoever shows it cannot have made it up: it takes the log's own key. Nodes that see it freeze, each for itself.
"""

from __future__ import annotations

import hashlib
import time

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.database import read
from coordinator.journal import OPERATOR, Journal, append
from coordinator.tables import log_conflicts
from oms_core.encoding import decode
from oms_core.errors import Malformed
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.entries import Record
from oms_core.log.note import Verifier, read_note, verify_log

log = structlog.get_logger()

LIMIT = 256 * 1024  # bytes of a conflict
FOREIGN = 4  # heads of other histories that are passed on to all


class Conflicts:
    """What is known against the log."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.open: list[str] = []
        """In words, each: what nobody has said to go on in spite of."""
        self.foreign: list[bytes] = []
        """Heads under the log's key that are not of our log."""

    async def load(self) -> None:
        """Take over what was found before this process started, or by another replica."""
        query = select(log_conflicts.c.words).where(log_conflicts.c.lifted == 0).order_by(log_conflicts.c.at)
        async with self._engine.begin() as connection:  # takes its turn: what is found meanwhile is not overwritten
            self.open = list((await connection.execute(query)).scalars())

    async def documents(self) -> list[bytes]:
        """All conflicts, oldest first: LogConflicts."""
        query = select(log_conflicts.c.document).order_by(log_conflicts.c.at)
        return [bytes(row["document"]) for row in await read(self._engine, query)]

    async def lift(self, reason: str) -> int:
        """Go on in spite of them, at the operator's word; returns how many there were. A process that runs notices."""
        async with self._engine.begin() as connection:
            done = await connection.execute(update(log_conflicts).where(log_conflicts.c.lifted == 0).values(lifted=1))
            if done.rowcount:
                said = Record(OPERATOR, b"", f"in spite of {done.rowcount} conflicts: {reason}", ())
                await append(connection, "log.goes_on", "", said)
        await self.load()
        return int(done.rowcount)

    async def found(self, index: int, document: bytes, verifier: Verifier) -> None:
        """A node shows a conflict. Raises `ProofInvalid` or `Malformed` if it shows nothing."""
        words = verify_conflict(decode(LogConflict, document, LIMIT), (verifier,))
        digest = hashlib.sha256(document).digest()
        async with self._engine.begin() as connection:
            query = select(log_conflicts.c.lifted).where(log_conflicts.c.digest == digest)
            if (lifted := (await connection.execute(query)).scalar()) is not None:
                if not lifted and words not in self.open:  # another replica was shown it first
                    self.open.append(words)
                return
            values = {"digest": digest, "document": document, "cosigner": index, "words": words, "at": time.time()}
            await connection.execute(insert(log_conflicts).values(**values, lifted=0))
            await append(connection, "log.conflict", "", Record(f"cosigner-{index}", b"", words, (document,)))
        await self.load()
        log.critical("ALERT: the log has two histories", cosigner=index, detail=words)

    async def compare(self, index: int, note: bytes, verifier: Verifier, journal: Journal) -> None:
        """Hold the head that a node knows against our log. Raises `ProofInvalid` or `Malformed` if it is none."""
        head = read_note(note)
        checkpoint = verify_log(head, verifier)
        _, size = await journal.checkpoint()
        if checkpoint.size <= size and read_note(await journal.sign_at(checkpoint.size)).body == head.body:
            return
        if checkpoint.size > size:
            raise Malformed(f"it knows {checkpoint.size} entries of this log, and here are {size}")
        if note not in self.foreign:
            log.critical("ALERT: a head of another history", cosigner=index, size=checkpoint.size)
            self.foreign = [*self.foreign, note][-FOREIGN:]
