"""Whether a property holds of all orders: proved, or refuted by an order that the engine itself is asked about.

The solver looks for an order that is not denied, fits the condition, and asks for too little. Each that it finds goes
through `judge`: what the engine does not confirm is never shown. The same question has the same answer, unless the
solver runs out of its time, and then the answer is that it is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from oms_core.analysis.claims import Asker, People
from oms_core.analysis.orders import KEYS, Order
from oms_core.analysis.people import Undecided
from oms_core.analysis.properties import And, Condition, Not, Or, Property
from oms_core.analysis.tables import Tables, Wondered
from oms_core.analysis.universe import universe
from oms_core.errors import LocalError, Malformed, Reason
from oms_core.policy.check import check_names
from oms_core.policy.decision import Decision, Outcome
from oms_core.policy.fields import field_named
from oms_core.policy.index import index_of
from oms_core.policy.judge import judge_operations
from oms_core.policy.logic import Truth, conjunction, disjunction, negation
from oms_core.policy.rules import Requirement, Rule, Test
from oms_core.policy.views import view_of_operation
from oms_core.workspace import Workspace

if TYPE_CHECKING:
    from oms_core.analysis.symbolic import Symbolic

_COIN = "/slip44:60"
MOST = 5_000  # orders that are looked at
MOST_DOUBTS = 200  # of them such as only answers that are not known would let pass: nothing can be proved any more
MILLISECONDS = 60_000
NESTED = "a counter-example may hang on calls inside of others, which are not searched with what they are in"


class Verdict(StrEnum):
    """What came out."""

    PROVED = "PROVED"
    REFUTED = "REFUTED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Counterexample:
    """An order for which a property does not hold, what the engine says of it, and who suffices to let it pass."""

    order: Order
    decision: Decision
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict, an order that refutes, and in words what was done or is not known."""

    verdict: Verdict
    detail: str
    counterexample: Counterexample | None = None


def prove(workspace: Workspace, asked: Property, now: int, milliseconds: int = MILLISECONDS) -> Answer:
    """Prove a property of all orders from ``now`` on, or refute it.

    Raises `Malformed` for fields, groups or roles that there are not, and `LocalError` (INTERNAL) if the formulas say
    something that the engine does not.
    """
    return Prover(workspace, now, tests_of(asked.condition)).prove(asked, milliseconds)


class Prover:
    """The formulas of a workspace, made once for several properties whose conditions consist of ``tests``."""

    def __init__(self, workspace: Workspace, now: int, tests: Iterable[Test]) -> None:
        from oms_core.analysis.symbolic import Symbolic

        listed = list(tests)
        for test in listed:
            check_test(test)
            check_names(index_of(workspace), _registered(test))
        self.people = People(workspace)
        self.formulas = Symbolic(Tables(workspace, universe([workspace], now, listed)), listed)

    def prove(self, asked: Property, milliseconds: int = MILLISECONDS) -> Answer:
        """As `prove`."""
        import z3

        search = _Search(asked, self.formulas, self.people)
        search.people.meets(asked.claim, (), Asker("", "", False))
        solver = z3.SolverFor("QF_FD")
        solver.set("timeout", milliseconds)
        solver.add(*self.formulas.world(), self.formulas.passes(), self.formulas.may(asked.condition))
        refuted = False
        alone = [z3.Not(self.formulas.nested)]
        for _ in range(MOST):
            result = solver.check(*alone)
            if result == z3.unsat and alone and not search.doubts:
                alone = []  # last, what is not shown: an order is refuted by one that can be
                continue
            if result == z3.unsat:
                return search.exhausted()
            chosen = None
            if result == z3.sat:
                # Which one the solver comes upon is chance; of those that refute, the first is always the same.
                chosen = self.formulas.first(solver) if refuted else self.formulas.places(solver.model())
            if chosen is None:
                return Answer(Verdict.UNKNOWN, f"not decided within {milliseconds / 1000:g} seconds")
            try:
                found = search.look(*chosen, alone=bool(alone))
            except Undecided as why:
                return Answer(Verdict.UNKNOWN, f"how many people it takes is not known: {why}")
            if not alone and (found is not None or search.again):
                return Answer(Verdict.UNKNOWN, NESTED)
            if found is not None and refuted:
                return Answer(Verdict.REFUTED, "the engine confirms it", found)
            refuted = refuted or found is not None
            if search.doubts > MOST_DOUBTS:
                return search.exhausted()
            if found is None:
                solver.add(*search.learnt(*chosen))
        return Answer(Verdict.UNKNOWN, f"{MOST} orders were looked at")


