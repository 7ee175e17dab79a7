"""The protocol in one process: CPU per party, bytes on the wire, nothing of network or HSM."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

from bench.report import Figure
from oms_core.crypto.params import L112, L128, Level
from oms_core.protocol.auxinfo import auxinfo
from oms_core.protocol.keygen import keygen
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Incoming, Outgoing, Steps, resume
from oms_core.protocol.shares import Moduli
from oms_core.protocol.sign import sign
from tests.parties import key, roster, sessions
from tests.primes import primes

DIGEST = hashlib.sha256(b"bench").digest()


def drive(protocols: dict[int, Steps[Any]]) -> tuple[dict[int, Any], float, float, int]:
    """Run to the end: results, CPU seconds of all parties, seconds of the slowest party per round, bytes sent."""
    results: dict[int, Any] = {}
    inboxes: dict[int, dict[int, Incoming] | None] = dict.fromkeys(protocols)
    cpu = critical = 0.0
    size = 0
    while len(results) < len(protocols):
        sent: dict[int, Outgoing] = {}
        slowest = 0.0
        for i, protocol in protocols.items():
            started = time.process_time()
            step = resume(protocol, inboxes[i])
            spent = time.process_time() - started
            cpu, slowest = cpu + spent, max(slowest, spent)
            if isinstance(step, Outgoing):
                sent[i] = step
            else:
                results[i] = step.result
        critical += slowest
        peers = len(protocols) - 1
        size += sum(len(out.broadcast or b"") * peers + sum(map(len, out.direct.values())) for out in sent.values())
        inboxes = {
            i: {j: Incoming(out.broadcast, out.direct.get(i)) for j, out in sent.items() if j != i} for i in protocols
        }
    return results, cpu, critical, size


def keys() -> Iterator[Figure]:
    """Key generation and auxiliary set-up, five parties, primes made beforehand."""
    parties = (1, 2, 3, 4, 5)
    made = sessions(parties, L112)
    _, cpu, critical, _ = drive({i: keygen(made[i], b"k" * 32, 3, roster(parties)) for i in parties})
    yield Figure("dkg", "seconds, 3 of 5, cpu of the slowest party", critical, {"cpu_all": round(cpu, 3)})
    _, cpu, critical, size = drive({i: auxinfo(made[i], primes(L112, i)) for i in parties})
    extra = {"level": "L112", "cpu_all": round(cpu, 2), "bytes_all": size}
    yield Figure("aux", "seconds, 5 parties, cpu of the slowest party", critical, extra)


def presigning() -> Iterator[Figure]:
    """Presigning and online signing, per party."""
    for level in (L112, L128):
        for quorum in ((1, 2), (1, 2, 3)):
            yield from _presigning(level, quorum)


def _presigning(level: Level, quorum: tuple[int, ...]) -> Iterator[Figure]:
    held, n = key(3, 2, level), len(quorum)
    arithmetic = {i: Moduli(i, level, held[i].aux) for i in quorum}
    for own in arithmetic.values():
        _ = own.paillier, own.pedersen, own.their_pedersen  # made once, not measured
    presigns, signs, size = [], [], 0
    for _ in range(3):  # a presignature signs once, in the session that made it
        made = sessions(quorum, level)
        presigned, cpu, _, size = drive({i: presign(made[i], held[i].share, arithmetic[i]) for i in quorum})
        presigns.append(cpu / n * 1000)
        _, cpu, _, _ = drive({i: sign(made[i], presigned[i], DIGEST) for i in quorum})
        signs.append(cpu / n * 1000)
    label = {"level": level.name, "signers": n}
    yield Figure("presign", "ms of CPU per party", min(presigns), label)
    yield Figure("presign_bytes", "bytes sent by all per presignature", size, label)
    yield Figure("online_sign", "ms of CPU per party, all shares and the signature verified", min(signs), label)
