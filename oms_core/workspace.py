"""The workspace: people, credentials, cosigner roster, address book and rules, as one canonical document.

Version 0 is fixed at the key ceremony, where each cosigner pins its digest.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

from oms_core.crypto import p256
from oms_core.encoding import digest, document
from oms_core.errors import Malformed, NotFound, Reason
from oms_core.policy.rules import ANY, Deny, Limit, Permit, Require


@document("credential/1")
class Credential:
    """A FIDO2 credential: its id, its COSE public key (CBOR bytes) and the authenticator model (16-byte AAGUID)."""

    credential_id: bytes
    public_key: bytes
    aaguid: bytes


@document("proposal-key/1")
class ProposalKey:
    """A P-256 key with which its owner proposes; ``public`` is its 65-byte SEC1 point. It never approves."""

    key_id: str
    public: bytes


@document("user/1")
class User:
    """A person or service. ``person_id`` names the human: two users of one person count once in any quorum."""

    user_id: str
    person_id: str
    name: str
    team: str
    roles: tuple[str, ...]
    credentials: tuple[Credential, ...]
    proposal_keys: tuple[ProposalKey, ...]


@document("member/1")
class Member:
    """A cosigner: its index (the Shamir point), who runs it where, and its HSM identity key (65-byte SEC1 P-256)."""

    index: int
    name: str
    operator: str
    team: str
    site: str
    identity: bytes


@document("address-entry/1")
class AddressEntry:
    """An approved destination: CAIP-2 chain and 20-byte account."""

    entry_id: str
    label: str
    chain: str
    address: bytes


@document("workspace/1")
class Workspace:
    """One version of everything that decides. ``rp_id`` and ``origins`` are the WebAuthn relying party's."""

    name: str
    version: int
    parent: bytes
    created_at: int
    rp_id: str
    origins: tuple[str, ...]
    users: tuple[User, ...]
    roster: tuple[Member, ...]
    address_book: tuple[AddressEntry, ...]
    rules: tuple[Permit | Limit | Require | Deny, ...]


def workspace_digest(workspace: Workspace) -> bytes:
    """The 32 bytes that a cosigner pins and an approval names."""
    return digest("workspace", workspace)


def user(workspace: Workspace, user_id: str) -> User:
    """Raises `NotFound` (UNKNOWN_USER)."""
    for candidate in workspace.users:
        if candidate.user_id == user_id:
            return candidate
    raise NotFound(f"no user {user_id[:64]!r} in this workspace", Reason.UNKNOWN_USER)


def member(workspace: Workspace, index: int) -> Member:
    """Raises `NotFound` (UNKNOWN_USER)."""
    for candidate in workspace.roster:
        if candidate.index == index:
            return candidate
    raise NotFound(f"no cosigner {index} in this workspace", Reason.UNKNOWN_USER)


def entry_at(workspace: Workspace, chain: str, address: bytes) -> AddressEntry | None:
    """The address-book entry for an account, if there is one."""
    for entry in workspace.address_book:
        if (entry.chain, entry.address) == (chain, address):
            return entry
    return None


def identities(workspace: Workspace) -> dict[int, bytes]:
    """Index to identity key of the whole roster."""
    return {member.index: member.identity for member in workspace.roster}


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:-]{0,63}\Z")


def check_workspace(workspace: Workspace) -> None:
    """Everything that has to hold before a workspace may decide anything. Raises `Malformed` naming the field."""
    if workspace.version < 0 or len(workspace.parent) not in (0, 32):
        raise Malformed("version or parent out of shape")
    if not workspace.rp_id or not workspace.origins or not workspace.roster or not workspace.users:
        raise Malformed("a workspace names a relying party, origins, users and cosigners")
    _unique("user ids", [u.user_id for u in workspace.users])
    _unique("credential ids", [c.credential_id for u in workspace.users for c in u.credentials])
    _unique("proposal key ids", [k.key_id for u in workspace.users for k in u.proposal_keys])
    _unique("proposal keys", [k.public for u in workspace.users for k in u.proposal_keys])
    _unique("cosigner names", [m.name for m in workspace.roster])
    _unique("cosigner identities", [m.identity for m in workspace.roster])
    _unique("address-book entries", [e.entry_id for e in workspace.address_book])
    _unique("address-book addresses", [(e.chain, e.address) for e in workspace.address_book])
    _unique("rule ids", [rule.rule_id for rule in workspace.rules])
    if [m.index for m in workspace.roster] != list(range(1, len(workspace.roster) + 1)):
        raise Malformed("cosigners have the indices 1 to n, in order")
    named = [*(u.user_id for u in workspace.users), *(u.name for u in workspace.users)]
    named += [*(m.name for m in workspace.roster), *(e.label for e in workspace.address_book)]
    for name in [*named, *(rule.rule_id for rule in workspace.rules)]:
        if not _NAME.match(name):
            raise Malformed(f"{name[:40]!r} is not a name of 1 to 64 plain letters, digits and . _ : - or blanks")
    for key in [*(m.identity for m in workspace.roster), *(k.public for u in workspace.users for k in u.proposal_keys)]:
        p256.public_key(key)
    if any(len(e.address) != 20 for e in workspace.address_book):
        raise Malformed("an address has 20 bytes", Reason.BAD_ADDRESS)
    for rule in workspace.rules:
        _check_rule(workspace, rule)


def _unique(what: str, values: Sequence[Hashable]) -> None:
    if len(set(values)) != len(values):
        raise Malformed(f"{what} are not unique")


def _check_rule(workspace: Workspace, rule: Permit | Limit | Require | Deny) -> None:
    if isinstance(rule, Limit) and not 0 <= rule.per_transaction <= rule.per_day:
        raise Malformed(f"rule {rule.rule_id}: limits are not negative, and a day's is at least a transaction's")
    if isinstance(rule, Require):
        eligible = {u.person_id for u in workspace.users if rule.role in u.roles and u.credentials}
        if rule.above < 0 or not 1 <= rule.approvals <= len(eligible):
            raise Malformed(f"rule {rule.rule_id}: {rule.approvals} approvals of {len(eligible)} eligible people")
    if isinstance(rule, Deny) and any(len(address) != 20 for address in rule.addresses):
        raise Malformed(f"rule {rule.rule_id}: an address has 20 bytes", Reason.BAD_ADDRESS)
    if isinstance(rule, Permit):
        roles = {role for u in workspace.users for role in u.roles}
        if unknown := set(rule.initiator_roles) - roles - {ANY}:
            raise Malformed(f"rule {rule.rule_id}: nobody has the role {min(unknown)}")
