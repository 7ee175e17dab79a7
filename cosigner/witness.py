"""This node as a witness of the log: it follows it, entry by entry, and cosigns what only ever grows.

A request is decided and its head stored in one transaction; then the token learns of it; then the cosignature is made.
So whatever has left is remembered, and after a crash in between the log finds this node a step further, and asks again.
Nothing is ever cosigned that is smaller than what the token remembers, whatever became of the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Connection, Engine

from cosigner import conflicts, logbook
from cosigner.boots import Boots
from cosigner.counters import Counters
from cosigner.hsm import Token
from cosigner.logbook import Followed
from cosigner.rumours import Rumours, bare
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.encoding import encode
from oms_core.errors import CountersealError, Malformed, Reason, Refused
from oms_core.log.cover import Cover, Mode, check_clock, check_covers, check_window, cover
from oms_core.log.entries import Entry, Item, read_entry
from oms_core.log.note import Checkpoint, Note, Verifier, cosignature, cosignature_message, read_note
from oms_core.log.roster import log_verifier, witness_verifiers
from oms_core.log.tree import leaf_hash
from oms_core.log.witness import AddCheckpoint, Answer, Head, WitnessRefused, decide, read_request
from oms_core.workspace import Workspace

log = structlog.get_logger()

RECALL_BYTES = 3 << 20  # of what is handed back at once
MAX_NOTES = 64  # of one round of gossip

Fold = Callable[[Connection, Entry, Item], None]
"""Takes in what an entry says, inside the transaction that follows the log. Raises `Malformed`."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The answer to a request: its code, how far the node has followed, and if it is OK the cosignature's line."""

    answer: Answer
    size: int
    line: str
    detail: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where this node stands in the log, what it would do now, and why not more. ``full_at`` is in Unix seconds."""

    head: Head
    full_at: int
    mode: Mode
    detail: str


class Witness:
    """Follows one log. All methods may be called from any thread; times are in Unix seconds."""

    def __init__(
        self, engine: Engine, token: Token, workspace: Callable[[], Workspace], boots: Boots, fold: Fold
    ) -> None:
        """``workspace`` reads the version that counts here: it names the log's key, and everybody's."""
        self._engine, self._token, self._workspace = engine, token, workspace
        self._boots, self._fold = boots, fold
        self._turn = threading.Lock()

    def follow(self, data: bytes, items: Sequence[Item], now: int, asked_at: int = 0) -> Witnessed:
        """Answer a request with the entries that it is about, made ``asked_at`` (Unix seconds; 0: not said).

        `Answer.CONFLICT` with the size that this node has come to, if that is not the request's old one; also, after it
        has come there, if the token remembers a larger tree: asked from there, it goes on.
        Raises `Refused` (ROLLBACK_DETECTED, LOG_FORKED, LOG_STALE for its own clock, or for what comes too late,
        PEER_IDENTITY), `LocalError`.
        """
        self._boots.check_alone()
        workspace = self._workspace()
        me = self._verifier(workspace)
        # One at a time up to the cosignature: no head that is smaller than the stored one is ever cosigned.
        with self._turn:
            try:
                request = read_request(data)
            except Malformed as error:
                return Witnessed(Answer.BAD, self.head().size, "", error.message)
            try:
                head = self._take(request, items, workspace, now, asked_at)
            except WitnessRefused as refused:
                self._suspect(request, refused, workspace, now)
                return Witnessed(refused.answer, refused.size, "", refused.message)
            with self._engine.begin() as connection:
                self._rumours(connection, workspace, now).hear_waiting()
            self._boots.check()
            self._boots.settle()
            if head.cosigned < head.size:
                text = f"followed to {head.size} entries; ask again from there"
                return Witnessed(Answer.CONFLICT, head.size, "", text)
            message = cosignature_message(request.note.body, head.cosigned_at)
            line = cosignature(me, head.cosigned_at, self._token.cosign(message)).line()
        return Witnessed(Answer.OK, head.size, line, "")

    def gossip(self, notes: Sequence[bytes], now: int) -> tuple[bytes, bytes]:
        """Compare signed heads with the tree that this node follows, and see who has cosigned it.

        Returns the newest note, with the cosignatures that are known here, and the conflict that stands, if one does.
        What the log has not signed is passed over. Raises `Refused` (ROLLBACK_DETECTED), `LocalError`.
        """
        self._boots.check_newest()
        workspace = self._workspace()
        for data in notes[:MAX_NOTES]:
            with self._engine.begin() as connection:
                self._rumours(connection, workspace, now).hear(data)
        with self._engine.begin() as connection:
            found = conflicts.standing(connection)
            return logbook.followed(connection).note.encode(), encode(found) if found else b""

    def check_cover(self, note: bytes, index: int, workspace: Workspace, now: int) -> Cover:
        """The note covers this entry, in the tree that this node has cosigned, and is fresh; how much it is worth.

        A note that shows a fork is kept as evidence. Raises `Refused`: NOT_LOGGED, LOG_STALE, LOG_FORKED.
        """
        with self._engine.begin() as connection:
            self._rumours(connection, workspace, now).hear(note)
        with self._engine.begin() as connection:
            return self._covered(connection, note, index, workspace, now)

    def _covered(self, connection: Connection, note: bytes, index: int, workspace: Workspace, now: int) -> Cover:
        conflicts.check(connection)
        try:
            found = cover(read_note(note), log_verifier(workspace), witness_verifiers(workspace), now + CLOCK_SKEW)
        except Malformed as error:
            raise Refused(f"not a head of the log: {error.message}", Reason.NOT_LOGGED) from error
        head, times = logbook.followed(connection), workspace.log
        check_clock(max(head.cosigned_at, head.full_at), now, CLOCK_SKEW)
        if found.size > head.cosigned:
            text = f"this node has cosigned {head.cosigned} entries of the log, and not {found.size}"
            raise Refused(text, Reason.NOT_LOGGED)
        if logbook.root_at(connection, head, found.size) != found.root:
            raise Refused("the log that this node follows is another one", Reason.LOG_FORKED)
        check_covers(found, index, now, times.fresh_for)
        if not found.full:
            check_window(head.full_at, now, times.degraded_window)
        elif found.vouched_at > head.full_at:
            logbook.put(connection, replace(head, full_at=found.vouched_at))
        return found

    def recall(self, start: int) -> tuple[bytes, list[Item]]:
        """The newest note, and the log from an entry on as this node has followed it, as much as a message holds.

        For a coordinator that has lost some of it. Records are there where cosigners count by them.
        """
        with self._engine.begin() as connection:
            note = logbook.followed(connection).note.encode()
            return note, logbook.kept(connection, start, RECALL_BYTES)

    def head(self) -> Head:
        """The tree that this node has followed."""
        with self._engine.begin() as connection:
            return logbook.followed(connection).tree

    def standing(self, now: int) -> Standing:
        """What this node would do now, by the newest note that it knows."""
        with self._engine.begin() as connection:
            head = logbook.followed(connection)
        try:
            self._boots.check()
            found = self.check_cover(head.note.encode(), -1, self._workspace(), now)
        except CountersealError as error:
            return Standing(head.tree, head.full_at, Mode.STOPPED, error.message)
        lacking = "" if found.full else f"{found.count} witnesses have cosigned the newest head"
        return Standing(head.tree, max(head.full_at, found.vouched_at), found.mode, lacking)

    def _rumours(self, connection: Connection, workspace: Workspace, now: int) -> Rumours:
        return Rumours(connection, self._boots, log_verifier(workspace), witness_verifiers(workspace), now)

    def _verifier(self, workspace: Workspace) -> Verifier:
        found = witness_verifiers(workspace).get(self._token.index)
        if found is None or found.key != self._token.witness:
            raise Refused("this node is no witness in the roster", Reason.PEER_IDENTITY)
        return found

    def _take(
        self, request: AddCheckpoint, items: Sequence[Item], workspace: Workspace, now: int, asked_at: int
    ) -> Followed:
        """Decide and store, in one transaction. Raises `WitnessRefused`, and nothing has changed."""
        key = log_verifier(workspace)
        with self._engine.begin() as connection:
            head, held = logbook.followed(connection), self._token.counters()
            checkpoint = decide(request, head.tree, key.name, (key,))
            check_clock(max(head.cosigned_at, head.full_at), now, CLOCK_SKEW)
            if checkpoint.size == head.size:
                if items:
                    raise WitnessRefused(Answer.BAD, head.size, "there are no entries between these sizes")
                if head.size < held.size:
                    text = f"this node has cosigned {held.size} entries of this log, and cosigns no smaller tree"
                    raise WitnessRefused(Answer.UNPROCESSABLE, head.size, text)
                _check_prompt(asked_at, now)
                following = replace(head, note=_kept(head.note, request.note, key))
                since = now
            else:
                following = self._grown(connection, head, checkpoint, items, now)
                following = replace(following, note=bare(request.note, key))
                _check_held(connection, following, head.size, held)
                # Of what is old there may be more to come: a node that was away is shown it piece by piece.
                since = now if following.at >= now - CLOCK_SKEW else 0
            if following.size >= held.size:
                at, since = max(now, head.cosigned_at), max(since, head.since)
                following = replace(following, cosigned=following.size, cosigned_at=at, since=since)
            logbook.put(connection, following)
            if following.size > head.size:
                self._boots.count(connection)
        return following

    def _grown(
        self, connection: Connection, head: Followed, checkpoint: Checkpoint, items: Sequence[Item], now: int
    ) -> Followed:
        """The head with the entries up to the checkpoint, which are all those that it signs."""
        if len(items) > logbook.MAX_ITEMS or len(items) != checkpoint.size - head.size:
            lead = checkpoint.size - head.size
            text = f"{len(items)} entries, where {lead} lead to the checkpoint; at most {logbook.MAX_ITEMS}"
            raise WitnessRefused(Answer.BAD, head.size, text)
        at, entries = head.at, list[Entry]()
        try:
            for index, one in enumerate(items, head.size):
                entries.append(_next(one, index, at, head.since, now))
                at = entries[-1].at
            root = logbook.grow(connection, head, [leaf_hash(one.entry) for one in items])
            if root != checkpoint.root:
                raise Malformed("the entries do not lead to the checkpoint's root")
            logbook.keep(connection, entries, items)
            for entry, one in zip(entries, items, strict=True):
                self._fold(connection, entry, one)
        except Malformed as error:
            raise WitnessRefused(Answer.UNPROCESSABLE, head.size, error.message) from error
        return replace(head, size=checkpoint.size, root=root, at=at)

    def _suspect(self, request: AddCheckpoint, why: WitnessRefused, workspace: Workspace, now: int) -> None:
        """A head that is not cosigned may be proof against the log that has signed it."""
        log.warning("not cosigned", answer=why.answer.value, detail=why.message)
        if why.answer in (Answer.CONFLICT, Answer.UNPROCESSABLE, Answer.BAD):
            with self._engine.begin() as connection:
                rumours = self._rumours(connection, workspace, now)
                rumours.hear_proof(request)
                rumours.hear(request.note)


def _next(one: Item, index: int, before: int, since: int, now: int) -> Entry:
    """The item's entry, if it may come next: in its place, not earlier than the one before, nor than is believable.

    Nobody back-dates an entry behind what this node has cosigned as new without it, but for the difference of clocks.
    """
    entry = read_entry(one.entry)
    if entry.index != index:
        raise Malformed(f"entry {entry.index} stands in place {index}")
    if entry.at < before:
        raise Malformed(f"entry {index} is of {entry.at}, and the one before of {before}")
    if entry.at > now + CLOCK_SKEW:
        raise Malformed(f"entry {index} is of {entry.at}, which is to come")
    if entry.at < since - CLOCK_SKEW:
        raise Malformed(f"entry {index} is of {entry.at}, and without it this node has cosigned at {since}")
    return entry


def _check_held(connection: Connection, head: Followed, before: int, held: Counters) -> None:
    """A store that was behind the token comes past the tree that the token remembers, or goes nowhere."""
    if before < held.size <= head.size and logbook.root_at(connection, head, held.size) != held.root:
        text = f"this is another log than the one of which this node has cosigned {held.size} entries"
        log.critical("another log", detail=text)
        raise WitnessRefused(Answer.UNPROCESSABLE, before, text)


def _check_prompt(asked_at: int, now: int) -> None:
    """Nothing says how long the log had no more entries but when it was asked: it may have grown long since.

    Whoever cosigned it as new would refuse for ever what was written down meanwhile. Raises `Refused` (LOG_STALE).
    """
    if asked_at and now > asked_at + CLOCK_SKEW:
        text = f"this was asked {now - asked_at} seconds ago, or this clock is ahead: the log may have grown since"
        raise Refused(text, Reason.LOG_STALE)


def _kept(known: str, note: Note, key: Verifier) -> str:
    """The note that is known, with the cosignatures seen of it, unless the log has another key by now."""
    try:
        bare(read_note(known), key)
    except CountersealError:
        return bare(note, key)
    return known
