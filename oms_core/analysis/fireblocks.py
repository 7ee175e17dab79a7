"""A Fireblocks policy, where the first rule that matches decides, as rules that do not depend on their order.

Each rule is asked only where no rule before it matches: what those match is cut out of it, and what is left is written
as conjunctions that do not overlap. A rule that cannot be translated in full is taken at what it surely matches where
it allows, and at all that it may match where it blocks, so that nothing is allowed here that is not allowed there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from oms_core.analysis.patterns import (
    USD_DECIMALS,
    Names,
    Part,
    Table,
    both,
    listed_assets,
    matching,
    quantity,
    table,
    text,
    texts,
)
from oms_core.analysis.regions import Region, Tests, TooManyPieces, simplified, subtract
from oms_core.errors import Malformed, Reason
from oms_core.policy.rules import Cap, Kind, Operator, Per, Quorum, Requirement, Rule, Test, Unit
from oms_core.workspace import Workspace

MAX_RULES = 500  # of theirs
MAX_PIECES = 2_000  # of one rule


class Verdict(StrEnum):
    """What one of their rules says of what it matches."""

    ALLOW = "ALLOW"
    BLOCK = "BLOCK"
    APPROVE = "2-TIER"


@dataclass(frozen=True, slots=True)
class Step:
    """One of their rules: its place (from 1), what it matches, what it says. ``cap`` is its amount over time."""

    place: int
    name: str
    verdict: Verdict
    part: Part
    over_time: bool
    requirement: Requirement | None
    caps: tuple[tuple[Tests, Cap], ...]


@dataclass(frozen=True, slots=True)
class Note:
    """What of a rule is not here as it was there, and what that does."""

    place: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The rules, what they were made of, and everything that was not translated exactly."""

    rules: tuple[Rule, ...]
    steps: tuple[Step, ...]
    notes: tuple[Note, ...]


def import_policy(data: str, names: Names, workspace: Workspace, prefix: str = "fb") -> Imported:
    """Translate a policy's JSON. Raises `Malformed` for what is no such policy or falls into too many pieces."""
    notes: list[Note] = []
    steps: list[Step] = []
    for place, rule in enumerate(_read(data), 1):
        try:
            step = _step(place, rule, names, workspace)
        except Malformed as error:
            raise Malformed(f"rule {place}: {error.message}", error.reason) from None
        steps.append(step)
        notes += [Note(place, step.name, one) for one in (*step.part.notes, *_remarks(step, rule))]
    rules: list[Rule] = []
    for at, step in enumerate(steps):
        try:
            rules.extend(_rules(step, steps[:at], prefix))
        except TooManyPieces as error:
            raise Malformed(f"rule {step.place} falls into {error}", Reason.TOO_LARGE) from None
    return Imported(tuple(rules), tuple(steps), tuple(notes))


