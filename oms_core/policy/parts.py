"""The parts of a rule's YAML besides its conditions: limits, requirements, hours, moments. Raises `Malformed`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC as _UTC
from datetime import date, datetime
from enum import StrEnum
from typing import TypeVar

from oms_core.errors import Malformed, Reason
from oms_core.policy import units
from oms_core.policy.hours import UTC
from oms_core.policy.rules import Calendar, Cap, Hours, Per, Quorum, Requirement, Unit, Zone
from oms_core.policy.tree import Items, Misplaced, Scalar, Table, Tree
from oms_core.policy.writing import DAYS, EPOCH, FLAGS
from oms_core.workspace import Asset

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_FLAGS = {"yes": True, "no": False}
_CLOCK = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_QUORUM = {
    "approvals", "from users", "from groups", "from roles", "distinct teams", "distinct sites", "device bound",
}  # fmt: skip
_REQUIREMENT = {"all of", "any of", "overlap", "expires after", "delay", "cosigners"}


def empty(tree: Tree) -> bool:
    """Whether nothing stands there."""
    return isinstance(tree, Scalar) and not tree.text and not tree.quoted


def text(tree: Tree) -> str:
    """A scalar."""
    if not isinstance(tree, Scalar):
        raise Malformed("a text, not a list or a map")
    return tree.text


def yes(word: str) -> bool:
    """``yes`` or ``no``."""
    if word not in _FLAGS:
        raise Malformed(f"{word[:20]!r} is neither yes nor no")
    return _FLAGS[word]


def flag(tree: Tree) -> bool:
    """``yes`` or ``no``."""
    return yes(text(tree))


def number_or_text(word: str) -> int | str:
    """What digits, and worths in USD, mean where a field may hold both. Raises `Malformed` for yes, no and the like."""
    if word.lower() in FLAGS:
        raise Malformed(f"{word!r} is no value here: a flag is 1 or 0, and a text that reads so is quoted")
    plain = word.removesuffix(" USD")
    try:
        return units.micro_usd(word) if plain != word else units.whole(word)
    except Malformed:
        if _NUMERIC.match(plain) and plain != word:
            raise  # a worth that is not written well is no text
        return word


def moment(tree: Tree) -> int:
    """A Unix second, from UTC text."""
    word = text(tree)
    try:
        at = datetime.strptime(word, _MOMENT).replace(tzinfo=_UTC)
    except ValueError:
        raise Malformed(f"{word[:40]!r} is not a moment as in 2030-01-31T18:00:00Z") from None
    return int(at.timestamp())


_NUMERIC = re.compile(r"-?[0-9][0-9.,]*\Z")


class Zones:
    """The zones that may be named, UTC among them."""

    def __init__(self, zones: Iterable[Zone]) -> None:
        self._held = {"UTC": UTC, **{zone.name: zone for zone in zones}}

    def read(self, tree: Tree) -> Zone:
        """A zone by its name, or in full."""
        if isinstance(tree, Table):
            read = _entries(tree, {"name", "offsets", "known until"})
            return Zone(
                read.one("name", text),
                read.one("offsets", lambda rows: tuple(_pair(row) for row in _items(rows))),
                read.one("known until", whole),
            )
        word = text(tree)
        if word not in self._held:
            raise Malformed(f"zone {word[:40]!r} is not known here; it can be given in full")
        return self._held[word]


def whole(tree: Tree) -> int:
    """An integer."""
    return units.whole(text(tree))


def _pair(tree: Tree) -> tuple[int, int]:
    at, minutes = (whole(item) for item in _items(tree))
    return at, minutes


def _items(tree: Tree) -> tuple[Tree, ...]:
    if not isinstance(tree, Items):
        raise Malformed("a list")
    return tree.items


class _Entries:
    """A map of which all keys are known; each is read by name, and errors say which."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def has(self, name: str) -> bool:
        return name in self._table.entries

    def one(self, name: str, read: Callable[[Tree], T], default: T | None = None) -> T:
        if name not in self._table.entries:
            if default is None:
                raise Malformed(f"{name!r} is missing")
            return default
        try:
            return read(self._table.entries[name])
        except Misplaced:
            raise
        except Malformed as error:
            raise Malformed(f"{name}: {error.message}", error.reason) from None
        except ValueError:
            raise Malformed(f"{name}: not of the right shape") from None


def _entries(tree: Tree, keys: Iterable[str]) -> _Entries:
    known = set(keys)
    if not isinstance(tree, Table):
        raise Malformed(f"a map of {', '.join(sorted(known))}")
    for key in tree.entries:
        if key not in known:
            raise Malformed(f"unknown key {key[:64]!r}", Reason.UNKNOWN_FIELD)
    return _Entries(tree)


def caps(tree: Tree, about: tuple[Asset, ...], zones: Zones) -> tuple[Cap, ...]:
    """One limit, or a list of them."""
    return tuple(_cap(one, about, zones) for one in (tree.items if isinstance(tree, Items) else (tree,)))


