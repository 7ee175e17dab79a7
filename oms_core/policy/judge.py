"""The decision: order-independent, deny by default, always with a trace of every rule.

DENY beats all; every LIMIT holds; every matching REQUIRE is met; at least one PERMIT matches.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oms_core.chains.intent import CreateWallet, Intent, Subject, subject_digest
from oms_core.encoding import digest, document
from oms_core.errors import Reason
from oms_core.keys import Change, ChangeKey
from oms_core.policy.facts import Facts
from oms_core.policy.rules import ANY, Action, Deny, Destination, Limit, Permit, Require, Rule
from oms_core.workspace import User, Workspace, entry_at, user

DAY = 86_400  # seconds


class Outcome(StrEnum):
    """What the rules say."""

    DENY = "DENY"
    NEEDS_APPROVAL = "NEEDS_APPROVAL"
    PERMIT = "PERMIT"


@document("trace-line/1")
class TraceLine:
    """One rule's part: what it is, whether it applied, and in words what it found."""

    rule_id: str
    kind: str
    applies: bool
    text: str


@document("need/1")
class Need:
    """What a REQUIRE asks for: how many people, who has approved, who else could."""

    rule_id: str
    role: str
    required: int
    given: tuple[str, ...]
    eligible: tuple[str, ...]

    @property
    def missing(self) -> int:
        """How many approvals are still needed."""
        return max(0, self.required - len(self.given))


@dataclass(frozen=True, slots=True)
class Objection:
    """A rule's no."""

    rule_id: str
    reason: Reason
    text: str


