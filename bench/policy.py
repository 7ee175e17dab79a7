"""What a decision costs: whole decisions with their digest, by the number of rules; one operation, a day's spends."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.report import Figure
from oms_core.policy.facts import Facts
from oms_core.policy.judge import judge_operations
from oms_core.policy.rules import DAY, Kind, Operator, Per, Rule
from tests.unit.policy.world import (
    KRAKEN,
    NOW,
    USDC,
    given,
    intent,
    limit,
    pay,
    permit,
    quorum,
    require,
    spent,
    usd,
    workspace,
)
from tests.unit.policy.world import rule as plain
from tests.unit.policy.world import test as asks

ROUNDS, SPENDS = 2000, 100


def rules(count: int) -> Iterator[Rule]:
    """A mix as a desk has it: half speak of other wallets or assets, a twentieth of limits and requirements apply."""
    yield permit(asks("action", Operator.IS, "TRANSFER"), asks("destination.type", Operator.IS, "WHITELISTED"))
    yield require(quorum(2, "risk"), when=(asks("amount.usd", Operator.ABOVE, 10**9),))
    yield limit(usd(500_000, DAY, Per.INITIATOR))
    for number in range(count - 3):
        mine = number % 20 == 0
        wallet = asks("source.wallet", Operator.IS, "wal_hot" if mine else f"wal_{number}")
        action = asks("action", Operator.IS, "TRANSFER")
        above = asks("amount.usd", Operator.ABOVE, 1000 * number)
        match number % 4:
            case 0:
                yield limit(usd(10**6 + number, DAY, Per.INITIATOR), when=(action, wallet), rule_id=f"limit-{number}")
            case 1:
                yield require(quorum(1, "risk"), when=(action, wallet, above), rule_id=f"require-{number}")
            case 2:
                tags = asks("destination.tag", Operator.IS, f"bad-{number}")
                yield plain(f"deny-{number}", Kind.DENY, action, tags)
            case 3:
                asset = asks("asset", Operator.IS, USDC)
                yield plain(f"permit-{number}", Kind.PERMIT, action, wallet, asset, above)


def policy() -> Iterator[Figure]:
    """p50 and p99 of judging a transfer and hashing the decision."""
    spends = tuple(spent(1000 + n, NOW - 60 * n, subject=n.to_bytes(32, "big")) for n in range(SPENDS))
    facts, approvals = Facts(NOW, spends), given("ravi", "rosa")
    for count in (10, 100, 1000):
        under = workspace(*rules(count))
        judge_operations(under, intent(), (pay(),), facts, approvals)  # compiles the rules, once for a workspace
        wall, cpu = [], []
        for number in range(ROUNDS):
            subject, operation = intent(intent_id=f"int_{number}"), (pay(10**15 + number, KRAKEN),)
            began, worked = time.perf_counter(), time.thread_time()
            decision = judge_operations(under, subject, operation, facts, approvals)
            assert len(decision.digest) == 32
            cpu.append((time.thread_time() - worked) * 1000)
            wall.append((time.perf_counter() - began) * 1000)
        label: dict[str, object] = {
            "rules": count,
            "spends": SPENDS,
            "limits": len(decision.limits),
            "outcome": decision.outcome,
        }
        for name, at in (("policy_p50", ROUNDS // 2), ("policy_p99", ROUNDS * 99 // 100)):
            extra = {**label, "cpu": round(sorted(cpu)[at], 3)}
            yield Figure(name, "ms a decision with its digest", sorted(wall)[at], extra)
