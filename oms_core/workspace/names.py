"""Names in a workspace: plain ASCII, each once, and no two that a reader could take for one another."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence

from oms_core.errors import Malformed, Reason

ANY = "*"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:-]{0,63}\Z")
WALLET = re.compile(r"wal_[0-9A-Za-z_-]{1,40}\Z")
TEXT_LIMIT = 280  # characters
_LOOKS = str.maketrans("01i _.:", "oll----")


def look(name: str) -> str:
    """What is left of a name when a hurried reader is done with it: no case, no 0 and o, no 1, l and I apart."""
    return name.casefold().translate(_LOOKS)


def named(field: str, pattern: re.Pattern[str], values: Iterable[str]) -> None:
    """Raises `Malformed` naming the field for a value that the pattern does not take."""
    for value in values:
        if not pattern.match(value):
            raise Malformed(f"{field} {ascii(value)[:60]}: 1 to 64 plain letters, digits and . _ -")


def unique(field: str, values: Sequence[Hashable], reason: Reason = Reason.MALFORMED) -> None:
    """Raises `Malformed` naming the field if a value stands there twice."""
    if len(set(values)) != len(values):
        raise Malformed(f"{field} are not unique", reason)


def distinct(field: str, values: Sequence[str]) -> None:
    """Each value once, and no two that look alike. Raises `Malformed` naming the field and both."""
    unique(field, values)
    alike(field, values)


def alike(field: str, values: Iterable[str]) -> None:
    """Values may repeat, but two different ones may not look alike. Raises `Malformed` naming the field and both."""
    seen: dict[str, str] = {}
    for value in values:
        other = seen.setdefault(look(value), value)
        if other != value:
            raise Malformed(f"{field} {value[:64]!r} and {other[:64]!r} look alike")


def text(field: str, value: str, empty: bool = False) -> None:
    """A remark for people, in printable ASCII. Raises `Malformed` naming the field."""
    if not (value or empty) or len(value) > TEXT_LIMIT or not (value.isascii() and value.isprintable()):
        raise Malformed(f"{field}: 1 to {TEXT_LIMIT} printable ASCII characters")


def within(field: str, value: int, low: int, high: int) -> None:
    """Raises `Malformed` naming the field unless low <= value <= high."""
    if not low <= value <= high:
        raise Malformed(f"{field} {value} is not between {low} and {high}")


def known(field: str, values: Iterable[str], those: Iterable[str], reason: Reason = Reason.MALFORMED) -> None:
    """Raises `Malformed` naming the field for a name that stands for nothing in this workspace."""
    if strangers := sorted(set(values) - set(those)):
        raise Malformed(f"{field}: there is no {strangers[0][:64]!r}", reason)
