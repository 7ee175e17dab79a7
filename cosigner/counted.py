"""What was authorised counts for, in memory as of the newest of it: the log only grows, and only that is read anew."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from cosigner import logbook
from cosigner.store import log_authorized, log_spends
from oms_core.log.tree import EMPTY_ROOT
from oms_core.log.witness import Head
from oms_core.policy.facts import Spend
from oms_core.policy.rows import COLUMNS, spend_of

_SPARE = 3600  # seconds that are kept beyond what is asked for: others may ask for a little more
COUNTED = select(
    *(log_authorized.c[name] for name in ("first", "last")),
    *((log_authorized if name == "at" else log_spends).c[name] for name in COLUMNS),
).join_from(log_authorized, log_spends, log_authorized.c.subject == log_spends.c.subject)
"""A row a spend: between which entries it was authorised, and the spend, at the last of them."""


@dataclass(frozen=True, slots=True)
class _Subject:
    first: int
    at: int
    spends: list[Spend]


class Counted:
    """All that is not older than somebody asked for lately. May be used from any thread.

    Transactions of the store follow each other, so nobody who asks stands before what is held here. Nobody asks in a
    transaction that follows the log: it could yet be rolled back. A store whose log is another one is read anew.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._subjects: dict[bytes, _Subject] = {}
        self._newest: tuple[bytes, int] = b"", -1  # of what is held: subject and last entry
        self._tree = Head(0, EMPTY_ROOT)  # of the log that is held
        self._since: float = float("inf")  # what is newer is all here

    def spent(self, connection: Connection, since: int, subject: bytes, before: int | None) -> tuple[Spend, ...]:
        """What others than ``subject`` were authorised for later than ``since``, and first ``before`` an entry."""
        found: list[Spend] = []
        with self._turn:
            self._catch_up(connection, since)
            for name, one in self._subjects.items():
                if one.at > since and name != subject and (before is None or one.first < before):
                    found += one.spends
        return tuple(found)

    def _catch_up(self, connection: Connection, since: int) -> None:
        held, head = self._since, logbook.followed(connection)
        good = since >= held and self._stands(connection, head)
        self._since = float("inf")  # until all is in
        if good:
            self._take(connection.execute(COUNTED.where(log_authorized.c.last > self._newest[1])).all())
            if since > held + 2 * _SPARE:
                held = since - _SPARE
                self._subjects = {name: one for name, one in self._subjects.items() if one.at > held}
        else:
            self._subjects, self._newest, held = {}, (b"", -1), since - _SPARE
            self._take(connection.execute(COUNTED.where(log_authorized.c.at > held)).all())
        self._since, self._tree = held, head.tree

    def _stands(self, connection: Connection, head: logbook.Followed) -> bool:
        """Whether what is held is of this log: what was newest then may have been authorised again since."""
        (name, last), size, root = self._newest, self._tree.size, self._tree.root
        found = connection.execute(select(log_authorized.c.last).filter_by(subject=name)).scalar()
        if found is None or found < last:
            return False
        return head.tree == self._tree or (0 < size < head.size and logbook.root_at(connection, head, size) == root)

    def _take(self, rows: Sequence[Sequence[Any]]) -> None:
        read = [(first, last, spend_of(*spend)) for first, last, *spend in rows]
        for _, _, spend in read:
            self._subjects.pop(spend.subject, None)
        for first, last, spend in read:
            if (one := self._subjects.get(spend.subject)) is None:
                one = self._subjects[spend.subject] = _Subject(first, spend.at, [])
            one.spends.append(spend)
            if last > self._newest[1]:
                self._newest = spend.subject, last


def spends_of(rows: Iterable[Sequence[Any]]) -> tuple[Spend, ...]:
    """From rows of `COUNTED`."""
    return tuple(spend_of(*spend) for _, _, *spend in rows)
