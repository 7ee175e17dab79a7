"""What is wrong with rules in themselves: dead, shadowed, impossible to meet, spoken of by nobody.

Each finding is true of all orders from now on under this workspace; where that is not known it says so and is no
finding. That nothing is found does not mean that nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from oms_core.analysis.claims import Asker, People
from oms_core.analysis.regions import simplified
from oms_core.analysis.stricter import limit_covers, requirement_covers
from oms_core.analysis.tables import Tables
from oms_core.analysis.universe import universe
from oms_core.policy.index import index_of
from oms_core.policy.rules import Kind, Rule, Test
from oms_core.workspace import User, Workspace
from oms_core.workspace.quorums import unsatisfiable

if TYPE_CHECKING:
    from oms_core.analysis.symbolic import Symbolic

MILLISECONDS = 20_000  # for each question


class Problem(StrEnum):
    """What was found."""

    OFF = "OFF"  # disabled, expired, or not yet begun
    CONTRADICTORY = "CONTRADICTORY"
    DEAD = "DEAD"
    SHADOWED = "SHADOWED"
    UNSATISFIABLE = "UNSATISFIABLE"
    UNREACHABLE = "UNREACHABLE"
    NOT_KNOWN = "NOT_KNOWN"
    # What may be meant, and is said all the same; see `oms_core.analysis.advice`.
    ANY_FEE = "ANY_FEE"
    ANYBODY = "ANYBODY"
    FEW_APPROVALS = "FEW_APPROVALS"
    TOO_TIGHT = "TOO_TIGHT"
    TOO_WIDE = "TOO_WIDE"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a rule, group or direction of governance, in words. NOT_KNOWN is a question without an answer."""

    problem: Problem
    about: str
    text: str


def check_rules(workspace: Workspace, now: int, milliseconds: int = MILLISECONDS) -> tuple[Finding, ...]:
    """Everything, by what it is about."""
    found = [*_off(workspace, now), *_unmet(workspace), *_groups(workspace)]
    permits = {rule.rule_id for rule in workspace.rules if rule.kind is Kind.PERMIT}
    said = {one.about for one in found if one.problem is Problem.OFF}
    said |= {one.about for one in found if one.problem is Problem.CONTRADICTORY} & permits
    found += Questions(workspace, now, milliseconds).all(said)
    return tuple(sorted(set(found), key=lambda one: (one.about, one.problem, one.text)))


def _off(workspace: Workspace, now: int) -> Iterator[Finding]:
    for rule in workspace.rules:
        if not rule.enabled:
            yield Finding(Problem.OFF, rule.rule_id, "is disabled")
        elif rule.ends and now >= rule.ends:
            yield Finding(Problem.OFF, rule.rule_id, "has expired")
        elif simplified(rule.when) is None:
            never = (
                "it never applies" if rule.kind is Kind.PERMIT else "it applies only where what they test is not known"
            )
            yield Finding(Problem.CONTRADICTORY, rule.rule_id, f"its tests contradict each other: {never}")


def _unmet(workspace: Workspace) -> Iterator[Finding]:
    for unmet in unsatisfiable(workspace):
        yield Finding(Problem.UNSATISFIABLE, unmet.what.removeprefix("rule "), unmet.words)


def _groups(workspace: Workspace) -> Iterator[Finding]:
    """Groups of which nothing speaks, and those that are asked and have nobody who could answer."""
    asked = [rule.requirement for rule in workspace.rules if rule.requirement]
    asked += [one.approvals for one in workspace.governance]
    quorums = {name for one in asked for quorum in (*one.all_of, *one.any_of) for name in quorum.groups}
    tested = {
        value
        for rule in workspace.rules
        for test in rule.when
        if test.field == "initiator.group"
        for value in test.values
    }
    able = {one.user_id for one in workspace.users if _able(one)}
    for group in workspace.groups:
        if group.group_id not in quorums | tested:
            yield Finding(Problem.UNREACHABLE, f"group {group.group_id}", "no rule and no governance speaks of it")
        elif group.group_id in quorums and not able & set(group.members):
            text = "it is asked for approvals, and has nobody who is enabled and holds a key"
            yield Finding(Problem.UNREACHABLE, f"group {group.group_id}", text)


def _able(one: User) -> bool:
    return one.enabled and any(not key.revoked for key in one.credentials)


