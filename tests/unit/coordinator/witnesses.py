"""Witnesses in memory that follow a coordinator's log as real ones do, and how they can be bent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.conflicts import Conflicts
from coordinator.cosigners import Cosigners
from coordinator.database import open_database
from coordinator.journal import Journal, append
from coordinator.standing import Standing
from coordinator.witnessing import Witnessing
from oms_core.errors import Reason, Unavailable
from oms_core.log.entries import Record
from oms_core.log.note import cosignature, cosignature_message, write_note
from oms_core.log.roster import log_verifier, witness_verifiers
from oms_core.log.tree import leaf_hash
from oms_core.log.witness import Head, WitnessRefused, decide, read_request
from oms_core.workspace import workspace_digest
from proto import cosigner_pb2 as pb
from tests.logs import Tree
from tests.parties import witness_key
from tests.people import workspace

ALL = (1, 2, 3, 4, 5)
Bend = Callable[[pb.FromCosigner], pb.FromCosigner]


class WitnessNode:
    """One attached cosigner that follows the log. ``bend`` changes what it answers, ``ahead`` its clock by seconds.

    A ``late`` one finds that what says when it was asked was asked long ago.
    """

    def __init__(self, index: int) -> None:
        self.index, self.closed, self.latency, self.heard = index, False, 0.0, 0.0
        self.workspace, self.version = workspace_digest(workspace()), 0
        self.tree, self.notes, self.asked = Tree(), list[bytes](), list[tuple[int, int, int]]()
        self.items = list[pb.LogItem]()
        self.bend: Bend | None = None
        self.asked_at, self.late = list[int](), False
        self.ahead, self.silent, self.conflict, self.head, self.note = 0, False, b"", b"", b""

    async def ask(self, request: pb.ToCosigner, seconds: float) -> pb.FromCosigner:
        """What a link does. Raises `Unavailable`."""
        if self.closed or self.silent:
            raise Unavailable(f"cosigner {self.index} does not answer", Reason.PEER_UNREACHABLE)
        answer = self._answer(request)
        return self.bend(answer) if self.bend else answer

    def _answer(self, request: pb.ToCosigner) -> pb.FromCosigner:
        if request.WhichOneof("body") == "gossip":
            self.notes += request.gossip.notes
            return pb.FromCosigner(gossiped=pb.Gossiped(head=self.head or self.note, conflict=self.conflict))
        if request.WhichOneof("body") == "recall":
            start = request.recall.start
            return pb.FromCosigner(
                recalled=pb.Recalled(head=self.head or self.note, items=self.items[start : start + 3])
            )
        asked, now = read_request(request.witness.request), int(time.time()) + self.ahead
        self.asked_at.append(request.witness.asked_at)
        if self.late and request.witness.asked_at:
            return pb.FromCosigner(failed=pb.Failed(reason=Reason.LOG_STALE, detail="asked long ago"))
        head, space = Head(self.tree.size, self.tree.root()), workspace()
        try:
            checkpoint = decide(asked, head, space.log.origin, (log_verifier(space),))
        except WitnessRefused as refused:
            said = pb.Witnessed(status=refused.answer, size=refused.size, detail=refused.message)
            return pb.FromCosigner(witnessed=said)
        self.asked.append((asked.old, checkpoint.size, len(request.witness.items)))
        follower = Tree(self.tree.entries)
        follower.append(*(one.entry for one in request.witness.items))
        assert (follower.size, follower.root()) == (checkpoint.size, checkpoint.root)
        assert all(leaf_hash(one) for one in follower.entries)
        self.tree, self.note = follower, write_note(asked.note).encode()
        self.items += request.witness.items
        key = witness_key(self.index)
        signature = key.sign(cosignature_message(asked.note.body, now))
        line = cosignature(witness_verifiers(space)[self.index], now, signature).line()
        return pb.FromCosigner(witnessed=pb.Witnessed(status=200, size=checkpoint.size, cosignature=line.encode()))


class LogDesk:
    """A journal that is witnessed by five nodes."""

    def __init__(self, engine: AsyncEngine, heartbeat: float) -> None:
        self.engine, self.standing = engine, Standing(workspace())
        self.journal = Journal(engine, witness_key(0), workspace().log.origin)
        self.cosigners, self.conflicts = Cosigners(self.standing), Conflicts(engine)
        self.witnessing = Witnessing(self.journal, self.conflicts, self.standing, self.cosigners, heartbeat)
        self.nodes = {i: WitnessNode(i) for i in ALL}
        self.cosigners._links = dict(self.nodes)  # type: ignore[arg-type]

    async def append(self, event: str = "order.submitted", subject: str = "txn_1", size: int = 10) -> int:
        """One entry; its index."""
        async with self.engine.begin() as connection:
            return await append(connection, event, subject, Record("desk", b"", "x" * size, ()))

    def detach(self, *indices: int) -> None:
        """Their streams end."""
        for index in indices:
            self.nodes[index].closed = True

    def attach(self, *indices: int) -> None:
        """They dial in again, with what they have followed."""
        for index in indices:
            self.nodes[index].closed = False


@asynccontextmanager
async def log_desk(root: Path, heartbeat: float = 10.0) -> AsyncIterator[LogDesk]:
    """On a fresh database, not running yet."""
    engine = await open_database(f"sqlite:///{root / 'log.sqlite'}")
    desk = LogDesk(engine, heartbeat)
    await desk.journal.begin(workspace())
    yield desk
    await engine.dispose()


def answered(**changes: Any) -> Bend:
    """Answers of a witness with these fields changed."""

    def bend(answer: pb.FromCosigner) -> pb.FromCosigner:
        if answer.WhichOneof("body") == "witnessed":
            for name, value in changes.items():
                setattr(answer.witnessed, name, value)
        return answer

    return bend


@asynccontextmanager
async def witnessed(desk: LogDesk) -> AsyncIterator[None]:
    """While the desk's log is being witnessed."""
    stop = asyncio.Event()
    running = asyncio.create_task(desk.witnessing.run(stop))
    yield
    stop.set()
    await running
