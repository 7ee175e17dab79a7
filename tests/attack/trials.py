"""What every attack inside a protocol has to come to, from whichever place it is made."""

from __future__ import annotations

from collections.abc import Callable

from tests.parties import Lie
from tests.protocol.runs import ALL, Held, Liars, verdicts

Runner = Callable[[Liars, tuple[int, ...]], Held]
"""Runs a protocol among these parties, some of whom may lie."""


def trial(runner: Runner, lie: Callable[[], Lie], liar: int, next_attempt: bool = True) -> Held:
    """No honest party gets a result; the liar is convicted, nobody else; without it the next attempt succeeds.

    Verdicts are those of a judge who has only what one honest party holds, by evidence that went over the wire.
    """
    honest = set(ALL) - {liar}
    outcome = runner({liar: lie()}, ALL)
    assert not honest & set(outcome.results), "somebody honest noticed nothing"
    assert outcome.culprits(honest) <= {liar}
    found = {i: {verdict.culprit for verdict in verdicts(outcome, i)} for i in honest if i in outcome.errors}
    assert set().union(*found.values()) == {liar}, (found, outcome.reasons(honest))
    if next_attempt:
        again = runner(None, tuple(sorted(honest)))
        assert set(again.results) == honest
    return outcome
