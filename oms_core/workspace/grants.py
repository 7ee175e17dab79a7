"""What a person holds under a workspace, and who would hold more under the next: nobody gives herself a grant."""

from __future__ import annotations

from oms_core.policy.rules import Kind, Operator
from oms_core.workspace import Workspace

Grant = tuple[object, ...]


def gainers(old: Workspace, new: Workspace) -> frozenset[str]:
    """Ids of the people who hold something under ``new`` that they do not hold under ``old``."""
    people = {one.person_id for one in (*old.users, *new.users)}
    return frozenset(person for person in people if grants(new, person) - grants(old, person))


def grants(workspace: Workspace, person: str) -> frozenset[Grant]:
    """All that a person's enabled users hold: keys, roles with what they give, groups, doors opened to them by name."""
    held: set[Grant] = set()
    roles = {role.role: role for role in workspace.roles}
    for one in workspace.users:
        if one.person_id != person or not one.enabled:
            continue
        held.add(("user", one.user_id))
        held |= {("credential", key.public_key) for key in one.credentials if not key.revoked}
        held |= {("proposal key", key.public) for key in one.proposal_keys}
        held |= {("role", role) for role in one.roles}
        held |= {
            ("privilege", privilege, wallet)
            for role in one.roles
            if role in roles
            for privilege in roles[role].may
            for wallet in roles[role].wallets
        }
        held |= {("group", group.group_id) for group in workspace.groups if one.user_id in group.members}
        held |= _doors(workspace, one.user_id)
    return frozenset(held)


def _doors(workspace: Workspace, user_id: str) -> set[Grant]:
    """PERMITs that name her."""
    return {
        ("permit", rule.rule_id)
        for rule in workspace.rules
        if rule.kind is Kind.PERMIT and rule.enabled
        for test in rule.when
        if test.field == "initiator.user" and test.operator is Operator.IS and user_id in test.values
    }
