"""What the log says of one subject, entry by entry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from auditor.report import must
from oms_core.encoding import decode, decode_one_of
from oms_core.errors import Malformed
from oms_core.history import REQUEST_LIMIT, Asked
from oms_core.log.entries import RECORD_LIMIT, Entry, Record

T = TypeVar("T")
A = TypeVar("A", bound=Asked)


@dataclass(frozen=True, slots=True)
class Told:
    """An entry with its record; None where it was erased."""

    entry: Entry
    record: Record | None

    @property
    def kept(self) -> Record:
        """The record, of what something rests on. Raises `ProofInvalid` if it was erased."""
        must(self.record is not None, f"the record of entry {self.entry.index}, {self.entry.event}, was erased")
        assert self.record is not None
        return self.record

    def document(self, kind: type[T]) -> T:
        """The one document of its record. Raises `Malformed`, and `ProofInvalid` if the record was erased."""
        return decode(kind, self._only(), RECORD_LIMIT)

    def asked(self, kind: type[A]) -> A:
        """The request that cosigners were asked with. Raises as `document`."""
        return decode_one_of((kind,), self._only(), REQUEST_LIMIT)

    def _only(self) -> bytes:
        if len(self.kept.documents) != 1:
            raise Malformed(f"the record of entry {self.entry.index}, {self.entry.event}, holds one document")
        return self.kept.documents[0]


def of(told: Iterable[Told], *events: str) -> list[Told]:
    """Those of these events."""
    return [one for one in told if one.entry.event in events]


def first(told: Iterable[Told], *events: str) -> Told:
    """The first of these events. Raises `ProofInvalid` if there is none."""
    found = of(told, *events)
    must(bool(found), f"there is no entry {' or '.join(events)}")
    return found[0]


def check_previous(told: list[Told], subject: str) -> None:
    """Each entry names the one before it, and the first one none. Raises `ProofInvalid` where one is missing."""
    must(bool(told), f"the log says nothing of {subject}")
    before = -1
    for one in told:
        entry = one.entry
        text = f"entry {entry.index} of {subject} follows on entry {entry.previous}, and {before} is the one before it"
        must(entry.previous == before, text)
        before = entry.index
