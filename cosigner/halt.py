"""The operator's own stop: while it stands, this node takes part in nothing. It is in the store: restarts keep it."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects.sqlite import insert

from cosigner.store import halts, showing
from oms_core.errors import Malformed, Reason, Refused

REASON_LIMIT = 280  # characters
_ONLY = 1


class Halt:
    """Whether this node stands still. Asked anew each time, so a running enclave obeys at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def why(self) -> str:
        """The operator's reason, to be shown, whatever is being written meanwhile; empty if the node goes on."""
        with showing(self._engine) as connection:
            return _why(connection)

    def check(self) -> None:
        """Raises `Refused` (HALTED) while the node stands still."""
        with self._engine.begin() as connection:
            self.check_within(connection)

    def check_within(self, connection: Connection) -> None:
        """As `check`, inside the transaction that commits to something: a halt is before it or after it."""
        if why := _why(connection):
            raise Refused(f"this node was halted by its operator: {why}", Reason.HALTED)

    def halt(self, reason: str, now: int) -> None:
        """Stand still from now on (Unix seconds). Raises `Malformed` for a reason that cannot be shown."""
        reason = reason.strip() or "no reason given"
        if len(reason) > REASON_LIMIT or not reason.isprintable():
            raise Malformed(f"a reason has at most {REASON_LIMIT} printable characters")
        values = {"id": _ONLY, "reason": reason, "at": now}
        with self._engine.begin() as connection:
            change = insert(halts).values(values)
            connection.execute(change.on_conflict_do_update(index_elements=["id"], set_=values))

    def resume(self) -> bool:
        """Go on; whether the node stood still."""
        with self._engine.begin() as connection:
            return connection.execute(delete(halts)).rowcount > 0


def _why(connection: Connection) -> str:
    row = connection.execute(select(halts)).first()
    return str(row.reason) if row else ""
