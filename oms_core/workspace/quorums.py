"""Who could make a quorum, as a workspace stands: what can no longer be met, and what a change would leave so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from oms_core.policy.rules import Action, Kind, Operator, Quorum, Requirement, Rule
from oms_core.workspace import Assurance, Governance, Privilege, User, Workspace, privileges
from oms_core.workspace.assigning import Voter, can_fill, satisfied

_KEYS = {Action.KEY_CREATE, Action.KEY_CHANGE, Action.KEY_SUSPEND}


@dataclass(frozen=True, slots=True)
class Unmet:
    """What cannot be met: a rule's id or ``governance of LOOSEN``, and each quorum with what it asks for and can have.

    Where every quorum could be filled by itself, but not all of them with different people, ``short`` is empty.
    """

    what: str
    short: tuple[tuple[Quorum, int], ...]

    @property
    def words(self) -> str:
        """One sentence."""
        missing = ", ".join(f"{got} of {quorum.threshold} people" for quorum, got in self.short)
        return f"{self.what} can be met by nobody: {missing or 'not enough different people for all of its quorums'}"


@dataclass(frozen=True, slots=True)
class RemovalReport:
    """What a change would make impossible to meet, and what was so before."""

    newly: tuple[Unmet, ...]
    already: tuple[Unmet, ...]


def listed(workspace: Workspace, quorum: Quorum) -> tuple[User, ...]:
    """Everybody whom a quorum names, by herself, a group or a role, able to approve or not."""
    groups = {one for group in workspace.groups if group.group_id in quorum.groups for one in group.members}
    named = {*quorum.users, *groups}
    return tuple(one for one in workspace.users if one.user_id in named or set(one.roles) & set(quorum.roles))


def asks_for(requirement: Requirement) -> int:
    """How many people it takes at least."""
    options = [quorum.threshold for quorum in requirement.any_of]
    counts = [quorum.threshold for quorum in requirement.all_of] + ([min(options)] if options else [])
    return max(counts, default=0) if requirement.overlap else sum(counts)


def voters(workspace: Workspace, may: Callable[[User], bool], but: str = "") -> tuple[Voter, ...]:
    """Everybody who could press a key now, other than the person ``but``."""
    able = []
    for one in workspace.users:
        keys = [credential for credential in one.credentials if not credential.revoked]
        if one.enabled and keys and one.person_id != but and may(one):
            bound = any(credential.assurance is Assurance.DEVICE_BOUND for credential in keys)
            able.append(Voter.of(workspace, one, bound))
    return tuple(able)


def could_be_met(workspace: Workspace, governance: Governance) -> bool:
    """Whether somebody can propose a change in this direction and enough others approve it."""

    def may(one: User) -> bool:
        return Privilege.APPROVE_CHANGES in privileges(workspace, one, "")

    return any(
        satisfied(governance.approvals, voters(workspace, may, person))
        for person in proposers(workspace, frozenset({Privilege.PROPOSE_CHANGES}))
    )


def proposers(workspace: Workspace, may: frozenset[Privilege]) -> list[str]:
    """People and services who hold a proposal key and may propose this, for some wallet at least."""
    return sorted(
        {
            one.person_id
            for one in workspace.users
            if one.enabled and one.proposal_keys and may & _somewhere(workspace, one)
        }
    )


def unsatisfiable(workspace: Workspace) -> tuple[Unmet, ...]:
    """Every REQUIRE and every direction of governance that nobody could meet now, whoever proposes."""
    return (*_unmet_rules(workspace), *_unmet_governance(workspace))


def removal_report(old: Workspace, new: Workspace) -> RemovalReport:
    """What nobody could meet any more under ``new``, and which of it could not be met under ``old`` either."""
    before, after = {unmet.what for unmet in unsatisfiable(old)}, unsatisfiable(new)
    return RemovalReport(
        newly=tuple(unmet for unmet in after if unmet.what not in before),
        already=tuple(unmet for unmet in after if unmet.what in before),
    )


def _unmet_rules(workspace: Workspace) -> Iterator[Unmet]:
    for rule in workspace.rules:
        if rule.kind is Kind.REQUIRE and rule.enabled and rule.requirement:
            proposes, approves = _privileges_for(rule)
            if unmet := _unmet(workspace, f"rule {rule.rule_id}", rule.requirement, proposes, approves):
                yield unmet


def _unmet_governance(workspace: Workspace) -> Iterator[Unmet]:
    proposes, approves = frozenset({Privilege.PROPOSE_CHANGES}), frozenset({Privilege.APPROVE_CHANGES})
    for one in workspace.governance:
        if not could_be_met(workspace, one):
            what = f"governance of {one.direction}"
            yield _unmet(workspace, what, one.approvals, proposes, approves) or Unmet(what, ())


def _unmet(
    workspace: Workspace,
    what: str,
    requirement: Requirement,
    proposes: frozenset[Privilege],
    approves: frozenset[Privilege],
) -> Unmet | None:
    """With the proposer who leaves the most people to approve; and with all of them if nobody can propose."""

    def may(one: User) -> bool:
        return bool(approves & _somewhere(workspace, one))

    shortest: Unmet | None = None
    for person in proposers(workspace, proposes) or [""]:
        able = voters(workspace, may, person)
        if satisfied(requirement, able):
            return None
        unmet = Unmet(what, _short(requirement, able))
        if shortest is None or sum(got for _, got in unmet.short) > sum(got for _, got in shortest.short):
            shortest = unmet
    return shortest


def _short(requirement: Requirement, able: tuple[Voter, ...]) -> tuple[tuple[Quorum, int], ...]:
    """The quorums that could not even be filled if they were alone."""
    got = [(quorum, most(quorum, able)) for quorum in (*requirement.all_of, *requirement.any_of)]
    alternatives = set(requirement.any_of)
    possible = any(count >= quorum.threshold for quorum, count in got if quorum in alternatives)
    return tuple(
        (quorum, count)
        for quorum, count in got
        if count < quorum.threshold and not (possible and quorum in alternatives)
    )


def most(quorum: Quorum, able: Iterable[Voter]) -> int:
    """How many of these people could count for the quorum at once, up to its threshold."""
    them = tuple(able)
    return next(count for count in range(quorum.threshold, -1, -1) if can_fill(((quorum, count),), them))


def _privileges_for(rule: Rule) -> tuple[frozenset[Privilege], frozenset[Privilege]]:
    """Who proposes and approves what the rule speaks of: orders, keys, or either."""
    actions = set(Action)
    for test in rule.when:
        if test.field == "action" and test.operator is Operator.IS:
            actions &= {Action(value) for value in test.values if value in set(Action)}
    proposes, approves = set(), set()
    if actions & _KEYS:
        proposes.add(Privilege.PROPOSE_KEYS)
        approves.add(Privilege.APPROVE_KEYS)
    if actions - _KEYS:
        proposes.add(Privilege.PROPOSE_ORDERS)
        approves.add(Privilege.APPROVE_ORDERS)
    return frozenset(proposes), frozenset(approves)


def _somewhere(workspace: Workspace, one: User) -> frozenset[Privilege]:
    """What a user may do with some wallet at least."""
    return frozenset(privilege for role in workspace.roles if role.role in one.roles for privilege in role.may)