# Which no is named first: people's own denials, then limits, then that nothing permits at all.
_GRAVITY = (
    Reason.FACT_UNKNOWN,
    Reason.DENIED_BY_RULE,
    Reason.LIMIT_EXCEEDED,
    Reason.VELOCITY_EXCEEDED,
    Reason.NO_PERMIT,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, every objection with the gravest first, what is still needed, and the whole trace."""

    outcome: Outcome
    objections: tuple[Objection, ...]
    needs: tuple[Need, ...]
    trace: tuple[TraceLine, ...]

    @property
    def reason(self) -> Reason | None:
        """Of the gravest objection; APPROVAL_MISSING if there is none but people are needed; None for a yes."""
        if self.objections:
            return self.objections[0].reason
        return Reason.APPROVAL_MISSING if self.outcome is Outcome.NEEDS_APPROVAL else None

    @property
    def detail(self) -> str:
        """All objections in words, each with the rule that it is from."""
        return "; ".join(f"{o.rule_id}: {o.text}" if o.rule_id else o.text for o in self.objections)

    @property
    def digest(self) -> bytes:
        """32 bytes, equal on all nodes that judged the same."""
        objections = [[o.rule_id, o.reason, o.text] for o in self.objections]
        return digest("decision", self.outcome, objections, self.needs, self.trace)


@dataclass(frozen=True, slots=True)
class _Finding:
    """What one rule contributes."""

    applies: bool
    text: str
    permits: bool = False
    objections: tuple[Objection, ...] = ()
    need: Need | None = None


def judge(workspace: Workspace, subject: Subject, facts: Facts, approvers: tuple[str, ...] = ()) -> Decision:
    """Decide. ``approvers`` are ids of users whose approval has been verified. Raises `NotFound` for a stranger."""
    initiator = user(workspace, subject.initiator)
    objections: list[Objection] = []
    needs: list[Need] = []
    trace: list[TraceLine] = []
    permitted = False
    for rule in sorted(workspace.rules, key=lambda rule: rule.rule_id):
        try:
            found = _weigh(rule, workspace, subject, initiator, facts, approvers)
        except Exception as error:  # noqa: BLE001 - a rule that cannot be evaluated objects, for whatever cause
            text = f"cannot be evaluated: {type(error).__name__}"
            found = _Finding(True, text, objections=(Objection(rule.rule_id, Reason.FACT_UNKNOWN, text),))
        permitted = permitted or found.permits
        objections.extend(found.objections)
        if found.need:
            needs.append(found.need)
        trace.append(TraceLine(rule.rule_id, type(rule).__name__.upper(), found.applies, found.text))
    if not permitted:
        objections.append(Objection("", Reason.NO_PERMIT, "no rule permits this"))
    objections.sort(key=lambda objection: _GRAVITY.index(objection.reason))
    if objections:
        outcome = Outcome.DENY
    else:
        outcome = Outcome.NEEDS_APPROVAL if any(need.missing for need in needs) else Outcome.PERMIT
    return Decision(outcome, tuple(objections), tuple(needs), tuple(trace))


def action_of(subject: Subject) -> Action:
    """What kind of thing rules are asked about. To suspend a key is one of its own, since it only ever makes safer."""
    match subject:
        case Intent():
            return Action.TRANSFER
        case CreateWallet():
            return Action.KEY_CREATE
        case ChangeKey():
            return Action.KEY_SUSPEND if subject.change is Change.SUSPEND else Action.KEY_CHANGE
    raise TypeError(type(subject).__name__)


def _weigh(
    rule: Rule, workspace: Workspace, subject: Subject, initiator: User, facts: Facts, approvers: tuple[str, ...]
) -> _Finding:
    applies, text = _applies(rule, workspace, subject, initiator)
    if not applies:
        return _Finding(False, text)
    match rule:
        case Permit():
            return _Finding(True, text, permits=True)
        case Deny():
            return _Finding(True, text, objections=(Objection(rule.rule_id, Reason.DENIED_BY_RULE, text),))
        case Limit() if isinstance(subject, Intent):
            return _over_limit(rule, subject, facts)
        case Require():
            need = _need(rule, workspace, initiator, approvers)
            text = f"{text}: {len(need.given)} of {need.required} approvals by {rule.role}"
            return _Finding(True, text, need=need)
    raise TypeError(type(rule).__name__)


def _applies(rule: Rule, workspace: Workspace, subject: Subject, initiator: User) -> tuple[bool, str]:
    """Whether a rule speaks of this subject, and in words why or why not."""
    action = action_of(subject)
    if not _among(subject.wallet_id, rule.wallets):
        return False, "another wallet"
    if isinstance(rule, Permit | Require) and action not in rule.actions:
        return False, f"does not speak of {action}"
    match rule:
        case Permit():
            return _permits(rule, workspace, subject, initiator)
        case Deny():
            return _denies(rule, subject, initiator)
        case Limit():
            same = isinstance(subject, Intent) and subject.action.asset == rule.asset
            return same, "limits this asset" if same else "another asset or action"
        case Require() if isinstance(subject, Intent):
            # An asset that the rule does not price is on the strict side: the rule applies.
            if subject.action.asset == rule.asset and subject.action.amount <= rule.above:
                return False, f"{subject.action.amount} is not above {rule.above}"
            return True, f"above {rule.above} of {rule.asset}"
    return True, f"always asked for {action}"


def _permits(rule: Permit, workspace: Workspace, subject: Subject, initiator: User) -> tuple[bool, str]:
    if not any(_among(role, rule.initiator_roles) for role in (*initiator.roles, ANY)):
        return False, f"{initiator.user_id} has none of its roles"
    if isinstance(subject, Intent) and rule.destination is Destination.ADDRESS_BOOK:
        entry = entry_at(workspace, subject.chain, subject.action.to)
        if entry is None:
            return False, "destination is not in the address book"
        return True, f"destination is address-book entry {entry.entry_id}"
    return True, "permits"


def _denies(rule: Deny, subject: Subject, initiator: User) -> tuple[bool, str]:
    if initiator.user_id in rule.initiators or ANY in rule.initiators:
        return True, f"initiator {initiator.user_id} is denied"
    if isinstance(subject, Intent) and subject.action.to in rule.addresses:
        return True, "destination is denied"
    return False, "neither initiator nor destination is denied"


def _over_limit(rule: Limit, intent: Intent, facts: Facts) -> _Finding:
    """A spend may only add to what counts: one that is negative, whoever claims it, makes the sum unknown."""
    amount, this = intent.action.amount, subject_digest(intent)
    counted = [
        spend.amount
        for spend in facts.spent
        if spend.asset == rule.asset
        and _among(spend.wallet_id, rule.wallets)
        and spend.at > facts.now - DAY
        and spend.subject != this
    ]
    if any(one < 0 for one in counted):
        raise ValueError("a spend is negative")
    spent = sum(counted)
    objections = []
    if amount > rule.per_transaction:
        over = f"{amount} is above {rule.per_transaction} per transaction"
        objections.append(Objection(rule.rule_id, Reason.LIMIT_EXCEEDED, over))
    if spent + amount > rule.per_day:
        over = f"{spent} spent within a day and {amount} now are above {rule.per_day}"
        objections.append(Objection(rule.rule_id, Reason.VELOCITY_EXCEEDED, over))
    text = f"{amount} of {rule.per_transaction} per transaction, {spent + amount} of {rule.per_day} per day"
    return _Finding(True, text, objections=tuple(objections))


def _need(rule: Require, workspace: Workspace, initiator: User, approvers: tuple[str, ...]) -> Need:
    """People count, not users: the initiator's person never does, and each other one once."""
    eligible = [
        u for u in workspace.users if rule.role in u.roles and u.person_id != initiator.person_id and u.credentials
    ]
    given: dict[str, str] = {}
    for u in eligible:
        if u.user_id in approvers:
            given.setdefault(u.person_id, u.user_id)
    waiting = tuple(u.user_id for u in eligible if u.person_id not in given)
    return Need(rule.rule_id, rule.role, rule.approvals, tuple(sorted(given.values())), waiting)


def _among(value: str, allowed: tuple[str, ...]) -> bool:
    return ANY in allowed or value in allowed
