"""How many witnesses it takes, of ``n`` of whom ``faults(n)`` may lie.

With `full` cosigners two forks cannot both have enough: any two such sets meet in an honest witness. With `degraded`
one of them at least is honest, but up to `share` honest ones may each have been shown a past of their own.
"""

from __future__ import annotations

from collections.abc import Iterable


def faults(n: int) -> int:
    """How many of ``n`` may lie: fewer than half."""
    return (n - 1) // 2


def full(n: int) -> int:
    """How many cosigners make a head final: two such sets share more than `faults`. 4 of 5."""
    return (n + faults(n)) // 2 + 1


def degraded(n: int) -> int:
    """How many cosigners contain an honest one. 3 of 5."""
    return faults(n) + 1


def share(n: int) -> int:
    """How many honest views there can be side by side below `full`: by this, limits over time are divided then."""
    return n - faults(n)


def vouched_at(timestamps: Iterable[int], n: int) -> int:
    """The time (Unix seconds) at or after which an honest witness saw the head, by its cosigners' timestamps.

    The (faults + 1)-th largest: liars who date theirs ahead move it not past the latest honest one. 0, which no rule of
    freshness accepts, where fewer than `degraded` have cosigned.
    """
    latest = sorted(timestamps, reverse=True)
    return latest[faults(n)] if len(latest) > faults(n) else 0