def _read(data: str) -> list[Table]:
    """The list of rules: by itself, or as an answer of their API has it. Numbers stay as they are written."""
    try:
        read = json.loads(data, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None
    while isinstance(read, dict):
        read = next((read[key] for key in ("policy", "draft", "draftResponse", "rules") if key in read), None)
    if not isinstance(read, list) or not all(isinstance(rule, dict) for rule in read):
        raise Malformed("there is no list of rules")
    if len(read) > MAX_RULES:
        raise Malformed(f"more than {MAX_RULES} rules", Reason.TOO_LARGE)
    if any("verdict" not in rule for rule in read):
        raise Malformed("a rule has no verdict: this reads policies of version 2", Reason.UNSUPPORTED_TYPE)
    return read


def _step(place: int, rule: Table, names: Names, workspace: Workspace) -> Step:
    verdict = table(rule, "verdict")
    action = text(verdict, "action")
    if action not in set(Verdict):
        raise Malformed(f"verdict {action[:20]!r} is none of ALLOW, BLOCK, 2-TIER", Reason.UNSUPPORTED_TYPE)
    part = matching(rule, names, workspace)
    requirement = None
    if action == Verdict.APPROVE:
        requirement, unknown = _requirement(table(verdict, "approvers"), names)
        part = Part(part.inner if requirement else (), part.outer, (*part.notes, *unknown))
    over_time = table(rule, "amountOverTime")
    caps: tuple[tuple[Tests, Cap], ...] = ()
    if over_time:
        caps, lost = _caps(over_time, Verdict(action), listed_assets(rule, names, workspace), workspace)
        part = Part(part.inner, part.outer, (*part.notes, *lost))
    name = str(rule.get("name") or rule.get("id") or f"rule {place}")
    return Step(place, name[:80], Verdict(action), part, bool(over_time), requirement, caps)


def _requirement(approvers: Table, names: Names) -> tuple[Requirement | None, tuple[str, ...]]:
    quorums, unknown = [], []
    groups = approvers.get("approvalGroups", [])
    if not isinstance(groups, list) or not groups:
        raise Malformed("2-TIER without approval groups")
    for group in groups:
        if not isinstance(group, dict):
            raise Malformed("an approval group is not an object")
        here = {"users": _found(names.users, group, "users"), "groups": _found(names.groups, group, "groups")}
        for kind, (_, missing) in here.items():
            unknown += [f"approver {one[:60]!r} ({kind}) is not known here" for one in missing]
        threshold = quantity(group.get("threshold", "1"), 0)
        quorums.append(Quorum(threshold, here["users"][0], here["groups"][0], (), False, False, False))
    either = approvers.get("operator", "AND") == "OR"
    if any(not quorum.users and not quorum.groups for quorum in quorums):
        return None, (*unknown, "nobody here can approve it")
    every = tuple(quorums)
    return Requirement(() if either else every, every if either else (), False, 0, 0, ()), tuple(unknown)


def _found(here: Mapping[str, str | None], group: Table, key: str) -> tuple[tuple[str, ...], list[str]]:
    wanted = texts(group.get(key) or [])
    found = {name for one in wanted if (name := here.get(one)) is not None}
    return tuple(sorted(found)), [one for one in wanted if one not in here]


def _caps(
    over_time: Table, verdict: Verdict, assets: tuple[str, ...], workspace: Workspace
) -> tuple[tuple[tuple[Tests, Cap], ...], tuple[str, ...]]:
    """The edge of an amount over time as caps: what is blocked above it, or allowed up to it."""
    span, period = table(over_time, "range"), table(over_time, "timePeriod")
    currency = text(over_time, "currency")
    allows = verdict is Verdict.ALLOW
    edge = span.get("max" if allows else "min")
    if currency not in {"USD", "NATIVE"} or edge is None or (allows and span.get("min") is not None):
        return (), ()
    per = tuple(
        key
        for name, key in (("initiator", Per.INITIATOR), ("source", Per.SOURCE), ("destination", Per.DESTINATION))
        if period.get(name) == "PER_SINGLE_MATCH"
    )
    seconds = quantity(period.get("seconds"), 0)
    lost = ("above the maximum of its amount over time it blocks, too",) if span.get("max") and not allows else ()
    if currency == "USD":
        return (((), Cap(Unit.USD, quantity(edge, USD_DECIMALS), seconds, None, None, per)),), lost
    decimals = {asset.asset: asset.decimals for asset in workspace.assets}
    made = []
    for asset in assets:
        cap = Cap(Unit.BASE, quantity(edge, decimals[asset]), seconds, None, None, per)
        made.append(((Test("asset", Operator.IS, (asset,)),), cap))
    return tuple(made), lost


def _remarks(step: Step, rule: Table) -> Iterator[str]:
    """Where the rule does something else here, in words. Each of these is stricter than it was there."""
    verdict = table(rule, "verdict")
    approvers = table(verdict, "approvers")
    if approvers.get("canInitiatorApprove") or approvers.get("allowOperatorAsAuthorizer"):
        yield "the initiator may approve there, and never does here"
    if verdict.get("designatedSigners"):
        yield "designated signers are left out: cosigners sign here"
    if step.over_time and not step.caps:
        yield "its amount over time cannot be counted here: it blocks always, asks always, or allows nothing"
    elif step.over_time and step.verdict is Verdict.ALLOW:
        yield "above its amount over time the rules after it would be asked; here it is refused"
    elif step.over_time and step.verdict is Verdict.APPROVE:
        yield "it asks for approvals always, below its amount over time, too, and permits nothing by itself"


def _rules(step: Step, before: list[Step], prefix: str) -> Iterator[Rule]:
    """What one of their rules becomes. See the module: sure matches are allowed, possible ones blocked."""
    sure = _without(step.part.inner, [one.part.outer for one in before if _decides(one)])
    possible = _without(step.part.outer, [one.part.inner for one in before if _decides(one)])
    name = f"{prefix}-{step.place:03}"
    blocks = step.verdict is Verdict.BLOCK and not step.caps
    if blocks or (_asks_over_time(step) and step.requirement is None):
        yield from _each(f"{name}-deny", Kind.DENY, step, possible)
        return
    if step.verdict is Verdict.APPROVE and step.requirement is not None:
        region = possible if step.over_time else sure
        yield from _each(f"{name}-ask", Kind.REQUIRE, step, region, requirement=step.requirement)
    if step.verdict is not Verdict.BLOCK and (step.caps or not step.over_time) and not _asks_over_time(step):
        yield from _each(f"{name}-permit", Kind.PERMIT, step, sure)
    if step.verdict is not Verdict.APPROVE:
        for at, (tests, cap) in enumerate(step.caps, 1):
            region = both(Part(possible, possible), Part((tests,), (tests,))).outer
            yield from _each(f"{name}-cap{at}", Kind.LIMIT, step, region, caps=(cap,))


def _asks_over_time(step: Step) -> bool:
    return step.verdict is Verdict.APPROVE and step.over_time


def _decides(step: Step) -> bool:
    """Whether no rule after it is asked where it matches. One with an amount over time may not match, later."""
    return not step.over_time or step.verdict is Verdict.ALLOW or (step.verdict is Verdict.BLOCK and not step.caps)


def _without(region: Region, taken: list[Region]) -> Region:
    for one in taken:
        for conjunction in one:
            region = subtract(region, conjunction, MAX_PIECES)
    return region


def _each(
    name: str,
    kind: Kind,
    step: Step,
    region: Region,
    caps: tuple[Cap, ...] = (),
    requirement: Requirement | None = None,
) -> Iterator[Rule]:
    described = re.sub(r"[^ -~]", "?", f"{step.place}. {step.name}")
    for at, conjunction in enumerate(region, 1):
        tests = simplified(conjunction)
        if tests is None:
            continue
        rule_id = name if len(region) == 1 else f"{name}-{at}"
        yield Rule(rule_id, kind, described, "", tests, None, caps, requirement, True, 0, 0)
