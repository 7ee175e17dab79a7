"""A decision, a quota and rules in words, line by line: what decided, which value it saw, and whence it had it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from oms_core.errors import CountersealError
from oms_core.policy import units
from oms_core.policy.decision import Decision, LimitUse, Need, amount_words
from oms_core.policy.facts import Facts
from oms_core.policy.limits import Keys, Quota, quota
from oms_core.policy.rules import Cap, Kind, Rule, Unit
from oms_core.policy.writing import rules_to_yaml
from oms_core.workspace import Asset, Workspace, asset_named

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


def quota_lines(workspace: Workspace, facts: Facts, keys: Keys, rule_id: str = "") -> Iterator[str]:
    """Every cap of every LIMIT, or of one: how much is used for these keys, and from when it counts."""
    for rule in workspace.rules:
        if rule.kind is not Kind.LIMIT or (rule_id and rule.rule_id != rule_id):
            continue
        for place, cap in enumerate(rule.caps):
            said = f"{rule.rule_id}: {cap_words(cap, rule, workspace)}"
            try:
                held = quota(workspace, facts, rule.rule_id, keys, place)
            except CountersealError as error:
                yield f"{said}: {error}"
                continue
            yield f"{said}{_used(held, asset_named(workspace, keys.asset))}"


def _used(held: Quota, asset: Asset | None) -> str:
    if not held.window_end:
        return ""
    left = max(0, held.maximum - held.used)
    said = (f"{_amount(held.unit, number, asset)} {word}" for number, word in ((held.used, "used"), (left, "left")))
    return f": {', '.join(said)}, {held.count} operations since {moment(held.window_start)}"


def _amount(unit: Unit, number: int, asset: Asset | None) -> str:
    if unit is Unit.BASE and asset is not None:
        return units.in_units(number, (asset,))
    return amount_words(unit, number)


def cap_words(cap: Cap, rule: Rule, workspace: Workspace) -> str:
    """A cap, as it is written."""
    named = [value for test in rule.when if test.field == "asset" for value in test.values]
    asset = asset_named(workspace, str(named[0])) if len(named) == 1 else None
    window = "in one order"
    if cap.calendar is not None:
        window = f"in a calendar {cap.calendar.lower()} ({cap.zone.name if cap.zone else 'no zone'})"
    elif cap.seconds:
        window = f"within {units.duration(cap.seconds)}"
    per = f" for each {', '.join(one.lower() for one in cap.per)}" if cap.per else ""
    return f"at most {_amount(cap.unit, cap.maximum, asset)} {window}{per}"


def rules_lines(workspace: Workspace) -> str:
    """All rules as people write them, DENY first: in the order in which they count."""
    ordered = sorted(workspace.rules, key=lambda rule: (_ORDER.index(rule.kind), rule.rule_id))
    return rules_to_yaml(ordered, workspace.assets)


def moment(at: int) -> str:
    """A Unix second, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
