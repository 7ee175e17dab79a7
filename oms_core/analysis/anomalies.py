"""The four anomalies of ordered rules, after Al-Shaer and Hamed, "Discovery of policy anomalies", INFOCOM 2004.

Of two rules, the first of which is asked first: it *shadows* the second if it matches all that the second does and
says something else; the second is *redundant* if it says the same; the second *generalises* the first if it is the
other way round and they differ; they *correlate* if each matches some that the other does, and they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oms_core.analysis.fireblocks import Step
from oms_core.analysis.regions import TooManyPieces, covered, overlap


class Anomaly(StrEnum):
    """How two rules are in each other's way."""

    SHADOWING = "SHADOWING"
    REDUNDANCY = "REDUNDANCY"
    GENERALISATION = "GENERALISATION"
    CORRELATION = "CORRELATION"


@dataclass(frozen=True, slots=True)
class Finding:
    """An anomaly of the rule at ``second`` with the one at ``first``, by their places from 1."""

    anomaly: Anomaly
    first: int
    second: int
    text: str


def anomalies(steps: tuple[Step, ...]) -> tuple[Finding, ...]:
    """All pairs. Rules that were not translated exactly, or count amounts over time, are left out: nothing is sure."""
    found = []
    exact = [step for step in steps if step.part.inner == step.part.outer and not step.over_time]
    for at, second in enumerate(exact):
        for first in exact[:at]:
            anomaly = _between(first, second)
            if anomaly is not None:
                found.append(Finding(anomaly, first.place, second.place, _words(anomaly, first, second)))
    return tuple(found)


def _between(first: Step, second: Step) -> Anomaly | None:
    one, other = first.part.inner, second.part.inner
    if not overlap(one, other):
        return None
    same = (first.verdict, first.requirement) == (second.verdict, second.requirement)
    try:
        if covered(other, one):
            return Anomaly.REDUNDANCY if same else Anomaly.SHADOWING
        if same:
            return None
        return Anomaly.GENERALISATION if covered(one, other) else Anomaly.CORRELATION
    except TooManyPieces:
        return None


def _words(anomaly: Anomaly, first: Step, second: Step) -> str:
    one, other = f"{first.place} ({first.name}, {first.verdict})", f"{second.place} ({second.name}, {second.verdict})"
    match anomaly:
        case Anomaly.SHADOWING:
            return f"{other} is never asked: {one} matches all of it"
        case Anomaly.REDUNDANCY:
            return f"{other} changes nothing: {one} matches all of it and says the same"
        case Anomaly.GENERALISATION:
            return f"{other} matches all that {one} does, and says something else of the rest"
    return f"{one} and {other} may both match, and which one decides depends on their order"
