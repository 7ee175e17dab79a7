"""Time zones for rules, out of this machine's tz database, as they are known now: a rule carries its own copy."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from oms_core.errors import Malformed
from oms_core.policy.rules import DAY, Zone

YEARS = 3  # ahead: governments change their minds at short notice, and from then on the local time is unknown
_NAMED = re.compile(r"""\bzone\s*:\s*["']?([A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)+)""")


def zone(name: str, now: int) -> Zone:
    """The zone from a year before the Unix second ``now`` to `YEARS` after. Raises `Malformed` if there is none."""
    try:
        place = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Malformed(f"there is no time zone {name[:64]!r}") from None
    start, end = (now - 366 * DAY) // DAY * DAY, (now + 366 * DAY * YEARS) // DAY * DAY
    offsets = [(start, _minutes(place, start))]
    for day in range(start, end, DAY):
        if _minutes(place, day + DAY) != offsets[-1][1]:
            offsets.append(_change(place, day, day + DAY))
    return Zone(name, tuple(offsets), end)


def zones_named(text: str, now: int) -> tuple[Zone, ...]:
    """All zones that a text of rules names, for `oms_core.policy.text.rules_from_yaml`. Raises `Malformed`."""
    return tuple(zone(name, now) for name in sorted(set(_NAMED.findall(text))))


def _change(place: ZoneInfo, before: int, after: int) -> tuple[int, int]:
    """The first second of another offset than ``before`` has, at the latest ``after``; one a day at most."""
    was = _minutes(place, before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _minutes(place, middle) == was else (before, middle)
    return after, _minutes(place, after)


def _minutes(place: ZoneInfo, at: int) -> int:
    east = datetime.fromtimestamp(at, UTC).astimezone(place).utcoffset()
    assert east is not None
    return int(east.total_seconds() // 60)
