"""Whether this node may act on what people ask: it stands in the log, and enough witnesses vouch that there is one log.

What is counted is `History`'s, what is vouched for is the witness's; here, a request is held against both. It is asked
before a session, and again in the transaction that commits to something: the log has grown in the meantime.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from cosigner import logbook
from cosigner.history import History
from cosigner.witness import Witness
from oms_core.chains.intent import subject_digest
from oms_core.errors import Reason, Refused
from oms_core.evidence import ChangeRequest, SignRequest, request_digest
from oms_core.history import AUTHORIZED_FOR, Asked, presses, what_it_signs
from oms_core.log.cover import check_window
from oms_core.policy.facts import Facts
from oms_core.policy.limits import YEAR
from oms_core.workspace import Workspace


class Past:
    """The log as this node knows it. All methods may be called from any thread."""

    def __init__(self, engine: Engine, history: History, witness: Witness) -> None:
        self._engine, self._history, self._witness = engine, history, witness

    def share(self, request: Asked, workspace: Workspace, note: bytes, now: int) -> int:
        """By how much limits over time are divided for this request: it stands in the log, and ``note`` vouches for it.

        Raises `Refused`: NOT_LOGGED for what is not there, or no longer; DOUBLE_SIGN_GUARD, COUNTER_REGRESSION for what
        was used for something else before; POLICY_VERSION_MISMATCH if a newer version is due; LOG_STALE, LOG_FORKED.
        """
        with self._engine.begin() as connection:
            last = self.check_logged(connection, request, workspace, now)
        cover = self._witness.check_cover(note, last, workspace, now)
        return cover.share if isinstance(request, SignRequest) else 1

    def check_logged(self, connection: Connection, request: Asked, workspace: Workspace, now: int) -> int:
        """Inside a transaction: the request's entry, as of now. Raises as `share`, but for what witnesses say."""
        self.check_due(connection, workspace, now)
        logged = self._history.authorized(connection, subject_digest(request.proposal.subject))
        if logged is None:
            raise Refused("this is not in the log that this node follows", Reason.NOT_LOGGED)
        if logged.signs != what_it_signs(request):
            raise Refused("the log has another transaction for this order", Reason.DOUBLE_SIGN_GUARD)
        if logged.request != request_digest(request):
            raise Refused("what stands in the log for this is another request", Reason.NOT_LOGGED)
        if now > logged.at + AUTHORIZED_FOR:
            text = f"authorised more than {AUTHORIZED_FOR} seconds ago: it has to be logged anew"
            raise Refused(text, Reason.NOT_LOGGED)
        self._history.check_pressed(connection, presses(request.approvals, workspace))
        return logged.last

    def check_was_authorized(self, request: ChangeRequest, then: Workspace, degraded_window: int, now: int) -> None:
        """What was carried out elsewhere stands in the log, of when the version ``then`` that it names still counted.

        So nobody who has been revoked since makes it up afterwards, or approves then what was written down bare before.
        Raises `Refused`: NOT_LOGGED, POLICY_VERSION_MISMATCH, LOG_STALE for a node that may have been left behind.
        """
        with self._engine.begin() as connection:
            at = self._history.wished(connection, request)
            if at is None:
                raise Refused("this is not in the log that this node follows", Reason.NOT_LOGGED)
            self._history.check_due(connection, then, at)
            check_window(logbook.followed(connection).full_at, now, degraded_window)

    def wished_at(self, request: ChangeRequest) -> int | None:
        """When (Unix seconds) this wish stood in the log first, with these very approvals; None if it never did."""
        with self._engine.begin() as connection:
            return self._history.wished(connection, request)

    def check_due(self, connection: Connection, workspace: Workspace, now: int) -> None:
        """Inside a transaction: no newer version is due. Raises `Refused` (POLICY_VERSION_MISMATCH)."""
        self._history.check_due(connection, workspace, now)

    def facts(self, subject: bytes, now: int, back: int = YEAR, share: int = 1) -> Facts:
        """What others were authorised for within ``back`` seconds, before this subject last was, if it was."""
        with self._engine.begin() as connection:
            return self._history.facts(connection, subject, now, back, share)

    def facts_anew(self, subject: bytes, now: int, back: int = YEAR) -> Facts:
        """What others were authorised for within ``back`` seconds, whether or not this subject was, too."""
        with self._engine.begin() as connection:
            return self._history.facts_anew(connection, subject, now, back)

    def facts_within(self, connection: Connection, subject: bytes, now: int, back: int, share: int) -> Facts:
        """The same inside a transaction."""
        return self._history.facts(connection, subject, now, back, share)
