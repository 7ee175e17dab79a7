"""The decision: order-independent, deny by default, always with a trace of every rule.

DENY beats all; every LIMIT holds; every matching REQUIRE is met; at least one PERMIT matches.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oms_core.chains.intent import Intent, Subject, subject_digest
from oms_core.encoding import digest, document
from oms_core.errors import Reason
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


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, the first objection in rule-id order if it is a no, what is still needed, and the whole trace."""

    outcome: Outcome
    objections: tuple[Objection, ...]
    needs: tuple[Need, ...]
    trace: tuple[TraceLine, ...]

    @property
    def digest(self) -> bytes:
        """32 bytes, equal on all nodes that judged the same."""
        objections = [[o.rule_id, o.reason, o.text] for o in self.objections]
        return digest("decision", self.outcome, objections, self.needs, self.trace)


def judge(workspace: Workspace, subject: Subject, facts: Facts, approvers: tuple[str, ...] = ()) -> Decision:
    """Decide. ``approvers`` are ids of users whose approval has been verified. Raises `NotFound` for a stranger."""
    initiator = user(workspace, subject.initiator)
    objections: list[Objection] = []
    needs: list[Need] = []
    trace: list[TraceLine] = []
    permitted = False
    for rule in sorted(workspace.rules, key=lambda rule: rule.rule_id):
        applies, text = _applies(rule, workspace, subject, initiator)
        if applies and isinstance(rule, Permit):
            permitted = True
        elif applies and isinstance(rule, Deny):
            objections.append(Objection(rule.rule_id, Reason.DENIED_BY_RULE, text))
        elif applies and isinstance(rule, Limit) and isinstance(subject, Intent):
            found, text = _over_limit(rule, subject, facts)
            objections.extend(found)
        elif applies and isinstance(rule, Require):
            need = _need(rule, workspace, initiator, approvers)
            needs.append(need)
            text = f"{text}: {len(need.given)} of {need.required} approvals by {rule.role}"
        trace.append(TraceLine(rule.rule_id, type(rule).__name__.upper(), applies, text))
    if not permitted:
        objections.append(Objection("", Reason.NO_PERMIT, "no rule permits this"))
    if objections:
        outcome = Outcome.DENY
    else:
        outcome = Outcome.NEEDS_APPROVAL if any(need.missing for need in needs) else Outcome.PERMIT
    return Decision(outcome, tuple(objections), tuple(needs), tuple(trace))


def _applies(rule: Rule, workspace: Workspace, subject: Subject, initiator: User) -> tuple[bool, str]:
    """Whether a rule speaks of this subject, and in words why or why not."""
    action = Action.TRANSFER if isinstance(subject, Intent) else Action.KEY_CREATE
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


def _over_limit(rule: Limit, intent: Intent, facts: Facts) -> tuple[list[Objection], str]:
    amount, this = intent.action.amount, subject_digest(intent)
    spent = sum(
        spend.amount
        for spend in facts.spent
        if spend.asset == rule.asset
        and _among(spend.wallet_id, rule.wallets)
        and spend.at > facts.now - DAY
        and spend.subject != this
    )
    text = f"{amount} of {rule.per_transaction} per transaction, {spent + amount} of {rule.per_day} per day"
    objections = []
    if amount > rule.per_transaction:
        over = f"{amount} is above {rule.per_transaction} per transaction"
        objections.append(Objection(rule.rule_id, Reason.LIMIT_EXCEEDED, over))
    if spent + amount > rule.per_day:
        over = f"{spent} spent within a day and {amount} now are above {rule.per_day}"
        objections.append(Objection(rule.rule_id, Reason.VELOCITY_EXCEEDED, over))
    return objections, text


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
