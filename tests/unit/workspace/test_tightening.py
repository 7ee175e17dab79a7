"""A change that is called a tightening never lets through what was held back before: tried with random changes."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from oms_core.chains.intent import Intent
from oms_core.policy.facts import Facts
from oms_core.policy.judge import Given, Outcome, judge
from oms_core.policy.rules import Cap, Kind, Operator, Per, Quorum, Requirement, Rule, Unit
from oms_core.policy.rules import Test as Condition
from oms_core.workspace import AddressEntry, Assurance, Direction, EntryState, Group, Workspace
from oms_core.workspace.parts import direction
from tests.people import CHAIN, COIN, DENIED, KNOWN, NOW, STRANGE, intent, spend, workspace

BOOK = tuple(
    AddressEntry(name, name.title(), CHAIN, address, tags, EntryState.ACTIVE, NOW)
    for name, address, tags in (("known", KNOWN, ("a", "b")), ("denied", DENIED, ("b",)))
)
PLAIN = replace(workspace(), address_book=BOOK, rules=())
ORDERS = [intent(amount, to) for amount in (5, 50) for to in (KNOWN, DENIED, STRANGE)]
GIVEN = tuple(Given(name, Assurance.SYNCED, NOW - 5) for name in ("ravi", "olga", "sam"))
APPROVALS = [(), GIVEN[:1], GIVEN[:2], GIVEN]
FACTS = (Facts(NOW, (), (), NOW - 50), Facts(NOW, (spend(60),), (), NOW - 50), Facts(NOW, (), (), None))
VALUES: dict[str, tuple[tuple[str, ...], ...]] = {
    "action": (("TRANSFER",), ("CALL",), ("TRANSFER", "CALL")),
    "initiator.role": (("trader",), ("operator",), ("trader", "risk")),
    "initiator.group": (("desk",), ("risk",), ("desk", "risk")),
    "destination.type": (("WHITELISTED",), ("ONE_TIME",), ("WHITELISTED", "ONE_TIME")),
    "destination.tag": (("a",), ("b",), ("a", "b")),
    "destination.entry": (("known",), ("denied",)),
    "asset": ((COIN,),),
}


class Draw:
    """Rules and changes of them, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self, values: Iterable[object]) -> object:
        return self.random.choice(list(values))

    def test(self) -> Condition:
        if self.random.random() < 0.3:
            operators = (Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST)
            return Condition("amount", self.random.choice(operators), (self.random.choice((4, 5, 20, 50, 60)),))
        field = self.random.choice(sorted(VALUES))
        return Condition(
            field, self.random.choice((Operator.IS, Operator.IS, Operator.IS_NOT)), self.random.choice(VALUES[field])
        )

    def cap(self) -> Cap:
        per = self.random.choice(((), (Per.INITIATOR,), (Per.INITIATOR, Per.DESTINATION)))
        seconds = self.random.choice((0, 3600, 7200))
        unit = self.random.choice((Unit.BASE, Unit.COUNT))
        maximum = self.random.choice((1, 2) if unit is Unit.COUNT else (10, 40, 60, 100))
        return Cap(unit, maximum, seconds, None, None, per if seconds else ())

    def quorum(self) -> Quorum:
        groups = self.random.choice((("risk",), ("security",), ("risk", "security")))
        return Quorum(self.random.choice((1, 2)), (), groups, (), self.random.random() < 0.3, False, False)

    def requirement(self) -> Requirement:
        all_of = tuple(self.quorum() for _ in range(self.random.choice((0, 1, 1, 2))))
        any_of = tuple(self.quorum() for _ in range(self.random.choice((0, 0, 1, 2))))
        delay = self.random.choice((0, 0, 40, 100)) if all_of or any_of else 40
        return Requirement(all_of, any_of, self.random.random() < 0.3, self.random.choice((0, 0, 4, 60)), delay, ())

    def rule(self, rule_id: str, kind: Kind | None = None) -> Rule:
        kind = kind or self.random.choice(list(Kind))
        return Rule(
            rule_id=rule_id,
            kind=kind,
            description="",
            owner="",
            when=tuple(self.test() for _ in range(self.random.choice((0, 1, 2)))),
            during=None,
            caps=tuple(self.cap() for _ in range(self.random.choice((1, 2)))) if kind is Kind.LIMIT else (),
            requirement=self.requirement() if kind is Kind.REQUIRE else None,
            enabled=self.random.random() < 0.9,
            starts=self.random.choice((0, 0, NOW + 5)),
            ends=self.random.choice((0, 0, NOW - 5)),
        )

    def bent(self, rule: Rule) -> Rule:
        """A rule with one thing changed."""
        other = self.rule(rule.rule_id, rule.kind)
        match self.random.randrange(8):
            case 0:
                return replace(rule, when=other.when)
            case 1:
                return replace(rule, when=(*rule.when, self.test()))
            case 2:
                return replace(rule, when=rule.when[1:])
            case 3:
                return replace(rule, enabled=other.enabled, starts=other.starts, ends=other.ends)
            case 4 | 5 | 6 if rule.caps:
                return replace(rule, caps=(*rule.caps[1:], self.bent_cap(rule.caps[0])))
            case 4 | 5 | 6 if rule.requirement:
                mine = rule.requirement
                asked = other.requirement or mine
                some = self.random.choice(("all_of", "any_of", "overlap", "expires_in", "delay"))
                if some == "all_of" and mine.all_of:
                    return replace(rule, requirement=replace(mine, all_of=self.bent_quorums(mine.all_of)))
                return replace(rule, requirement=replace(mine, **{some: getattr(asked, some)}))
        return other

    def bent_cap(self, cap: Cap) -> Cap:
        other, some = self.cap(), self.random.choice(("maximum", "seconds", "per", "unit"))
        return replace(cap, **{some: getattr(other, some)})  # type: ignore[arg-type]

    def bent_quorums(self, quorums: tuple[Quorum, ...]) -> tuple[Quorum, ...]:
        if self.random.random() < 0.4:
            return (*quorums[1:], *(self.quorum() for _ in range(self.random.choice((0, 1)))))
        other, some = self.quorum(), self.random.choice(("threshold", "groups", "distinct_teams"))
        return (replace(quorums[0], **{some: getattr(other, some)}), *quorums[1:])  # type: ignore[arg-type]

    def changed(self, base: Workspace) -> Workspace:
        """A workspace with one thing changed."""
        rules = list(base.rules)
        at = self.random.choice((0, 0, 0, *range(len(rules))))
        match self.random.randrange(10):
            case 0:
                del rules[at]
            case 1:
                rules.append(self.rule("new"))
            case 2:
                groups = tuple(
                    replace(one, members=one.members[1:]) if one.group_id == "desk" else one for one in base.groups
                )
                return replace(base, groups=groups)
            case 3:
                return replace(base, address_book=base.address_book[1:])
            case 4:
                state = self.random.choice(list(EntryState))
                return replace(base, address_book=(replace(base.address_book[0], state=state), *base.address_book[1:]))
            case _:
                rules[at] = self.bent(rules[at])
        return replace(base, rules=tuple(rules))

    def base(self) -> Workspace:
        """A workspace with a rule or two, and one that lets through what they do not hold back."""
        kind = self.random.choice((Kind.DENY, Kind.LIMIT, Kind.LIMIT, Kind.REQUIRE, Kind.REQUIRE, Kind.PERMIT))
        first = replace(self.rule("r0", kind), starts=0, ends=0, enabled=True)
        rules = [first, *(self.rule("r1") for _ in range(self.random.choice((0, 0, 1))))]
        when = (self.test(),) if self.random.random() < 0.2 else ()
        if kind is not Kind.PERMIT:
            rules.append(replace(self.rule("open", Kind.PERMIT), when=when, enabled=True, starts=0, ends=0))
        return replace(PLAIN, rules=tuple(rules), groups=(*PLAIN.groups, Group("desk", ("desk", "tara"))))


def allowed(under: Workspace, order: Intent, facts: Facts, given: tuple[Given, ...]) -> bool:
    return judge(under, order, facts, given).outcome is Outcome.PERMIT


SOME, MANY = (0,), tuple(range(150, 1500, 150))


@pytest.mark.parametrize("start", [*SOME, *(pytest.param(start, marks=pytest.mark.slow) for start in MANY)])
def test_what_a_tightened_workspace_lets_through_the_one_before_let_through_as_well(start: int) -> None:
    counts = {Direction.TIGHTEN: 0, Direction.LOOSEN: 0}
    held_back = 0
    for seed in range(start, start + 150):
        draw = Draw(seed)
        old = draw.base()
        new = draw.changed(old)
        way = direction(old, new)
        counts[way] += 1
        for order in ORDERS:
            for facts in FACTS:
                for given in APPROVALS:
                    now, before = allowed(new, order, facts, given), allowed(old, order, facts, given)
                    assert before or not now or way is Direction.LOOSEN, (seed, order, facts, given)
                    held_back += before and not now and way is Direction.TIGHTEN
    assert min(counts.values()) > 15, counts
    assert held_back > 10
