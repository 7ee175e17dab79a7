"""Short ways to run each protocol among three parties, and to say what a run with a liar has to end with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oms_core.crypto.params import TOY, Level
from oms_core.errors import Unattributed
from oms_core.protocol.auxinfo import auxinfo
from oms_core.protocol.create_key import acknowledge, confirmation
from oms_core.protocol.keygen import keygen
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Session, Steps
from oms_core.protocol.shares import KeyMaterial, Presignature
from tests.parties import Lie, Outcome, arithmetic, key, roster, run, sessions
from tests.primes import primes

ALL = (1, 2, 3)
HONEST = {1, 2}
LIAR = 3

Liars = Mapping[int, Lie] | None


def run_keygen(liars: Liars = None, threshold: int = 2, parties: tuple[int, ...] = ALL) -> Outcome:
    made = sessions(parties)
    return run({i: keygen(made[i], b"k" * 32, threshold, roster(parties)) for i in parties}, liars)


def run_auxinfo(liars: Liars = None, parties: tuple[int, ...] = ALL) -> Outcome:
    made = sessions(parties)
    return run({i: auxinfo(made[i], primes(TOY, i)) for i in parties}, liars)


def presigning(session: Session, level: Level = TOY, tweak: int = 0) -> Steps[Presignature]:
    """With the key 2 of 3."""
    return presign(session, key(3, 2, level)[session.me].share, arithmetic(3, 2, session.me, level), tweak)


def run_presign(liars: Liars = None, parties: tuple[int, ...] = ALL) -> Outcome:
    made = sessions(parties)
    return run({i: presigning(made[i]) for i in parties}, liars)


def run_acknowledge(liars: Liars = None) -> Outcome:
    made = sessions(ALL)
    return run({i: acknowledge(made[i], confirmation("treasury", material(i))) for i in ALL}, liars)


def material(i: int) -> KeyMaterial:
    return key(3, 2)[i]


def convicted(outcome: Outcome, step: str, reason: str, by: set[int] = HONEST) -> None:
    """All in ``by`` name the liar and nobody else, at this step, for this reason; nobody honest got a result."""
    for i in by:
        assert i in outcome.errors, f"party {i} noticed nothing: it has {outcome.results.get(i)!r}"
        assert [(b.culprit, b.step) for b in outcome.errors[i].blames] == [(LIAR, step)], outcome.errors[i]
        assert reason in outcome.errors[i].message
    assert outcome.culprits(HONEST) == {LIAR}
    assert not HONEST & set(outcome.results)


def unattributed(outcome: Outcome, text: str, by: set[int] = HONEST) -> None:
    """All in ``by`` give up without naming anybody."""
    for i in by:
        assert isinstance(outcome.errors[i], Unattributed)
        assert text in outcome.errors[i].message
    assert outcome.culprits(by) == set()


def names(*cases: tuple[Any, ...]) -> list[str]:
    """Test ids from the first member of each case."""
    return [case[0] for case in cases]
