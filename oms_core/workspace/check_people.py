"""What has to hold of people, services, roles, groups and cosigners."""

from __future__ import annotations

from collections import Counter

from oms_core.assertions import cose_key
from oms_core.crypto import p256
from oms_core.crypto.params import MAX_PARTIES
from oms_core.errors import Malformed, Reason
from oms_core.workspace import Credential, Incompatible, Member, Privilege, Role, User, Workspace, is_service
from oms_core.workspace.names import ANY, ID, NAME, WALLET, alike, distinct, known, named, text, unique

_CHANGES = {Privilege.PROPOSE_CHANGES, Privilege.APPROVE_CHANGES}
_APPROVES = {Privilege.APPROVE_ORDERS, Privilege.APPROVE_KEYS, Privilege.APPROVE_CHANGES}


def check_people(workspace: Workspace) -> None:
    """Users, roles, groups and what may not be held together. Raises `Malformed` naming the field."""
    _check_roles(workspace.roles)
    _check_names(workspace.users)
    _check_keys(workspace.users)
    roles = {role.role: role for role in workspace.roles}
    for one in workspace.users:
        where = f"user {one.user_id}"
        known(f"{where}: roles", one.roles, roles)
        unique(f"{where}: roles", one.roles)
        for credential in one.credentials:
            _check_credential(f"{where}: credentials", credential, workspace.aaguids)
        if is_service(one):
            _check_service(where, one, roles)
    _check_groups(workspace)
    _check_incompatible(workspace, roles)


def _check_roles(roles: tuple[Role, ...]) -> None:
    named("role", NAME, [role.role for role in roles])
    distinct("roles", [role.role for role in roles])
    for role in roles:
        where = f"role {role.role}"
        if not role.may or not role.wallets:
            raise Malformed(f"{where}: it says what it may, and where; without either it does nothing")
        unique(f"{where}: may", role.may)
        unique(f"{where}: wallets", role.wallets)
        if ANY in role.wallets and len(role.wallets) > 1:
            raise Malformed(f"{where}: wallets are {ANY} alone, or those that are named")
        named(f"{where}: wallets", WALLET, [wallet for wallet in role.wallets if wallet != ANY])
        if _CHANGES & set(role.may) and role.wallets != (ANY,):
            raise Malformed(f"{where}: wallets: changes of the workspace concern no wallet, so only {ANY} fits")


def _check_names(users: tuple[User, ...]) -> None:
    named("user_id", ID, [one.user_id for one in users])
    named("person_id", ID, [one.person_id for one in users])
    named("users' name", NAME, [one.name for one in users])
    named("users' team", NAME, [one.team for one in users])
    named("users' site", NAME, [one.site for one in users if one.site])
    distinct("user ids", [one.user_id for one in users])
    for field, values in (
        ("person ids", [one.person_id for one in users]),
        ("teams", [one.team for one in users]),
        ("sites", [one.site for one in users]),
        ("names", [one.name for one in users]),
    ):
        alike(field, values)
    people = {(one.name, one.person_id) for one in users}
    unique("names of different people", [name for name, _ in people])


def _check_keys(users: tuple[User, ...]) -> None:
    """A key that two users share would make them one, or one of them two."""
    owners = [(one, credential) for one in users for credential in one.credentials]
    for field, values in (
        ("credential ids", [credential.credential_id for _, credential in owners]),
        ("credentials' public keys", [credential.public_key for _, credential in owners]),
    ):
        unique(field, values, Reason.DUPLICATE_PERSON)
    keys = [key for one in users for key in one.proposal_keys]
    unique("proposal key ids", [key.key_id for key in keys])
    unique("proposal keys", [key.public for key in keys])
    named("proposal key id", ID, [key.key_id for key in keys])
    for key in keys:
        p256.public_key(key.public)


def _check_credential(field: str, credential: Credential, aaguids: tuple[bytes, ...]) -> None:
    if not 1 <= len(credential.credential_id) <= 1023 or len(credential.aaguid) != 16:
        raise Malformed(f"{field}: a credential id has 1 to 1023 bytes, and an AAGUID 16")
    if len(credential.attestation) not in (0, 32):
        raise Malformed(f"{field}: attestation is a SHA-256, or empty")
    if aaguids and credential.aaguid not in aaguids and not credential.revoked:
        raise Malformed(f"{field}: aaguid {credential.aaguid.hex()} is not in the list of those allowed")
    cose_key(credential.public_key)


def _check_service(where: str, service: User, roles: dict[str, Role]) -> None:
    """A service proposes; it never approves."""
    if service.credentials:
        raise Malformed(f"{where}: credentials: a service has none")
    for role in service.roles:
        if _APPROVES & set(roles[role].may):
            raise Malformed(f"{where}: roles: {role} approves, and a service never does", Reason.NOT_ELIGIBLE)


def _check_groups(workspace: Workspace) -> None:
    users = {one.user_id: one for one in workspace.users}
    named("group_id", ID, [group.group_id for group in workspace.groups])
    distinct("groups", [group.group_id for group in workspace.groups])
    for group in workspace.groups:
        where = f"group {group.group_id}: members"
        if not group.members:
            raise Malformed(f"{where}: nobody")
        unique(where, group.members)
        known(where, group.members, users, Reason.UNKNOWN_USER)


def _check_incompatible(workspace: Workspace, roles: dict[str, Role]) -> None:
    """By person, not by user; what a disabled user holds does nothing, and would be refused once she is enabled."""
    pairs = Counter(frozenset((pair.first, pair.second)) for pair in workspace.incompatible)
    held: dict[str, set[str]] = {}
    for one in workspace.users:
        if one.enabled:
            held.setdefault(one.person_id, set()).update(one.roles)
    for pair in workspace.incompatible:
        where = f"incompatible {pair.first} and {pair.second}"
        known(where, (pair.first, pair.second), roles)
        text(f"{where}: why", pair.why)
        if pair.first == pair.second or pairs[frozenset((pair.first, pair.second))] > 1:
            raise Malformed(f"{where}: two different roles, and each pair once")
        _check_pair(where, pair, held)


def _check_pair(where: str, pair: Incompatible, held: dict[str, set[str]]) -> None:
    for person, theirs in sorted(held.items()):
        if {pair.first, pair.second} <= theirs:
            raise Malformed(f"{where}: {person} holds both", Reason.INCOMPATIBLE_ROLES)


def check_roster(roster: tuple[Member, ...]) -> None:
    """Cosigners 1 to n, each with its own key. Raises `Malformed` naming the field."""
    if not 2 <= len(roster) <= MAX_PARTIES or [m.index for m in roster] != list(range(1, len(roster) + 1)):
        raise Malformed(f"roster: there are 2 to {MAX_PARTIES} cosigners, with the indices 1 to n, in order")
    named("roster's name", NAME, [m.name for m in roster])
    distinct("cosigner names", [m.name for m in roster])
    unique("cosigner identities", [m.identity for m in roster])
    for m in roster:
        for field in ("operator", "team", "site"):
            named(f"cosigner {m.index}: {field}", NAME, [getattr(m, field)])
        p256.public_key(m.identity)
    alike("operators", [m.operator for m in roster])
    alike("cosigners' teams", [m.team for m in roster])
    alike("cosigners' sites", [m.site for m in roster])
