"""Times at which rules may answer differently: finitely many stand for all that are still to come.

Between the moments at which something begins, ends, comes of age, or a zone's offset changes, opening hours repeat every
week but for their closed dates; so the first eight days after each such moment show all that there is.
"""

from __future__ import annotations

from collections.abc import Iterable

from oms_core.policy.rules import DAY, Hours, Rule

_WEEK = 8 * DAY  # a week, and the day that it may be cut at


def moments(rules: Iterable[Rule], others: Iterable[int], now: int) -> list[int]:
    """Times from ``now`` on, ascending. ``others`` are moments besides those that rules name themselves."""
    written = list(rules)
    hours = {rule.during for rule in written if rule.during is not None}
    named = {at for rule in written for at in (rule.starts, rule.ends) if at} | set(others)
    for one in hours:
        named |= {at for at, _ in one.zone.offsets} | {one.zone.known_until}
        for closed in one.closed:
            named |= {closed * DAY - east * 60 + day * DAY for _, east in one.zone.offsets for day in (0, 1)}
    starts = sorted({now, *(near for at in named for near in (at - 1, at, at + 1) if near > now)})
    found = set(starts)
    for at in starts:
        for one in hours:
            found |= {edge for edge in _edges(one, at) if edge >= now}
    return sorted(found)


def _edges(hours: Hours, start: int) -> Iterable[int]:
    """Around each opening and closing in the days after ``start``, by every offset that the zone ever has."""
    for east in {minutes for _, minutes in hours.zone.offsets}:
        first = (start + east * 60) // DAY
        for day in range(first, first + _WEEK // DAY + 1):
            for minute in (hours.opens, hours.closes):
                edge = day * DAY + minute * 60 - east * 60
                yield from (at for at in (edge - 1, edge) if start <= at < start + _WEEK)
