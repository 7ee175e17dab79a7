"""A workspace decides nothing before everything in it holds: each thing that may be wrong, refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oms_core.chains.known import entry_on
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, NotFound, Reason
from oms_core.workspace import (
    Credential,
    Incompatible,
    LogSettings,
    Member,
    ProposalKey,
    User,
    Workspace,
    identities,
    member,
    user,
    workspace_digest,
)
from oms_core.workspace.check import check_workspace
from tests.parties import identity
from tests.people import CHAIN, KNOWN, keys, person, workspace

PLAIN = workspace()
DESK, RAVI = user(PLAIN, "desk"), user(PLAIN, "ravi")


def why(bad: Workspace, match: str) -> Reason:
    with pytest.raises(Malformed, match=match) as caught:
        check_workspace(bad)
    return caught.value.reason


def with_user(changed: User, base: Workspace = PLAIN) -> Workspace:
    """With one more user, or another one under the same id."""
    others = tuple(one for one in base.users if one.user_id != changed.user_id)
    return replace(base, users=(*others, changed))


def with_member(**changes: object) -> Workspace:
    return replace(PLAIN, roster=(replace(PLAIN.roster[0], **changes), *PLAIN.roster[1:]))  # type: ignore[arg-type]


def with_role(name: str, **changes: object) -> Workspace:
    roles = [replace(role, **changes) if role.role == name else role for role in PLAIN.roles]  # type: ignore[arg-type]
    return replace(PLAIN, roles=tuple(roles))


def with_group(name: str, *members: str) -> Workspace:
    groups = [replace(group, members=members) if group.group_id == name else group for group in PLAIN.groups]
    return replace(PLAIN, groups=tuple(groups))


def test_a_good_workspace_passes_and_survives_its_encoding() -> None:
    check_workspace(PLAIN)
    check_workspace(with_user(person("ravi", "risk")))
    assert decode(Workspace, encode(PLAIN)) == PLAIN


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
        ({"origins": PLAIN.origins * 2}, "origins are not unique"),
        ({"aaguids": (bytes(15),)}, "aaguids have 16 bytes"),
        ({"aaguids": (bytes(16), bytes(16))}, "aaguids are not unique"),
        ({"users": ()}, "users"),
        ({"roster": ()}, "2 to 256 cosigners"),
        ({"roster": PLAIN.roster[:1]}, "2 to 256 cosigners"),
        ({"roster": PLAIN.roster[1:]}, "indices 1 to n"),
        ({"roster": tuple(reversed(PLAIN.roster))}, "indices 1 to n"),
        ({"roster": (*PLAIN.roster, PLAIN.roster[4])}, "indices 1 to n"),
        ({"users": (*PLAIN.users, RAVI)}, "user ids are not unique"),
        ({"roles": (*PLAIN.roles, PLAIN.roles[0])}, "roles are not unique"),
        ({"groups": (*PLAIN.groups, PLAIN.groups[0])}, "groups are not unique"),
        ({"incompatible": PLAIN.incompatible * 2}, "each pair once"),
        ({"address_book": (*PLAIN.address_book, PLAIN.address_book[0])}, "entry ids are not unique"),
        ({"rules": (*PLAIN.rules, PLAIN.rules[0])}, "rule ids are not unique"),
        ({"rules": (replace(PLAIN.rules[0], rule_id="a b"),)}, "rule_id"),
        ({"rules": (replace(PLAIN.rules[0], description="x" * 281),)}, "rule permit-book: description"),
        ({"rules": (replace(PLAIN.rules[0], owner="\u202eravi"),)}, "rule permit-book: owner"),
        ({"refusals_block_at": 0}, "refusals_block_at"),
        ({"refusals_block_at": 6}, "refusals_block_at"),
    ],
)
def test_a_workspace_with_a_part_out_of_shape_is_refused(changes: dict[str, Any], match: str) -> None:
    why(replace(PLAIN, **changes), match)


def test_more_of_anything_than_nodes_can_look_through_is_refused() -> None:
    crowd = tuple(replace(RAVI, user_id=f"u{number}", credentials=()) for number in range(2001))
    assert why(replace(PLAIN, users=crowd), "users: more than 2000") is Reason.TOO_LARGE


def test_cosigners_that_all_have_one_operator_cannot_be_asked_to_differ_in_it() -> None:
    roster = tuple(replace(one, operator="op") for one in PLAIN.roster)
    check_workspace(replace(PLAIN, roster=roster))
    why(replace(PLAIN, roster=roster, distinct_operators=True), "distinct_operators")
    check_workspace(replace(PLAIN, distinct_operators=True))


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
        (replace(BARE, user_id=""), "user_id"),
        (replace(BARE, user_id="a b"), "user_id"),
        (replace(BARE, user_id="раvi"), "user_id"),
        (replace(BARE, user_id="OLGA"), "user ids 'OLGA' and 'olga' look alike|'olga' and 'OLGA' look alike"),
        (replace(BARE, user_id="o1ga"), "look alike"),
        (replace(RAVI, person_id=""), "person_id"),
        (replace(RAVI, person_id="Person-olga"), "person ids .* look alike"),
        (replace(RAVI, name="Ravi\u202e"), "name"),
        (replace(RAVI, name="Rаvi"), "name"),
        (replace(RAVI, name="x" * 65), "name"),
        (replace(RAVI, name="0lga"), "names .* look alike"),
        (replace(RAVI, name="Olga"), "names of different people are not unique"),
        (replace(RAVI, team="risk\n"), "team"),
        (replace(RAVI, team="Risk"), "teams .* look alike"),
        (replace(RAVI, site="a\tb"), "site"),
        (replace(RAVI, roles=("risk", "")), "user ravi: roles: there is no ''"),
        (replace(RAVI, roles=("chief",)), "user ravi: roles: there is no 'chief'"),
        (replace(RAVI, roles=("risk", "risk")), "user ravi: roles are not unique"),
        (replace(RAVI, credentials=(CREDENTIAL, replace(CREDENTIAL, credential_id=b"2"))), "credentials' public keys"),
        (
            replace(RAVI, credentials=(replace(CREDENTIAL, credential_id=b""),)),
            "user ravi: credentials: a credential id",
        ),
        (replace(RAVI, credentials=(replace(CREDENTIAL, credential_id=bytes(1024)),)), "credential id"),
        (replace(RAVI, credentials=(replace(CREDENTIAL, aaguid=bytes(15)),)), "AAGUID"),
        (replace(RAVI, credentials=(replace(CREDENTIAL, attestation=bytes(31)),)), "attestation"),
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


@pytest.mark.parametrize("other", [{"credential_id": CREDENTIAL.credential_id}, {"public_key": CREDENTIAL.public_key}])
def test_a_credential_that_two_people_share_is_refused(other: dict[str, bytes]) -> None:
    olga = user(PLAIN, "olga")
    shared = replace(olga, credentials=(*olga.credentials, replace(keys().approvers["tara"].credential, **other)))
    without = with_user(replace(user(PLAIN, "tara"), credentials=()))
    assert why(with_user(shared, without), "credential.* are not unique") is Reason.DUPLICATE_PERSON


def test_a_person_may_have_two_users_under_one_name_but_no_one_else_may_have_it() -> None:
    assert {user(PLAIN, "ravi").name, user(PLAIN, "ravi2").name} == {"Ravi"}
    why(with_user(replace(user(PLAIN, "ravi2"), person_id="person-other")), "names of different people")


def test_only_listed_models_of_authenticators_are_taken_unless_revoked() -> None:
    soft = CREDENTIAL.aaguid
    check_workspace(replace(PLAIN, aaguids=(soft,)))
    why(replace(PLAIN, aaguids=(bytes(16),)), "aaguid 636f756e.* is not in the list")
    strange = replace(CREDENTIAL, aaguid=bytes(16))
    why(
        replace(with_user(replace(RAVI, credentials=(strange,))), aaguids=(soft,)),
        "user ravi: credentials: aaguid 0000",
    )
    gone = with_user(replace(RAVI, credentials=(replace(strange, revoked=True),)))
    check_workspace(replace(gone, aaguids=(soft,)))


def test_a_service_has_no_credentials_and_no_role_that_approves() -> None:
    spare: Credential = keys().approvers["tara"].credential
    without = with_user(replace(user(PLAIN, "tara"), credentials=()))
    why(with_user(replace(DESK, credentials=(spare,)), without), "user desk: credentials: a service has none")
    reason = why(with_user(replace(DESK, roles=("trader", "security"))), "user desk: roles: security approves")
    assert reason is Reason.NOT_ELIGIBLE


def test_a_disabled_user_stays_with_all_that_she_had() -> None:
    check_workspace(with_user(replace(user(PLAIN, "tara"), enabled=False)))
    check_workspace(with_user(replace(RAVI, enabled=False)))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"may": ()}, "role risk: it says what it may"),
        ({"wallets": ()}, "role risk: it says what it may, and where"),
        ({"wallets": ("*", "wal_1")}, "role risk: wallets are \\* alone"),
        ({"wallets": ("treasury",)}, "role risk: wallets"),
        ({"may": PLAIN.roles[2].may * 2}, "role risk: may are not unique"),
        ({"role": "ris k "[:4]}, "roles: there is no 'risk'"),
        ({"role": "trаder"}, "role"),
        ({"role": "TRADER"}, "roles .* look alike"),
    ],
)
def test_a_role_with_a_part_out_of_shape_is_refused(changes: dict[str, object], match: str) -> None:
    why(with_role("risk", **changes), match)


def test_who_may_change_the_workspace_may_do_so_for_no_wallet_in_particular() -> None:
    why(with_role("admin", wallets=("wal_1",)), "role admin: wallets: changes of the workspace concern no wallet")


@pytest.mark.parametrize(
    ("members", "match", "reason"),
    [
        ((), "group risk: members: nobody", Reason.MALFORMED),
        (("ravi", "ravi"), "group risk: members are not unique", Reason.MALFORMED),
        (("ravi", "nobody"), "group risk: members: there is no 'nobody'", Reason.UNKNOWN_USER),
    ],
)
def test_a_group_without_members_or_with_strangers_is_refused(
    members: tuple[str, ...], match: str, reason: Reason
) -> None:
    assert why(with_group("risk", *members), match) is reason


def test_roles_that_are_incompatible_are_not_held_by_one_person_even_as_two_users() -> None:
    both = replace(user(PLAIN, "ravi2"), roles=("trader",))
    reason = why(with_user(both), "incompatible trader and risk: person-ravi holds both")
    assert reason is Reason.INCOMPATIBLE_ROLES
    check_workspace(with_user(replace(both, enabled=False)))
    check_workspace(with_user(replace(both, person_id="person-other", name="Other")))


@pytest.mark.parametrize(
    ("pair", "match"),
    [
        (Incompatible("trader", "trader", "why"), "two different roles"),
        (Incompatible("risk", "trader", "again"), "each pair once"),
        (Incompatible("trader", "chief", "why"), "there is no 'chief'"),
        (Incompatible("trader", "admin", ""), "why"),
    ],
)
def test_a_pair_of_roles_out_of_shape_is_refused(pair: Incompatible, match: str) -> None:
    why(replace(PLAIN, incompatible=(*PLAIN.incompatible, pair)), match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": ""}, "roster's name"),
        ({"name": "NODE-2"}, "cosigner names .* look alike"),
        ({"identity": PLAIN.roster[1].identity}, "cosigner identities are not unique"),
        ({"identity": bytes(65)}, "P-256"),
        ({"identity": b"\x04" + b"\x01" * 64}, "P-256"),
        ({"operator": ""}, "cosigner 1: operator"),
        ({"operator": "0p-2"}, "operators .* look alike"),
        ({"team": "x" * 65}, "cosigner 1: team"),
        ({"site": "Zurich\u202e"}, "cosigner 1: site"),
        ({"site": "Zürich"}, "cosigner 1: site"),
    ],
)
def test_a_cosigner_with_a_part_out_of_shape_is_refused(changes: dict[str, object], match: str) -> None:
    why(with_member(**changes), match)


def test_the_same_account_on_another_chain_is_another_entry() -> None:
    other = replace(PLAIN.address_book[0], entry_id="there", label="There", chain="eip155:1")
    book = replace(PLAIN, address_book=(*PLAIN.address_book, other))
    check_workspace(book)
    assert entry_on(book, CHAIN, KNOWN) == PLAIN.address_book[0]
    assert entry_on(book, "eip155:1", KNOWN) == other
    assert entry_on(book, "eip155:10", KNOWN) is None


def test_what_a_workspace_does_not_hold_is_not_found() -> None:
    for look, name in ((user, "nobody"), (member, 9), (member, 0)):
        with pytest.raises(NotFound) as caught:
            look(PLAIN, name)  # type: ignore[operator]
        assert caught.value.reason is Reason.UNKNOWN_USER


def test_the_roster_gives_each_cosigners_identity() -> None:
    assert identities(PLAIN) == {index: identity(index).public for index in range(1, 6)}
    assert isinstance(member(PLAIN, 3), Member)


CHANGES: dict[str, Any] = {
    "name": "other", "version": 1, "parent": bytes(32), "created_at": 1, "rp_id": "x", "origins": (),
    "aaguids": (bytes(16),), "users": (), "roles": (), "groups": (), "incompatible": (), "roster": (),
    "wallets": (None,), "assets": (), "address_book": (), "contracts": (None,), "rules": (), "governance": (),
    "distinct_operators": True, "refusals_block_at": 5, "log": LogSettings("example.org/other", b"", 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_of_a_workspace_is_in_its_digest(field: str) -> None:
    assert set(CHANGES) == set(Workspace.__dataclass_fields__)  # type: ignore[attr-defined]
    assert workspace_digest(replace(PLAIN, **{field: CHANGES[field]})) != workspace_digest(PLAIN)
