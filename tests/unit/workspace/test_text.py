"""A workspace as a person writes it: what is read, what is written back, and each error under the field's name."""

from __future__ import annotations

import copy
import json
import tomllib
from dataclasses import replace
from typing import Any

import pytest

from oms.authenticator import AAGUID
from oms_core.chains.evm import to_checksum
from oms_core.errors import Malformed, Reason
from oms_core.policy.rules import Calendar, Cap, Kind, Unit, Zone
from oms_core.workspace import Assurance, Direction, EntryState, Privilege, workspace_digest
from oms_core.workspace import user as user_of
from oms_core.workspace.text import workspace_from_mapping, workspace_from_yaml, workspace_to_mapping
from tests.people import COIN, KNOWN, NOW, workspace
from tests.unit.workspace.test_directions import PLAIN

RICH = replace(PLAIN, aaguids=(AAGUID,))
DESK, RAVI, ADAM, ALICE = (user_of(workspace(), name) for name in ("desk", "ravi", "adam", "alice"))


def user(one: Any, roles: str, key: bool = True, proposes: bool = False) -> str:
    """A user in TOML, who leaves out what may be left out."""
    lines = [
        "[[users]]",
        f'user_id = "{one.user_id}"',
        f'person_id = "{one.person_id}"',
        f'name = "{one.name}"',
        f'team = "{one.team}"',
        f"roles = [{roles}]",
    ]
    if proposes:
        public = one.proposal_keys[0]
        lines.append(f'proposal_keys = [{{ key_id = "{public.key_id}", public = "{public.public.hex()}" }}]')
    if key:
        held = one.credentials[0]
        lines += [
            "[[users.credentials]]",
            f'credential_id = "{held.credential_id.hex()}"',
            f'public_key = "{held.public_key.hex()}"',
            f'aaguid = "{held.aaguid.hex()}"',
            'assurance = "SYNCED"',
        ]
    return "\n".join(lines) + "\n"


NODES = "\n".join(
    f"""
[[roster]]
index = {m.index}
name = "{m.name}"
operator = "{m.operator}"
team = "{m.team}"
site = "{m.site}"
identity = "{m.identity.hex()}"
witness = "{m.witness.hex()}"
"""
    for m in workspace().roster
)
RULES = """
- rule: book
  permit:
  when: {action: TRANSFER, initiator.role: trader, destination.type: WHITELISTED}
- rule: coin
  limit: [{amount: 1.5 ETH}, {usd: "20,000", every: day, zone: Zurich}]
  when: {asset: ETH}
"""
TEXT = f"""
name = "acme"
created_at = {NOW}
rp_id = "localhost"
origins = ["http://localhost:8080"]
distinct_operators = true
refusals_block_at = 3
rules = '''{RULES}'''

[log]
origin = "{workspace().log.origin}"
public = "{workspace().log.public.hex()}"
fresh_for = 60
degraded_window = 86400
{NODES}
{user(DESK, '"trader"', key=False, proposes=True)}
{user(RAVI, '"risk"')}
{user(ADAM, '"admin"', proposes=True)}
{user(ALICE, '"admin"')}

[[roles]]
role = "trader"
may = ["PROPOSE_ORDERS"]
wallets = ["*"]

[[roles]]
role = "risk"
may = ["APPROVE_ORDERS"]
wallets = ["*"]

[[roles]]
role = "admin"
may = ["PROPOSE_CHANGES", "APPROVE_CHANGES"]
wallets = ["*"]

[[assets]]
asset = "{COIN}"
symbol = "ETH"
decimals = 18
usd_micro = "3,000.5 USD"

[[address_book]]
entry_id = "kraken"
label = "Kraken"
chain = "eip155:31337"
address = "{to_checksum(KNOWN)}"

[[governance]]
direction = "TIGHTEN"
approvals = "{{approvals: 1, from users: [alice]}}"

[[governance]]
direction = "LOOSEN"
approvals = {{ approvals = 1, "from roles" = ["admin"], delay = "24h" }}
"""
ZURICH = Zone("Zurich", ((0, 60),), 1 << 33)


def read(tables: Any) -> Any:
    return workspace_from_mapping(tables, zones=(ZURICH,))


