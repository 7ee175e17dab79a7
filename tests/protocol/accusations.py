"""Accusations of an honest party, party 3, by party 1, of any step of any protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from oms_core.crypto.params import TOY
from oms_core.errors import Blame, ProtocolAbort
from oms_core.protocol.accuse import Case, sign_case, unsigned_cases
from oms_core.protocol.judge import ROUNDS, Verdict, judge
from oms_core.protocol.packets import Packet
from oms_core.protocol.sign import sign
from tests.parties import identity, roster
from tests.protocol.runs import (
    ALL,
    DIGEST,
    Held,
    play,
    run_alert,
    run_auxinfo,
    run_keygen,
    run_presign,
    run_refresh,
    run_signing,
)

ACCUSER, ACCUSED = 1, 3


def run_online() -> Held:
    """Signing with a presignature of an earlier session."""
    made = run_presign().results
    return play(lambda s: sign(s, made[s.me], DIGEST), presignature=made[1].public, protocol="sign", digest=DIGEST)


RUNS: dict[str, Callable[[], Held]] = {
    "keygen": run_keygen,
    "auxinfo": run_auxinfo,
    "presign": run_presign,
    "presign.nonce-alert": lambda: run_alert("nonce", liar=2),
    "presign.chi-alert": lambda: run_alert("chi", liar=2),
    "sign": run_signing,
    "reshare": run_refresh,
}
PLACES = {step: RUNS.get(step, RUNS[step.partition(".")[0]]) for step in ROUNDS}


def _slow(step: str) -> Any:
    """The proofs of an alert take long: those of a wrong χ are judged in the longer run."""
    return pytest.mark.slow if step == "presign.chi-alert" else ()


every_step = pytest.mark.parametrize(
    ("step", "go"),
    [*(pytest.param(*place, marks=_slow(place[0])) for place in PLACES.items()), ("sign.1", run_online)],
    ids=[*PLACES, "sign.1 with a presignature of an earlier session"],
)
every_step_and_slow_alerts = pytest.mark.parametrize(
    ("step", "go"),
    [pytest.param(*place, marks=_slow(place[0])) for place in PLACES.items()],
    ids=PLACES,
)


@cache
def run_once(go: Callable[[], Held], number: int = 0) -> Held:
    return go()


def case(step: str, go: Callable[[], Held], number: int = 0) -> Case:
    """What party 1 can say of party 3 at a step of an honest run."""
    outcome = run_once(go, number)
    error = ProtocolAbort(Blame(ACCUSED, step, "nothing"))
    [made] = unsigned_cases(outcome.channels[ACCUSER], error, outcome.epoch, outcome.presignature)
    assert isinstance(made, Case)
    return made


def verdict(made: Case) -> Verdict:
    return judge(sign_case(made, identity(made.accuser)), roster(ALL), TOY)


def backfires(made: Case) -> None:
    found = verdict(made)
    assert (found.culprit, found.step) == (made.accuser, "accusation"), found


def with_packets(made: Case, change: Callable[[Packet], Packet | None]) -> Case:
    return replace(made, packets=tuple(new for packet in made.packets if (new := change(packet)) is not None))
