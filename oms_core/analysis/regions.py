"""The orders that a conjunction of tests describes, as a region: intersected, subtracted, compared, field by field.

Everything here is exact for values that are known, and looks at one field at a time: two tests on different fields
are never taken to exclude each other, whatever a workspace says (a user in no group, a tag that no wallet has). So
"empty" and "within" are true in every workspace; "not empty" may still be empty in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from oms_core.policy.rules import Action, Operator, Test

Tests = tuple[Test, ...]
Region = tuple[Tests, ...]
"""A union of conjunctions. An empty union is nothing, an empty conjunction is everything."""

# Fields that have several values at once, or none: IS asks for any of them, IS_NOT that there is none.
SEVERAL = frozenset(
    {
        "initiator.role", "initiator.group", "source.tag", "destination.entry", "destination.tag", "destination.type",
        "asset.class", "protocol", "registry.state",
    }
)  # fmt: skip

# Fields whose values are all known beforehand.
CLOSED: dict[str, frozenset[int | str]] = {
    "action": frozenset(action.value for action in Action),
    "purpose": frozenset({"given", "empty"}),
    "unlimited": frozenset({0, 1}),
    "opaque": frozenset({0, 1}),
    "delegate": frozenset({0, 1}),
}

# What can be known of a destination: it is in lists, or in none; and it may be an account of ours, listed or not.
DESTINATIONS = ("CONTRACT", "ONE_TIME", "OWN", "WHITELISTED")
_TYPES: tuple[frozenset[int | str], ...] = (
    frozenset({"ONE_TIME"}),
    frozenset({"ONE_TIME", "OWN"}),
    *(frozenset(some) for size in (1, 2, 3) for some in combinations(("CONTRACT", "OWN", "WHITELISTED"), size)),
)

_OPPOSITE = {
    Operator.IS: Operator.IS_NOT,
    Operator.IS_NOT: Operator.IS,
    Operator.ABOVE: Operator.AT_MOST,
    Operator.AT_MOST: Operator.ABOVE,
    Operator.BELOW: Operator.AT_LEAST,
    Operator.AT_LEAST: Operator.BELOW,
}
EVERYTHING: Region = ((),)


class TooManyPieces(Exception):
    """A region falls into more pieces than its caller wants to see."""


def opposite(test: Test) -> Test | None:
    """The test that holds exactly where this one, on a known value, does not; None for STARTS, which has none."""
    operator = _OPPOSITE.get(test.operator)
    return None if operator is None else Test(test.field, operator, test.values)


def simplified(tests: Iterable[Test]) -> Tests | None:
    """The same region in fewest tests, sorted by field; None if no order can be in it."""
    by_field: dict[str, list[Test]] = {}
    for test in tests:
        by_field.setdefault(test.field, []).append(test)
    made: list[Test] = []
    for field in sorted(by_field):
        kept = _several(by_field[field]) if field in SEVERAL else _one(field, by_field[field])
        if kept is None:
            return None
        made.extend(kept)
    return tuple(made)


def within(inner: Tests, outer: Tests) -> bool:
    """Whether each order that is in ``inner`` is in ``outer`` (exact for each field; see above)."""
    return not subtract((inner,), outer)


def covered(inner: Region, outer: Region, most: int = 10_000) -> bool:
    """Whether the union ``outer`` holds all of ``inner``. Raises `TooManyPieces`."""
    left = inner
    for conjunction in outer:
        left = subtract(left, conjunction, most)
    return not left


def overlap(one: Region, other: Region) -> bool:
    """Whether the regions have a place in common, for all that single fields tell."""
    return any(simplified((*a, *b)) is not None for a in one for b in other)


def subtract(region: Region, taken: Tests, most: int = 10_000) -> Region:
    """What is left of a region without a conjunction: disjoint pieces of each conjunction. Raises `TooManyPieces`.

    A test without an opposite cannot be cut along: what it leaves is kept whole, which is never too little.
    """
    left: list[Tests] = []
    for conjunction in region:
        if simplified((*conjunction, *taken)) is None:
            left.append(conjunction)
            continue
        left.extend(_pieces(conjunction, taken))
        if len(left) > most:
            raise TooManyPieces(f"more than {most} pieces")
    return tuple(left)


def _pieces(conjunction: Tests, taken: Tests) -> list[Tests]:
    made: list[Tests] = []
    inside: Tests | None = conjunction
    for test in taken:
        if inside is None:
            break
        if test in inside:
            continue
        against = opposite(test)
        if against is None:
            return [*made, inside]
        if (piece := simplified((*inside, against))) is not None:
            made.append(piece)
        inside = simplified((*inside, test))
    return made


def _several(tests: Sequence[Test]) -> list[Test] | None:
    """Each IS, without the values that must not be there; one IS_NOT."""
    barred = {value for test in tests if test.operator is Operator.IS_NOT for value in test.values}
    if tests[0].field == "destination.type":
        return _destination(tests)
    asked: list[frozenset[int | str]] = []
    for test in tests:
        if test.operator is Operator.IS:
            left = frozenset(test.values) - barred
            if not left:
                return None
            asked.append(left)
    smallest = {one for one in asked if not any(other < one for other in asked)}
    field = tests[0].field
    made = [Test(field, Operator.IS, _sorted(one)) for one in sorted(smallest, key=lambda one: _sorted(one))]
    if barred:
        made.append(Test(field, Operator.IS_NOT, _sorted(barred)))
    return made


def _destination(tests: Sequence[Test]) -> list[Test] | None:
    """As one test where there is one that says the same; best without OWN, which seldom is known."""
    left = [one for one in _TYPES if _holds(tests, one)]
    if not left or len(left) == len(_TYPES):
        return [] if left else None
    choices = [frozenset(some) for size in (1, 2, 3) for some in combinations(DESTINATIONS, size)]
    for values in sorted(choices, key=lambda some: ("OWN" in some, len(some), sorted(some))):
        for operator in (Operator.IS, Operator.IS_NOT):
            made = Test("destination.type", operator, _sorted(values))
            if [one for one in _TYPES if _holds((made,), one)] == left:
                return [made]
    return sorted(set(tests), key=lambda test: (test.operator, test.values))


def _holds(tests: Sequence[Test], values: frozenset[int | str]) -> bool:
    """Whether IS and IS_NOT hold of a set of values."""
    return all((test.operator is Operator.IS) == bool(values & set(test.values)) for test in tests)


def _one(field: str, tests: Sequence[Test]) -> list[Test] | None:
    """A field with one value: a set of values, or an interval without some, and what it begins with."""
    domain: frozenset[int | str] | None = CLOSED.get(field)
    barred: set[int | str] = set()
    low, high, starts = None, None, set[str]()
    for test in tests:
        match test.operator:
            case Operator.IS:
                domain = frozenset(test.values) if domain is None else domain & frozenset(test.values)
            case Operator.IS_NOT:
                barred |= set(test.values)
            case Operator.STARTS if len(test.values) == 1:
                starts |= {str(value) for value in test.values}
            case Operator.ABOVE | Operator.AT_LEAST:
                edge = int(test.values[0]) + (test.operator is Operator.ABOVE)
                low = edge if low is None else max(low, edge)
            case Operator.BELOW | Operator.AT_MOST:
                edge = int(test.values[0]) - (test.operator is Operator.BELOW)
                high = edge if high is None else min(high, edge)
    whole = [test for test in tests if test.operator is Operator.STARTS and len(test.values) != 1]
    if domain is not None:
        made = _listed(field, frozenset(v for v in domain - barred if _fits(v, low, high, starts)))
    else:
        made = _interval(field, low, high, barred, starts)
    return None if made is None else [*made, *whole]


def _listed(field: str, left: frozenset[int | str]) -> list[Test] | None:
    if not left:
        return None
    whole = CLOSED.get(field)
    return [] if left == whole else [Test(field, Operator.IS, _sorted(left))]


def _interval(
    field: str, low: int | None, high: int | None, barred: set[int | str], starts: set[str]
) -> list[Test] | None:
    while low is not None and low in barred and (high is None or low <= high):
        low += 1
    while high is not None and high in barred and (low is None or low <= high):
        high -= 1
    if low is not None and high is not None and low > high:
        return None
    if any(not one.startswith(other) and not other.startswith(one) for one in starts for other in starts):
        return None
    longest = max(starts, key=len, default="")
    barred = {value for value in barred if _fits(value, low, high, {longest} if longest else set())}
    made = []
    if low is not None and low == high:
        return [Test(field, Operator.IS, (low,))]
    if low is not None:
        made.append(Test(field, Operator.AT_LEAST, (low,)))
    if high is not None:
        made.append(Test(field, Operator.AT_MOST, (high,)))
    if longest:
        made.append(Test(field, Operator.STARTS, (longest,)))
    if barred:
        made.append(Test(field, Operator.IS_NOT, _sorted(barred)))
    return made


def _fits(value: int | str, low: int | None, high: int | None, starts: set[str]) -> bool:
    if isinstance(value, int):
        return (low is None or value >= low) and (high is None or value <= high)
    return all(value.startswith(start) for start in starts) and low is None and high is None


def _sorted(values: Iterable[int | str]) -> tuple[int | str, ...]:
    return tuple(sorted(set(values), key=lambda value: (isinstance(value, str), value)))
