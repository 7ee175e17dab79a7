"""What others say that the log has signed, held against the tree that this node follows. All inside a transaction.

Only the log's own signature counts, so nobody else can stop a node by what he says. Two heads under it that do not fit
are a conflict that anybody can judge. A head of a larger tree waits until this node has come so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from cosigner import conflicts, logbook
from cosigner.boots import Boots
from cosigner.logbook import Followed
from cosigner.store import log_notes
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.encoding import decode
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Refused
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.cover import cover
from oms_core.log.note import Checkpoint, Note, Verifier, read_note, verify_log, write_note
from oms_core.log.tree import consistency_path
from oms_core.log.witness import AddCheckpoint

log = structlog.get_logger()

MAX_WAITING = 64  # heads of larger trees
MAX_CONFLICTS = 64  # that stand, beside those that the operator brings: one is enough to stop

FITS = "this node's log begins with that tree of {size} entries"
WAITS = "that tree has {size} entries, and this node has followed {own}; it will be compared when this node is there"


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of an operator's comparison, in words."""

    words: str
    conflict: bool


def bare(note: Note, key: Verifier) -> str:
    """The note with the log's own signature alone. Raises `ProofInvalid` if it has none, `Malformed`."""
    verify_log(note, key)
    return write_note(Note(note.body, (note.by(key)[0],)))


@dataclass(frozen=True, slots=True)
class Rumours:
    """What comes of what is said, inside one transaction at Unix second ``now``.

    ``boots`` counts a conflict in the token; None for an operator's command beside a running enclave. ``witnesses``
    are those whose cosignatures are looked at, if any are.
    """

    connection: Connection
    boots: Boots | None
    key: Verifier
    witnesses: Mapping[int, Verifier]
    now: int

    def hear(self, said: bytes | str | Note) -> None:
        """Compare one head: what does not fit is kept, and what full cosignatures vouch for is remembered."""
        try:
            note = said if isinstance(said, Note) else read_note(said)
            checkpoint = verify_log(note, self.key)
        except (Malformed, ProofInvalid):
            return
        head = logbook.followed(self.connection)
        if checkpoint.size > head.size:
            self._wait(checkpoint, bare(note, self.key))
        elif logbook.root_at(self.connection, head, checkpoint.size) == checkpoint.root:
            if self.witnesses:
                self._credit(head, checkpoint, note)
        else:
            foreign, hashes = bare(note, self.key), logbook.hashes(self.connection, head.size)
            path = consistency_path(checkpoint.size, head.size, hashes)
            self.keep(checkpoint, LogConflict(foreign, head.note or foreign, path))

    def hear_waiting(self) -> None:
        """Compare what has waited until this node has come so far."""
        here = log_notes.c.size <= logbook.followed(self.connection).size
        due = list(self.connection.execute(select(log_notes.c.note).where(here)).scalars())
        if due:
            self.connection.execute(delete(log_notes).where(here))
        for note in due:
            self.hear(note)

    def hear_proof(self, request: AddCheckpoint) -> None:
        """A request whose own proof shows that the log has signed another past than this node has followed."""
        head = logbook.followed(self.connection)
        with suppress(Malformed, ProofInvalid):
            checkpoint = verify_log(request.note, self.key)
            if head.note and head.size < checkpoint.size:
                self.keep(checkpoint, LogConflict(head.note, bare(request.note, self.key), request.proof))

    def keep(self, checkpoint: Checkpoint, found: LogConflict) -> None:
        """Keep a conflict if anybody would be convinced by it. A store from before is then an older one."""
        if conflicts.find(self.connection, checkpoint.size, checkpoint.root):
            return
        if self.boots is not None and conflicts.count(self.connection) >= MAX_CONFLICTS:
            return  # whoever has the log's key can sign any number of them
        with suppress(CountersealError):
            verify_conflict(found, (self.key,))
            if self.boots is not None:
                with suppress(Refused):  # it may be frozen already, or not its newest copy: kept all the same
                    self.boots.count(self.connection)
            conflicts.keep(self.connection, checkpoint.size, checkpoint.root, found, self.now)

    def _wait(self, checkpoint: Checkpoint, note: str) -> None:
        here = log_notes.c.size == checkpoint.size
        for other in self.connection.execute(select(log_notes).where(here)):
            if other.root != checkpoint.root:
                self.keep(checkpoint, LogConflict(other.note, note, ()))
        values = {"size": checkpoint.size, "root": checkpoint.root, "note": note}
        self.connection.execute(insert(log_notes).values(values).on_conflict_do_nothing())
        # Whoever has the log's key can sign any number of them: those that this node will reach first are kept.
        beyond = select(log_notes.c.size).order_by(log_notes.c.size).offset(MAX_WAITING).limit(1)
        if (least := self.connection.execute(beyond).scalar()) is not None:
            self.connection.execute(delete(log_notes).where(log_notes.c.size >= least))

    def _credit(self, head: Followed, checkpoint: Checkpoint, note: Note) -> None:
        until = self.now + CLOCK_SKEW
        try:
            found = cover(note, self.key, self.witnesses, until)
        except Refused:  # too few, or forged: then it says nothing about who has seen it
            return
        following = head
        if checkpoint.size == head.size:
            following = replace(head, note=self._merged(head.note, note, until))
        if found.full and found.vouched_at > head.full_at:
            following = replace(following, full_at=found.vouched_at)
        if following != head:
            logbook.put(self.connection, following)

    def _merged(self, known: str, note: Note, until: int) -> str:
        """The log's line, and of each witness the newest one; those of ``known`` were verified when they came."""
        before, lines = read_note(known) if known else note, [note.by(self.key)[0]]
        for witness in self.witnesses.values():
            times = {int.from_bytes(line.data[:8], "big"): line for line in (*before.by(witness), *note.by(witness))}
            if usable := [at for at in times if at <= until]:
                lines.append(times[max(usable)])
        return write_note(Note(note.body, tuple(lines)))


def compare(connection: Connection, data: bytes, key: Verifier, now: int) -> Compared:
    """The operator's question about a file: a signed head that somebody else was shown, or a conflict.

    Raises `Malformed`, and `ProofInvalid` for what the log has not signed, or what shows nothing.
    """
    rumours = Rumours(connection, None, key, {}, now)
    try:
        note = read_note(data)
    except Malformed:
        try:
            found = decode(LogConflict, data, conflicts.LIMIT)
        except Malformed:
            raise Malformed("this is neither a signed head of a log nor the evidence of two") from None
        words = verify_conflict(found, (key,))
        rumours.keep(verify_log(read_note(found.second), key), found)
        return Compared(words, conflict=True)
    checkpoint = verify_log(note, key)
    rumours.hear(note)
    if kept := conflicts.find(connection, checkpoint.size, checkpoint.root):
        return Compared(verify_conflict(kept, (key,)), conflict=True)
    own = logbook.followed(connection).size
    return Compared((FITS if checkpoint.size <= own else WAITS).format(size=checkpoint.size, own=own), conflict=False)


def trust(connection: Connection, now: int, despite_conflict: bool) -> None:
    """The operator's word that this is the newest log: its window begins anew, and its entries are taken as dated.

    Raises `Refused` (LOG_FORKED) while a conflict stands, unless the word is that it may.
    """
    if despite_conflict:
        log.warning("conflicts of the log are lifted", count=conflicts.lift(connection, now))
    conflicts.check(connection)
    head = logbook.followed(connection)
    logbook.put(connection, replace(head, full_at=now, since=0, cosigned_at=min(head.cosigned_at, now)))
    log.warning("the log is trusted", size=head.size, root=head.root.hex())
