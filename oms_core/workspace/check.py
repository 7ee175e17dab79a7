"""What has to hold of a workspace before it may decide anything."""

from __future__ import annotations

import re

from oms_core.errors import Malformed, Reason
from oms_core.policy.check import check_rule
from oms_core.policy.rules import Quorum, Requirement
from oms_core.workspace import Direction, Privilege, Workspace, operators_differ
from oms_core.workspace.check_log import check_log
from oms_core.workspace.check_people import check_people, check_roster
from oms_core.workspace.check_registry import check_registry
from oms_core.workspace.names import ID, NAME, distinct, known, named, text, unique, within
from oms_core.workspace.quorums import asks_for, listed, unmet_governance

MAX_USERS = 2000
MAX_RULES = 2000
MAX_ENTRIES = 10_000
MAX_DELAY = 366 * 86_400  # seconds
_ORIGIN = re.compile(r"(?:https://([a-z0-9.-]+)|http://(localhost))(?::[1-9][0-9]{0,4})?\Z")


def check_workspace(workspace: Workspace) -> None:
    """Everything that has to hold before a workspace may decide anything.

    Raises `Malformed` naming the field: UNKNOWN_USER for a reference to nobody, DUPLICATE_PERSON for a credential that
    stands twice, INCOMPATIBLE_ROLES, UNSATISFIABLE for a quorum that nobody could ever make, TOO_LARGE.
    """
    if workspace.version < 0 or workspace.created_at < 0 or len(workspace.parent) != (32 if workspace.version else 0):
        raise Malformed("version and created_at are not negative; version 0 has no parent, and others 32 bytes of it")
    _check_sizes(workspace)
    if not workspace.rp_id or not workspace.origins or not workspace.users:
        raise Malformed("a workspace names a relying party (rp_id), origins and users")
    named("the workspace's name", NAME, [workspace.name])
    _check_origins(workspace)
    unique("aaguids", workspace.aaguids)
    if any(len(aaguid) != 16 for aaguid in workspace.aaguids):
        raise Malformed("aaguids have 16 bytes")
    check_people(workspace)
    check_roster(workspace.roster)
    check_log(workspace)
    within("refusals_block_at", workspace.refusals_block_at, 1, len(workspace.roster))
    if workspace.distinct_operators and len({one.operator for one in workspace.roster}) < 2:
        raise Malformed("distinct_operators: one operator runs all cosigners, so none could ever sign with another")
    check_registry(workspace)
    _check_rules(workspace)
    _check_governance(workspace)


def _check_sizes(workspace: Workspace) -> None:
    for field, most in (
        ("users", MAX_USERS),
        ("rules", MAX_RULES),
        ("roles", MAX_RULES),
        ("groups", MAX_RULES),
        ("incompatible", MAX_RULES),
        ("wallets", MAX_ENTRIES),
        ("assets", MAX_ENTRIES),
        ("address_book", MAX_ENTRIES),
        ("contracts", MAX_ENTRIES),
    ):
        if len(getattr(workspace, field)) > most:
            raise Malformed(f"{field}: more than {most}", Reason.TOO_LARGE)


def _check_origins(workspace: Workspace) -> None:
    unique("origins", workspace.origins)
    for origin in workspace.origins:
        match = _ORIGIN.match(origin)
        host = match and (match[1] or match[2])
        if not host or not f".{host}".endswith(f".{workspace.rp_id}"):
            raise Malformed(f"origin {origin[:80]!r} is not https (or http://localhost) under {workspace.rp_id[:80]!r}")


def _check_rules(workspace: Workspace) -> None:
    named("rule_id", ID, [rule.rule_id for rule in workspace.rules])
    distinct("rule ids", [rule.rule_id for rule in workspace.rules])
    for rule in workspace.rules:
        text(f"rule {rule.rule_id}: description", rule.description, empty=True)
        text(f"rule {rule.rule_id}: owner", rule.owner, empty=True)
        check_rule(workspace, rule)
        if rule.requirement:
            privileges = (Privilege.APPROVE_ORDERS, Privilege.APPROVE_KEYS)
            _check_requirement(workspace, f"rule {rule.rule_id}", rule.requirement, privileges)


