"""A workspace as a person writes it: what is read, what is written back, and each error under the field's name."""

from __future__ import annotations

import copy
import json
import tomllib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oms_core.workspace_text import workspace_from_mapping, workspace_to_mapping

from oms_core.chains.evm import to_checksum
from oms_core.errors import Malformed, Reason
from oms_core.policy.rules import Action, Deny, Destination, Limit, Permit, Require, Rule
from oms_core.workspace import workspace_digest
from tests.people import COIN, DENIED, KNOWN, STRANGE, workspace

ETHER = 10**18
NODES = "\n".join(
    f"""
[[roster]]
index = {m.index}
name = "{m.name}"
operator = "{m.operator}"
team = "{m.team}"
site = "{m.site}"
identity = "{m.identity.hex()}"
"""
    for m in workspace().roster
)
DESK, RAVI = workspace().users[0], workspace().users[2]
TEXT = f"""
name = "acme"
created_at = 1800000000
rp_id = "localhost"
origins = ["http://localhost:8080"]
{NODES}
[[users]]
user_id = "desk"
person_id = "person-desk"
name = "Order desk"
team = "trading"
roles = ["trader"]
proposal_keys = [{{ key_id = "desk-1", public = "{DESK.proposal_keys[0].public.hex()}" }}]

[[users]]
user_id = "ravi"
person_id = "person-ravi"
name = "Ravi Risk"
team = "risk"
roles = ["risk"]

[[users.credentials]]
credential_id = "{RAVI.credentials[0].credential_id.hex()}"
public_key = "{RAVI.credentials[0].public_key.hex()}"
aaguid = "{RAVI.credentials[0].aaguid.hex()}"

[[address_book]]
entry_id = "kraken"
label = "Kraken"
chain = "eip155:31337"
address = "{to_checksum(KNOWN)}"

[[rules]]
kind = "PERMIT"
rule_id = "book"
actions = ["TRANSFER"]
wallets = ["*"]
initiator_roles = ["trader"]
destination = "ADDRESS_BOOK"

[[rules]]
kind = "LIMIT"
rule_id = "coin"
wallets = ["*"]
asset = "{COIN}"
per_transaction = "1.5 ETH"
per_day = 20000000000000000000

[[rules]]
kind = "REQUIRE"
rule_id = "risk"
actions = ["TRANSFER", "KEY_CREATE"]
wallets = ["wal_1"]
asset = "{COIN}"
above = "5"
approvals = 1
role = "risk"

[[rules]]
kind = "DENY"
rule_id = "sanctioned"
wallets = ["*"]
addresses = ["{to_checksum(DENIED)}"]
initiators = []
"""


