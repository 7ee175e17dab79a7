"""What a decision consists of. All of it is canonical: nodes that judged the same come to the same 32 bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oms_core.encoding import digest, document
from oms_core.errors import Reason
from oms_core.policy import units
from oms_core.policy.rules import Quorum, Unit
from oms_core.policy.trace import Trace, TraceLine
from oms_core.workspace import Assurance


class Outcome(StrEnum):
    """What the rules say. DELAY: all who have to agree do, and it is not yet time."""

    DENY = "DENY"
    NEEDS_APPROVAL = "NEEDS_APPROVAL"
    DELAY = "DELAY"
    PERMIT = "PERMIT"


@dataclass(frozen=True, slots=True)
class Given:
    """A verified approval: whose, by which kind of key, decided when (Unix seconds)."""

    user_id: str
    assurance: Assurance
    approved_at: int


@document("objection/1")
class Objection:
    """A no, by a rule, or by what holds without rules (no rule id). ``operation`` is -1 for the whole order."""

    rule_id: str
    reason: Reason
    operation: int
    text: str


# Which no is named first: what no rule could allow, what rules deny, what they limit, then that nothing permits.
GRAVITY = {
    reason: place
    for place, reason in enumerate(
        (
            Reason.NOT_ELIGIBLE,
            Reason.ACTION_MISMATCH,
            Reason.UNLIMITED_ALLOWANCE,
            Reason.ENTRY_SUSPENDED,
            Reason.DENIED_BY_RULE,
            Reason.LIMIT_EXCEEDED,
            Reason.VELOCITY_EXCEEDED,
            Reason.FACT_UNKNOWN,
            Reason.OPAQUE_CALL,
            Reason.NO_PERMIT,
        )
    )
}


@document("limit-use/1")
class LimitUse:
    """How far a cap of a LIMIT is used, in the cap's unit, before and after this order, and for whom (``key``).

    The window is between the Unix seconds ``starts`` and ``ends``; both are 0 for a cap on a single order.
    """

    rule_id: str
    cap: int
    unit: Unit
    key: tuple[str, ...]
    before: int
    after: int
    maximum: int
    starts: int
    ends: int

    @property
    def words(self) -> str:
        """The use in words."""
        before, after, maximum = (amount_words(self.unit, n) for n in (self.before, self.after, self.maximum))
        of = f" ({', '.join(self.key)})" if self.key else ""
        return f"{after} of {maximum}{f', {before} of it before' if self.ends else ' in one order'}{of}"


def amount_words(unit: Unit, number: int) -> str:
    """A number in a limit's unit."""
    match unit:
        case Unit.USD:
            return units.usd(number)
        case Unit.BASE:
            return f"{number:,} base units"
    return f"{number:,} operations"


@document("need/2")
class Need:
    """A quorum that a REQUIRE asks for: whose approvals count towards it (user ids), and who else could give one.

    An ``alternative`` is one of several of which one is enough; when one is met, only that one is named.
    """

    rule_id: str
    quorum: Quorum
    alternative: bool
    given: tuple[str, ...]
    eligible: tuple[str, ...]

    @property
    def required(self) -> int:
        """How many people it takes."""
        return self.quorum.threshold

    @property
    def missing(self) -> int:
        """How many approvals are still needed."""
        return max(0, self.required - len(self.given))

    @property
    def whom(self) -> str:
        """Who is asked, in words."""
        quorum = self.quorum
        named = (("users", quorum.users), ("groups", quorum.groups), ("roles", quorum.roles))
        words = " or ".join(f"{kind} {', '.join(names)}" for kind, names in named if names)
        flags = ((quorum.distinct_teams, "distinct teams"), (quorum.distinct_sites, "distinct sites"))
        also = [text for flag, text in (*flags, (quorum.device_bound, "device-bound keys")) if flag]
        return (words or "nobody") + (f" ({', '.join(also)})" if also else "")

    @property
    def words(self) -> str:
        """What is asked for and how much of it is there."""
        text = f"{self.rule_id}: {len(self.given)} of {self.required} approvals by {self.whom}"
        return f"{text}, or others" if self.alternative and self.missing else text


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: every objection, the gravest first, what is needed, how far limits are used, and the whole trace.

    ``delay`` are the seconds that have to pass since it was first seen, ``ready_at`` when they have (None: unknown),
    ``cosigners`` who has to be among the signers, ``approvals_expire_in`` the seconds after which approvals do not
    count any more (0: no rule says so).
    """

    outcome: Outcome
    objections: tuple[Objection, ...]
    needs: tuple[Need, ...]
    limits: tuple[LimitUse, ...]
    delay: int
    ready_at: int | None
    cosigners: tuple[int, ...]
    approvals_expire_in: int
    record: Trace

    @property
    def reason(self) -> Reason | None:
        """Of the gravest objection; what is missing if there is none; None for a yes."""
        if self.objections:
            return self.objections[0].reason
        missing = {Outcome.NEEDS_APPROVAL: Reason.APPROVAL_MISSING, Outcome.DELAY: Reason.DELAYED}
        return missing.get(self.outcome)

    @property
    def detail(self) -> str:
        """All objections in words, each with the rule that it is from."""
        return "; ".join(f"{o.rule_id}: {o.text}" if o.rule_id else o.text for o in self.objections)

    @property
    def trace(self) -> tuple[TraceLine, ...]:
        """A line for each rule: whether it applied, and the first test that was not met, with what was seen."""
        return self.record.lines

    @property
    def digest(self) -> bytes:
        """32 bytes, equal on all nodes that judged the same."""
        return digest(
            "decision",
            self.outcome,
            self.objections,
            [[need.rule_id, need.quorum, need.alternative, need.given, need.eligible] for need in self.needs],
            [[u.rule_id, u.cap, u.unit, u.key, u.before, u.after, u.maximum, u.starts, u.ends] for u in self.limits],
            [self.delay, self.ready_at, self.cosigners, self.approvals_expire_in],
            self.record.digest,
        )
