"""Whether this node is the newest copy of itself: the token's counters, the store's, and what peers remember.

If it is not, it refuses everything with ROLLBACK_DETECTED, over restarts too, until its operator reconciles it. So it
does with LOG_FORKED if the log that it follows has two truths.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from cosigner import conflicts, logbook
from cosigner.counters import Counters
from cosigner.hsm import Token
from cosigner.store import boots, heads
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.encoding import encode
from oms_core.errors import Blame, LocalError, Malformed, ProofInvalid, ProtocolAbort, Reason, Refused
from oms_core.protocol.heads import SignedHead, known_to, overtaken, read_head, sign_head
from oms_core.protocol.packets import Hello

log = structlog.get_logger()


class Boots:
    """This node's boots, and the newest ones known of its peers."""

    def __init__(self, engine: Engine, token: Token) -> None:
        self._engine, self._token = engine, token
        self._signed: SignedHead | None = None
        self._remembered = 0
        with engine.begin() as connection:
            if connection.execute(select(boots)).first() is None:
                # A token that has counted boots with a store that has not is a disk that was lost, or exchanged.
                row = {
                    "id": 1,
                    "generation": 0,
                    "starting": 0,
                    "seen": 0,
                    "writes": 0,
                    "reconciled_at": 0,
                    "rolled_back": "",
                    "forgiven": 0,
                }
                connection.execute(insert(boots).values(row))

    @property
    def rolled_back(self) -> str:
        """Why this node is not the newest copy of itself; empty if it may well be."""
        return str(self._row().rolled_back)

    @property
    def reconciled_at(self) -> int:
        """When the operator last reconciled this node; 0 if never. What was proposed before is not signed."""
        return int(self._row().reconciled_at)

    @property
    def generation(self) -> int:
        """This boot's."""
        return int(self._row().generation)

    def begin(self) -> None:
        """Count this boot, in the store and in the token. Notices if they do not fit."""
        held, misfit = self._token.generation(), self._misfit()
        fits = not misfit
        if misfit:
            self._note(misfit)
        following = held + 1  # a boot that crashed before the token counted it has signed no head: its number is free
        if fits:
            self._set(generation=following, starting=1)
        self._token.advance_generation(following)
        if fits:
            self._set(starting=0)
        self._remembered = int(self._row().writes)
        self._signed = sign_head(self._token, following, secrets.token_bytes(16))

    def count(self, connection: Connection) -> None:
        """A write that may not be lost, the last of its transaction; `settle` follows before anything leaves.

        Raises `Refused` (ROLLBACK_DETECTED) if the store went back while this process runs, or this process did, or if
        another session has noticed by now that the node is not the newest copy of itself; (LOG_FORKED) if the log has.
        """
        row, writes = connection.execute(select(boots)).one(), self._token.counters().writes
        conflicts.check(connection)
        if row.rolled_back:
            raise Refused(f"this node was rolled back: {row.rolled_back}", Reason.ROLLBACK_DETECTED)
        if row.writes < writes:  # under the write lock the token is never ahead of an honest store
            raise Refused("the store went back while the node ran", Reason.ROLLBACK_DETECTED)
        if self._signed is not None and row.writes > self._remembered:
            raise Refused("the store holds writes that this process does not remember", Reason.ROLLBACK_DETECTED)
        self._remembered = row.writes + 1
        connection.execute(update(boots).values(writes=self._remembered))

    def settle(self) -> None:
        """Raise the token's counts to the store's: from now on a store without those writes is known to be older."""
        mine = self._signed.head.generation if self._signed is not None else self._token.generation()
        with self._engine.begin() as connection:
            writes, head = connection.execute(select(boots.c.writes)).scalar_one(), logbook.followed(connection)
        self._token.advance(mine, writes, head.size, head.root)

    def suspicion(self) -> str:
        """Why this node is not the newest copy of itself, looked at before a start; empty if it may well be."""
        try:
            return self.rolled_back or self._misfit()
        except LocalError as error:  # the token has lost its counters
            return error.message

    def head(self) -> bytes:
        """My signed head, for hellos."""
        assert self._signed is not None
        return encode(self._signed)

    def known(self, peers: tuple[int, ...]) -> tuple[bytes, ...]:
        """The newest heads of these peers."""
        with self._engine.begin() as connection:
            rows = connection.execute(select(heads).where(heads.c.index.in_(peers)).order_by(heads.c.index)).all()
        return tuple(row.head for row in rows)

    def check(self) -> None:
        """Raises `Refused`: ROLLBACK_DETECTED if this node is known not to be the newest copy of itself, LOG_FORKED."""
        self.check_newest()
        with self._engine.begin() as connection:
            conflicts.check(connection)

    def check_newest(self) -> None:
        """Raises `Refused` (ROLLBACK_DETECTED) if this node is known not to be the newest copy of itself."""
        if why := self.rolled_back:
            raise Refused(f"this node was rolled back: {why}", Reason.ROLLBACK_DETECTED)

    def check_alone(self) -> None:
        """As `check`, and nothing else has started on this token since. Asked before anything secret leaves."""
        self.check()
        if self._signed is not None and self._token.generation() != self._signed.head.generation:
            raise Refused("another process of this node has started on its token", Reason.ROLLBACK_DETECTED)

    def check_proposed(self, at: int) -> None:
        """Raises `Refused` (DOUBLE_SIGN_GUARD) for what was proposed before this node was reconciled.

        Whether it was carried out already stands in what the node has lost.
        """
        if at < self.reconciled_at + CLOCK_SKEW and self.reconciled_at:
            raise Refused("proposed before this node was reconciled", Reason.DOUBLE_SIGN_GUARD)

    def examine(self, hellos: tuple[Hello, ...], roster: Mapping[int, bytes]) -> None:
        """Look at everyone's head, and at what they know of mine.

        Raises `Refused` (ROLLBACK_DETECTED) if I am old, `ProtocolAbort` naming a peer that is.
        """
        assert self._signed is not None
        me = self._token.index
        for hello in hellos:
            if hello.sender == me:
                continue
            mine = known_to(hello.known, me, roster[me])
            if mine is not None and overtaken(self._signed.head, mine.head):
                self._set(seen=max(self._row().seen, mine.head.generation))
                self._note(f"peer {hello.sender} has heard of boot {mine.head.generation} of this node")
                self.check()
            self._follow(hello, roster[hello.sender])

    def reconcile(self, now: int) -> int:
        """The operator's word that this copy is the one to go on with; returns its next generation."""
        row = self._row()
        with self._engine.begin() as connection:
            head = logbook.followed(connection)
        try:
            held = self._token.counters()
        except LocalError:  # the token lost them: what it held is unknown, and people's word has to do
            held = Counters(0, 0, head.size, head.root)
        following: int = max(row.generation, row.seen, held.generation) + 1
        writes = max(row.writes, held.writes)
        # The tree stays: a smaller one than the token's is followed until it meets that, and never cosigned before.
        self._token.set_counters(Counters(following, writes, held.size, held.root))
        forgiven = held.size if head.size < held.size else 0
        values = {"generation": following, "starting": 0, "writes": writes, "forgiven": forgiven}
        self._set(**values, rolled_back="", reconciled_at=now)
        return following

    def _follow(self, hello: Hello, public: bytes) -> None:
        try:
            theirs = read_head(hello.head, hello.sender, public)
        except (ProofInvalid, Malformed) as error:
            raise ProtocolAbort(Blame(hello.sender, "hello", f"its head does not hold: {error.message}")) from error
        mine = known_to(self.known((hello.sender,)), hello.sender, public)
        if mine is not None and overtaken(theirs.head, mine.head):
            text = f"it is an old copy: boot {theirs.head.generation}, known is {mine.head.generation}"
            raise ProtocolAbort(Blame(hello.sender, "hello", text))
        values = {"index": hello.sender, "generation": theirs.head.generation, "head": hello.head}
        with self._engine.begin() as connection:
            change = upsert(heads).values(values)
            newer = heads.c.generation <= theirs.head.generation  # two sessions at once may end in any order
            if mine is None:  # nothing was known, or the head of an identity key that has been replaced at this index
                newer = heads.c.index == hello.sender
            connection.execute(change.on_conflict_do_update(index_elements=["index"], set_=values, where=newer))

    def _misfit(self) -> str:
        held, row = self._token.counters(), self._row()
        if row.generation == held.generation or (row.starting and row.generation == held.generation + 1):
            if row.writes < held.writes:
                return f"the store is an older copy: {row.writes} writes in the store, {held.writes} in the token"
            # More in the store is a crash before the token counted them, and nothing had left.
            return self._misfit_of_trees(held, row.forgiven)
        where = "store" if row.generation < held.generation else "token"
        return f"the {where} is an older copy: boot {row.generation} in the store, {held.generation} in the token"

    def _misfit_of_trees(self, held: Counters, forgiven: int) -> str:
        with self._engine.begin() as connection:
            head = logbook.followed(connection)
            if head.size >= held.size:
                if logbook.root_at(connection, head, held.size) == held.root:
                    return ""
                return f"the store's log is another one than the token's, of {held.size} entries"
        if held.size <= forgiven:
            return ""
        return f"the store is an older copy: {head.size} entries of the log in the store, {held.size} in the token"

    def _note(self, why: str) -> None:
        log.critical("rolled back", detail=why)
        if not self.rolled_back:
            self._set(rolled_back=why)

    def _row(self) -> Any:
        with self._engine.begin() as connection:
            return connection.execute(select(boots)).one()

    def _set(self, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(boots).values(**values))
