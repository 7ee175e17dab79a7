"""Three-valued logic (Kleene): a test on what is not known is neither true nor false, and nobody may guess which."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Truth(IntEnum):
    """FALSE < UNKNOWN < TRUE: a conjunction is the least of its parts, a disjunction the greatest."""

    FALSE = 0
    UNKNOWN = 1
    TRUE = 2


def conjunction(parts: Iterable[Truth]) -> Truth:
    """FALSE if any part is, else UNKNOWN if any is, else TRUE; of nothing, TRUE."""
    return min(parts, default=Truth.TRUE)


def disjunction(parts: Iterable[Truth]) -> Truth:
    """TRUE if any part is, else UNKNOWN if any is, else FALSE; of nothing, FALSE."""
    return max(parts, default=Truth.FALSE)


def negation(part: Truth) -> Truth:
    """What is unknown stays so."""
    return Truth(2 - part)


def known(value: bool) -> Truth:
    """TRUE or FALSE."""
    return Truth.TRUE if value else Truth.FALSE