def test_a_workspace_is_read_from_toml() -> None:
    made = read(tomllib.loads(TEXT))
    assert (made.name, made.version, made.parent, made.aaguids, made.wallets) == ("acme", 0, b"", (), ())
    assert made.roster == workspace().roster
    assert [(one.user_id, len(one.credentials), len(one.proposal_keys), one.enabled) for one in made.users] == [
        ("desk", 0, 1, True),
        ("ravi", 1, 0, True),
        ("adam", 1, 1, True),
        ("alice", 1, 0, True),
    ]
    assert made.users[1].credentials == RAVI.credentials
    assert (made.users[1].credentials[0].assurance, made.users[1].site) == (Assurance.SYNCED, "")
    assert made.roles[0].may == (Privilege.PROPOSE_ORDERS,)
    assert made.assets[0].usd_micro == 3_000_500_000
    (entry,) = made.address_book
    assert (entry.address, entry.state, entry.added_at, entry.tags) == (KNOWN, EntryState.ACTIVE, NOW, ())


def test_rules_and_governance_are_read_as_the_sentences_that_they_are() -> None:
    made = read(tomllib.loads(TEXT))
    assert [(rule.rule_id, rule.kind) for rule in made.rules] == [("book", Kind.PERMIT), ("coin", Kind.LIMIT)]
    assert made.rules[1].caps == (
        Cap(Unit.BASE, 15 * 10**17, 0, None, None, ()),
        Cap(Unit.USD, 20_000 * 10**6, 0, Calendar.DAY, ZURICH, ()),
    )
    tighten, loosen = made.governance
    assert (tighten.direction, tighten.approvals.all_of[0].users, tighten.approvals.delay) == (
        Direction.TIGHTEN,
        ("alice",),
        0,
    )
    assert (loosen.approvals.all_of[0].roles, loosen.approvals.delay) == (("admin",), 86_400)


def test_what_is_written_reads_back_as_the_same_workspace_also_through_json() -> None:
    for one in (workspace(), RICH, read(tomllib.loads(TEXT))):
        again = workspace_from_mapping(json.loads(json.dumps(workspace_to_mapping(one))))
        assert again == one
        assert workspace_digest(again) == workspace_digest(one)


def yaml_of(value: Any, depth: int = 0) -> str:
    """YAML in blocks."""
    pad = "  " * depth
    if isinstance(value, dict):
        lines = "".join(f"{pad}{key}:{yaml_of(one, depth + 1)}" for key, one in value.items())
        return f"\n{lines}"
    if isinstance(value, list):
        return "\n" + "".join(f"{pad}-{yaml_of(one, depth + 1)}" for one in value) if value else " []\n"
    if isinstance(value, bool):
        return " yes\n" if value else " no\n"
    return f" {value}\n" if isinstance(value, int) else f" {json.dumps(value)}\n"


def test_a_workspace_is_read_from_yaml_its_rules_with_it() -> None:
    assert workspace_from_yaml(yaml_of(workspace_to_mapping(RICH))) == RICH
    with pytest.raises(Malformed, match="line 2"):
        workspace_from_yaml("name: x\n  y: z")
    with pytest.raises(Malformed, match="a workspace is not a table"):
        workspace_from_yaml("- 1")


def test_a_text_of_digits_that_is_quoted_stays_a_text() -> None:
    tables = workspace_to_mapping(RICH) | {"name": "12"}
    assert workspace_from_yaml(yaml_of(tables)).name == "12"
    with pytest.raises(Malformed, match="name: not text"):
        workspace_from_yaml(yaml_of(tables).replace('name: "12"', "name: 12", 1))


