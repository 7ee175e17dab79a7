"""Local time, from what a rule itself says about its zone: opening hours and calendar windows without a tz database."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC as _UTC
from datetime import datetime, timedelta

from oms_core.policy.logic import Truth, known
from oms_core.policy.rules import DAY, Calendar, Hours, Zone

UTC = Zone("UTC", ((0, 0),), 253_402_300_800)  # until the year 9999 ends
_MINUTE = 60


def offset(zone: Zone, at: int) -> int | None:
    """Seconds east of UTC at a Unix second; None where the zone does not say."""
    place = bisect_right(zone.offsets, at, key=lambda entry: entry[0]) - 1
    if place < 0 or at >= zone.known_until:
        return None
    return zone.offsets[place][1] * _MINUTE


def open_at(hours: Hours, now: int) -> Truth:
    """Whether it is open; UNKNOWN where the local time is."""
    east = offset(hours.zone, now)
    if east is None:
        return Truth.UNKNOWN
    day, second = divmod(now + east, DAY)
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
    within = hours.opens * _MINUTE <= second < hours.closes * _MINUTE
    return known(weekday in hours.days and day not in hours.closed and within)


def calendar_window(calendar: Calendar, zone: Zone, now: int) -> tuple[int, int] | None:
    """First second of the day, week or month that ``now`` is in, and the first after it; None where it is not known."""
    east = offset(zone, now)
    if east is None:
        return None
    midnight = datetime.fromtimestamp((now + east) // DAY * DAY, _UTC)
    match calendar:
        case Calendar.DAY:
            first, following = midnight, midnight + timedelta(days=1)
        case Calendar.WEEK:
            first = midnight - timedelta(days=midnight.weekday())
            following = first + timedelta(days=7)
        case Calendar.MONTH:
            first = midnight.replace(day=1)
            following = (first + timedelta(days=31)).replace(day=1)
    start, end = (_instant(zone, int(moment.timestamp())) for moment in (first, following))
    return None if start is None else (start, end if end is not None else zone.known_until)


def _instant(zone: Zone, local: int) -> int | None:
    """The earliest Unix second at which clocks show ``local`` or have passed over it; None where that is not known."""
    for at, minutes in zone.offsets:
        began = local - minutes * _MINUTE
        following = next((start for start, _ in zone.offsets if start > at), zone.known_until)
        if began < following:
            return max(began, at) if began >= at or at != zone.offsets[0][0] else None
    return None
