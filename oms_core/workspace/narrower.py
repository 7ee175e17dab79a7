"""Whether one sentence implies another: what makes a change of a rule provably a tightening.

Everything here may say no where yes would be true, never the other way round. An unknown fact is unknown to both sides
of an implication between tests of one field, so three-valued logic keeps it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

from oms_core.policy.rules import Cap, Hours, Kind, Operator, Quorum, Requirement, Rule, Test, opens_unreadable

_MOST_QUORUMS = 5  # more of them are not compared in every order
_FOR_EVER = 1 << 62  # seconds


def tightens(old: Rule, new: Rule) -> bool:
    """Whether the changed rule lets nothing through that the old one held back."""
    if old.kind is not new.kind or replace(old, description="", owner="") == replace(new, description="", owner=""):
        return False  # a rule whose words alone change is read anew by whoever may loosen
    if old.kind is Kind.PERMIT:
        if new.enabled and opens_unreadable(new) and not opens_unreadable(old):
            return False  # it speaks of less, and lets through what no narrower words would
        return _applies_less(old, new)
    return _applies_less(new, old) and _asks_more(old, new)


def _applies_less(old: Rule, new: Rule) -> bool:
    """Whether the new rule applies only where and when the old one does."""
    if not new.enabled:
        return True
    if not old.enabled or new.starts < old.starts or (new.ends or _FOR_EVER) > (old.ends or _FOR_EVER):
        return False
    if not all(any(_test_implies(mine, theirs) for mine in new.when) for theirs in old.when):
        return False
    return old.during is None or (new.during is not None and _hours_within(new.during, old.during))


def _asks_more(old: Rule, new: Rule) -> bool:
    if not all(any(_cap_implies(mine, theirs) for mine in new.caps) for theirs in old.caps):
        return False
    if old.requirement is None or new.requirement is None:
        return old.requirement is None
    return requires_as_much(new.requirement, old.requirement)


def _test_implies(one: Test, other: Test) -> bool:
    if one.field != other.field or one.operator is not other.operator:
        return False
    match one.operator:
        case Operator.IS:
            return set(one.values) <= set(other.values)
        case Operator.IS_NOT:
            return set(one.values) >= set(other.values)
        case Operator.ABOVE | Operator.AT_LEAST:
            return _number(one) >= _number(other) if _numbers(one, other) else one == other
        case Operator.BELOW | Operator.AT_MOST:
            return _number(one) <= _number(other) if _numbers(one, other) else one == other
    return one == other


def _numbers(*tests: Test) -> bool:
    return all(len(test.values) == 1 and isinstance(test.values[0], int) for test in tests)


def _number(test: Test) -> int:
    return int(test.values[0])


def _hours_within(one: Hours, other: Hours) -> bool:
    same_clock = one.zone == other.zone
    inside = other.opens <= one.opens and one.closes <= other.closes
    return same_clock and inside and set(one.days) <= set(other.days) and set(one.closed) >= set(other.closed)


def _cap_implies(one: Cap, other: Cap) -> bool:
    """A lower maximum, counted together over at least as much and as long."""
    if (one.unit, one.calendar, one.zone) != (other.unit, other.calendar, other.zone):
        return False
    if bool(one.seconds) != bool(other.seconds) or one.seconds < other.seconds:
        return False
    return one.maximum <= other.maximum and set(one.per) <= set(other.per)


def requires_as_much(one: Requirement, other: Requirement) -> bool:
    """Whether everybody who satisfies ``one`` has satisfied ``other``."""
    if one.overlap and not other.overlap:
        return False
    if other.expires_in and not 0 < one.expires_in <= other.expires_in:
        return False
    if one.delay < other.delay or not set(one.cosigners) >= set(other.cosigners):
        return False
    if other.any_of and not (one.any_of and all(any(_asks(a, b) for b in other.any_of) for a in one.any_of)):
        return False
    return _all_asked(one.all_of, other.all_of)


def _all_asked(ones: tuple[Quorum, ...], others: tuple[Quorum, ...]) -> bool:
    """Each of the others is asked by one of ours, and by different ones: two quorums are not one."""
    if len(others) > len(ones) or len(ones) > _MOST_QUORUMS:
        return ones == others
    chosen = permutations(ones, len(others))
    return any(all(_asks(a, b) for a, b in zip(some, others, strict=True)) for some in chosen)


def _asks(one: Quorum, other: Quorum) -> bool:
    """At least as many, out of no more people, under no fewer conditions."""
    sources = ((one.users, other.users), (one.groups, other.groups), (one.roles, other.roles))
    marks = ("distinct_teams", "distinct_sites", "device_bound")
    return (
        one.threshold >= other.threshold
        and all(set(mine) <= set(theirs) for mine, theirs in sources)
        and all(getattr(one, mark) >= getattr(other, mark) for mark in marks)
    )
