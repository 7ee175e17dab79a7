"""What this cosigner has given its share for: written durably before a share leaves, and never taken back.

Each invariant is a key or a WHERE clause: one digest per account nonce, one transaction per approved subject, one run
per session id, one challenge per credential counter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects.sqlite import insert

from cosigner.store import certificates, changes, counters, messages, resumed, seen, sessions, signed, stops
from oms_core.approvals import challenge
from oms_core.authorize import Authorized, Versions, authorize
from oms_core.chains.intent import Intent, subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import Reason, Refused
from oms_core.evidence import ChangeRequest, CreateRequest, SignRequest
from oms_core.keys import KeyState, SignedKeyReceipt
from oms_core.policy.facts import Facts
from oms_core.workspace import Workspace

MAX_NONCE = (1 << 63) - 1  # as much as the store holds

Also = Callable[[Connection], None]
Count = Callable[[Connection], Facts]
"""What is counted, and by which clock, in the transaction that commits to something."""
Last = Callable[[Connection, Authorized, Facts], None]
"""What has to hold of what was decided, at the end of that transaction."""


class Ledger:
    """The record behind the double-sign guard. What counts against limits is the log's to say: see `History`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def seen_at(self, subject: bytes) -> int | None:
        """When a subject that has to wait was first seen here (Unix seconds); None if it was not."""
        with self._engine.begin() as connection:
            return _seen_at(connection, subject)

    def note_seen(self, subject: bytes, now: int) -> None:
        """Remember when a subject was first seen, which its delay counts from."""
        with self._engine.begin() as connection:
            connection.execute(insert(seen).values(subject=subject, at=now).on_conflict_do_nothing())

    def check_session(self, session_id: bytes) -> None:
        """Whether `claim_session` would succeed, before work is done for it. Raises `Refused` (SESSION_REPLAYED)."""
        with self._engine.begin() as connection:
            if connection.execute(select(sessions).filter_by(session_id=session_id)).first():
                raise Refused("this session id was used before", Reason.SESSION_REPLAYED)

    def claim_session(self, session_id: bytes) -> None:
        """Take a session id, once for ever. Raises `Refused` (SESSION_REPLAYED)."""
        with self._engine.begin() as connection:
            done = connection.execute(insert(sessions).values(session_id=session_id).on_conflict_do_nothing())
        if done.rowcount != 1:
            raise Refused("this session id was used before", Reason.SESSION_REPLAYED)

    def check_counters(self, request: CreateRequest | SignRequest | ChangeRequest, authorized: Authorized) -> None:
        """A credential's non-zero counter stands for one assertion only. Raises `Refused` (COUNTER_REGRESSION).

        Orders reach a cosigner in any order, so counters need not rise here; the same one for two assertions is a
        cloned authenticator, or a replay.
        """
        with self._engine.begin() as connection:
            for approval, approver in zip(request.approvals, authorized.approvers, strict=True):
                if approver.counter == 0:
                    continue
                said = challenge(approval.claim)
                key = {"credential_id": approval.credential_id, "counter": approver.counter}
                connection.execute(insert(counters).values(**key, challenge=said).on_conflict_do_nothing())
                held = connection.execute(select(counters.c.challenge).filter_by(**key)).scalar_one()
                if held != said:
                    text = f"the authenticator of {approver.user.user_id} used its counter twice"
                    raise Refused(text, Reason.COUNTER_REGRESSION)

    def change_done(self, subject: bytes) -> SignedKeyReceipt | None:
        """The receipt for a change of a key that was carried out here; None if it was not."""
        with self._engine.begin() as connection:
            row = connection.execute(select(changes.c.receipt).filter_by(subject=subject)).first()
        return decode(SignedKeyReceipt, row.receipt) if row else None

    def destroyed(self, key_id: bytes) -> int:
        """The highest epoch of a key that was destroyed here; -1 if none was."""
        with self._engine.begin() as connection:
            held = connection.execute(select(changes.c.receipt)).scalars().all()
        receipts = [decode(SignedKeyReceipt, data).receipt for data in held]
        gone = [one.epoch for one in receipts if (one.key_id, one.state) == (key_id, KeyState.DESTROYED)]
        return max(gone, default=-1)

    def noting_change(self, subject: bytes, receipt: SignedKeyReceipt) -> Callable[[Connection], None]:
        """What remembers a change, inside the transaction that carries it out: each wish is carried out once."""
        values = {"subject": subject, "receipt": encode(receipt)}

        def note(connection: Connection) -> None:
            connection.execute(insert(changes).values(values).on_conflict_do_nothing())

        return note

    def stopped_at(self, wallet_id: str) -> int:
        """The beginning of the newest wish to suspend this wallet's key; -1 if there was none."""
        with self._engine.begin() as connection:
            at = connection.execute(select(stops.c.valid_from).filter_by(wallet_id=wallet_id)).scalar()
        return -1 if at is None else int(at)

    def stopped(self, wallet_id: str) -> bool:
        """Whether the last wish that was carried out here was to suspend, and not to resume."""
        with self._engine.begin() as connection:
            answered = connection.execute(select(resumed).filter_by(wallet_id=wallet_id)).first()
        return self.stopped_at(wallet_id) >= 0 and answered is None

    def noting_resume(self, wallet_id: str) -> Also:
        """What remembers that the newest stop is over. When it was stays: no older wish to resume counts after it."""

        def note(connection: Connection) -> None:
            connection.execute(insert(resumed).values(wallet_id=wallet_id).on_conflict_do_nothing())

        return note

    def noting_stop(self, wallet_id: str, valid_from: int) -> Also:
        """What remembers that a key was to stop: a wish to resume from before that is no answer to it."""
        values = {"wallet_id": wallet_id, "valid_from": max(valid_from, self.stopped_at(wallet_id))}

        def note(connection: Connection) -> None:
            change = insert(stops).values(values)
            connection.execute(change.on_conflict_do_update(index_elements=["wallet_id"], set_=values))
            connection.execute(delete(resumed).where(resumed.c.wallet_id == wallet_id))

        return note

    def certificates(self) -> list[tuple[bytes, int, bytes]]:
        """(key, epoch, document) of every certificate by which this node went over to an epoch, or left."""
        with self._engine.begin() as connection:
            rows = connection.execute(select(certificates).order_by(certificates.c.epoch)).all()
        return [(row.key_id, row.epoch, row.document) for row in rows]

    def keeping(self, key_id: bytes, epoch: int, document: bytes) -> Also:
        """What keeps a certificate, inside the transaction that acts on it: whoever destroys anything can prove why."""
        values = {"key_id": key_id, "epoch": epoch, "document": document}

        def keep(connection: Connection) -> None:
            connection.execute(insert(certificates).values(values).on_conflict_do_nothing())

        return keep

    def check(self, account: bytes, authorized: Authorized) -> None:
        """Whether `record` would succeed. Raises `Refused` (DOUBLE_SIGN_GUARD)."""
        if authorized.transaction is not None:
            with self._engine.begin() as connection:
                self._held(connection, account, authorized)

    def record(
        self, account: bytes, request: SignRequest, workspace: Workspace, older: Versions, count: Count, also: Last
    ) -> Authorized:
        """Commit to one digest for the account's nonce and for the subject, before a share leaves.

        Whether it may be signed is decided once more, here, with all that the log has come to say in the meantime:
        ``count`` gives the facts. The same digest again is fine; any other raises `Refused` (DOUBLE_SIGN_GUARD).
        Whatever raises, no share may leave. ``also`` is done in the transaction.
        """
        with self._engine.begin() as connection:
            seen_at = _seen_at(connection, subject_digest(request.proposal.subject))
            facts = replace(count(connection), seen_at=seen_at)
            authorized = authorize(request, workspace, facts, older)
            self._record(connection, account, authorized, facts.now)
            also(connection, authorized, facts)
        return authorized

    def _record(self, connection: Connection, account: bytes, authorized: Authorized, now: int) -> None:
        intent, tx = authorized.subject, authorized.transaction
        assert isinstance(intent, Intent)
        if tx is None:  # a message has no nonce, and its digest follows from the subject alone
            row = {"subject": subject_digest(intent), "digest": authorized.digest, "at": now}
            connection.execute(insert(messages).values(row).on_conflict_do_nothing())
            return
        row = {
            "chain": intent.chain,
            "account": account,
            "nonce": tx.nonce,
            "subject": subject_digest(intent),
            "digest": authorized.digest,
            "wallet_id": intent.wallet_id,
            "at": now,
        }
        connection.execute(insert(signed).values(row).on_conflict_do_nothing())
        if not self._held(connection, account, authorized):
            raise Refused("the ledger did not take the entry", Reason.DOUBLE_SIGN_GUARD)

    def _held(self, connection: Connection, account: bytes, authorized: Authorized) -> bool:
        intent, tx = authorized.subject, authorized.transaction
        assert isinstance(intent, Intent)
        assert tx is not None
        if tx.nonce > MAX_NONCE:
            raise Refused(f"no account comes to nonce {tx.nonce}", Reason.DOUBLE_SIGN_GUARD)
        subject = subject_digest(intent)
        at_nonce = (signed.c.chain == intent.chain) & (signed.c.account == account) & (signed.c.nonce == tx.nonce)
        rows = connection.execute(select(signed).where(at_nonce | (signed.c.subject == subject))).all()
        for row in rows:
            if row.digest != authorized.digest:
                what = "this order" if row.subject == subject else f"nonce {tx.nonce}"
                raise Refused(f"another transaction was signed for {what}", Reason.DOUBLE_SIGN_GUARD)
        return bool(rows)


def _seen_at(connection: Connection, subject: bytes) -> int | None:
    at = connection.execute(select(seen.c.at).filter_by(subject=subject)).scalar()
    return None if at is None else int(at)