def test_a_workspace_is_read_from_toml() -> None:
    made = workspace_from_mapping(tomllib.loads(TEXT))
    assert (made.name, made.version, made.parent) == ("acme", 0, b"")
    assert made.roster == workspace().roster
    assert [(one.user_id, len(one.credentials), len(one.proposal_keys)) for one in made.users] == [
        ("desk", 0, 1),
        ("ravi", 1, 0),
    ]
    assert made.users[1].credentials == RAVI.credentials
    assert made.address_book[0].address == KNOWN
    assert made.rules == (
        Permit("book", (Action.TRANSFER,), ("*",), ("trader",), Destination.ADDRESS_BOOK),
        Limit("coin", ("*",), COIN, 3 * ETHER // 2, 20 * ETHER),
        Require("risk", (Action.TRANSFER, Action.KEY_CREATE), ("wal_1",), COIN, 5, 1, "risk"),
        Deny("sanctioned", ("*",), (DENIED,), ()),
    )


def test_what_is_written_reads_back_as_the_same_workspace_also_through_json() -> None:
    for one in (workspace(), workspace_from_mapping(tomllib.loads(TEXT))):
        again = workspace_from_mapping(json.loads(json.dumps(workspace_to_mapping(one))))
        assert again == one
        assert workspace_digest(again) == workspace_digest(one)


def test_amounts_of_the_chains_coin_are_written_in_ether_and_others_in_base_units() -> None:
    token = "eip155:1/erc20:0x" + "a0" * 20
    rules = (Limit("coin", ("*",), COIN, 1, 3 * ETHER // 2), Limit("token", ("*",), token, 1, 25))
    coin, other = workspace_to_mapping(replace(workspace(), rules=rules))["rules"]
    assert (coin["kind"], coin["per_transaction"], coin["per_day"]) == ("LIMIT", "0.000000000000000001 ETH", "1.5 ETH")
    assert (other["per_transaction"], other["per_day"]) == ("1", "25")


amounts = st.integers(0, 10**30)
wallets = st.lists(st.sampled_from(["*", "wal_1", "wal_2"]), min_size=1, max_size=3).map(tuple)
actions = st.lists(st.sampled_from(Action), min_size=1, max_size=2).map(tuple)
assets = st.sampled_from([COIN, "eip155:1/slip44:60", "eip155:1/erc20:0x" + "a0" * 20])
rules = st.one_of(
    st.builds(Permit, st.just("x"), actions, wallets, st.just(("trader", "risk")), st.sampled_from(Destination)),
    st.builds(lambda w, a, low, more: Limit("x", w, a, low, low + more), wallets, assets, amounts, amounts),
    st.builds(Require, st.just("x"), actions, wallets, assets, amounts, st.integers(1, 2), st.just("risk")),
    st.builds(Deny, st.just("x"), wallets, st.just((KNOWN, STRANGE)), st.sampled_from([(), ("tara", "desk"), ("*",)])),
)


@given(rules)
def test_any_rule_reads_back_as_it_was_written(rule: Rule) -> None:
    one = replace(workspace(), rules=(rule,))
    assert workspace_from_mapping(workspace_to_mapping(one)) == one


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


LOWER = "0x" + "ab" * 20


@pytest.mark.parametrize(
    ("path", "value", "message", "reason"),
    [
        ("nmae", "acme", "unknown key nmae", Reason.UNKNOWN_FIELD),
        ("users.1.rolls", [], r"unknown key users\[1\].rolls", Reason.UNKNOWN_FIELD),
        ("rules.1.per_week", 1, r"unknown key rules\[1\].per_week", Reason.UNKNOWN_FIELD),
        ("name", ..., ": name is missing", Reason.MALFORMED),
        ("roster", ..., ": roster is missing", Reason.MALFORMED),
        ("rules", ..., ": rules is missing", Reason.MALFORMED),
        ("users.0.roles", ..., r"users\[0\].roles is missing", Reason.MALFORMED),
        ("rules.3.initiators", ..., r"rules\[3\].initiators is missing", Reason.MALFORMED),
        ("rules.3.addresses", ..., r"rules\[3\].addresses is missing", Reason.MALFORMED),
        ("rules.1.per_day", ..., r"rules\[1\].per_day is missing", Reason.MALFORMED),
        ("rules.0.kind", ..., r"rules\[0\].kind: one of PERMIT", Reason.UNSUPPORTED_TYPE),
        ("rules.0.kind", "ALLOW", r"rules\[0\].kind: one of PERMIT", Reason.UNSUPPORTED_TYPE),
        ("rules.0.kind", "permit", r"rules\[0\].kind: one of PERMIT", Reason.UNSUPPORTED_TYPE),
        ("rules.0.kind", ["PERMIT"], r"rules\[0\].kind: one of PERMIT", Reason.UNSUPPORTED_TYPE),
        ("rules.0.kind", "DENY", r"unknown key rules\[0\].actions", Reason.UNKNOWN_FIELD),
        ("rules.0.destination", "ANYWHERE", r"rules\[0\].destination: one of ADDRESS_BOOK, ANY", Reason.MALFORMED),
        ("rules.0.actions", ["TRANSFER", "BURN"], r"rules\[0\].actions: one of", Reason.MALFORMED),
        ("rules.0.wallets", "*", r"rules\[0\].wallets: not a list", Reason.MALFORMED),
        ("rules.0.wallets", [7], r"rules\[0\].wallets: not text", Reason.MALFORMED),
        ("rules.0", "permit everything", r"rules\[0\] is not a table", Reason.MALFORMED),
        ("rules.1.per_day", "20 eth", r"rules\[1\].per_day: .* is not an amount", Reason.MALFORMED),
        ("rules.1.per_day", "2e1 ETH", r"rules\[1\].per_day: .* is not an amount", Reason.MALFORMED),
        ("rules.1.per_day", "1.5", r"rules\[1\].per_day: 1.5 has more than 0 digits", Reason.PRECISION),
        ("rules.1.per_day", "-1 ETH", r"rules\[1\].per_day: -1 is negative", Reason.NEGATIVE_AMOUNT),
        ("rules.1.per_day", "0.0000000000000000001 ETH", r"rules\[1\].per_day: .* digits", Reason.PRECISION),
        ("rules.1.per_day", 1.5, r"rules\[1\].per_day: neither an integer nor text", Reason.MALFORMED),
        ("rules.1.per_day", True, r"rules\[1\].per_day: neither an integer nor text", Reason.MALFORMED),
        ("rules.1.asset", "eip155:1/erc20:0x" + "a0" * 20, r"rules\[1\].per_transaction: only", Reason.MALFORMED),
        ("rules.2.approvals", "1", r"rules\[2\].approvals: not an integer", Reason.MALFORMED),
        ("rules.2.approvals", True, r"rules\[2\].approvals: not an integer", Reason.MALFORMED),
        ("rules.3.addresses", [LOWER], r"rules\[3\].addresses: .* checksum", Reason.BAD_CHECKSUM),
        ("rules.3.addresses", ["0x12"], r"rules\[3\].addresses: .* not an address", Reason.BAD_ADDRESS),
        ("address_book.0.address", LOWER, r"address_book\[0\].address: .* checksum", Reason.BAD_CHECKSUM),
        ("address_book.0.address", 17, r"address_book\[0\].address: not text", Reason.MALFORMED),
        (
            "users.1.credentials.0.aaguid",
            "xyz",
            r"users\[1\].credentials\[0\].aaguid: not lower-case hex",
            Reason.MALFORMED,
        ),
        ("users.1.credentials.0.aaguid", "ABCD", r"users\[1\].credentials\[0\].aaguid: not lower", Reason.MALFORMED),
        ("users.1.credentials.0.aaguid", "abc", r"users\[1\].credentials\[0\].aaguid: not lower", Reason.MALFORMED),
        ("users.1.name", 7, r"users\[1\].name: not text", Reason.MALFORMED),
        ("users", {"ravi": {}}, "users: not a list", Reason.MALFORMED),
        ("roster.0", 7, r"roster\[0\] is not a table", Reason.MALFORMED),
        ("roster.0.index", "1", r"roster\[0\].index: not an integer", Reason.MALFORMED),
        ("created_at", "today", "created_at: not an integer", Reason.MALFORMED),
        ("origins", ["https://evil.example"], "origin", Reason.MALFORMED),
        ("rules.2.approvals", 2, "rule risk: 2 approvals of 1 eligible", Reason.MALFORMED),
    ],
)
def test_a_mistake_is_refused_under_the_name_of_its_field(
    path: str, value: object, message: str, reason: Reason
) -> None:
    with pytest.raises(Malformed, match=message) as caught:
        workspace_from_mapping(bent(path, value))
    assert caught.value.reason is reason


def test_what_is_no_table_is_no_workspace() -> None:
    with pytest.raises(Malformed, match="a workspace is not a table"):
        workspace_from_mapping([])  # type: ignore[arg-type]
