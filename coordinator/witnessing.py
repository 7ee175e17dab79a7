"""Gets the log witnessed: by every cosigner, at once when it grows, and as a heartbeat when nothing happens.

Each node is brought on from where it stands by itself, so one that is far behind holds up nobody. What is signed stands
on a note: a head of the log with enough cosignatures on it, each of them verified here before it counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog

from coordinator.clock import AHEAD
from coordinator.conflicts import Conflicts
from coordinator.cosigners import Cosigners, Link
from coordinator.journal import Journal
from coordinator.meeting import Meeting
from coordinator.pausing import rest
from coordinator.rounds import Head, Round, Rounds
from coordinator.standing import Standing, Stands
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason, Unavailable
from oms_core.log.cover import Mode, mode_of
from oms_core.log.note import Note, cosignatures, read_note, read_signatures, with_signatures, write_note
from oms_core.log.quorum import degraded, full, share, vouched_at
from oms_core.log.roster import log_verifier, witness_verifiers
from oms_core.log.witness import AddCheckpoint, Answer, write_request
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

SECONDS = 30.0  # for an answer: a node that is behind replays what it is sent
PAUSE = 0.5  # seconds between looks
END_SECONDS = 3.0  # for nodes that are being asked when this is to end
BATCH = 2000  # entries at once
BATCH_BYTES = 4 << 20
STEPS = 1000  # batches in a row


@dataclass(frozen=True, slots=True)
class CosignedCheckpoint:
    """A note that vouches for an entry, who has cosigned it, and for what that is enough."""

    note: bytes
    size: int
    cosigners: tuple[int, ...]
    mode: Mode

    @property
    def count(self) -> int:
        """How many have cosigned it."""
        return len(self.cosigners)


NONE = CosignedCheckpoint(b"", 0, (), Mode.STOPPED)


class Status(NamedTuple):
    """The log's newest head: ``age`` is the seconds since it was vouched for; ``words`` say what is missing, if any."""

    mode: Mode
    size: int
    root: bytes
    age: float
    cosignatures: int
    words: str


