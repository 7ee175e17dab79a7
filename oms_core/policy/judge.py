"""The decision: order-independent, deny by default, always with a trace of every rule.

What no rule can allow comes first. Then DENY beats all; every LIMIT holds; every REQUIRE that applies is met; each
operation fits at least one PERMIT. What is not known counts for the strict side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from oms_core.chains.intent import Intent, Subject
from oms_core.chains.operations import Operation
from oms_core.errors import Reason
from oms_core.policy.compiled import TRUE, UNKNOWN, Compiled, Ready, compiled
from oms_core.policy.decision import GRAVITY, Decision, Given, LimitUse, Need, Objection, Outcome
from oms_core.policy.facts import Facts, Observation
from oms_core.policy.hours import open_at
from oms_core.policy.invariants import broken
from oms_core.policy.limits import Spending, weigh
from oms_core.policy.require import Asking, needs
from oms_core.policy.rules import DAY, Kind, Rule
from oms_core.policy.spends import Judged, fee_of, operations_of, spends_of
from oms_core.policy.trace import ASLEEP, Trace, TraceLine
from oms_core.policy.views import View, view_of_fee, view_of_operation
from oms_core.workspace import Privilege, Workspace, user

__all__ = [
    "DAY", "Decision", "Given", "LimitUse", "Need", "Objection", "Outcome", "TraceLine", "judge", "judge_operations",
]  # fmt: skip


def judge(workspace: Workspace, subject: Subject, facts: Facts, approvers: Iterable[Given] = ()) -> Decision:
    """Decide about what a subject's bytes do. ``approvers`` are approvals that have been verified.

    Raises `NotFound` for a stranger, what deriving the operations raises, and TypeError for a change of the workspace.
    """
    operations = operations_of(subject, workspace)
    assert isinstance(subject, Judged)
    return judge_operations(workspace, subject, operations, facts, approvers)


def judge_operations(
    workspace: Workspace, subject: Judged, operations: Sequence[Operation], facts: Facts, given: Iterable[Given] = ()
) -> Decision:
    """The same, of operations that are known already. Raises `NotFound` for a stranger."""
    initiator = user(workspace, subject.initiator)
    rules = compiled(workspace)
    observed: dict[str, list[Observation]] = {}
    for one in facts.observed:
        observed.setdefault(one.name, []).append(one)
    views = tuple(
        rules.prepare(view_of_operation(rules.index, facts.counts_at, subject, number, operation, observed))
        for number, operation in enumerate(operations)
    )
    approves = Privilege.APPROVE_ORDERS if isinstance(subject, Intent) else Privilege.APPROVE_KEYS
    fee = fee_of(rules.index.assets, subject) if views else None
    paid = rules.prepare(view_of_fee(rules.index, facts.counts_at, subject, views[0], fee)) if fee else None
    adds = spends_of(workspace, subject, operations, facts.counts_at)
    sitting = _Sitting(
        rules=rules,
        facts=facts,
        views=views,
        paid=paid,
        spending=Spending(rules, facts, adds),
        asking=Asking(rules.index, initiator.person_id, subject.wallet_id, approves),
        given=tuple(given),
        objections=broken(rules.index, subject, initiator, operations, facts.now),
        permitted=[False] * len(views),
        opened=[False] * len(views),
    )
    return sitting.decide()


_ONE = tuple(bytes([code]) for code in range(256))


@dataclass(slots=True)
class _Sitting:
    """One decision while it is made. ``permitted`` and ``opened`` say what PERMITs there are for each operation.

    ``paid`` is its fee, if there is one: limits that weigh anything hear of it as if it were one operation more.
    """

    rules: Compiled
    facts: Facts
    views: tuple[View, ...]
    paid: View | None
    spending: Spending
    asking: Asking
    given: tuple[Given, ...]
    objections: list[Objection]
    permitted: list[bool]
    opened: list[bool]
    needs: list[Need] = field(default_factory=list)
    limits: list[LimitUse] = field(default_factory=list)
    delay: int = 0
    expiries: list[int] = field(default_factory=list)
    cosigners: set[int] = field(default_factory=set)

    def decide(self) -> Decision:
        """Hear every rule, then say what comes of it."""
        trace = Trace(self.rules, self.views, self.paid, tuple(map(self._hear, self.rules.rules)))
        self._default()
        facts, waits = self.facts, self.delay
        ready_at = None if facts.seen_at is None else facts.seen_at + waits
        if self.objections:
            outcome = Outcome.DENY
        elif any(need.missing for need in self.needs):
            outcome = Outcome.NEEDS_APPROVAL
        else:
            late = not waits or (ready_at is not None and facts.now >= ready_at)
            outcome = Outcome.PERMIT if late else Outcome.DELAY
        self.objections.sort(key=lambda no: (GRAVITY[no.reason], no.rule_id, no.operation, no.text))
        return Decision(
            outcome=outcome,
            objections=tuple(self.objections),
            needs=tuple(self.needs),
            limits=tuple(self.limits),
            delay=waits,
            ready_at=ready_at if waits else None,
            cosigners=tuple(sorted(self.cosigners)),
            approvals_expire_in=min(self.expiries, default=0),
            record=trace,
        )

    def _hear(self, ready: Ready) -> bytes:
        """What a rule answers about each operation, as `Trace` keeps it; and what follows if it applies."""
        views = self.views if self.paid is None or not ready.weighs else (*self.views, self.paid)
        if ready.always:
            if len(views) == 1 and not (code := self.rules.ask(views[0], ready.tests)) & 3:
                return _ONE[code]  # most rules speak of something else, so that this is the way of most
            codes = [self.rules.ask(view, ready.tests) for view in views]
        elif not self._in_force(ready.rule):
            return ASLEEP
        else:
            codes = self._ask(ready, views)
        if ready.rule.kind is Kind.PERMIT:
            for place, code in enumerate(codes):
                if code == TRUE:
                    self.permitted[place] = True
                    self.opened[place] |= ready.opens
        else:
            truths = [code & 3 for code in codes]
            if any(truths):
                self._apply(ready, truths)
        return bytes(codes)

    def _in_force(self, rule: Rule) -> bool:
        at = self.facts.counts_at
        return rule.enabled and rule.starts <= at and not (rule.ends and at >= rule.ends)

    def _ask(self, ready: Ready, views: tuple[View, ...]) -> list[int]:
        if ready.raised:
            return [UNKNOWN | ready.at + 1 << 2] * len(views)
        open_now = TRUE if ready.rule.during is None else int(open_at(ready.rule.during, self.facts.counts_at))
        closed = open_now | len(ready.tests) + 1 << 2
        codes = [self.rules.ask(view, ready.tests) for view in views]
        return [closed if open_now < code & 3 else code for code in codes]

    def _apply(self, ready: Ready, truths: list[int]) -> None:
        """A rule that applies, or may. One that cannot be evaluated objects."""
        rule = ready.rule
        try:
            match rule.kind:
                case Kind.DENY:
                    self.objections.append(self._denial(ready, truths))
                case Kind.LIMIT:
                    self._limit(ready, truths)
                case Kind.REQUIRE:
                    self._require(ready)
        except Exception as error:  # noqa: BLE001 - whatever cause it has
            text = f"cannot be evaluated: {type(error).__name__}"
            self.objections.append(Objection(rule.rule_id, Reason.FACT_UNKNOWN, -1, text))

    def _denial(self, ready: Ready, truths: list[int]) -> Objection:
        rule = ready.rule
        if TRUE in truths:
            text = rule.description or "is denied"
            return Objection(rule.rule_id, Reason.DENIED_BY_RULE, truths.index(TRUE), text)
        text = f"cannot be evaluated: {ready.raised}" if ready.raised else "may apply: not all that it tests is known"
        return Objection(rule.rule_id, Reason.FACT_UNKNOWN, truths.index(UNKNOWN), text)

    def _limit(self, ready: Ready, truths: list[int]) -> None:
        if ready.raised or not ready.rule.caps:
            raise ValueError(ready.raised or "a limit without caps")
        uses, objections = weigh(ready, truths, self.spending)
        self.limits += uses
        self.objections += objections

    def _require(self, ready: Ready) -> None:
        asked = ready.rule.requirement
        if asked is None:
            raise ValueError("a requirement that is not there")
        self.needs += needs(ready.rule.rule_id, asked, self.asking, self.given, self.facts.now)
        self.delay = max(self.delay, asked.delay)
        self.expiries += [asked.expires_in] if asked.expires_in else []
        self.cosigners.update(asked.cosigners)

    def _default(self) -> None:
        """Nothing is permitted by itself, and what nobody can read only by a rule that says so."""
        if not self.views:
            self.objections.append(Objection("", Reason.NO_PERMIT, -1, "nothing is done that a rule could permit"))
        for place, view in enumerate(self.views):
            operation = view.operation
            if not self.permitted[place]:
                self.objections.append(Objection("", Reason.NO_PERMIT, place, f"no rule permits {_named(view)}"))
            if operation is not None and operation.opaque and not self.opened[place]:
                text = f"nobody can read what {_named(view)} does, and no rule permits that"
                self.objections.append(Objection("", Reason.OPAQUE_CALL, place, text))


def _named(view: View) -> str:
    return f"this {view.action}" if not view.number else f"operation {view.number + 1}, {view.action}"
