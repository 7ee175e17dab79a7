"""What it costs to name a liar: the opening after an alert, and a stranger's judgement of the evidence."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.protocol import drive
from bench.report import Figure
from oms_core.crypto.params import L112
from oms_core.encoding import encode
from oms_core.protocol.accuse import unsigned_cases
from oms_core.protocol.judge import judge
from oms_core.protocol.packets import Resharing
from oms_core.protocol.reshare import reshare
from tests.parties import arithmetic, key, roster, sessions
from tests.protocol.runs import run_alert, signed


def blame() -> Iterator[Figure]:
    """A wrong δ among three, at L112."""
    for i in (1, 2, 3):
        _ = arithmetic(3, 2, i, L112).their_pedersen
    started = time.process_time()
    outcome = run_alert("nonce", level=L112)
    cpu = (time.process_time() - started) / 3
    yield Figure("alert", "seconds of CPU per party, presigning included", cpu, {"level": "L112", "signers": 3})
    (case,) = unsigned_cases(outcome.channels[1], outcome.errors[1], outcome.epoch)
    evidence = signed(case)
    started = time.process_time()
    verdict = judge(evidence, roster((1, 2, 3)), L112)
    spent = time.process_time() - started
    assert verdict.culprit == 3
    yield Figure("judge", "seconds of CPU for evidence of a wrong δ", spent, {"bytes": len(encode(evidence))})


def resharing() -> Iterator[Figure]:
    """New shares for five, 3 of 5, without the moduli (see `aux`)."""
    parties = (1, 2, 3, 4, 5)
    held, made = key(5, 3), sessions(parties)
    epoch, new = held[1].public, Resharing(parties, parties, 3, 1, b"a" * 32)
    _, cpu, critical, size = drive({i: reshare(made[i], epoch, new, held[i].share, roster(parties)) for i in parties})
    extra: dict[str, object] = {"cpu_all": round(cpu, 3), "bytes_all": size}
    yield Figure("reshare", "seconds, 3 of 5 to 3 of 5, cpu of the slowest party", critical, extra)