class Witnessing(Stands):
    """Asks all nodes for their cosignatures, and knows what they come to."""

    def __init__(
        self,
        journal: Journal,
        conflicts: Conflicts,
        standing: Standing,
        cosigners: Cosigners,
        heartbeat: float,
    ) -> None:
        """``heartbeat`` in seconds: how often nodes are asked at least."""
        self._journal, self._standing, self._cosigners = journal, standing, cosigners
        self.conflicts, self._heartbeat = conflicts, heartbeat
        self._rounds = Rounds()
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._telling: dict[int, asyncio.Task[None]] = {}
        self.sizes: dict[int, int] = {}
        """How many entries each node has followed, as it said last."""
        self.troubles: dict[int, str] = {}
        """Why a node does not cosign, as it said last."""
        self.changed = asyncio.Event()
        """Set, and replaced, whenever a node has cosigned, or says why it does not."""
        self._meeting = Meeting(journal, cosigners)
        self._wanted = asyncio.Event()
        self._degraded_since = time.monotonic()

    # What vouches for what

    def mode(self) -> Mode:
        """What the nodes that cosign now are enough for."""
        if self._ends():
            return Mode.STOPPED
        return mode_of(len(self.witnesses()), len(self._workspace.roster))

    def witnesses(self) -> tuple[int, ...]:
        """Who is there, and has cosigned the newest heads."""
        there, now = self._cosigners.present(), time.monotonic()
        recent = {i for i, at in self._rounds.cosigned.items() if now - at < 2.5 * self._beat + SECONDS / 10}
        return tuple(sorted(i for i in recent & set(there) if i not in self.troubles))

    def degraded_for(self) -> float:
        """Seconds since so many are there as `Mode.DEGRADED` takes, and no more; 0 while there are more, or fewer."""
        return time.monotonic() - self._degraded_since if self.mode() is Mode.DEGRADED else 0.0

    async def abreast(self, index: int, seconds: float = SECONDS / 6) -> bool:
        """Whether a node has followed all that is in the log now, after at most so long."""
        deadline, size = time.monotonic() + seconds, await self._journal.length()
        while self.sizes.get(index, 0) < size and (left := deadline - time.monotonic()) > 0:
            await rest(left, self.changed)
        return self.sizes.get(index, 0) >= size

    async def covered(self, index: int, wanted: int, seconds: float, among: tuple[int, ...] = ()) -> CosignedCheckpoint:
        """A fresh note for the entry with ``wanted`` cosignatures, those ``among`` in it; after so long, the best one.

        STOPPED, with an empty note, if none has as many as it takes.
        """
        deadline, asked = time.monotonic() + seconds, self._rounds.number
        while True:
            changed = self.changed
            best = self._best(index, among)
            if best.count >= wanted and set(among) <= set(best.cosigners):
                return best
            left = deadline - time.monotonic()
            if left <= 0:
                return best
            if self._rounds.number <= asked:
                self._wanted.set()
            await rest(min(left, PAUSE), changed)

    def _best(self, index: int, among: tuple[int, ...]) -> CosignedCheckpoint:
        n, now = len(self._workspace.roster), int(time.time())
        if self._ends():
            return NONE
        fresh = [one for one in self._rounds.heads(index) if one.vouched(n) >= now - self._workspace.log.fresh_for / 2]
        if not fresh:
            return NONE
        best = max(fresh, key=lambda one: (len(set(among) & set(one.lines)), len(one.lines), one.size))
        cosigners = tuple(sorted(best.lines))
        return CosignedCheckpoint(best.note(), best.size, cosigners, mode_of(len(cosigners), n))

    def status(self) -> Status:
        """What vouches for the log now."""
        newest, n, words = self._rounds.newest(), len(self._workspace.roster), self._words()
        if newest is None:
            return Status(self.mode(), 0, b"", 0.0, 0, words)
        at = newest.vouched(n)
        age = max(0.0, time.time() - at) if at else 0.0
        return Status(self.mode(), newest.size, newest.root, age, len(newest.lines), words)

    def _ends(self) -> str:
        """Why nothing is signed, whoever is there; empty if there is no such reason."""
        if self.conflicts.open:
            return f"the log has two histories: {self.conflicts.open[0]}"
        lacking = self._meeting.lacking
        return f"{lacking}: stop this coordinator, and run `coordinator recover`" if lacking else ""

    def _words(self) -> str:
        """What is missing, if anything is."""
        if why := self._ends() or self._journal.clock.trouble():
            return why
        n, there = len(self._workspace.roster), self.witnesses()
        missing = f"{len(there)} of {n} cosigners vouch for the log, and it takes"
        match self.mode():
            case Mode.FULL:
                return ""
            case Mode.DEGRADED:
                exact = "approvals have to name the exact transaction"
                return f"{missing} {full(n)}: {exact}, and limits are divided by {share(n)}"
        return f"{missing} {degraded(n)}: nothing is signed"

    # The rounds

    @property
    def _beat(self) -> float:
        """Seconds between heartbeats: often enough that a note stays fresh from one to the next."""
        return min(self._heartbeat, max(0.5, self._workspace.log.fresh_for / 4))

    async def recall(self) -> None:
        """Take over what time witnesses said it was before this process began, as far as anybody knows."""
        n, witnesses = len(self._workspace.roster), tuple(witness_verifiers(self._workspace).values())
        try:
            note, *_ = await self._journal.newest(degraded(n))
        except Unavailable:
            return
        self._journal.clock.recalled(vouched_at(cosignatures(read_note(note), witnesses).values(), n))

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            attached, grown, changed = self._cosigners.changed, self._journal.grown, self.changed
            try:
                await self._look()
            except Exception as error:
                log.exception("the log is not witnessed", kind=type(error).__name__)
                await rest(PAUSE, stop)
            news = (grown, self._wanted) if self._rounds.over() else ()  # else it is not time for them yet
            await rest(PAUSE, attached, changed, stop, *news)
        if tasks := (*self._busy.values(), *self._telling.values()):
            # A query that is cancelled leaves its connection hanging; links are closed by now, or answer soon.
            _, late = await asyncio.wait(tasks, timeout=END_SECONDS)
            for task in late:
                task.cancel()

    async def _look(self) -> None:
        """End a round that is over, begin one if there is one to be made, and ask whoever is not asked already."""
        if self.mode() is not Mode.DEGRADED:
            self._degraded_since = time.monotonic()
        for index, link in self._meeting.strangers().items():
            if index not in self._busy:
                self._spawn(self._busy, index, self._meeting.meet(link))
        there, n = self._meeting.met(), len(self._workspace.roster)
        # Who has not heard how far the log has gone signs no head: it would be a fork if the database was put back.
        if self._meeting.lacking or not (self._rounds.number or self._meeting.heard(n)):
            return
        done = self._rounds.take_done()
        if self._rounds.over() and (
            self._journal.grown.is_set() or self._wanted.is_set() or self._rounds.age() >= self._beat
        ):
            self._journal.grown.clear()
            self._wanted.clear()
            if self._rounds.number and await self._meeting.lacks(write_note(self._rounds.current.bare).encode()):
                return
            # Read before we look what there is. If too few cosign, our own clock may have stood still.
            asked_at = self._journal.clock.asked_at() if self.mode() is not Mode.STOPPED else 0
            note, size = await self._journal.checkpoint()
            head = read_note(note)
            bare = Note(head.body, tuple(one for one in head.signatures if one.name == self._journal.origin))
            self._rounds.begin(bare, size, asked_at)
        self._rounds.there = set(there) - set(self.troubles)
        for index, link in there.items():
            if index not in self._busy and self._rounds.lacks(index):
                self._spawn(self._busy, index, self._bring(link, self._rounds.current))
        if done is not None:
            await self._tell(done)

    async def _tell(self, done: Head) -> None:
        """Keep a round's cosignatures, and pass them on to all."""
        note = done.note()
        if self.conflicts.open:  # the operator may have lifted them
            await self.conflicts.load()
        if done.lines:
            await self._journal.keep_cosignatures(done.size, note)
        for index, link in self._cosigners.present().items():
            if index not in self._telling:
                self._spawn(self._telling, index, self._gossip(link, note))

    def _spawn(self, where: dict[int, asyncio.Task[None]], index: int, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)

        def done(_: object) -> None:
            where.pop(index, None)
            self._ring()

        where[index] = task
        task.add_done_callback(done)

    def _ring(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def _bring(self, link: Link, target: Round) -> None:
        """Bring one node on to a head, and keep its cosignature. What it answers holds up nobody else."""
        index = link.index
        try:
            await self._steps(link, target)
            if self.troubles.pop(index, ""):
                log.warning("cosigns the log again", cosigner=index)
        except Unavailable:
            self._rounds.failed(index, target)
        except CountersealError as error:
            self._rounds.failed(index, target)
            if self.troubles.get(index) != error.message:
                log.warning("does not cosign the log", cosigner=index, reason=error.reason, detail=error.message)
            self.troubles[index] = error.message
            self._cosigners.strike(index)
        except Exception as error:
            self._rounds.failed(index, target)
            log.exception("the log is not witnessed", cosigner=index, kind=type(error).__name__)

    async def _steps(self, link: Link, target: Round) -> None:
        """From where the node stands, batch by batch. Raises `Refused` for a no that is not about its size."""
        index, size, lost = link.index, self.sizes.get(link.index, target.size), False
        if size > target.size:
            size = target.size
        for _ in range(STEPS):
            to, message = await self._request(size, target)
            answer = await link.ask(pb.ToCosigner(witness=message), SECONDS)
            if answer.WhichOneof("body") != "witnessed":
                raise Malformed(f"{answer.failed.reason} {answer.failed.detail}"[:300])
            said = answer.witnessed
            on = said.size == to > size  # it followed and did not cosign: it once had cosigned a larger tree
            if said.status == Answer.CONFLICT and (on or not lost):
                if target.size < said.size <= await self._journal.length():  # another replica was here first
                    self.sizes[index] = said.size
                    self._wanted.set()
                    raise Unavailable("it is further than this round", Reason.PEER_UNREACHABLE)
                if said.size > target.size:
                    raise Malformed(f"it has cosigned {said.size} entries of this log, and here are {target.size}")
                size, lost = said.size, True
                self.sizes[index] = size
            elif said.status == Answer.OK:
                self._cosigned(index, target, to, said.cosignature)
                size, lost = to, False
                if to == target.size:
                    return
            else:
                raise Malformed(f"{said.status}: {said.detail}"[:300])
        raise Unavailable("too far behind for one turn", Reason.PEER_UNREACHABLE)

    async def _request(self, size: int, target: Round) -> tuple[int, pb.Witness]:
        """What brings a node of this size on: to the head, or as far as a message holds."""
        items, to, note = [], target.size, target.bare
        if size < target.size:
            found = await self._journal.items(size, min(target.size, size + BATCH), BATCH_BYTES)
            items = [pb.LogItem(entry=one.entry, record=one.record, salt=one.salt) for one in found]
            to = size + len(items)
            if to != target.size:
                note = read_note(await self._journal.sign_at(to))
        proof = await self._journal.consistency(size, to) if 0 < size < to else ()
        text = write_request(AddCheckpoint(size, proof, note)).encode()
        return to, pb.Witness(request=text, items=items, asked_at=target.asked_at)

    def _cosigned(self, index: int, target: Round, size: int, line: bytes) -> None:
        """A cosignature counts if it is this node's, of this head, and of about now. Raises `ProofInvalid`."""
        self.sizes[index] = size
        if size != target.size:
            return
        verifier = witness_verifiers(self._workspace).get(index)
        now = max(int(time.time()), self._journal.clock.asked_at())
        if verifier is None:
            raise ProofInvalid("the node is not in the roster", Reason.PEER_IDENTITY)
        note = with_signatures(target.bare, read_signatures(line))
        at = cosignatures(note, (verifier,), now + AHEAD).get(verifier.name, 0)
        mine = [one for one in note.by(verifier) if int.from_bytes(one.data[:8], "big") == at]
        if not mine:
            raise ProofInvalid("it has not cosigned what it was asked for, or not now", Reason.SIGNATURE_INVALID)
        self._rounds.add(index, target, mine[0], at, self._workspace.log.fresh_for / 4)
        if vouched := target.head.vouched(len(self._workspace.roster)):
            self._journal.clock.vouched(vouched)
        self._ring()

    async def _gossip(self, link: Link, note: bytes) -> None:
        """Show a node what all have cosigned, and keep what it knows against it."""
        notes = [note, *self.conflicts.foreign]
        try:
            answer = await link.ask(pb.ToCosigner(gossip=pb.Gossip(notes=notes)), SECONDS)
            if answer.WhichOneof("body") != "gossiped":
                return
            verifier = log_verifier(self._workspace)
            if answer.gossiped.conflict:
                await self.conflicts.found(link.index, answer.gossiped.conflict, verifier)
            if answer.gossiped.head:
                await self.conflicts.compare(link.index, answer.gossiped.head, verifier, self._journal)
        except Unavailable:
            return
        except CountersealError as error:
            log.warning("gossip that does not hold", cosigner=link.index, detail=error.message)
        except Exception as error:
            log.exception("gossip failed", cosigner=link.index, kind=type(error).__name__)
