"""A workspace decides nothing before everything in it holds: each thing that may be wrong, refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oms.devnet import ceremony
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, NotFound, Reason
from oms_core.policy.rules import ANY, Action, Deny, Destination, Limit, Permit, Require, Rule
from oms_core.workspace import (
    AddressEntry,
    Credential,
    Member,
    ProposalKey,
    User,
    Workspace,
    check_workspace,
    entry_at,
    identities,
    member,
    user,
    workspace_digest,
)
from tests.parties import identity
from tests.people import CHAIN, COIN, KNOWN, STRANGE, person, workspace

PLAIN = workspace()
DESK, RAVI = user(PLAIN, "desk"), user(PLAIN, "ravi")


def why(bad: Workspace, match: str) -> Reason:
    with pytest.raises(Malformed, match=match) as caught:
        check_workspace(bad)
    return caught.value.reason


def with_user(changed: User) -> Workspace:
    """With one more user, or another one under the same id."""
    others = tuple(one for one in PLAIN.users if one.user_id != changed.user_id)
    return replace(PLAIN, users=(*others, changed))


def with_member(**changes: object) -> Workspace:
    return replace(PLAIN, roster=(replace(PLAIN.roster[0], **changes), *PLAIN.roster[1:]))  # type: ignore[arg-type]


def with_entry(**changes: object) -> Workspace:
    plain = AddressEntry("new", "New", CHAIN, STRANGE)
    return replace(PLAIN, address_book=(*PLAIN.address_book, replace(plain, **changes)))  # type: ignore[arg-type]


def with_rule(rule: Rule) -> Workspace:
    return replace(PLAIN, rules=(*PLAIN.rules, rule))


def test_a_good_workspace_passes_and_survives_its_encoding() -> None:
    check_workspace(PLAIN)
    check_workspace(with_user(person("ravi", "risk")))
    check_workspace(with_entry())
    assert decode(Workspace, encode(PLAIN)) == PLAIN


def test_the_development_networks_workspace_passes(tmp_path: Any) -> None:
    (tmp_path / "people").mkdir()
    made = ceremony.workspace(tmp_path, {index: identity(index).public for index in range(1, 6)}, CHAIN)
    check_workspace(made)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": -1}, "version"),
        ({"version": 1}, "version"),
        ({"parent": bytes(32)}, "version"),
        ({"version": 1, "parent": bytes(31)}, "version"),
        ({"created_at": -1}, "created_at"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"rp_id": ""}, "relying party"),
        ({"origins": ()}, "origins"),
        ({"users": ()}, "users"),
        ({"roster": ()}, "2 to 256 cosigners"),
        ({"roster": PLAIN.roster[:1]}, "2 to 256 cosigners"),
        ({"roster": PLAIN.roster[1:]}, "indices 1 to n"),
        ({"roster": tuple(reversed(PLAIN.roster))}, "indices 1 to n"),
        ({"roster": (*PLAIN.roster, PLAIN.roster[4])}, "indices 1 to n"),
        ({"users": (*PLAIN.users, RAVI)}, "user ids are not unique"),
        ({"address_book": (*PLAIN.address_book, PLAIN.address_book[0])}, "address-book entries are not unique"),
        ({"rules": (*PLAIN.rules, PLAIN.rules[0])}, "rule ids are not unique"),
    ],
)
def test_a_workspace_with_a_part_out_of_shape_is_refused(changes: dict[str, Any], match: str) -> None:
    why(replace(PLAIN, **changes), match)


@pytest.mark.parametrize(
    "origin",
    ["http://custody.example", "https://custody.example/", "https://evil.example", "https://evilcustody.example",
     "https://custody.example.evil", "custody.example", "https://custody.example:0", "https://CUSTODY.example",
     "https://user@custody.example", "http://localhost:8080", ""],
)  # fmt: skip
def test_an_origin_that_is_not_https_under_the_relying_party_is_refused(origin: str) -> None:
    why(replace(PLAIN, rp_id="custody.example", origins=("https://custody.example", origin)), "origin")


def test_origins_at_the_relying_party_below_it_and_on_another_port_pass() -> None:
    origins = ("https://custody.example", "https://desk.custody.example", "https://custody.example:8443")
    check_workspace(replace(PLAIN, rp_id="custody.example", origins=origins))


CREDENTIAL, KEY = RAVI.credentials[0], DESK.proposal_keys[0]
BARE = replace(RAVI, credentials=())


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (replace(BARE, user_id=""), "user id"),
        (replace(BARE, user_id="a b"), "user id"),
        (replace(BARE, user_id="раvi"), "user id"),
        (replace(BARE, user_id="OLGA"), "user ids are not unique"),
        (replace(RAVI, person_id=""), "person id"),
        (replace(RAVI, name="Ravi\u202e"), "name"),
        (replace(RAVI, name="x" * 65), "name"),
        (replace(RAVI, team="risk\n"), "team"),
        (replace(RAVI, roles=("risk", "")), "role"),
        (replace(RAVI, roles=("risk", ANY)), "role"),
        (replace(RAVI, user_id="new"), "credential ids are not unique"),
        (replace(RAVI, credentials=(CREDENTIAL, replace(CREDENTIAL, credential_id=b"2"))), "credential keys"),
        (replace(RAVI, credentials=(Credential(b"", CREDENTIAL.public_key, bytes(16)),)), "credential id"),
        (replace(RAVI, credentials=(replace(CREDENTIAL, credential_id=bytes(1024)),)), "credential id"),
        (replace(RAVI, credentials=(replace(CREDENTIAL, aaguid=bytes(15)),)), "AAGUID"),
        (replace(RAVI, credentials=(replace(CREDENTIAL, public_key=b""),)), "COSE"),
        (replace(RAVI, credentials=(replace(CREDENTIAL, public_key=CREDENTIAL.public_key[:-1]),)), "credential's key"),
        (replace(DESK, user_id="new"), "proposal key ids are not unique"),
        (replace(DESK, proposal_keys=(KEY, replace(KEY, key_id="again"))), "proposal keys are not unique"),
        (replace(DESK, proposal_keys=(replace(KEY, key_id="a/b"),)), "proposal key id"),
        (replace(DESK, proposal_keys=(ProposalKey("k", KEY.public[:33]),)), "P-256"),
        (replace(DESK, proposal_keys=(ProposalKey("k", b"\x04" + bytes(64)),)), "P-256"),
    ],
)
def test_a_user_with_a_part_out_of_shape_is_refused(changed: User, match: str) -> None:
    why(with_user(changed), match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": ""}, "cosigner's name"),
        ({"name": "NODE-2"}, "cosigner names are not unique"),
        ({"identity": PLAIN.roster[1].identity}, "cosigner identities are not unique"),
        ({"identity": bytes(65)}, "P-256"),
        ({"identity": b"\x04" + b"\x01" * 64}, "P-256"),
        ({"operator": ""}, "operator"),
        ({"team": "x" * 65}, "team"),
        ({"site": "Zürich\u202e"}, "site"),
    ],
)
def test_a_cosigner_with_a_part_out_of_shape_is_refused(changes: dict[str, object], match: str) -> None:
    why(with_member(**changes), match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"entry_id": "new entry"}, "id"),
        ({"entry_id": "KNOWN"}, "entries are not unique"),
        ({"label": "known"}, "labels are not unique"),
        ({"label": "new, or old"}, "label"),
        ({"address": KNOWN}, "addresses are not unique"),
        ({"address": bytes(20)}, "address"),
        ({"address": bytes(19)}, "address"),
        ({"chain": "eip155:0"}, "chain"),
    ],
)
def test_an_entry_with_a_part_out_of_shape_is_refused(changes: dict[str, object], match: str) -> None:
    why(with_entry(**changes), match)


def test_the_same_account_on_another_chain_is_another_entry() -> None:
    book = with_entry(address=KNOWN, chain="eip155:1")
    check_workspace(book)
    assert (entry_at(book, CHAIN, KNOWN), entry_at(book, "eip155:1", KNOWN)) == (
        book.address_book[0],
        book.address_book[2],
    )
    assert entry_at(book, "eip155:10", KNOWN) is None


PERMIT = Permit("n", (Action.TRANSFER,), (ANY,), (ANY,), Destination.ANY)
LIMIT = Limit("n", (ANY,), COIN, 1, 1)
NEED = Require("n", (Action.TRANSFER,), (ANY,), COIN, 0, 1, "risk")
DENY = Deny("n", (ANY,), (STRANGE,), ("tara",))


@pytest.mark.parametrize(
    "rule",
    [PERMIT, LIMIT, NEED, DENY, replace(LIMIT, per_transaction=0, per_day=0), replace(NEED, approvals=2),
     replace(DENY, addresses=()), replace(DENY, initiators=()), replace(DENY, initiators=(ANY,)),
     replace(PERMIT, wallets=("wal_1", "wal_2"), initiator_roles=("trader", "risk"))],
)  # fmt: skip
def test_a_rule_that_can_match_something_passes(rule: Rule) -> None:
    check_workspace(with_rule(rule))


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        *((replace(rule, wallets=()), "wallets") for rule in (PERMIT, LIMIT, NEED, DENY)),
        *((replace(rule, wallets=("treasury",)), "wallets") for rule in (PERMIT, LIMIT, NEED, DENY)),
        *((replace(rule, rule_id="a b"), "rule id") for rule in (PERMIT, LIMIT, NEED, DENY)),
        (replace(PERMIT, actions=()), "no action"),
        (replace(NEED, actions=()), "no action"),
        (replace(PERMIT, initiator_roles=()), "no role"),
        (replace(PERMIT, initiator_roles=("trader", "nobodys")), "nobody has the role nobodys"),
        (replace(LIMIT, per_transaction=-1), "not negative"),
        (replace(LIMIT, per_transaction=2), "a day's"),
        (replace(LIMIT, asset="ETH"), "asset"),
        (replace(NEED, asset=""), "asset"),
        (replace(NEED, above=-1), "above"),
        (replace(NEED, approvals=0), "0 approvals"),
        (replace(NEED, approvals=3), "3 approvals of 2 eligible"),  # ravi, ravi2 and olga are two people
        (replace(NEED, role="nobodys"), "1 approvals of 0 eligible"),
        (replace(NEED, role="trader", approvals=2), "2 approvals of 1 eligible"),  # the desk has no credential
        (replace(DENY, addresses=(), initiators=()), "neither"),
        (replace(DENY, addresses=(bytes(19),)), "address"),
        (replace(DENY, initiators=("nobody",)), "no user 'nobody'"),
    ],
)
def test_a_rule_that_could_never_match_or_never_be_met_is_refused(rule: Rule, match: str) -> None:
    why(with_rule(rule), match)


def test_an_approver_who_alone_may_propose_is_not_counted_among_her_approvers() -> None:
    ravi = replace(RAVI, proposal_keys=DESK.proposal_keys)
    people = (replace(DESK, proposal_keys=()), ravi, *(u for u in PLAIN.users if u.user_id not in ("desk", "ravi")))
    why(replace(PLAIN, users=people), "rule require-risk: 2 approvals of 1 eligible")


def test_what_a_workspace_does_not_hold_is_not_found() -> None:
    for look, name in ((user, "nobody"), (member, 9), (member, 0)):
        with pytest.raises(NotFound) as caught:
            look(PLAIN, name)  # type: ignore[operator]
        assert caught.value.reason is Reason.UNKNOWN_USER


def test_the_roster_gives_each_cosigners_identity() -> None:
    assert identities(PLAIN) == {index: identity(index).public for index in range(1, 6)}
    assert isinstance(member(PLAIN, 3), Member)


CHANGES: dict[str, Any] = {
    "name": "other", "version": 1, "parent": bytes(32), "created_at": 1, "rp_id": "x", "origins": (), "users": (),
    "roster": (), "address_book": (), "rules": (),
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_of_a_workspace_is_in_its_digest(field: str) -> None:
    assert set(CHANGES) == set(Workspace.__dataclass_fields__)  # type: ignore[attr-defined]
    assert workspace_digest(replace(PLAIN, **{field: CHANGES[field]})) != workspace_digest(PLAIN)