def _check_requirement(
    workspace: Workspace, where: str, requirement: Requirement, privileges: tuple[Privilege, ...]
) -> None:
    for quorum in (*requirement.all_of, *requirement.any_of):
        _check_quorum(workspace, where, quorum, privileges)
    for field in ("expires_in", "delay"):
        within(f"{where}: {field}", getattr(requirement, field), 0, MAX_DELAY)
    unique(f"{where}: cosigners", requirement.cosigners)
    names = {str(one.index) for one in workspace.roster}
    known(f"{where}: cosigners", [str(index) for index in requirement.cosigners], names)
    if workspace.distinct_operators and not operators_differ(workspace, requirement.cosigners):
        text = f"{where}: cosigners: two of them have one operator, and such two never sign together"
        raise Malformed(text, Reason.UNSATISFIABLE)


def _check_quorum(workspace: Workspace, where: str, quorum: Quorum, privileges: tuple[Privilege, ...]) -> None:
    """Enough people are named, and one of them at least may approve at all.

    Not that there are enough keys at the moment: to revoke the only key of the only risk officer has to be possible.
    What can no longer be met then, `oms_core.workspace.quorums.unsatisfiable` tells.
    """
    known(f"{where}: quorum's users", quorum.users, [one.user_id for one in workspace.users], Reason.UNKNOWN_USER)
    known(f"{where}: quorum's groups", quorum.groups, [group.group_id for group in workspace.groups])
    known(f"{where}: quorum's roles", quorum.roles, [role.role for role in workspace.roles])
    for field in ("users", "groups", "roles"):
        unique(f"{where}: quorum's {field}", getattr(quorum, field))
    people = {one.person_id for one in listed(workspace, quorum)}
    if not 1 <= quorum.threshold <= len(people):
        said = f"{where}: quorum's threshold: {quorum.threshold} out of {len(people)} people"
        raise Malformed(said, Reason.UNSATISFIABLE)
    if not any(one.enabled and _may(workspace, one.roles, privileges) for one in listed(workspace, quorum)):
        raise Malformed(f"{where}: nobody in the quorum is enabled and may approve", Reason.UNSATISFIABLE)


def _may(workspace: Workspace, roles: tuple[str, ...], privileges: tuple[Privilege, ...]) -> bool:
    return any(set(privileges) & set(role.may) for role in workspace.roles if role.role in roles)


def _check_governance(workspace: Workspace) -> None:
    """Both directions, the loosening one stricter, and somebody who can go through with each."""
    unique("governance", [one.direction for one in workspace.governance])
    ways = {one.direction: one.approvals for one in workspace.governance}
    if set(ways) != set(Direction):
        raise Malformed("governance: one entry for TIGHTEN and one for LOOSEN")
    for one in workspace.governance:
        where = f"governance of {one.direction}"
        if not one.approvals.all_of and not one.approvals.any_of:
            raise Malformed(f"{where}: approvals: nobody would be asked")
        if one.approvals.cosigners:
            raise Malformed(f"{where}: cosigners: a change is taken over by all")
        _check_requirement(workspace, where, one.approvals, (Privilege.APPROVE_CHANGES,))
    tighten, loosen = ways[Direction.TIGHTEN], ways[Direction.LOOSEN]
    people = asks_for(loosen) - asks_for(tighten)
    delay = loosen.delay - tighten.delay
    if people < 0 or delay < 0 or people == delay == 0:
        said = "governance of LOOSEN: at least as many people and as long a delay as TIGHTEN, and more of one"
        raise Malformed(said)
    for unmet in unmet_governance(workspace):
        said = f"{unmet.what}: nobody could ever change this workspace: too few enabled people may"
        raise Malformed(f"{said} propose with a key, and others approve with a credential", Reason.UNSATISFIABLE)
