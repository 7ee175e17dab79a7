"""Who could make a quorum, as a workspace stands: what can no longer be met, and what a change would leave so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oms_core.policy.decision import Given, Need
from oms_core.policy.index import index_of
from oms_core.policy.require import Asking, needs
from oms_core.policy.rules import Action, Kind, Operator, Quorum, Requirement, Rule, Test
from oms_core.workspace import Privilege, User, Workspace

_KEYS = {Action.KEY_CREATE, Action.KEY_CHANGE, Action.KEY_SUSPEND}
_APPROVES = {
    Privilege.PROPOSE_ORDERS: Privilege.APPROVE_ORDERS,
    Privilege.PROPOSE_KEYS: Privilege.APPROVE_KEYS,
    Privilege.PROPOSE_CHANGES: Privilege.APPROVE_CHANGES,
}


@dataclass(frozen=True, slots=True)
class Unmet:
    """What nobody could meet: a rule's id or ``governance of LOOSEN``, and the quorums that would still miss people."""

    what: str
    missing: tuple[Need, ...]

    @property
    def words(self) -> str:
        """One sentence."""
        short = " and ".join(f"{len(need.given)} of {need.required} people from {need.whom}" for need in self.missing)
        return f"{self.what} can be met by nobody: there are {short}"


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


def unsatisfiable(workspace: Workspace) -> tuple[Unmet, ...]:
    """Every REQUIRE and every direction of governance that nobody could meet now, whoever proposes."""
    return (*_unmet_rules(workspace), *unmet_governance(workspace))


def newly_unmet(old: Workspace, new: Workspace) -> tuple[Unmet, ...]:
    """What nobody could meet under ``new``, and somebody could under ``old``."""
    before = {unmet.what for unmet in unsatisfiable(old)}
    return tuple(unmet for unmet in unsatisfiable(new) if unmet.what not in before)


def unmet_governance(workspace: Workspace) -> Iterator[Unmet]:
    """Directions in which nobody can change this workspace: no one who may propose, or too few others who approve."""
    for one in workspace.governance:
        what, proposes = f"governance of {one.direction}", Privilege.PROPOSE_CHANGES
        if not _proposers(workspace, proposes):
            yield Unmet(what, _missing(workspace, one.approvals, "", "", proposes))
        elif unmet := _unmet(workspace, what, one.approvals, proposes, ("",)):
            yield unmet


def _unmet_rules(workspace: Workspace) -> Iterator[Unmet]:
    for rule in workspace.rules:
        if rule.kind is Kind.REQUIRE and rule.enabled and rule.requirement:
            what, wallets = f"rule {rule.rule_id}", _wallets(workspace, rule)
            found = [_unmet(workspace, what, rule.requirement, proposes, wallets) for proposes in _proposed(rule)]
            if found and all(found) and (first := found[0]):
                yield first


def _unmet(
    workspace: Workspace, what: str, requirement: Requirement, proposes: Privilege, wallets: tuple[str, ...]
) -> Unmet | None:
    """None if it can be met for some wallet when some proposer asks; else for the proposer who leaves the most."""
    best: tuple[Need, ...] | None = None
    for wallet in wallets:
        for person in _proposers(workspace, proposes) or [""]:
            missing = _missing(workspace, requirement, person, wallet, proposes)
            if not missing:
                return None
            if best is None or sum(need.missing for need in missing) < sum(need.missing for need in best):
                best = missing
    return Unmet(what, best or ())


def _missing(
    workspace: Workspace, requirement: Requirement, person: str, wallet: str, proposes: Privilege
) -> tuple[Need, ...]:
    """What would be missing if everybody approved who may, when this person asks."""
    asking = Asking(index_of(workspace), person, wallet, _APPROVES[proposes])
    given = [
        Given(one.user_id, credential.assurance, 0)
        for one in workspace.users
        for credential in one.credentials
        if not credential.revoked
    ]
    plain = Requirement(requirement.all_of, requirement.any_of, requirement.overlap, 0, 0, ())
    return tuple(need for need in needs("", plain, asking, given, 0) if need.missing)


def _proposers(workspace: Workspace, proposes: Privilege) -> list[str]:
    """People and services who hold a proposal key and may propose this, for some wallet at least."""
    may = {role.role for role in workspace.roles if proposes in role.may}
    able = {one.person_id for one in workspace.users if one.enabled and one.proposal_keys and may & set(one.roles)}
    return sorted(able)


def _proposed(rule: Rule) -> list[Privilege]:
    """What the rule may speak of: keys, orders, or both."""
    actions = {str(action) for action in Action}
    for test in rule.when:
        if test.field == "action" and test.operator is Operator.IS:
            actions &= {str(value) for value in test.values}
    keys = {str(action) for action in _KEYS}
    both = ((Privilege.PROPOSE_ORDERS, actions - keys), (Privilege.PROPOSE_KEYS, actions & keys))
    return [privilege for privilege, spoken in both if spoken]


def _wallets(workspace: Workspace, rule: Rule) -> tuple[str, ...]:
    """Wallets that stand for all kinds of them: those that the rule names, or those that roles do, and any other."""
    named = [test for test in rule.when if _names_wallets(test)]
    if named:
        return tuple(str(value) for value in named[0].values)
    return ("", *sorted({wallet for role in workspace.roles for wallet in role.wallets if wallet != "*"}))


def _names_wallets(test: Test) -> bool:
    return test.field == "source.wallet" and test.operator is Operator.IS
