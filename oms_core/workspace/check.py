"""What has to hold of a workspace before it may decide anything."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

from oms_core.assertions import cose_key
from oms_core.chains.evm import chain_id
from oms_core.chains.intent import NOBODY, check_asset
from oms_core.crypto import p256
from oms_core.crypto.params import MAX_PARTIES
from oms_core.errors import Malformed, Reason
from oms_core.workspace import AddressEntry, Member, User, Workspace

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:-]{0,63}\Z")
_ORIGIN = re.compile(r"(?:https://([a-z0-9.-]+)|http://(localhost))(?::[1-9][0-9]{0,4})?\Z")
_WALLET = re.compile(r"wal_[0-9A-Za-z_-]{1,40}\Z")


def check_workspace(workspace: Workspace) -> None:
    """Everything that has to hold before a workspace may decide anything. Raises `Malformed` naming the field."""
    if workspace.version < 0 or workspace.created_at < 0 or len(workspace.parent) != (32 if workspace.version else 0):
        raise Malformed("version and created_at are not negative; version 0 has no parent, and others 32 bytes of it")
    if not workspace.rp_id or not workspace.origins or not workspace.users:
        raise Malformed("a workspace names a relying party, origins and users")
    _named("the workspace's name", _NAME, [workspace.name])
    for origin in workspace.origins:
        match = _ORIGIN.match(origin)
        host = match and (match[1] or match[2])
        if not host or not f".{host}".endswith(f".{workspace.rp_id}"):
            raise Malformed(f"origin {origin[:80]!r} is not https (or http://localhost) under {workspace.rp_id[:80]!r}")
    _check_users(workspace.users)
    _check_roster(workspace.roster)
    _check_book(workspace.address_book)
    _unique("rule ids", [rule.rule_id for rule in workspace.rules])
    _named("a rule id", _ID, [rule.rule_id for rule in workspace.rules])
    for rule in workspace.rules:
        _check_rule(workspace, rule)


def _check_users(users: tuple[User, ...]) -> None:
    credentials = [credential for one in users for credential in one.credentials]
    keys = [key for one in users for key in one.proposal_keys]
    _unique("user ids", [one.user_id.casefold() for one in users])
    _unique("credential ids", [credential.credential_id for credential in credentials])
    _unique("credential keys", [credential.public_key for credential in credentials])
    _unique("proposal key ids", [key.key_id for key in keys])
    _unique("proposal keys", [key.public for key in keys])
    _named("a user id", _ID, [one.user_id for one in users])
    _named("a person id", _ID, [one.person_id for one in users])
    _named("a proposal key id", _ID, [key.key_id for key in keys])
    _named("a name, team or role", _NAME, [text for one in users for text in (one.name, one.team, *one.roles)])
    for credential in credentials:
        if not 1 <= len(credential.credential_id) <= 1023 or len(credential.aaguid) != 16:
            raise Malformed("a credential id has 1 to 1023 bytes, and an AAGUID 16")
        cose_key(credential.public_key)
    for key in keys:
        p256.public_key(key.public)


def _check_roster(roster: tuple[Member, ...]) -> None:
    if not 2 <= len(roster) <= MAX_PARTIES or [m.index for m in roster] != list(range(1, len(roster) + 1)):
        raise Malformed(f"there are 2 to {MAX_PARTIES} cosigners, with the indices 1 to n, in order")
    _unique("cosigner names", [m.name.casefold() for m in roster])
    _unique("cosigner identities", [m.identity for m in roster])
    _named("a cosigner's name", _NAME, [m.name for m in roster])
    for m in roster:
        if any(not text or len(text) > 64 or not text.isprintable() for text in (m.operator, m.team, m.site)):
            raise Malformed(f"operator, team and site of cosigner {m.index} have 1 to 64 printable characters")
        p256.public_key(m.identity)


def _check_book(book: tuple[AddressEntry, ...]) -> None:
    _unique("address-book entries", [entry.entry_id.casefold() for entry in book])
    _unique("address-book labels", [entry.label.casefold() for entry in book])
    _unique("address-book addresses", [(entry.chain, entry.address) for entry in book])
    _named("an address-book entry's id", _ID, [entry.entry_id for entry in book])
    _named("an address-book entry's label", _NAME, [entry.label for entry in book])
    for entry in book:
        chain_id(entry.chain)
        _check_address(f"entry {entry.entry_id}", entry.address)


def _check_rule(workspace: Workspace, rule: Permit | Limit | Require | Deny) -> None:
    """A rule that could never match is refused: as a denial or a limit it would be an open door."""
    where = f"rule {rule.rule_id}"
    if not rule.wallets or any(wallet != ANY and not _WALLET.match(wallet) for wallet in rule.wallets):
        raise Malformed(f"{where}: wallets are {ANY} or wallet ids, and at least one")
    if isinstance(rule, Permit | Require) and not rule.actions:
        raise Malformed(f"{where}: no action")
    match rule:
        case Permit():
            roles = {role for one in workspace.users for role in one.roles}
            if not rule.initiator_roles:
                raise Malformed(f"{where}: no role may initiate")
            if unknown := set(rule.initiator_roles) - roles - {ANY}:
                raise Malformed(f"{where}: nobody has the role {min(unknown)}")
        case Limit():
            check_asset(rule.asset)
            if not 0 <= rule.per_transaction <= rule.per_day:
                raise Malformed(f"{where}: limits are not negative, and a day's is at least a transaction's")
        case Require():
            check_asset(rule.asset)
            _check_require(workspace, rule, where)
        case Deny():
            if not rule.addresses and not rule.initiators:
                raise Malformed(f"{where}: neither an address nor an initiator")
            for address in rule.addresses:
                _check_address(where, address)
            if strangers := set(rule.initiators) - {one.user_id for one in workspace.users} - {ANY}:
                raise Malformed(f"{where}: there is no user {min(strangers)[:64]!r}", Reason.UNKNOWN_USER)


def _check_require(workspace: Workspace, rule: Require, where: str) -> None:
    """Somebody can propose, and enough others can approve it."""
    if rule.above < 0:
        raise Malformed(f"{where}: above is not negative", Reason.NEGATIVE_AMOUNT)
    eligible = {one.person_id for one in workspace.users if rule.role in one.roles and one.credentials}
    proposers = {one.person_id for one in workspace.users if one.proposal_keys}
    others = max((len(eligible - {person}) for person in proposers), default=len(eligible))
    if not 1 <= rule.approvals <= others:
        raise Malformed(f"{where}: {rule.approvals} approvals of {others} eligible people besides the initiator")


def _check_address(where: str, address: bytes) -> None:
    if len(address) != 20 or address == NOBODY:
        raise Malformed(f"{where}: an address has 20 bytes, not all zero", Reason.BAD_ADDRESS)


def _unique(what: str, values: Sequence[Hashable]) -> None:
    if len(set(values)) != len(values):
        raise Malformed(f"{what} are not unique")


def _named(what: str, pattern: re.Pattern[str], values: Sequence[str]) -> None:
    for value in values:
        if not pattern.match(value):
            raise Malformed(f"{value[:40]!r} is not {what}: 1 to 64 plain letters, digits and . _ -")
