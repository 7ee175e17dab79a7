"""A team's own rules, evaluated beside the workspace's by the same engine. They can refuse and nothing else.

What is decided here is added to a yes that has been reached without it: there is no path from a local rule to a
signature. The rules speak of assets, groups and entries of the workspace, so each version is held against them anew;
rules that can no longer be read refuse everything.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from oms_core.authorize import Authorized
from oms_core.chains.intent import Subject
from oms_core.errors import CountersealError, LocalError, Malformed, Reason, Refused
from oms_core.memo import by_identity
from oms_core.policy.check import check_rule
from oms_core.policy.facts import Facts
from oms_core.policy.judge import Decision, Given, Outcome, judge
from oms_core.policy.limits import horizon
from oms_core.policy.rules import Kind, Operator, Rule, Test
from oms_core.policy.text import rules_from_yaml
from oms_core.workspace import Workspace

LIMIT = 1 << 20  # bytes of a file


def _always(rule_id: str, *when: Test) -> Rule:
    return Rule(rule_id, Kind.PERMIT, "", "", when, None, (), None, enabled=True, starts=0, ends=0)


# What the workspace permits is decided by the workspace's rules. Calls that cannot be read want a permit that says so.
_PERMITS = (_always("local-any"), _always("local-opaque", Test("opaque", Operator.IS, (1,))))


class LocalRules:
    """The rules of one file, or none."""

    def __init__(self, text: str = "", where: str = "") -> None:
        self._text, self._where = text, where
        self._under = by_identity(size=4)(self._read)

    @classmethod
    def load(cls, path: Path | None) -> LocalRules:
        """Raises `LocalError` (CONFIG_INVALID) if the file cannot be read; what is in it shows at `start`."""
        if path is None:
            return cls()
        try:
            data = path.read_bytes()
            if len(data) > LIMIT:
                raise LocalError(f"{path.name} is longer than {LIMIT} bytes", Reason.CONFIG_INVALID)
            return cls(data.decode("utf-8"), path.name)
        except (OSError, UnicodeDecodeError) as error:
            raise LocalError(f"{path.name}: cannot be read: {type(error).__name__}", Reason.CONFIG_INVALID) from None

    def start(self, workspace: Workspace) -> int:
        """How many rules there are. Raises `LocalError` (CONFIG_INVALID) for what is not a rule, or could permit."""
        return len(self._under(workspace).rules) - len(_PERMITS) if self._text.strip() else 0

    def horizon(self, workspace: Workspace) -> int:
        """How far back, in seconds, these rules' limits look. Rules that cannot be read refuse whatever is spent."""
        try:
            return horizon(self._under(workspace)) if self._text.strip() else 0
        except LocalError:
            return 0

    def check_reading(self, workspace: Workspace, subject: Subject, facts: Facts) -> None:
        """Raises `Refused` that names the rule and has its reason. People and time are not missed yet."""
        self._judge(workspace, subject, facts, ())

    def check_authorized(self, workspace: Workspace, authorized: Authorized, facts: Facts) -> tuple[int, ...]:
        """For what the workspace has authorized: the cosigners that have to be among those who sign.

        Raises `Refused`, also with APPROVAL_MISSING or DELAYED.
        """
        given = tuple(Given(a.user.user_id, a.credential.assurance, a.decided_at) for a in authorized.approvers)
        decision = self._judge(workspace, authorized.subject, facts, given)
        if decision is None:
            return ()
        if missing := [need for need in decision.needs if need.missing]:
            text = f"local rule {missing[0].rule_id}: {missing[0].words}"
            raise Refused(text, Reason.APPROVAL_MISSING, rule=f"local:{missing[0].rule_id}")
        if decision.delay and (facts.seen_at is None or facts.now < facts.seen_at + decision.delay):
            raise Refused(f"local rules: it waits for {decision.delay} seconds after it was first seen", Reason.DELAYED)
        return decision.cosigners

    def _judge(self, workspace: Workspace, subject: Subject, facts: Facts, given: tuple[Given, ...]) -> Decision | None:
        """The decision by these rules alone, if there are any and it is no denial. Raises `Refused`."""
        if not self._text.strip():
            return None
        try:
            own = self._under(workspace)
        except LocalError as error:
            raise Refused(f"this node's local rules cannot be read: {error.message}", Reason.CONFIG_INVALID) from None
        decision = judge(own, subject, facts, given)
        if decision.outcome is Outcome.DENY:
            rule = decision.objections[0].rule_id
            raise Refused(f"local rules: {decision.detail}", decision.reason, rule=f"local:{rule}")
        return decision

    def _read(self, workspace: Workspace) -> Workspace:
        """The workspace with these rules in the place of its own."""
        try:
            rules = rules_from_yaml(self._text, workspace.assets)
            for rule in rules:
                check_rule(workspace, rule)
            if len({rule.rule_id for rule in rules}) != len(rules):
                raise Malformed("a rule id is given to one rule only")
        except CountersealError as error:
            raise LocalError(f"{self._where}: {error.message}", Reason.CONFIG_INVALID) from None
        for rule in rules:
            if rule.kind is Kind.PERMIT:
                text = f"{self._where}: rule {rule.rule_id} is a PERMIT; local rules can only refuse"
                raise LocalError(text, Reason.CONFIG_INVALID)
        return replace(workspace, rules=(*_PERMITS, *rules))
