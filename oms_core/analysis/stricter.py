"""Whether one cap, quorum or requirement asks for at least as much as another: only where it is certain."""

from __future__ import annotations

from oms_core.policy.rules import Cap, Quorum, Requirement, Rule


def limit_covers(one: Rule, other: Rule) -> bool:
    """Whether whatever ``other`` objects to, ``one`` objects to as well, where both apply to an order.

    For a window it also matters which past spends count; those are sure to be as many only if ``one`` tests nothing
    that ``other`` does not test.
    """
    counts_more = set(one.when) <= set(other.when) and one.during == other.during
    return all(any(_cap_covers(cap, its, counts_more) for cap in one.caps) for its in other.caps)


def _cap_covers(cap: Cap, other: Cap, counts_more: bool) -> bool:
    if cap.unit is not other.unit or cap.maximum > other.maximum or not set(cap.per) <= set(other.per):
        return False
    if not other.seconds and other.calendar is None:
        return True  # what is too much in one order is too much in any window, too
    same_calendar = (cap.calendar, cap.zone) == (other.calendar, other.zone)
    return counts_more and same_calendar and cap.seconds >= other.seconds


def requirement_covers(one: Requirement, other: Requirement) -> bool:
    """Whether whoever meets ``one`` meets ``other``, too."""
    fresh = not other.expires_in or 0 < one.expires_in <= other.expires_in
    if not fresh or one.delay < other.delay or not set(other.cosigners) <= set(one.cosigners):
        return False
    if (one.all_of, one.any_of, one.overlap) == (other.all_of, other.any_of, other.overlap):
        return True
    if one.overlap and not other.overlap and len(other.all_of) + bool(other.any_of) > 1:
        return False
    wanted = [(quorum,) for quorum in other.all_of] + ([other.any_of] if other.any_of else [])
    return _matched(wanted, list(one.all_of), other.overlap)


def _matched(wanted: list[tuple[Quorum, ...]], held: list[Quorum], shared: bool) -> bool:
    """Each of ``wanted`` (any of its alternatives) by a quorum that is held, each by another one unless ``shared``."""
    if not wanted:
        return True
    for at, quorum in enumerate(held):
        if any(quorum_covers(quorum, other) for other in wanted[0]):
            rest = held if shared else held[:at] + held[at + 1 :]
            if _matched(wanted[1:], rest, shared):
                return True
    return False


def quorum_covers(one: Quorum, other: Quorum) -> bool:
    """Whether people who fill ``one`` fill ``other``, too."""
    return (
        one.threshold >= other.threshold
        and set(one.users) <= set(other.users)
        and set(one.groups) <= set(other.groups)
        and set(one.roles) <= set(other.roles)
        and one.distinct_teams >= other.distinct_teams
        and one.distinct_sites >= other.distinct_sites
        and one.device_bound >= other.device_bound
    )