def tests_of(condition: Condition) -> Iterator[Test]:
    """All tests of a condition."""
    match condition:
        case Test():
            yield condition
        case Not(part):
            yield from tests_of(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from tests_of(part)


def check_test(test: Test) -> None:
    """Raises `Malformed` unless a field can be compared like this."""
    field = field_named(test.field)
    if test.operator not in field.operators:
        raise Malformed(f"{test.field} cannot be compared by {test.operator}", Reason.UNSUPPORTED_TYPE)
    for value in test.values:
        if field.choices and value not in field.choices:
            raise Malformed(f"{test.field} is one of {', '.join(field.choices)}, not {str(value)[:40]!r}")


def _registered(test: Test) -> Test:
    """A test without the coins of chains, of which a sentence may speak without their being registered."""
    if test.field != "asset":
        return test
    return replace(test, values=tuple(value for value in test.values if not str(value).endswith(_COIN)))


class _Search:
    """What was found, and what was learnt from it."""

    def __init__(self, asked: Property, formulas: Symbolic, people: People) -> None:
        self.asked, self.formulas, self.people = asked, formulas, people
        self.workspace = formulas.tables.workspace
        self._required: tuple[Rule, ...] = ()
        self._asker = Asker("", "", False)
        self.again = False
        self.doubts = 0
        self._seen: set[tuple[object, ...]] = set()

    def exhausted(self) -> Answer:
        """Nothing more to look at."""
        size = f"{self.formulas.tables.choices.size:,} combinations stand for all orders"
        if self.doubts:
            fields = ", ".join(sorted({name.partition(" ")[0] for name in self.formulas.loose})) or "opaque operations"
            return Answer(Verdict.UNKNOWN, f"a counter-example may hang on {fields}, which is not searched")
        return Answer(Verdict.PROVED, size)

    def look(self, places: list[int], opaque: bool | None, alone: bool = True) -> Counterexample | None:
        """Ask the engine about what the solver found. Raises `LocalError` where they differ without a reason."""
        tables = self.formulas.tables
        order = tables.choices.order(places)
        made = tables.operations(order) if order else ()
        if order is None or not made:
            raise LocalError("the solver made an order that there cannot be", Reason.INTERNAL)
        operation = made[0] if opaque is None else replace(made[0], opaque=opaque)
        decision = judge_operations(self.workspace, order.subject, [operation, *made[1:]], order.facts)
        held = index_of(self.workspace).users[order.initiator]
        self._asker = Asker(held.person_id, order.wallet_id, order.deed.action in KEYS)
        applied = {line.rule_id for line in decision.trace if line.applies}
        self._required = tuple(rule for rule in self.formulas.requires() if rule.rule_id in applied)
        observed = {one.name: [one] for one in order.observed}
        view = view_of_operation(index_of(self.workspace), order.now, order.subject, 0, operation, observed)
        fits = truth_of(self.asked.condition, lambda test: Truth(Wondered(test).on(view))) is not Truth.FALSE
        self.again = decision.outcome is Outcome.DENY or not fits
        if self.again:
            if not self.formulas.loose and opaque is None and len(made) == 1 and alone:
                raise LocalError(f"the formulas and the engine differ on: {order.words}", Reason.INTERNAL)
            self.doubts += 1
            return None
        requirements = self._requirements()
        if self.people.meets(self.asked.claim, requirements, self._asker):
            return None
        suffices = self.people.least(requirements, self._asker, "")
        return Counterexample(order, decision, suffices.people if suffices else ())

    def learnt(self, places: list[int], opaque: bool | None) -> Iterator[object]:
        """What rules out the order just looked at, and others for the same reason."""
        import z3

        key = (*places, opaque)
        if self.again or key in self._seen:  # what was learnt of it holds by an answer that the solver need not give
            self.doubts += not self.again
            yield self.formulas.not_these(places, opaque)
            return
        self._seen.add(key)
        # The fewest rules that are enough by themselves; whoever asks like this one need not be looked at again.
        core = list(self._required)
        for rule in self._required:
            rest = tuple(one.requirement for one in core if one is not rule and one.requirement)
            if self.people.meets(self.asked.claim, rest, self._asker):
                core.remove(rule)
        alike = self._alike(tuple(rule.requirement for rule in core if rule.requirement))
        yield z3.Not(z3.And(*(self.formulas.applies(rule) for rule in core), alike))

    def _requirements(self) -> tuple[Requirement, ...]:
        return tuple(rule.requirement for rule in self._required if rule.requirement)

    def _alike(self, core: tuple[Requirement, ...]) -> object:
        """All initiators and wallets for which these requirements are enough, too."""
        import z3

        tables, users = self.formulas.tables, index_of(self.workspace).users
        made = []
        for wallet, wallet_id in enumerate(tables.choices.wallet):
            askers = [(who, Asker(users[name].person_id, wallet_id, self._asker.keys))
                      for who, name in enumerate(tables.choices.who)]  # fmt: skip
            alike = [self.formulas.choice("who", who) for who, asker in askers
                     if self.people.meets(self.asked.claim, core, asker)]  # fmt: skip
            made.append(z3.And(self.formulas.choice("wallet", wallet), z3.Or(alike)))
        kinds = [
            self.formulas.choice("kind", kind)
            for kind, deeds in enumerate(tables.kinds)
            if (tables.choices.deed[deeds[0]].action in KEYS) is self._asker.keys
        ]
        return z3.And(z3.Or(made), z3.Or(kinds))


def truth_of(condition: Condition, answer: Callable[[Test], Truth]) -> Truth:
    """A condition by Kleene's logic, its tests being answered one by one."""
    match condition:
        case Test():
            return answer(condition)
        case Not(part):
            return negation(truth_of(part, answer))
        case And(parts):
            return conjunction(truth_of(part, answer) for part in parts)
    return disjunction(truth_of(part, answer) for part in condition.parts)