def bent(path: str, value: object) -> dict[str, Any]:
    """The text's tables with one value changed; ... takes the key away."""
    tables: Any = copy.deepcopy(tomllib.loads(TEXT))
    at, keys = tables, [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in keys[:-1]:
        at = at[key]
    if value is ...:
        del at[keys[-1]]
    else:
        at[keys[-1]] = value
    return tables  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "value", "message", "reason"),
    [
        ("nmae", "acme", "unknown key nmae", Reason.UNKNOWN_FIELD),
        ("users.1.rolls", [], r"unknown key users\[1\].rolls", Reason.UNKNOWN_FIELD),
        ("name", ..., ": name is missing", Reason.MALFORMED),
        ("roster", ..., ": roster is missing", Reason.MALFORMED),
        ("created_at", ..., ": created_at is missing", Reason.MALFORMED),
        ("governance", ..., ": governance is missing", Reason.MALFORMED),
        ("refusals_block_at", ..., ": refusals_block_at is missing", Reason.MALFORMED),
        ("users.0.roles", ..., r"users\[0\].roles is missing", Reason.MALFORMED),
        ("roles.0.may", ..., r"roles\[0\].may is missing", Reason.MALFORMED),
        ("rules", [], "rules: not a text of YAML", Reason.MALFORMED),
        ("rules", "- rule: x\n  allow:\n", "rules: line .*rule x", Reason.UNKNOWN_FIELD),
        ("rules", "- rule: x\n  deny:\n  when: {colour: red}\n", "rules: line 3, rule x, colour", Reason.UNKNOWN_FIELD),
        ("rules", RULES.replace("1.5 ETH", "1.5 BTC"), "rules: line .*rule coin", Reason.MALFORMED),
        ("rules", RULES.replace("zone: Zurich", "zone: Paris"), "zone 'Paris' is not known", Reason.MALFORMED),
        ("address_book.0.address", "0x" + "ab" * 20, r"address_book\[0\].address: .* checksum", Reason.BAD_CHECKSUM),
        ("address_book.0.address", "0x12", r"address_book\[0\].address: .* not an address", Reason.BAD_ADDRESS),
        ("address_book.0.address", 17, r"address_book\[0\].address: not text", Reason.MALFORMED),
        ("address_book.0.state", "GONE", r"address_book\[0\].state: one of ACTIVE", Reason.MALFORMED),
        ("users.1.credentials.0.aaguid", "xyz", r"users\[1\].credentials\[0\].aaguid: not lower", Reason.MALFORMED),
        ("users.1.credentials.0.aaguid", "ABCD", r"users\[1\].credentials\[0\].aaguid: not lower", Reason.MALFORMED),
        ("users.1.credentials.0.aaguid", "abc", r"users\[1\].credentials\[0\].aaguid: not lower", Reason.MALFORMED),
        ("users.1.credentials.0.assurance", "GOOD", r"assurance: one of SYNCED, DEVICE_BOUND", Reason.MALFORMED),
        ("users.1.name", 7, r"users\[1\].name: not text", Reason.MALFORMED),
        ("users.1.enabled", "yes", r"users\[1\].enabled: neither true nor false", Reason.MALFORMED),
        ("users.1.enabled", 1, r"users\[1\].enabled: neither true nor false", Reason.MALFORMED),
        ("users", {"ravi": {}}, "users: not a list", Reason.MALFORMED),
        ("roster.0", 7, r"roster\[0\] is not a table", Reason.MALFORMED),
        ("roster.0.index", "1", r"roster\[0\].index: not an integer", Reason.MALFORMED),
        ("roster.0.index", True, r"roster\[0\].index: not an integer", Reason.MALFORMED),
        ("created_at", "today", "created_at: not an integer", Reason.MALFORMED),
        ("roles.0.may", ["BURN"], r"roles\[0\].may: one of READ", Reason.MALFORMED),
        ("roles.0.may", "READ", r"roles\[0\].may: not a list", Reason.MALFORMED),
        ("assets.0.usd_micro", "3 EUR", r"assets\[0\].usd_micro", Reason.MALFORMED),
        ("assets.0.usd_micro", "-3 USD", r"assets\[0\].usd_micro", Reason.NEGATIVE_AMOUNT),
        ("assets.0.usd_micro", "0.0000001 USD", r"assets\[0\].usd_micro", Reason.PRECISION),
        ("assets.0.usd_micro", 1.5, r"assets\[0\].usd_micro: not an integer", Reason.MALFORMED),
        ("governance.0.approvals", 3, r"governance\[0\].approvals: neither a table nor", Reason.MALFORMED),
        ("governance.0.approvals", "{approvals: x}", r"governance\[0\].approvals: ", Reason.MALFORMED),
        ("governance.1.approvals.delay", "soon", r"governance\[1\].approvals: delay", Reason.MALFORMED),
        ("governance.1.approvals.form", 1, r"governance\[1\].approvals: unknown key 'form'", Reason.UNKNOWN_FIELD),
        ("origins", ["https://evil.example"], "origin", Reason.MALFORMED),
    ],
)
def test_a_mistake_is_refused_under_the_name_of_its_field(
    path: str, value: object, message: str, reason: Reason
) -> None:
    with pytest.raises(Malformed, match=message) as caught:
        read(bent(path, value))
    assert caught.value.reason is reason


def test_what_is_no_table_is_no_workspace() -> None:
    with pytest.raises(Malformed, match="a workspace is not a table"):
        workspace_from_mapping([])  # type: ignore[arg-type]
