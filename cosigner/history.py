"""What this node has followed the log to say: what was authorised, what it counts for, and which rules are due.

Whoever is asked for a share counts by this alone, and never by what it has itself signed: so all nodes count alike, and
there is no dividing what is done among them. What was authorised counts whether or not it was signed. An order counts
what others were authorised for before it was last authorised itself.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_new

from cosigner.counted import COUNTED, Counted, spends_of
from cosigner.recent import Recent
from cosigner.store import log_authorized, log_changes, log_counters, log_passed, log_spends, log_versions, log_wishes
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import LocalError, Malformed, Reason, Refused
from oms_core.evidence import ChangeRequest, ChangeWorkspaceRequest, request_digest
from oms_core.history import (
    WORKSPACE_LIMIT,
    Approved,
    Authorization,
    Began,
    Pressed,
    counts_at,
    pressed_in,
    read_effect,
    spends_in,
    worst,
)
from oms_core.log.entries import Entry, Item
from oms_core.policy.facts import Facts, Spend
from oms_core.policy.limits import YEAR
from oms_core.policy.rows import rows_of
from oms_core.workspace import Workspace, workspace_digest

D = TypeVar("D")
_KEPT = 4  # versions of the workspace in memory
_JUDGED = 64  # changes of the workspace whose approvals were looked at


class _Unknown(Malformed):
    """The log has no such version of the workspace."""


@dataclass(frozen=True, slots=True)
class Logged:
    """Where a subject stands in the log: its first and its last entry, and when (Unix seconds) the last one was made.

    ``request`` is the digest of what was asked for last, ``signs`` of what is signed for it: the first one's, for ever.
    """

    first: int
    last: int
    at: int
    request: bytes
    signs: bytes
    workspace: bytes


class History:
    """History at this node, in the store of the connection. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._versions = Recent[bytes, Workspace](_KEPT)
        self._counted = Counted()
        self._judged = Recent[tuple[int, bytes], int | None](_JUDGED)

    def fold(self, connection: Connection, entry: Entry, one: Item) -> None:
        """Take in the next item, inside the transaction that follows the log. Raises `Malformed`: none of it counts."""
        match read_effect(entry, one):
            case Began(digest, workspace):
                _note_version(connection, digest, workspace)
            case Approved() as approved:
                self._change(connection, entry, approved)
            case Authorization() as authorized:
                self._authorize(connection, entry, authorized)

    def authorized(self, connection: Connection, subject: bytes) -> Logged | None:
        """Where a subject stands; None if it was never authorised."""
        row = connection.execute(_FIND, {"subject": subject}).first()
        return Logged(row.first, row.last, row.at, row.request, row.signs, row.workspace) if row else None

    def wished(self, connection: Connection, request: ChangeRequest) -> int | None:
        """When (Unix seconds) this wish stood in the log first, with these very approvals; None if it never did.

        An entry with others says nothing about when these were there. A store that followed before it kept them all
        knows the newest of a subject.
        """
        asked = request_digest(request)
        at = connection.execute(select(log_wishes.c.at).filter_by(request=asked)).scalar()
        if at is None:
            newest = self.authorized(connection, subject_digest(request.proposal.subject))
            at = newest.at if newest is not None and newest.request == asked else None
        return at

    def facts(self, connection: Connection, subject: bytes, now: int, back: int = YEAR, share: int = 1) -> Facts:
        """What others were authorised for within ``back`` seconds before ``now``, and before this subject last was.

        Of a subject that was never authorised: all. Of one that was, its own entry says which windows it is held
        against: entries are good for minutes, and what filled up one window would else be signed when that is over.
        """
        mine = self.authorized(connection, subject)
        at = now if mine is None else mine.at
        spent = self._counted.spent(connection, min(now, at) - back, subject, mine.last if mine is not None else None)
        return Facts(now, spent, share=share, logged_at=at)

    def facts_anew(self, connection: Connection, subject: bytes, now: int, back: int = YEAR) -> Facts:
        """The same as if it was never authorised: who asks people once more will have it logged once more."""
        return Facts(now, self._counted.spent(connection, now - back, subject, None), logged_at=now)

    def check_pressed(self, connection: Connection, pressed: tuple[Pressed, ...]) -> None:
        """No counter was used for another assertion that stands in the log. Raises `Refused` (COUNTER_REGRESSION)."""
        for one in pressed:
            key = {"credential": one.authenticator, "counter": one.counter}
            held = connection.execute(_CHALLENGE, key).scalar()
            if held is not None and held != one.challenge:
                text = "an authenticator's counter was used for another approval, which stands in the log"
                raise Refused(text, Reason.COUNTER_REGRESSION)

    def check_due(self, connection: Connection, current: Workspace, now: int) -> None:
        """Nothing that people have approved waits to be followed. Raises `Refused` (POLICY_VERSION_MISMATCH)."""
        waiting = select(log_changes.c.index).filter_by(parent=workspace_digest(current))
        waiting = waiting.where(log_changes.c.index.not_in(select(log_passed.c.index)))
        for index in connection.execute(waiting).scalars().all():
            at = self._judge(connection, index, current)
            if at is not None and at <= now:
                text = f"a newer version of the workspace is due, by entry {index} of the log"
                raise Refused(text, Reason.POLICY_VERSION_MISMATCH)

    def _change(self, connection: Connection, entry: Entry, approved: Approved) -> None:
        _note_version(connection, approved.digest, approved.following)
        row = {
            "index": entry.index,
            "at": entry.at,
            "change": approved.change,
            "parent": approved.following.parent,
            "request": encode(approved.request),
        }
        connection.execute(insert(log_changes).values(row))
        # Looked at here, one by one, as they come: whoever writes the log can have any number of them stand in it.
        with suppress(_Unknown):
            parent = self._version(connection, entry, approved.following.parent)
            if counts_at(approved.request, parent, entry.at) is None:
                connection.execute(insert(log_passed).values(index=entry.index))

    def _authorize(self, connection: Connection, entry: Entry, made: Authorization) -> None:
        last = {"last": entry.index, "at": entry.at, "request": made.request, "workspace": made.workspace}
        row = {**last, "subject": made.subject, "first": entry.index, "signs": made.signs}
        is_first = connection.execute(_AUTHORIZE, row).rowcount == 1
        held = None if is_first else self.authorized(connection, made.subject)
        if held is not None and held.signs != made.signs:
            return  # the first one stands, and nobody signs this
        if isinstance(made.asked, ChangeRequest):
            connection.execute(_WISH, {"request": made.request, "at": entry.at})
        if pressed := pressed_in(made, self._version(connection, entry, made.workspace)):
            rows = [
                {"credential": one.authenticator, "counter": one.counter, "challenge": one.challenge} for one in pressed
            ]
            connection.execute(_PRESS, rows)
        if held is None:
            _count(connection, self._spends(connection, entry, made))
            return
        mine = log_authorized.c.subject == made.subject
        connection.execute(update(log_authorized).where(mine).values(last))
        if held.workspace != made.workspace:
            before = spends_of(connection.execute(COUNTED.where(mine)))
            connection.execute(delete(log_spends).where(log_spends.c.subject == made.subject))
            _count(connection, worst(before, self._spends(connection, entry, made)))

    def _spends(self, connection: Connection, entry: Entry, made: Authorization) -> tuple[Spend, ...]:
        return spends_in(made, self._version(connection, entry, made.workspace), entry.at)

    def _version(self, connection: Connection, entry: Entry, digest: bytes) -> Workspace:
        """The version that an entry names. Raises `_Unknown` if that is not in the log."""

        def read() -> Workspace:
            query = select(log_versions.c.document).filter_by(digest=digest)
            found = _stored(Workspace, connection.execute(query).scalar_one())
            if workspace_digest(found) != digest:
                raise LocalError("the store has another document for a version of the workspace", Reason.STORE_CORRUPT)
            return found

        # Memory may hold one that stood in a piece of the log which was not taken in the end.
        if connection.execute(select(log_versions.c.digest).filter_by(digest=digest)).scalar() is None:
            raise _Unknown(f"entry {entry.index} stands on a version of the workspace that is not in the log")
        return self._versions.get(digest, read)

    def _judge(self, connection: Connection, index: int, current: Workspace) -> int | None:
        """As `counts_at`, of the change that this entry speaks of; looked at once for each version."""

        def judge() -> int | None:
            row = connection.execute(select(log_changes).filter_by(index=index)).one()
            request = _stored(ChangeWorkspaceRequest, row.request)
            if subject_digest(request.proposal.subject) != row.change:
                raise LocalError("the store has another request for a change of the workspace", Reason.STORE_CORRUPT)
            return counts_at(request, current, row.at)

        return self._judged.get((index, workspace_digest(current)), judge)


