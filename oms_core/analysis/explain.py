"""A decision and rules in words, line by line: what decided, which value it saw, and whence it had it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from oms_core.policy import units
from oms_core.policy.decision import Decision, LimitUse, Need
from oms_core.policy.rules import Kind
from oms_core.policy.writing import rules_to_yaml
from oms_core.workspace import Workspace

_ORDER = (Kind.DENY, Kind.LIMIT, Kind.REQUIRE, Kind.PERMIT)


def decision_lines(decision: Decision, every: bool = True) -> Iterator[str]:
    """The outcome, what stands against it, what is needed, how far limits are used, and each rule's part.

    Without ``every``, only of rules that apply.
    """
    reason = f" ({decision.reason})" if decision.reason else ""
    yield f"{decision.outcome}{reason}"
    for objection in decision.objections:
        who = f"rule {objection.rule_id}" if objection.rule_id else "without any rule"
        where = f", operation {objection.operation + 1}" if objection.operation > 0 else ""
        yield f"  against it, {who}{where}: {objection.reason}: {objection.text}"
    yield from (f"  needed, {line}" for need in decision.needs for line in need_lines(need))
    yield from (f"  limit {use.rule_id}: {use.words}{_until(use)}" for use in decision.limits)
    if decision.delay:
        ready = f", over at {moment(decision.ready_at)}" if decision.ready_at is not None else ""
        yield f"  waits {units.duration(decision.delay)}{ready}"
    if decision.approvals_expire_in:
        yield f"  approvals count for {units.duration(decision.approvals_expire_in)}"
    if decision.cosigners:
        yield f"  cosigners {', '.join(map(str, decision.cosigners))} have to sign"
    yield "rules"
    trace = sorted(decision.trace, key=lambda line: (_ORDER.index(Kind(line.kind)), line.rule_id))
    for line in trace:
        if line.applies or every:
            yield f"  {'applies' if line.applies else '-':8} {line.kind:8} {line.rule_id}: {line.text}"
    yield "values"
    yield from _values(decision)


def need_lines(need: Need) -> Iterator[str]:
    """Who has approved, and who could."""
    given = ", ".join(need.given) or "nobody yet"
    waiting = f"; could approve: {', '.join(need.eligible) or 'nobody'}" if need.missing else ""
    yield f"{need.words} ({given}){waiting}"


def _until(use: LimitUse) -> str:
    return f", from {moment(use.starts)} on" if use.ends else ""


def _values(decision: Decision) -> Iterator[str]:
    """Each field that any rule looked at, of each operation, with where it is from."""
    from oms_core.policy.trace import observed_words

    views, paid = decision.record.views, decision.record.paid
    named = [(f"operation {place + 1}, " if len(views) > 1 else "", view) for place, view in enumerate(views)]
    for where, view in [*named, *([("fee, ", paid)] if paid else [])]:
        for name, seen in sorted(view.seen.items()):
            yield f"  {where}{name}: {observed_words(view, name, seen)}" + (f" ({seen.source})" if seen.source else "")


def rules_lines(workspace: Workspace) -> str:
    """All rules as people write them, DENY first: in the order in which they count."""
    ordered = sorted(workspace.rules, key=lambda rule: (_ORDER.index(rule.kind), rule.rule_id))
    return rules_to_yaml(ordered, workspace.assets)


def moment(at: int) -> str:
    """A Unix second, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