def _cap(tree: Tree, about: tuple[Asset, ...], zones: Zones) -> Cap:
    read = _entries(tree, ("usd", "amount", "count", "every", "zone", "per"))
    counted = [name for name in ("usd", "amount", "count") if read.has(name)]
    if len(counted) != 1:
        raise Malformed("one of usd, amount, count")
    every = read.one("every", text, "")
    calendar = Calendar(every.upper()) if every.upper() in Calendar.__members__ and every.islower() else None
    match counted[0]:
        case "usd":
            unit, maximum = Unit.USD, read.one("usd", lambda value: units.micro_usd(text(value)))
        case "amount":
            unit, maximum = Unit.BASE, read.one("amount", lambda value: units.base_units(text(value), about))
        case _:
            unit, maximum = Unit.COUNT, read.one("count", whole)
    if every and calendar is None and not units.seconds(every):
        raise Malformed("every: a window is not empty; without 'every' it is one order")
    if (calendar is not None) is not read.has("zone"):
        raise Malformed("a calendar window (every: day, week or month) names its zone, and no other does")
    return Cap(
        unit=unit,
        maximum=maximum,
        seconds=units.seconds(every) if every and calendar is None else 0,
        calendar=calendar,
        zone=read.one("zone", zones.read) if calendar is not None else None,
        per=read.one("per", lambda value: tuple(_member(Per, one) for one in _items(value)), ()),
    )


def _member(kind: type[E], tree: Tree) -> E:
    word = text(tree)
    for one in kind:
        if one.lower() == word:
            return one
    raise Malformed(f"{word[:40]!r} is none of {', '.join(one.lower() for one in kind)}")


def requirement(tree: Tree) -> Requirement:
    """People to be asked: one quorum by itself, or under ``all of`` and ``any of``."""
    read = _entries(tree, _QUORUM | _REQUIREMENT)
    alone = any(read.has(name) for name in _QUORUM)
    if alone and (read.has("all of") or read.has("any of")):
        raise Malformed("either one quorum, or quorums under 'all of' and 'any of'")

    def quorums(value: Tree) -> tuple[Quorum, ...]:
        return tuple(_quorum(_entries(item, _QUORUM)) for item in _items(value))

    return Requirement(
        all_of=(_quorum(read),) if alone else read.one("all of", quorums, ()),
        any_of=read.one("any of", quorums, ()),
        overlap=read.one("overlap", flag, False),
        expires_in=read.one("expires after", _lasting, 0),
        delay=read.one("delay", _span, 0),
        cosigners=read.one("cosigners", lambda value: tuple(whole(item) for item in _items(value)), ()),
    )


def _span(tree: Tree) -> int:
    return units.seconds(text(tree))


def _lasting(tree: Tree) -> int:
    """A time span that is not empty: 0 stands for no end."""
    if not (span := _span(tree)):
        raise Malformed("expires at once; without it, approvals count as long as they say")
    return span


def _quorum(read: _Entries) -> Quorum:
    def names(value: Tree) -> tuple[str, ...]:
        return tuple(text(item) for item in _items(value))

    return Quorum(
        threshold=read.one("approvals", whole),
        users=read.one("from users", names, ()),
        groups=read.one("from groups", names, ()),
        roles=read.one("from roles", names, ()),
        distinct_teams=read.one("distinct teams", flag, False),
        distinct_sites=read.one("distinct sites", flag, False),
        device_bound=read.one("device bound", flag, False),
    )


def hours(tree: Tree, zones: Zones) -> Hours:
    """Opening hours: zone, days, from, to (``24:00`` at the latest), and dates on which it is closed."""
    read = _entries(tree, ("zone", "days", "from", "to", "except"))
    return Hours(
        zone=read.one("zone", zones.read),
        days=read.one("days", lambda value: tuple(day for item in _items(value) for day in _days(text(item)))),
        opens=read.one("from", _minute),
        closes=read.one("to", _minute),
        closed=read.one("except", lambda value: tuple(_date(text(item)) for item in _items(value)), ()),
    )


def _days(word: str) -> tuple[int, ...]:
    first, dash, last = word.partition("-")
    if first not in DAYS or (dash and (last not in DAYS or DAYS.index(last) <= DAYS.index(first))):
        raise Malformed(f"{word[:20]!r} is no day, and no days as in mon-fri")
    return tuple(range(DAYS.index(first), DAYS.index(last if dash else first) + 1))


def _minute(tree: Tree) -> int:
    match = _CLOCK.match(text(tree))
    if not match or (minute := int(match[1]) * 60 + int(match[2])) > 24 * 60:
        raise Malformed(f"{text(tree)[:20]!r} is no time as in 08:30")
    return minute


def _date(word: str) -> int:
    try:
        if not _DATE.match(word):
            raise ValueError
        return (date.fromisoformat(word) - EPOCH).days
    except ValueError:
        raise Malformed(f"{word[:20]!r} is no date as in 2030-12-31") from None