_AUTHORIZE, _SPEND = insert_new(log_authorized).on_conflict_do_nothing(), insert(log_spends)
_PRESS = insert_new(log_counters).on_conflict_do_nothing()
_WISH = insert_new(log_wishes).on_conflict_do_nothing()
_FIND = select(log_authorized).where(log_authorized.c.subject == bindparam("subject"))
_CHALLENGE = select(log_counters.c.challenge).where(
    log_counters.c.credential == bindparam("credential"), log_counters.c.counter == bindparam("counter")
)


def _stored(kind: type[D], document: bytes) -> D:
    """What was taken in as such. Raises `LocalError`: that it is damaged here says nothing of the log."""
    try:
        return decode(kind, document, WORKSPACE_LIMIT)
    except Malformed as error:
        raise LocalError(f"the store's {kind.__name__} is damaged", Reason.STORE_CORRUPT) from error


def _note_version(connection: Connection, digest: bytes, workspace: Workspace) -> None:
    row = {"digest": digest, "document": encode(workspace)}
    connection.execute(insert_new(log_versions).values(row).on_conflict_do_nothing())


def _count(connection: Connection, spends: tuple[Spend, ...]) -> None:
    rows = rows_of(spends)
    for row in rows:
        del row["at"]  # it is their subject's, and will change
    connection.execute(_SPEND, rows)