class Questions:
    """What the solver is asked about each rule: is there an order such that ...?"""

    def __init__(self, workspace: Workspace, now: int, milliseconds: int, tests: Iterable[Test] = ()) -> None:
        """``tests`` are such as orders are to be told apart by, besides those of the rules."""
        import z3

        from oms_core.analysis.symbolic import Symbolic

        self.workspace = workspace
        self.formulas: Symbolic = Symbolic(Tables(workspace, universe([workspace], now, tests)))
        self._people = People(workspace)
        self._z3: Any = z3
        self._solver = z3.SolverFor("QF_FD")
        self._solver.set("timeout", milliseconds)
        self._solver.add(*self.formulas.world())
        self.passes = self._named("passes", self.formulas.passes())
        self.holds = {
            rule.rule_id: self._named(f"holds {rule.rule_id}", self.formulas.holds(rule)) for rule in workspace.rules
        }

    def all(self, said: set[str]) -> Iterator[Finding]:
        """Every rule, but those of which all has been said. What is shadowed shadows nothing itself."""
        rules = {rule.rule_id: rule for rule in self.workspace.rules if rule.rule_id not in said}
        for rule in list(rules.values()):
            others = [one for one in rules.values() if one is not rule and one.kind is rule.kind]
            try:
                found = list(self._one(rule, others))
            except NotKnown:
                found = [Finding(Problem.NOT_KNOWN, rule.rule_id, "whether it ever matters was not decided in time")]
            if any(one.problem in {Problem.DEAD, Problem.SHADOWED} for one in found):
                del rules[rule.rule_id]
            yield from found

    def _one(self, rule: Rule, others: list[Rule]) -> Iterator[Finding]:
        applies = self.holds[rule.rule_id]
        if not self.possible(applies):
            yield Finding(Problem.DEAD, rule.rule_id, "no order of this workspace ever fits it")
            return
        match rule.kind:
            case Kind.PERMIT:
                yield from self._permit(rule, others)
            case Kind.DENY:
                if others and not self.possible(applies, self._none(others)):
                    yield Finding(Problem.SHADOWED, rule.rule_id, "other DENYs deny all that it denies")
            case Kind.LIMIT:
                yield from self._covered(rule, [one for one in others if limit_covers(one, rule)])
            case Kind.REQUIRE:
                mine = rule.requirement
                covering = [one for one in others if mine and one.requirement
                            and requirement_covers(one.requirement, mine)]  # fmt: skip
                yield from self._covered(rule, covering)
                yield from self._stranded(rule)

    def _permit(self, rule: Rule, others: list[Rule]) -> Iterator[Finding]:
        applies = self.holds[rule.rule_id]
        if not self.possible(applies, self.passes):
            yield Finding(
                Problem.DEAD, rule.rule_id, "all that it permits is denied by others, or by what no rule allows"
            )
        elif others and not self.possible(applies, self.formulas.missed_by(rule, others)):
            yield Finding(Problem.SHADOWED, rule.rule_id, "other PERMITs permit all that it permits")

    def _covered(self, rule: Rule, covering: list[Rule]) -> Iterator[Finding]:
        """By one rule alone: whatever it asks for, the other one asks for, and on the same grounds."""
        for one in covering:
            grounds = zip(self.formulas.grounds(rule), self.formulas.grounds(one), strict=False)
            if not any(self.possible(mine, self._z3.Not(its)) for mine, its in grounds):
                text = f"{one.rule_id} applies wherever it does, and asks for at least as much"
                yield Finding(Problem.SHADOWED, rule.rule_id, text)
                return

    def _stranded(self, rule: Rule) -> Iterator[Finding]:
        """Initiators of whose orders some would wait for approvals that nobody else can give."""
        if rule.requirement is None or self.formulas.loose:
            return
        index, choices = index_of(self.workspace), self.formulas.tables.choices
        real = (self.passes, self.holds[rule.rule_id], self.formulas.is_order, self.formulas.plain)
        for who, name in enumerate(choices.who):
            for wallet, wallet_id in enumerate(choices.wallet):
                if self._people.possible(rule.requirement, Asker(index.person(name), wallet_id, keys=False)):
                    continue
                if self.possible(*real, self.formulas.choice("who", who), self.formulas.choice("wallet", wallet)):
                    text = f"orders of {name} would wait for ever: too few others may approve them"
                    yield Finding(Problem.UNSATISFIABLE, rule.rule_id, text)
                    break

    def negation(self, formula: Any) -> Any:
        """Its contrary."""
        return self._z3.Not(formula)

    def _none(self, rules: list[Rule]) -> Any:
        return self._z3.Not(self._z3.Or([self.holds[one.rule_id] for one in rules]))

    def _named(self, name: str, formula: Any) -> Any:
        """A variable that stands for a formula, which is told to the solver once."""
        made = self._z3.Bool(name)
        self._solver.add(made == formula)
        return made

    def possible(self, *formulas: Any) -> bool:
        """Whether there is such an order."""
        result = self._solver.check(*formulas)
        if result == self._z3.unknown:
            raise NotKnown
        return bool(result == self._z3.sat)


class NotKnown(Exception):
    """The solver ran out of its time."""
