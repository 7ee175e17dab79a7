"""Times at which rules may answer differently: finitely many stand for all that are still to come.

Between the moments at which something begins, ends, comes of age, or a zone's offset changes, opening hours repeat
every week but for their closed dates; so the first eight days after each such moment show all that there is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from oms_core.policy.hours import open_at
from oms_core.policy.rules import DAY, Hours, Rule, Zone

_WEEK = 8 * DAY  # a week, and the day that it may be cut at


def moments(rules: Iterable[Rule], others: Iterable[int], now: int) -> list[int]:
    """Times from ``now`` on, ascending. ``others`` are moments besides those that rules name themselves."""
    written = list(rules)
    hours = sorted({rule.during for rule in written if rule.during is not None}, key=repr)
    zones = {one.zone for one in hours} | {cap.zone for rule in written for cap in rule.caps if cap.zone}
    named = {at for rule in written for at in (rule.starts, rule.ends) if at} | set(others)
    named |= {at for zone in zones for at in _edges_of(zone)}
    for one in hours:
        for closed in one.closed:
            named |= {closed * DAY - east * 60 + day * DAY for _, east in one.zone.offsets for day in (0, 1)}
    starts = sorted({now, *(at for at in named if at > now)})
    found = set(starts) | {at + step for at in starts for step in (-1, 1) if at + step >= now}
    for at in starts:
        for one in hours:
            found |= {edge for edge in _edges(one, at) if edge >= now}
    return list(_telling(sorted(found), starts, hours))


def _telling(times: list[int], starts: list[int], hours: list[Hours]) -> Iterator[int]:
    """The first of those that nothing tells apart."""
    seen = set()
    for at in times:
        shows = (bisect_right(starts, at), *(open_at(one, at) for one in hours))
        if shows not in seen:
            seen.add(shows)
            yield at


def _edges_of(zone: Zone) -> Iterator[int]:
    yield from (at for at, _ in zone.offsets)
    yield zone.known_until


def _edges(hours: Hours, start: int) -> Iterator[int]:
    """Around each opening and closing in the days after ``start``, by every offset that the zone ever has."""
    for east in {minutes for _, minutes in hours.zone.offsets}:
        first = (start + east * 60) // DAY
        for day in range(first, first + _WEEK // DAY + 1):
            for minute in (hours.opens, hours.closes):
                edge = day * DAY + minute * 60 - east * 60
                yield from (at for at in (edge - 1, edge) if start <= at < start + _WEEK)
