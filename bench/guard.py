"""What it costs a cosigner to decide for itself: the whole evidence of an order, on a real token and store."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Figure
from cosigner.guard import Signing
from oms_core.policy.rules import DAY
from tests.people import NOW, approve, intent, sign_request
from tests.unit.cosigner.node import activate, make_node
from tests.unit.cosigner.specs import spec

ROUNDS = 200


def guard() -> Iterator[Figure]:
    """p50 and p95 of granting a session: no approvals, and two FIDO2 approvals; the session id is claimed on disk.

    One order a day, so that the daily limit has room for each.
    """
    with tempfile.TemporaryDirectory(prefix="cs-bench-") as folder:
        node = make_node(Path(folder)).start()
        activate(node)
        now = NOW
        for amount, people in ((50, ()), (500, ("ravi", "olga"))):
            took = []
            for number in range(ROUNDS):
                now += DAY
                subject = intent(amount, intent_id=f"int_{now}", valid_from=now - 10, valid_until=now + 1000)
                given = (approve(subject, person, decided_at=now - 5, expires_at=now + 500) for person in people)
                request = sign_request(subject, *given)
                session = spec(request, session_id=f"{amount:16}{number:16}".encode())
                note = node.logged(request, now)
                began = time.perf_counter()
                granted = node.guard.decide(session, request, now, note)
                took.append((time.perf_counter() - began) * 1000)
                assert isinstance(granted, Signing)
            label: dict[str, object] = {"approvals": len(people), "workspace_rules": len(granted.workspace.rules)}
            for name, at in (("guard_p50", ROUNDS // 2), ("guard_p95", ROUNDS * 95 // 100)):
                yield Figure(name, "ms to verify an order's evidence", sorted(took)[at], label)
        node.stop()
