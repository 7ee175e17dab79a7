"""What a change of the rules changes, as orders: one of each kind whose outcome, or whose approvals, are others.

Both versions are formulas over the same orders, so where nothing more is found there is nothing more, unless it is said
that something was not searched. Each order shown has been judged under both versions. What has been spent before is
left out: a change of a limit shows by what one order may spend.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from oms_core.analysis.orders import Order
from oms_core.analysis.tables import Tables
from oms_core.analysis.universe import universe
from oms_core.errors import NotFound
from oms_core.policy.decision import Decision, Outcome
from oms_core.policy.index import index_of
from oms_core.policy.judge import judge_operations
from oms_core.policy.require import Asking
from oms_core.policy.rules import Quorum, Requirement
from oms_core.workspace import Privilege, Workspace

if TYPE_CHECKING:
    from oms_core.analysis.symbolic import Symbolic

MOST = 12  # examples of each kind
MILLISECONDS = 20_000


class Effect(StrEnum):
    """What becomes of orders like this one."""

    NEWLY_PERMITTED = "NEWLY_PERMITTED"  # denied before, now not, whatever approvals it needs
    NEWLY_DENIED = "NEWLY_DENIED"
    APPROVALS = "APPROVALS"  # other people are asked, or waiting takes another time


@dataclass(frozen=True, slots=True)
class Example:
    """An order, and both decisions about it. None where the initiator is nobody in that version."""

    effect: Effect
    order: Order
    before: Decision | None
    after: Decision | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Examples by effect, and whether they are all kinds that there are."""

    examples: tuple[Example, ...]
    complete: bool

    @property
    def none(self) -> bool:
        """Whether it is certain that nothing changes."""
        return self.complete and not self.examples


def difference(
    old: Workspace, new: Workspace, now: int, most: int = MOST, milliseconds: int = MILLISECONDS
) -> Difference:
    """Examples of orders, from ``now`` on, that fare otherwise. No two are of the same people doing the same."""
    from oms_core.analysis.symbolic import Symbolic

    choices = universe([old, new], now)
    before, after = Symbolic(Tables(old, choices)), Symbolic(Tables(new, choices))
    pair = _Pair(before, after, milliseconds)
    examples: list[Example] = []
    complete = True
    for effect in Effect:
        found, all_of_them = pair.examples(effect, most)
        examples += found
        complete = complete and all_of_them
    return Difference(tuple(examples), complete)


class _Pair:
    """The same orders under two versions: variables of both have the same names, and so are the same."""

    def __init__(self, before: Symbolic, after: Symbolic, milliseconds: int) -> None:
        import z3

        self._z3: Any = z3
        self.before, self.after, self._milliseconds = before, after, milliseconds
        passed, passes = (z3.And(one.derivable, one.passes()) for one in (before, after))
        self._effects = {
            Effect.NEWLY_PERMITTED: z3.And(z3.Not(passed), passes),
            Effect.NEWLY_DENIED: z3.And(passed, z3.Not(passes)),
            Effect.APPROVALS: z3.And(passed, passes, self._asks_otherwise()),
        }

    def examples(self, effect: Effect, most: int) -> tuple[list[Example], bool]:
        """Up to so many, and whether there are no more."""
        solver = self._z3.SolverFor("QF_FD")
        solver.set("timeout", self._milliseconds)
        solver.add(*self.before.choices(), *self.after.choices(), self._effects[effect])
        found: list[Example] = []
        sure = not self.before.loose and not self.after.loose
        alone = [self._z3.Not(self.before.nested), self._z3.Not(self.after.nested)]
        for _ in range(4 * most):
            result = solver.check(*alone)
            if result != self._z3.sat or len(found) == most:
                return found, sure and result == self._z3.unsat and solver.check() == self._z3.unsat
            first = self.after.first(solver)
            if first is None:
                return found, False
            example = self._judged(effect, *first)
            if example is not None:
                found.append(example)
                solver.add(self._z3.Not(self._like(first[0])))
            else:
                sure = False
                solver.add(self.after.not_these(*first))
        return found, False

    def _judged(self, effect: Effect, places: list[int], opaque: bool | None) -> Example | None:
        """Asked under both versions; None if they do not differ like this after all."""
        order = self.after.tables.choices.order(places)
        if order is None or opaque is not None:
            return None
        before, after = (_decision(one.tables, order) for one in (self.before, self.after))
        return Example(effect, order, before, after) if effect_of(before, after) is effect else None

    def _like(self, places: list[int]) -> Any:
        """The same people doing the same to the same."""
        kind = next(at for at, deeds in enumerate(self.after.tables.kinds) if places[3] in deeds)
        chosen = (("who", places[0]), ("wallet", places[1]), ("to", places[4]), ("kind", kind))
        return self._z3.And([self.after.choice(axis, at) for axis, at in chosen])

    def _asks_otherwise(self) -> Any:
        made = []
        for requirement in dict.fromkeys([*_required(self.before), *_required(self.after)]):
            asked, asks = (
                self._z3.Or([one.applies(rule) for rule in one.requires() if rule.requirement == requirement])
                for one in (self.before, self.after)
            )
            made.append(self._z3.Xor(asked, asks))
            if self._others_may(requirement):
                made.append(asks)
        return self._z3.Or(made)

    def _others_may(self, requirement: Requirement) -> bool:
        """Whether other people can meet the same words."""
        quorums = (*requirement.all_of, *requirement.any_of)
        old, new = self.before.tables.workspace, self.after.tables.workspace
        return any(_able(old, quorum) != _able(new, quorum) for quorum in quorums)


def _required(formulas: Symbolic) -> Iterator[Requirement]:
    return (rule.requirement for rule in formulas.requires() if rule.requirement)


def _able(workspace: Workspace, quorum: Quorum) -> list[frozenset[str]]:
    made = []
    for privilege in (Privilege.APPROVE_ORDERS, Privilege.APPROVE_KEYS):
        asking = Asking(index_of(workspace), "", "", privilege)
        made.append(frozenset(one.user_id for one in asking.eligible(quorum)))
    return made


def _decision(tables: Tables, order: Order) -> Decision | None:
    made = tables.operations(order)
    if not made:
        return None
    try:
        return judge_operations(tables.workspace, order.subject, made, order.facts)
    except NotFound:
        return None


def effect_of(before: Decision | None, after: Decision | None) -> Effect | None:
    """How two decisions about an order that nobody has approved differ; a stranger's order counts as denied."""
    passed, passes = (one is not None and one.outcome is not Outcome.DENY for one in (before, after))
    if passed != passes:
        return Effect.NEWLY_PERMITTED if passes else Effect.NEWLY_DENIED
    if before is None or after is None or not passes:
        return None
    same = _asked(before) == _asked(after)
    return None if same else Effect.APPROVALS


def _asked(decision: Decision) -> object:
    needs = {(need.quorum, need.alternative, need.eligible) for need in decision.needs}
    return needs, decision.delay, decision.cosigners, decision.approvals_expire_in
