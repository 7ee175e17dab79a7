"""Why a decision came out as it did: kept compactly, hashed as it is kept, put into words when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass

from oms_core.encoding import digest, document
from oms_core.policy.compiled import FALSE, TRUE, Compiled, Ready
from oms_core.policy.facts import FEE
from oms_core.policy.logic import Truth
from oms_core.policy.rules import Kind
from oms_core.policy.views import Seen, State, View
from oms_core.policy.writing import assets_of, condition_words, value_words

ASLEEP = bytes(1)  # what stands for a rule that is not in force


@document("trace-line/3")
class TraceLine:
    """One rule's part. ``results`` are TRUE, FALSE or UNKNOWN for each operation; none if the rule is not in force.

    ``fee`` is the same of the order's fee, empty where the rule is not asked about that. ``operation`` is the one that
    decided, or `FEE`, ``test`` in words the first test that was not met there (empty if all were), ``observed`` what
    its field showed, ``source`` where that is from.
    """

    rule_id: str
    kind: str
    applies: bool
    results: tuple[str, ...]
    fee: str
    operation: int
    test: str
    field: str
    observed: str
    source: str

    @property
    def text(self) -> str:
        """The line in words, without the rule's id."""
        if not self.results:
            return "not in force"
        paid = self.operation == FEE
        where = " of the fee" if paid else f" of operation {self.operation + 1}" if len(self.results) > 1 else ""
        if not self.test:
            return f"all of it holds{where * paid}"
        result = self.fee if paid else self.results[self.operation]
        what = "is not known to hold" if result == Truth.UNKNOWN.name else "does not hold"
        return f"{self.test!r} {what}{where}: {self.field} is {self.observed}" + (
            f" ({self.source})" * bool(self.source)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What every rule answered about every operation.

    ``answers`` has for each rule in order, `ASLEEP` or for each operation a byte: the truth in its lowest two bits, and
    above them the place of the first test that was not met, plus one. Of a limit that weighs there is one more about
    the fee, which ``paid`` shows, if there is one.
    """

    rules: Compiled
    views: tuple[View, ...]
    paid: View | None
    answers: tuple[bytes, ...]

    @property
    def digest(self) -> bytes:
        """32 bytes for all rules, all answers, and all that was seen."""
        seen = [
            [[name, one.values, one.state.value, one.claimed, one.source] for name, one in sorted(view.seen.items())]
            for view in (self.views if self.paid is None else (*self.views, self.paid))
        ]
        return digest("trace", self.rules.digest, len(self.views), b"".join(self.answers), seen)

    @property
    def lines(self) -> tuple[TraceLine, ...]:
        """In words, in the order of rule ids."""
        return tuple(self._line(rule, answer) for rule, answer in zip(self.rules.rules, self.answers, strict=True))

    def _line(self, ready: Ready, answer: bytes) -> TraceLine:
        rule = ready.rule
        if answer == ASLEEP:
            return TraceLine(rule.rule_id, rule.kind, False, (), "", 0, "", "", "", "")
        truths = [code & 3 for code in answer]
        permit = rule.kind is Kind.PERMIT
        # A PERMIT is explained by what it does not fit, the others by what they fit best.
        decided = truths.index(min(truths) if permit else max(truths))
        applies = TRUE in truths if permit else max(truths) > FALSE
        count = len(self.views)
        view = self.views[decided] if decided < count else self.paid
        assert view is not None
        test, field, seen = self._unmet(ready, answer[decided] >> 2, view)
        return TraceLine(
            rule_id=rule.rule_id,
            kind=rule.kind,
            applies=applies,
            results=tuple(Truth(truth).name for truth in truths[:count]),
            fee="".join(Truth(truth).name for truth in truths[count:]),
            operation=decided if decided < count else FEE,
            test=test,
            field=field,
            observed=observed_words(view, field, seen) if test else "",
            source=seen.source if test else "",
        )

    def _unmet(self, ready: Ready, place: int, view: View) -> tuple[str, str, Seen]:
        if not place:
            return "", "", Seen((), "")
        if place > len(ready.rule.when):
            return "within its hours", "now", Seen((view.now,), "clock")
        test = ready.rule.when[place - 1]
        if ready.raised:
            return condition_words(test), test.field, Seen((), ready.raised, State.UNKNOWN)
        about = assets_of(ready.rule.when, self.rules.index.workspace.assets)
        return condition_words(test, about), test.field, view.see(test.field)


def observed_words(view: View, field: str, seen: Seen) -> str:
    """What a field showed, in the units in which people write it."""
    match seen.state:
        case State.UNKNOWN:
            return "not known"
        case State.NONE:
            return "nothing that this operation has"
    held = {flow.asset for flow in view.flows}
    about = tuple(asset for name in held if (asset := view.index.assets.get(name))) if len(held) == 1 else ()
    said, claimed = ([value_words(field, value, about) for value in some] for some in (seen.values, seen.claimed))
    return (", ".join(said) or "none") + (f", perhaps {', '.join(claimed)}" if claimed else "")
