"""Rules made ready to be asked often: tests that several rules share are one, and each is decided once an operation.

A test's answer depends on who asks. For a PERMIT, what is only claimed is not known. For the other kinds it may make a
rule apply, and never make it not apply. Where several sources, or members of an array, speak one by one, a PERMIT wants
all of them to fit; the others apply if any does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oms_core.encoding import digest, encode
from oms_core.errors import Malformed
from oms_core.memo import by_identity
from oms_core.policy.fields import FIELDS, field_named
from oms_core.policy.index import Index, index_of
from oms_core.policy.logic import Truth
from oms_core.policy.rules import Kind, Operator, Rule, Test, Unit, opens_unreadable
from oms_core.policy.views import Seen, State, Value, View
from oms_core.workspace import Workspace

FALSE, UNKNOWN, TRUE = map(int, Truth)
MAX_TESTS = 60  # of one rule
PAST = frozenset({
    "action", "initiator.user", "initiator.role", "initiator.group", "initiator.team", "source.wallet", "source.tag",
    "source.tier", "chain", "destination.address", "destination.entry", "destination.tag", "asset", "asset.class",
    "amount", "amount.usd", "protocol", "fee",
})  # fmt: skip
"""Fields that past spends show. Tests on others do not keep a spend from being counted."""

Compare = Callable[[Value], bool]


class Asked:
    """A test as one kind of rule asks it. ``raised`` tells that it cannot be evaluated at all."""

    __slots__ = ("compare", "field", "is_text", "negative", "permit", "raised", "test")

    def __init__(self, test: Test, permit: bool) -> None:
        self.test, self.permit, self.field = test, permit, test.field
        self.raised = ""
        self.compare: Compare = _cannot
        self.negative = test.operator is Operator.IS_NOT
        self.is_text = test.field in FIELDS and FIELDS[test.field].is_text
        try:
            field = field_named(test.field)
            if test.operator not in field.operators:
                raise Malformed(f"{test.field} cannot be compared by {test.operator}")
            self.compare = _compare(test)
        except Exception as error:  # noqa: BLE001 - a test that cannot be evaluated is unknown, for whatever cause
            self.raised = type(error).__name__

    def on(self, view: View) -> int:
        """FALSE, UNKNOWN or TRUE for what a view shows. A comparison that fails (text with a number) tells nothing."""
        try:
            value = view.single.get(self.field)
            if value is not None:
                return TRUE if self.compare(value) is not self.negative else FALSE
            return self._answer(view.see(self.field))
        except Exception:  # noqa: BLE001 - for whatever cause
            return UNKNOWN

    def _answer(self, seen: Seen) -> int:
        if seen.state is State.UNKNOWN:
            return UNKNOWN
        if seen.state is State.NONE:
            return FALSE if self.is_text and self.test.operator in (Operator.IS, Operator.STARTS) else UNKNOWN
        if seen.each:
            return self._each(seen)
        compare = self.compare
        found = TRUE if any(map(compare, seen.values)) else UNKNOWN if any(map(compare, seen.claimed)) else FALSE
        return TRUE - found if self.negative else found

    def _each(self, seen: Seen) -> int:
        negative = self.negative
        trusted = [self.compare(value) is not negative for value in seen.values]
        claimed = [self.compare(value) is not negative for value in seen.claimed]
        if self.permit:
            if not trusted:
                return UNKNOWN
            return TRUE if all(trusted) and all(claimed) else UNKNOWN if any(trusted) else FALSE
        if any(trusted) or any(claimed):
            return TRUE
        return FALSE if trusted else UNKNOWN


def _compare(test: Test) -> Compare:
    """Whether one value fits; of IS_NOT, what IS says. Raises for values of the wrong type."""
    values = test.values
    if test.operator in (Operator.IS, Operator.IS_NOT):
        return frozenset(values).__contains__
    (bound,) = values
    if test.operator is Operator.STARTS:
        if not isinstance(bound, str):
            raise TypeError("not text")
        return lambda value: isinstance(value, str) and value.startswith(bound)
    if type(bound) is not int:
        raise TypeError("not an integer")
    match test.operator:
        case Operator.ABOVE:
            return lambda value: _integer(value) > bound
        case Operator.AT_LEAST:
            return lambda value: _integer(value) >= bound
        case Operator.BELOW:
            return lambda value: _integer(value) < bound
    return lambda value: _integer(value) <= bound


def _cannot(_: Value) -> bool:
    raise TypeError("a test that cannot be evaluated")


def _integer(value: Value) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value


@dataclass(frozen=True, slots=True)
class Ready:
    """A rule and the places of its tests; ``past`` are those that can be asked about spends of the past.

    ``always`` tells that nothing but the tests decides whether it applies. ``raised`` says why it cannot be evaluated:
    then it is unknown what it says, and ``at`` is the test's place. ``opens`` is for a PERMIT of what nobody can read,
    ``sized`` for a limit that tests amounts, ``weighs`` for one that counts anything but operations, and so fees.
    """

    rule: Rule
    tests: tuple[int, ...]
    past: tuple[int, ...]
    raised: str
    at: int
    always: bool
    opens: bool
    sized: bool
    weighs: bool


class Compiled:
    """A workspace's rules by id, their tests, each once, and the digest that stands for all of them."""

    def __init__(self, workspace: Workspace) -> None:
        self.index: Index = index_of(workspace)
        self.asked: list[Asked] = []
        places: dict[tuple[Test, bool], int] = {}
        written = sorted(((rule.rule_id, encode(rule), rule) for rule in workspace.rules), key=lambda one: one[:2])
        self.rules = tuple(self._ready(rule, places) for _, _, rule in written)
        self.digest = digest("rules", [data for _, data, _ in written])
        self.by_id = {ready.rule.rule_id: ready for ready in self.rules}

    def _ready(self, rule: Rule, places: dict[tuple[Test, bool], int]) -> Ready:
        tests = []
        for test in rule.when:
            key = (test, rule.kind is Kind.PERMIT)
            if key not in places:
                places[key] = len(self.asked)
                self.asked.append(Asked(*key))
            tests.append(places[key])
        past = tuple(place for place in tests if self.asked[place].field in PAST)
        why = [self.asked[place].raised for place in tests]
        at = next((at for at, raised in enumerate(why) if raised), -1)
        if len(tests) > MAX_TESTS:
            return Ready(
                rule, (), (), f"more than {MAX_TESTS} tests", 0, always=False, opens=False, sized=True, weighs=True
            )
        always = rule.enabled and not rule.starts and not rule.ends and rule.during is None and at < 0
        opens = opens_unreadable(rule)
        sized = any(one.field in ("amount", "amount.usd") for one in rule.when)
        weighs = any(cap.unit is not Unit.COUNT for cap in rule.caps)
        return Ready(rule, tuple(tests), past, why[at] if at >= 0 else "", at, always, opens, sized, weighs)

    def prepare(self, view: View) -> View:
        """Make room for the answers."""
        view.results = [-1] * len(self.asked)
        return view

    def ask(self, view: View, tests: tuple[int, ...]) -> int:
        """The conjunction of tests as a code: its truth in the lowest two bits, and above them which test was not met.

        That is the place, plus one, of the first that is FALSE, or else of the first UNKNOWN; 0 if all are TRUE.
        """
        answers = view.results
        code = TRUE
        for place, test in enumerate(tests):
            answer = answers[test]
            if answer < 0:
                answer = answers[test] = self.asked[test].on(view)
            if not answer:
                return place + 1 << 2
            if answer < code:
                code = answer | place + 1 << 2
        return code


@by_identity(size=8)
def compiled(workspace: Workspace) -> Compiled:
    """The rules of a frozen workspace, made ready once."""
    return Compiled(workspace)
