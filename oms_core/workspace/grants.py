"""What a person holds under a workspace, and who would hold more under the next: nobody gives herself a grant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from oms_core.policy.rules import Kind, Operator, Requirement, Rule
from oms_core.workspace import Assurance, User, Workspace
from oms_core.workspace.losing import losing_tightens
from oms_core.workspace.narrower import requires_as_much, tightens

Grant = tuple[object, ...]


def gainers(old: Workspace, new: Workspace) -> frozenset[str]:
    """Ids of the people who hold something under ``new`` that they do not hold under ``old``."""
    people = {one.person_id for one in (*old.users, *new.users)}
    following = dict(_requirements(new))
    weaker = {what for what, asked in _requirements(old) if not _as_much(following.get(what), asked)}
    gained = {person for person in people if _gained(grants(old, person), grants(new, person), weaker)}
    return frozenset(gained | _moved(old, new) | _freed(old, new) | _escaped(old, new))


def _moved(old: Workspace, new: Workspace) -> set[str]:
    """Ids of the people who come to another team or site, where rules or quorums ask for these."""
    quorums = [one for _, asked in _requirements(new) for one in (*asked.all_of, *asked.any_of)]
    teams = any(one.distinct_teams for one in quorums)
    teams |= any(test.field == "initiator.team" for rule in new.rules for test in rule.when)
    sites = any(one.distinct_sites for one in quorums)
    before = {one.user_id: one for one in old.users}
    held = [(before[one.user_id], one) for one in new.users if one.user_id in before]
    return {now.person_id for was, now in held if (teams and was.team != now.team) or (sites and was.site != now.site)}


def _freed(old: Workspace, new: Workspace) -> set[str]:
    """Ids of the people whom a rule held back by name, and holds back less."""
    before, after = ({one.rule_id: replace(one, description="", owner="") for one in each.rules} for each in (old, new))
    eased = {
        name
        for rule_id, rule in before.items()
        if rule.kind is not Kind.PERMIT and rule.enabled and rule != (now := after.get(rule_id))
        if now is None or not tightens(rule, now)
        for name in _named(rule)
    }
    return {one.person_id for one in old.users if one.user_id in eased}


def _escaped(old: Workspace, new: Workspace) -> set[str]:
    """Ids of the people who lose a role or a group by which a rule held them back."""
    rules, after = (*old.rules, *new.rules), {one.user_id: one for one in new.users if one.enabled}
    found = set[str]()
    for was in old.users:
        if (now := after.get(was.user_id)) is not None:
            roles, groups = set(was.roles) - set(now.roles), _groups(old, was) - _groups(new, now)
            lost = {"initiator.role": tuple(roles), "initiator.group": tuple(groups)}
            if not losing_tightens(rules, {field: marks for field, marks in lost.items() if marks}):
                found.add(now.person_id)
    return found


def _as_much(new: Requirement | None, old: Requirement) -> bool:
    return new is not None and requires_as_much(new, old)


def _gained(had: frozenset[Grant], has: frozenset[Grant], weaker: set[str]) -> set[Grant]:
    """Without wallets that she had with all others, and without seats where as much is asked as before, or more."""
    everywhere = {(privilege, *rest) for kind, privilege, *rest in had if kind == "privilege"}
    gained = set[Grant]()
    for one in has - had:
        covered = one[0] == "privilege" and (one[1], "*") in everywhere
        if not covered and not (one[0] == "asked" and one[1] not in weaker):
            gained.add(one)
    return gained


def grants(workspace: Workspace, person: str) -> frozenset[Grant]:
    """All that a person's enabled users hold: keys, roles with what they give, groups, seats in quorums, own doors."""
    held: set[Grant] = set()
    roles = {role.role: role for role in workspace.roles}
    for one in workspace.users:
        if one.person_id != person or not one.enabled:
            continue
        held.add(("user", one.user_id))
        held |= {("credential", key.public_key) for key in one.credentials if not key.revoked}
        bound = [key for key in one.credentials if key.assurance is Assurance.DEVICE_BOUND and not key.revoked]
        held |= {("bound credential", key.public_key) for key in bound}
        held |= {("proposal key", key.public) for key in one.proposal_keys}
        held |= {("role", role) for role in one.roles}
        held |= {
            ("privilege", privilege, wallet)
            for role in one.roles
            if role in roles
            for privilege in roles[role].may
            for wallet in roles[role].wallets
        }
        groups = _groups(workspace, one)
        held |= {("group", group_id) for group_id in groups}
        held |= _doors(workspace, one.user_id)
        held |= _seats(workspace, one, groups)
    return frozenset(held)


def _groups(workspace: Workspace, one: User) -> set[str]:
    return {group.group_id for group in workspace.groups if one.user_id in group.members}


def _requirements(workspace: Workspace) -> Iterator[tuple[str, Requirement]]:
    """Every requirement there is, with what it is of."""
    for rule in workspace.rules:
        if rule.requirement is not None:
            yield f"rule {rule.rule_id}", rule.requirement
    for one in workspace.governance:
        yield f"governance of {one.direction}", one.approvals


def _seats(workspace: Workspace, one: User, groups: set[str]) -> set[Grant]:
    """What she is asked for, and in how many quorums of it: by herself, a group or a role."""
    held = set[Grant]()
    for what, asked in _requirements(workspace):
        quorums = (*asked.all_of, *asked.any_of)
        seats = sum(
            one.user_id in quorum.users
            or not groups.isdisjoint(quorum.groups)
            or not set(one.roles).isdisjoint(quorum.roles)
            for quorum in quorums
        )
        held |= {("asked", what, seat) for seat in range(seats)}
    return held


def _doors(workspace: Workspace, user_id: str) -> set[Grant]:
    """PERMITs that name her."""
    permits = (rule for rule in workspace.rules if rule.kind is Kind.PERMIT and rule.enabled)
    return {("permit", rule.rule_id) for rule in permits if user_id in _named(rule)}


def _named(rule: Rule) -> set[object]:
    """The initiators whom a rule speaks of by name."""
    tests = (test for test in rule.when if test.field == "initiator.user" and test.operator is Operator.IS)
    return {name for test in tests for name in test.values}
