"""What a node that was away takes to follow the log, when all of it is authorised orders; and to count by it then.

`python -m bench.replay --entries 100000` replays a hundred thousand orders, each with two approvals.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.report import Figure, command
from cosigner.logbook import MAX_ITEMS
from oms_core.chains.intent import subject_digest
from oms_core.evidence import SignRequest
from oms_core.policy.rules import DAY
from tests.people import NOW, approve, intent, sign_request
from tests.unit.cosigner.node import activate, make_node
from tests.witnessed import Logbook

ENTRIES = 10_000
ROUNDS = 20


def replay(entries: int = ENTRIES) -> Iterator[Figure]:
    """Following in batches of 2000, each in a transaction with its head and a cosignature; then one order's facts."""
    log = _written(entries)
    label: dict[str, object] = {"entries": entries}
    with tempfile.TemporaryDirectory(prefix="cs-bench-") as folder:
        node = make_node(Path(folder)).boot()
        activate(node)
        node.log = log
        began = time.perf_counter()
        for size in [*range(MAX_ITEMS, log.size, MAX_ITEMS), log.size]:
            node.follow(NOW, size)
        took = time.perf_counter() - began
        yield Figure("replay_rate", "authorised orders followed in a second", log.size / took, label)
        began = time.perf_counter()
        for number in range(ROUNDS):
            node.past.facts(b"%32d" % number, NOW, DAY)
        counted = (time.perf_counter() - began) / ROUNDS * 1000
        yield Figure("replay_facts", "ms to read what counts, all of it within a limit's window", counted, label)
        node.stop()


def _written(entries: int) -> Logbook:
    """So many different orders; their signatures are copies, which nobody looks at until it is asked to sign."""
    log, plain = Logbook(), intent(500)
    approvals = approve(plain, "ravi"), approve(plain, "olga")
    request = sign_request(plain, *approvals)
    assert request.execution is not None
    for number in range(1, entries):
        subject = replace(plain, intent_id=f"int_{number}")
        claims = (replace(one.claim, subject=subject_digest(subject)) for one in approvals)
        given = tuple(
            replace(one, claim=claim, authenticator_data=_counting(one.authenticator_data, number))
            for one, claim in zip(approvals, claims, strict=True)
        )
        made: SignRequest = replace(request, proposal=replace(request.proposal, subject=subject), approvals=given)
        log.authorize(replace(made, execution=replace(request.execution, nonce=number)))
    return log


def _counting(authenticator_data: bytes, counter: int) -> bytes:
    return authenticator_data[:33] + counter.to_bytes(4, "big") + authenticator_data[37:]


if __name__ == "__main__":
    command(replay, ENTRIES)()
