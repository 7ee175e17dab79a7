"""Rules as formulas over the choices of a universe: one variable for each choice, the engine's answers as tables.

An order of several operations is denied if any of them is, asks for all that each of them asks for, and is permitted
only if each is. So what holds of orders with one operation, that they are denied or ask for enough, holds of all: it
is enough to look at one. But for this: an order's fee goes with its outermost operation, so that what limits test of
that says nothing about one that is ``wrapped`` in it; and some operations never come alone. What past orders spent can
only add denials; so nothing has been spent. Variables that no table binds stand for tests whose answers the universe
does not show: any answer is reckoned with.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import cached_property
from typing import Any

import z3

from oms_core.analysis.orders import KEYS
from oms_core.analysis.properties import And, Condition, Not, Or
from oms_core.analysis.tables import BARS, MOVES, ORDER, Axis, Cell, Tables, Wondered
from oms_core.analysis.weighing import PAID, Weighing
from oms_core.policy.compiled import Asked, Compiled, compiled
from oms_core.policy.logic import Truth
from oms_core.policy.rules import Action, Kind, Operator, Rule, Test

Formula = Any  # z3 ships no types


class Mode(Enum):
    """Who asks: a PERMIT, another rule, a property, or a LIMIT about a fee."""

    PERMIT = 0
    STRICT = 1
    PROPERTY = 2
    FEE = 3


Question = tuple[Test, Mode]
_WHOLE = frozenset({"initiator", "source", "chain", "purpose"})


class Symbolic:
    """The formulas of one workspace's rules."""

    def __init__(self, tables: Tables, others: Iterable[Test] = ()) -> None:
        self.tables = tables
        self.rules: Compiled = compiled(tables.workspace)
        self._weighing = Weighing(tables, self.rules)
        self.loose: list[str] = []
        self._variables = {
            axis: [z3.Bool(f"{axis}.{at}") for at in range(tables.size(axis))] for axis in (*ORDER, *tables.seen)
        }
        deeds = self._variables["deed"]
        kinds = [disjunction([deeds[at] for at in kind]) for kind in tables.kinds]
        self._variables["kind"] = kinds
        self._variables["sort"] = [disjunction([kinds[at] for at in sort]) for sort in tables.sorts]
        self._unread = self._any(("kind", "to"), tables.unread())
        self._variables["read"] = [z3.Not(self._unread), self._unread]
        self._veiled, self._listed, self._wrapped = (z3.Bool(name) for name in ("veiled", "listed", "wrapped"))
        inside = [deeds[at] for at, deed in enumerate(tables.choices.deed) if deed.inside]
        self.nested = z3.Or(self._wrapped, disjunction(inside))
        self._answers: dict[Question, tuple[Formula, Formula]] = {}
        self._tabulate([(test, Mode.PROPERTY) for test in others])
        for ready in self.rules.rules:
            mode = Mode.PERMIT if ready.rule.kind is Kind.PERMIT else Mode.STRICT
            self._tabulate([(test, mode) for test in ready.rule.when])
            if ready.weighs and self._weighing.fees:
                self._tabulate([(test, Mode.FEE) for test in ready.rule.when if test.field in PAID])

    def world(self) -> list[Formula]:
        """One choice on each axis, and only such as go together."""
        return [*self.choices(), self.derivable]

    def choices(self) -> list[Formula]:
        """One choice on each axis."""
        axes = (*ORDER, *self.tables.seen)
        made = [z3.PbEq([(one, 1) for one in self._variables[axis]], 1) for axis in axes]
        made += [z3.Implies(self._veiled, self._moves), z3.Implies(self._listed, self._typed)]
        return [*made, z3.Implies(self._wrapped, self.any_of("deed", self.tables.carried())), *self._without_gas()]

    @cached_property
    def derivable(self) -> Formula:
        """What is done can be done to this one: bytes can say it, and are read as just that."""
        kinds, to = self._variables["kind"], self._variables["to"]
        pairs = self.tables.pairs.items()
        return z3.And(
            [z3.Implies(kinds[kind], disjunction([to[one] for one in sorted(partners)])) for kind, partners in pairs]
        )

    def passes(self, without: Rule | None = None) -> Formula:
        """The order is not denied, whatever approvals it may need; by the rules ``without`` one of them."""
        permits = [self._permits(rule) for rule in self._of(Kind.PERMIT)]
        opens = [self._permits(rule) for rule in self._of(Kind.PERMIT) if _opens(rule)]
        denials = [self.applies(rule) for rule in self._of(Kind.DENY)]
        limits = [self.exceeded(rule) for rule in self._of(Kind.LIMIT) if rule is not without]
        return z3.And(
            z3.Or(permits),
            z3.Implies(self._opaque, z3.Or(opens)),
            z3.Not(z3.Or([*denials, *limits])),
            z3.Not(self._barred),
        )

    def applies(self, rule: Rule) -> Formula:
        """A DENY, LIMIT or REQUIRE applies, or may."""
        return z3.Or(self.grounds(rule))

    def grounds(self, rule: Rule) -> list[Formula]:
        """Why it applies, or may: because of what is done, and a LIMIT that weighs also because of what is paid."""
        of = [Mode.STRICT]
        if self.rules.by_id[rule.rule_id].weighs and self._weighing.fees:
            of.append(Mode.FEE)
        made = [z3.And(self._in_force(rule), *(z3.Not(no) for _, no in self._conjunction(rule, mode))) for mode in of]
        whole = any(test.field not in PAID and not _of_order(test) for test in rule.when)
        pays = z3.And(self._pays, z3.Not(self._wrapped)) if whole else self._pays
        return [made[0], *(z3.And(pays, one) for one in made[1:])]

    def holds(self, rule: Rule) -> Formula:
        """A PERMIT permits for certain; any other rule applies, or may."""
        return self._permits(rule) if rule.kind is Kind.PERMIT else self.applies(rule)

    def missed_by(self, rule: Rule, others: list[Rule]) -> Formula:
        """What a PERMIT may permit that no other PERMIT does, also of what nobody can read."""
        missed = z3.Not(z3.Or([self._permits(one) for one in others]))
        if not _opens(rule):
            return missed
        opened = z3.Or([self._permits(one) for one in others if _opens(one)])
        return z3.Or(missed, z3.And(self._opaque, z3.Not(opened)))

    @property
    def plain(self) -> Formula:
        """Just the order that is made up, not one that is like it but for what can be read of it, or goes with it."""
        return z3.Not(z3.Or(self._veiled, self._listed, self.nested))

    @cached_property
    def is_order(self) -> Formula:
        """Not a wish about keys."""
        kinds = [
            at for at, kind in enumerate(self.tables.kinds) if self.tables.choices.deed[kind[0]].action not in KEYS
        ]
        return z3.Or([self._variables["kind"][at] for at in kinds])

    def _permits(self, rule: Rule) -> Formula:
        return z3.And(self._in_force(rule), *(true for true, _ in self._conjunction(rule, Mode.PERMIT)))

    def may(self, condition: Condition) -> Formula:
        """A condition holds, or is not known not to."""
        return z3.Not(self._condition(condition)[1])

    def _condition(self, condition: Condition) -> tuple[Formula, Formula]:
        match condition:
            case Test():
                return self._test(condition, Mode.PROPERTY)
            case Not(part):
                true, false = self._condition(part)
                return false, true
            case And(parts):
                pairs = [self._condition(part) for part in parts]
                return z3.And([true for true, _ in pairs]), z3.Or([false for _, false in pairs])
            case Or(parts):
                pairs = [self._condition(part) for part in parts]
                return z3.Or([true for true, _ in pairs]), z3.And([false for _, false in pairs])

    def any_of(self, axis: Axis, places: list[int]) -> Formula:
        """One of these choices has been made."""
        return disjunction([self._variables[axis][at] for at in places])

    @cached_property
    def is_transaction(self) -> Formula:
        """Something is sent to a chain, and not only signed."""
        return self.any_of("sort", [at for at, sort in enumerate(self.tables.sorts) if self.tables.sends(sort)])

    def choice(self, axis: Axis, at: int) -> Formula:
        """This choice has been made."""
        return self._variables[axis][at]

    def places(self, model: Any) -> tuple[list[int], bool | None]:
        """The choices of a model, in the order of `Universe.order`; and whether it is opaque, if bytes do not say."""
        found = [
            next(at for at, one in enumerate(self._variables[axis]) if z3.is_true(model.eval(one, True)))
            for axis in (*ORDER, *self.tables.seen)
        ]
        veiled, listed = (z3.is_true(model.eval(one, True)) for one in (self._veiled, self._listed))
        return found, True if veiled else False if listed else None

    def first(self, solver: Any) -> tuple[list[int], bool | None] | None:
        """As `places`, of all orders that a solver allows the first, axis by axis; None if it gives up."""
        places = []
        opaque: bool | None = None
        chosen = [self.plain]
        if solver.check(*chosen) != z3.sat:
            opaque = solver.check(self._veiled, z3.Not(self.nested)) == z3.sat
            chosen = [self._veiled if opaque else self._listed, z3.Not(self.nested)]
        for axis in (*ORDER, *self.tables.seen):
            variables = self._variables[axis]
            low, high = 0, len(variables) - 1
            while low < high:
                middle = (low + high) // 2
                result = solver.check(*chosen, disjunction(variables[: middle + 1]))
                if result == z3.unknown:
                    return None
                low, high = (low, middle) if result == z3.sat else (middle + 1, high)
            places.append(low)
            chosen.append(variables[low])
        return places, opaque

    def not_these(self, places: list[int], opaque: bool | None) -> Formula:
        """Any other order."""
        axes = (*ORDER, *self.tables.seen)
        others = [z3.Not(self._variables[axis][at]) for axis, at in zip(axes, places, strict=True)]
        flags = (self._veiled, opaque is True), (self._listed, opaque is False)
        return disjunction([*others, *(z3.Not(flag) if said else flag for flag, said in flags)])

    def _of(self, kind: Kind) -> list[Rule]:
        return [ready.rule for ready in self.rules.rules if ready.rule.kind is kind]

    def requires(self) -> list[Rule]:
        """All that ask for people."""
        return self._of(Kind.REQUIRE)

    def _conjunction(self, rule: Rule, mode: Mode) -> list[tuple[Formula, Formula]]:
        """(TRUE, FALSE) of each part of a rule. One that cannot be evaluated is neither."""
        ready = self.rules.by_id[rule.rule_id]
        if ready.raised:
            return [(z3.BoolVal(False), z3.BoolVal(False))]
        as_done = Mode.STRICT if mode is Mode.FEE else mode
        made = [self._test(test, mode if test.field in PAID else as_done) for test in rule.when]
        if rule.during is not None:
            times = self.tables.open(rule.during)
            made.append((self._at(times, Truth.TRUE), self._at(times, Truth.FALSE)))
        return made

    def _at(self, times: list[Truth], wanted: Truth) -> Formula:
        return disjunction([self._variables["now"][at] for at, truth in enumerate(times) if truth is wanted])

    def _in_force(self, rule: Rule) -> Formula:
        times = self.tables.in_force(rule)
        if all(times):
            return z3.BoolVal(True)
        return disjunction([self._variables["now"][at] for at, held in enumerate(times) if held])

    def _test(self, test: Test, mode: Mode) -> tuple[Formula, Formula]:
        if (test, mode) not in self._answers:
            self._tabulate([(test, mode)])
        return self._answers[test, mode]

    def _tabulate(self, tests: list[Question]) -> None:
        """Ask the engine about all that have not been asked yet, view by view."""
        groups: dict[tuple[tuple[Axis, ...], bool], list[Question]] = {}
        for one in dict.fromkeys(tests):
            if one in self._answers:
                continue
            paid = one[1] is Mode.FEE
            axes = ("sort", "fee") if paid else self.tables.axes(one[0])
            if axes is None:
                self._answers[one] = self._free(one[0])
            else:
                groups.setdefault((axes, paid), []).append(one)
        for (axes, paid), group in groups.items():
            answers = self.tables.answers([_asked(*one) for one in group], axes, paid)
            for one, cells in zip(group, answers, strict=True):
                self._answers[one] = self._bound(one, axes, cells)

    def _free(self, test: Test) -> tuple[Formula, Formula]:
        """Any answer, though one and the same wherever it is asked, and never both."""
        name = f"{test.field} {test.operator} {test.values}"
        if name not in self.loose:
            self.loose.append(name)
        truth = z3.Bool(f"true {name}"), z3.Bool(f"false {name}")
        return truth[0], z3.And(truth[1], z3.Not(truth[0]))

    def _bound(self, one: Question, axes: tuple[Axis, ...], cells: dict[Cell, Truth]) -> tuple[Formula, Formula]:
        test = one[0]
        true, false = (
            self._any(axes, [cell for cell, truth in cells.items() if truth is wanted])
            for wanted in (Truth.TRUE, Truth.FALSE)
        )
        if test.field == "opaque":
            return self._opacity(test, true, false)
        if test.field in {"amount", "amount.usd"}:
            return z3.And(true, z3.Not(self._veiled)), z3.And(false, z3.Not(self._veiled))
        vague = [kind for kind in range(len(self.tables.kinds)) if self.tables.vague(test, kind)]
        if not vague:
            return true, false
        moves, (may, may_not) = z3.Or([self._variables["kind"][kind] for kind in vague]), self._free(test)
        return z3.If(moves, may, true), z3.If(moves, may_not, false)

    def _opacity(self, test: Test, true: Formula, false: Formula) -> tuple[Formula, Formula]:
        """Movements of tokens may be opaque, too: inside a router's program; and typed data may be listed."""
        made = []
        for wanted, plain in ((True, true), (False, false)):
            opaque, clear = ((value in test.values) is (test.operator is Operator.IS) for value in (1, 0))
            listed = z3.If(self._listed, z3.BoolVal(clear is wanted), plain)
            made.append(z3.If(self._veiled, z3.BoolVal(opaque is wanted), listed))
        return made[0], made[1]

    def _any(self, axes: tuple[Axis, ...], cells: Iterable[Cell]) -> Formula:
        """One of these combinations was chosen, axis by axis; what goes on alike is written once."""
        variables = self._variables[axes[0]]
        if len(axes) == 1:
            return disjunction([variables[at] for (at,) in cells])
        by_first: dict[int, list[Cell]] = {}
        for cell in cells:
            by_first.setdefault(cell[0], []).append(cell[1:])
        alike: dict[tuple[Cell, ...], list[int]] = {}
        for at, rest in by_first.items():
            alike.setdefault(tuple(rest), []).append(at)
        return disjunction(
            [
                z3.And(disjunction([variables[at] for at in firsts]), self._any(axes[1:], rest))
                for rest, firsts in alike.items()
            ]
        )

    @cached_property
    def _moves(self) -> Formula:
        deeds = self.tables.choices.deed
        return z3.Or([self._variables["deed"][at] for at, deed in enumerate(deeds) if deed.action in MOVES])

    def _without_gas(self) -> list[Formula]:
        """No gas, and no fee, is what tokens take that move by a signature, and what stands inside of such data."""
        choices = self.tables.choices
        free = [at for at, gas in enumerate(choices.gas) if not gas]
        fees = [at for at, fee in enumerate(choices.fee) if fee]
        signed = z3.Or(self.any_of("deed", self.tables.signed()), self._wrapped)
        return [z3.Implies(self.any_of("gas", free), z3.And(signed, z3.Not(self.any_of("fee", fees))))] if free else []

    @cached_property
    def _opaque(self) -> Formula:
        return z3.Or(self._veiled, z3.And(z3.Not(self._listed), self._unread))

    @cached_property
    def _typed(self) -> Formula:
        """Typed data to a contract of the registry, which may list its type."""
        deeds, index = self.tables.choices.deed, self.tables.index
        typed = [at for at, deed in enumerate(deeds) if deed.action is Action.TYPED_MESSAGE]
        to = [at for at, one in enumerate(self.tables.choices.to) if one in index.contracts]
        chosen = ((self._variables[axis][at] for at in places) for axis, places in (("deed", typed), ("to", to)))
        return z3.And([disjunction(list(one)) for one in chosen])

    @cached_property
    def _barred(self) -> Formula:
        """What stands against an order without any rule."""
        return z3.Or([self._any(one, self.tables.barred(one)) for one in BARS])

    def exceeded(self, rule: Rule) -> Formula:
        """A LIMIT objects when nothing has been spent before."""
        ready, grounds = self.rules.by_id[rule.rule_id], self.grounds(rule)
        if ready.raised or not rule.caps:
            return z3.Or(grounds)
        moves, *pays = grounds
        made = [z3.And(moves, self._any(*self._weighing.over(ready, moves=True, pays=False)))]
        for paid in pays:
            made.append(z3.And(paid, self._any(*self._weighing.over(ready, moves=False, pays=True))))
            made.append(z3.And(moves, paid, self._any(*self._weighing.over(ready, moves=True, pays=True))))
        return z3.Or(made)

    @cached_property
    def _pays(self) -> Formula:
        """There is a fee, and a transaction that pays it."""
        return z3.And(self.any_of("fee", self._weighing.fees), self.is_transaction)


def disjunction(parts: list[Formula]) -> Formula:
    """As z3.Or, which looks at the sort of each part: of thousands of variables that takes its time."""
    if len(parts) < 2:
        return parts[0] if parts else z3.BoolVal(False)
    context = z3.main_ctx()
    made = z3.Z3_mk_or(context.ref(), len(parts), (z3.Ast * len(parts))(*(part.as_ast() for part in parts)))
    return z3.BoolRef(made, context)


def _of_order(test: Test) -> bool:
    """Whether a test says the same of all that an order does."""
    return test.field.partition(".")[0] in _WHOLE or test.field == "fee.total" or test.field == "fee.gas"


def _asked(test: Test, mode: Mode) -> Asked | Wondered:
    return Wondered(test) if mode is Mode.PROPERTY else Asked(test, mode is Mode.PERMIT)


def _opens(rule: Rule) -> bool:
    return any((test.field, test.operator, test.values) == ("opaque", Operator.IS, (1,)) for test in rule.when)
