"""Parts of a workspace in words: one line each, with every field in it, so that nothing is approved unseen."""

from __future__ import annotations

from datetime import UTC, datetime

from oms_core.chains.evm import to_checksum
from oms_core.encoding import digest
from oms_core.errors import Malformed
from oms_core.policy.rules import Requirement, Rule
from oms_core.policy.text import requirement_to_yaml, rules_to_yaml
from oms_core.workspace import AddressEntry, ContractEntry, Credential, Governance, Workspace

_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
_SPANS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


def time_words(seconds: int) -> str:
    """RFC 3339 in UTC. Raises `Malformed` beyond the calendar."""
    if not 0 <= seconds <= _LAST_SECOND:
        raise Malformed("a time is between 1970 and 9999")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span_words(seconds: int) -> str:
    """Seconds in the largest unit that takes them whole: ``2 hours``."""
    for size, unit in _SPANS:
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}{'' if seconds == size else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def credential_words(one: Credential) -> str:
    """A credential: its key by a digest of 8 bytes, as no reader compares more."""
    state = ", REVOKED" if one.revoked else ""
    attested = f"attestation {one.attestation.hex()}" if one.attestation else "not attested"
    key = digest("credential key", one.public_key, size=8).hex()
    where = f"{one.assurance}, model {one.aaguid.hex()}, {attested}"
    return f"FIDO2 credential {one.credential_id.hex()} with key {key} ({where}{state})"


def entry_words(entry: AddressEntry | ContractEntry) -> str:
    """An entry of the book or the registry, its address with its checksum."""
    said = f"{entry.label} ({entry.entry_id}) {to_checksum(entry.address)} on {entry.chain}, {entry.state}"
    said += f", tags {_list(entry.tags)}, added {time_words(entry.added_at)}"
    if isinstance(entry, AddressEntry):
        return said
    audit = f"audit {entry.audit.hex()} of {time_words(entry.audited_at)}" if entry.audit else "NOT audited"
    expires = f"expires {time_words(entry.expires_at)}" if entry.expires_at else "never expires"
    code = f"protocol {entry.protocol or 'none'}, code {entry.code_hash.hex()}, {audit}"
    worst = f"worst open finding {entry.max_open_severity}, {expires}"
    return f"{said}, {code}, {worst}, methods {_list(entry.methods)}, looked into {_list(entry.unwraps)}"


def governance_words(one: Governance) -> str:
    """Who has to approve changes in this direction."""
    return f"to {one.direction}: {requirement_words(one.approvals)}"


def requirement_words(one: Requirement) -> str:
    """People to be asked, as it is written, on one line."""
    return _one_line(requirement_to_yaml(one))


def rule_words(rule: Rule, workspace: Workspace) -> str:
    """A rule as it is written, on one line."""
    return _one_line(rules_to_yaml((rule,), workspace.assets))


def _one_line(text: str) -> str:
    return "; ".join(line.strip(" -") for line in text.splitlines())


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
