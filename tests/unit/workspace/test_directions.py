"""Every difference between two versions is seen, put in words, and called a loosening unless it provably is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

import pytest

from oms_core.policy.rules import Kind, Operator, Requirement, Rule
from oms_core.policy.rules import Test as Condition
from oms_core.workspace import (
    AddressEntry,
    Assurance,
    Direction,
    EntryState,
    Governance,
    Group,
    Incompatible,
    Privilege,
    Workspace,
    user,
)
from oms_core.workspace.parts import direction, parts
from oms_core.workspace.sentences import sentences
from tests.people import CHAIN, COIN, NOW, STRANGE, committee, following, keys, rules, workspace
from tests.unit.workspace.test_registry import ENTRY, ROUTER, USDC, WALLET

POOL = replace(ROUTER, entry_id="pool", label="Pool", address=b"\x55" * 20, expires_at=0)
PLAIN = replace(
    workspace(),
    aaguids=(b"a" * 16,),
    wallets=(WALLET,),
    assets=(*workspace().assets, USDC),
    address_book=(*workspace().address_book, ENTRY),
    contracts=(ROUTER, POOL),
)
LOOSEN, TIGHTEN = Direction.LOOSEN, Direction.TIGHTEN


def each(name: str, key: str, value: object, /, base: Workspace = PLAIN, **changes: object) -> Workspace:
    """With one entry of a list changed."""
    made = tuple(
        replace(one, **changes) if getattr(one, key) == value else one  # type: ignore[arg-type]
        for one in getattr(base, name)
    )
    return replace(base, **{name: made})  # type: ignore[arg-type]


def users(name: str, **changes: object) -> Workspace:
    return each("users", "user_id", name, **changes)


def without(name: str, at: int = -1) -> Workspace:
    """With one entry of a list taken away."""
    held = list(getattr(PLAIN, name))
    del held[at]
    return replace(PLAIN, **{name: tuple(held)})  # type: ignore[arg-type]


RAVI, DESK, ADAM = user(PLAIN, "ravi"), user(PLAIN, "desk"), user(PLAIN, "adam")
KEY, OTHER = RAVI.credentials[0], AddressEntry("e", "E", CHAIN, STRANGE, (), EntryState.ACTIVE, 1)
CASES: dict[str, tuple[Workspace, Direction, str]] = {
    "a new name": (replace(PLAIN, name="other"), LOOSEN, "name: other instead of tests"),
    "another relying party": (replace(PLAIN, rp_id="x"), LOOSEN, "rp_id"),
    "one more origin": (replace(PLAIN, origins=(*PLAIN.origins, "https://x")), LOOSEN, "origins: with https://x"),
    "an origin less": (replace(PLAIN, origins=()), TIGHTEN, "origins: without http://localhost:8080"),
    "any authenticator": (replace(PLAIN, aaguids=()), LOOSEN, "ANY model of authenticators"),
    "one more model": (replace(PLAIN, aaguids=(b"a" * 16, b"b" * 16)), LOOSEN, "aaguids: with 6262"),
    "another model": (replace(PLAIN, aaguids=(b"b" * 16,)), LOOSEN, "aaguids: without 6161"),
    "operators apart": (replace(PLAIN, distinct_operators=True), TIGHTEN, "No two cosigners of one operator"),
    "fewer refusals end an order": (replace(PLAIN, refusals_block_at=2), TIGHTEN, "2 refusals instead of 3"),
    "more refusals end an order": (replace(PLAIN, refusals_block_at=4), LOOSEN, "4 refusals instead of 3"),
    "a new user": (
        replace(PLAIN, users=(*PLAIN.users, replace(RAVI, user_id="new"))), LOOSEN, "users/new: added: Ravi (person"),
    "a user less": (without("users"), TIGHTEN, "users/carol: taken away"),
    "a user disabled": (users("ravi", enabled=False), TIGHTEN, "Ravi (ravi) is disabled"),
    "another person": (users("ravi", person_id="p"), LOOSEN, "users/ravi/person_id: p instead of person-ravi"),
    "another team": (users("ravi", team="x"), LOOSEN, "users/ravi/team: x instead of risk"),
    "another site": (users("ravi", site="x"), LOOSEN, "users/ravi/site: x instead of nothing"),
    "one more role": (users("ravi", roles=("risk", "security")), LOOSEN, "users/ravi/roles: with security"),
    "a role less": (users("ravi", roles=()), TIGHTEN, "users/ravi/roles: without risk"),
    "one more credential": (
        users("ravi", credentials=(KEY, keys().approvers["tara"].credential)), LOOSEN, "added: FIDO2 credential"),
    "a credential less": (users("ravi", credentials=()), TIGHTEN, "taken away: FIDO2 credential"),
    "a credential revoked": (users("ravi", credentials=(replace(KEY, revoked=True),)), TIGHTEN, "revoked: revoked"),
    "a credential called bound": (
        users("ravi", credentials=(replace(KEY, assurance=Assurance.DEVICE_BOUND),)), LOOSEN, "DEVICE_BOUND instead"),
    "one more proposal key": (users("ravi", proposal_keys=DESK.proposal_keys), LOOSEN, "proposal key desk-1 04"),
    "a proposal key less": (users("desk", proposal_keys=()), TIGHTEN, "taken away: proposal key desk-1 04"),
    "one more privilege": (
        each("roles", "role", "risk", may=(*PLAIN.roles[2].may, Privilege.APPROVE_KEYS)), LOOSEN, "with APPROVE_KEYS"),
    "a privilege less": (each("roles", "role", "risk", may=(Privilege.READ,)), TIGHTEN, "without APPROVE_ORDERS"),
    "a role for one wallet": (each("roles", "role", "risk", wallets=("wal_1",)), TIGHTEN, "instead of every wallet"),
    "a role less at all": (without("roles", 2), TIGHTEN, "roles/risk: taken away"),
    "one more member": (
        each("groups", "group_id", "risk", members=("ravi", "ravi2", "olga", "sam")), LOOSEN, "members: with sam"),
    "a member less": (each("groups", "group_id", "risk", members=("ravi", "ravi2")), TIGHTEN, "without olga"),
    "one more group": (replace(PLAIN, groups=(*PLAIN.groups, Group("x", ("ravi",)))), LOOSEN, "group x of ravi"),
    "a group less": (without("groups"), TIGHTEN, "groups/committee: taken away"),
    "roles kept apart": (
        replace(PLAIN, incompatible=(*PLAIN.incompatible, Incompatible("trader", "admin", "why"))),
        TIGHTEN, "nobody may hold trader and admin together: why"),
    "roles no more kept apart": (without("incompatible"), LOOSEN, "trader and risk may be held together"),
    "another cosigner": (each("roster", "index", 2, operator="x"), LOOSEN, "roster/2/operator: x instead of op-2"),
    "a cosigner less": (without("roster"), LOOSEN, "taken away: cosigner 5 node-5"),
    "a wallet less": (without("wallets"), LOOSEN, "taken away: wallet wal_1"),
    "a tier": (each("wallets", "wallet_id", "wal_1", tier="cold"), LOOSEN, "tier: cold instead of warm"),
    "an asset less": (without("assets"), TIGHTEN, "taken away: asset eip155"),
    "an asset more": (replace(PLAIN, assets=(*PLAIN.assets, replace(USDC, asset="x"))), LOOSEN, "added: asset x"),
    "a lower price": (each("assets", "asset", COIN, usd_micro=1), LOOSEN, "usd_micro: 1 instead of 3000000000"),
    "a higher price": (each("assets", "asset", COIN, usd_micro=1 << 40), LOOSEN, "usd_micro"),
    "code pinned": (each("assets", "asset", COIN, code_hash=b"h" * 32), TIGHTEN, "code 6868"),
    "code no more pinned": (each("assets", "asset", USDC.asset, code_hash=b""), LOOSEN, "code nothing instead of 0000"),
    "an address more": (
        replace(PLAIN, address_book=(*PLAIN.address_book, OTHER)), LOOSEN,
        "added: E (e) 0x3333333333333333333333333333333333333333 on eip155:31337, ACTIVE"),
    "an address less": (without("address_book"), TIGHTEN, "taken away: New (new)"),
    "an address suspended": (
        each("address_book", "entry_id", "new", state=EntryState.SUSPENDED), TIGHTEN, "New is SUSPENDED instead"),
    "another account": (each("address_book", "entry_id", "new", address=b"\x44" * 20), LOOSEN, "0x4444"),
    "another tag": (each("address_book", "entry_id", "new", tags=()), LOOSEN, "tags: without exchange"),
    "a contract less": (without("contracts"), TIGHTEN, "contracts/pool: taken away: Pool"),
    "a method less": (each("contracts", "entry_id", "router", methods=()), TIGHTEN, "methods: without swap("),
    "a wrapper less": (each("contracts", "entry_id", "router", unwraps=()), LOOSEN, "unwraps: without multicall("),
    "code changed": (each("contracts", "entry_id", "router", code_hash=b"h" * 32), LOOSEN, "code_hash: 6868"),
    "an earlier end": (each("contracts", "entry_id", "router", expires_at=NOW + 99), TIGHTEN, "Router expires"),
    "no end": (each("contracts", "entry_id", "router", expires_at=0), LOOSEN, "Router expires never instead of"),
    "governance": (
        replace(PLAIN, governance=(PLAIN.governance[0], Governance(LOOSEN, committee(3, 60)))), LOOSEN,
        "governance/LOOSEN/approvals: to LOOSEN: approvals: 3"),
    "another order": (replace(PLAIN, users=PLAIN.users[::-1]), LOOSEN, "users: in another order: carol"),
    "another order of rules": (replace(PLAIN, rules=PLAIN.rules[::-1]), LOOSEN, "rules: in another order"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_change_is_seen_with_its_direction_and_in_words(name: str) -> None:
    new, way, words = CASES[name]
    assert direction(PLAIN, new) is way
    assert any(words in f"{part.path}: {part.words}" for part in parts(PLAIN, new)), parts(PLAIN, new)
    assert any(words in line for line in sentences(PLAIN, new))


@pytest.mark.parametrize("name", [name for name, (_, way, _) in CASES.items() if way is TIGHTEN])
def test_the_converse_of_a_tightening_is_a_loosening(name: str) -> None:
    assert direction(CASES[name][0], PLAIN) is LOOSEN


def test_two_equal_versions_differ_in_nothing_but_their_number_and_time() -> None:
    assert parts(PLAIN, following(PLAIN, created_at=NOW + 5)) == ()


def bent(value: Any) -> Iterator[Any]:
    """The same with one thing changed, for each thing in it."""
    if isinstance(value, Enum):
        yield next(other for other in type(value) if other is not value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, str):
        yield value + "x"
    elif isinstance(value, bytes):
        yield value + b"x" if len(value) != 20 else bytes([value[0] ^ 1]) + value[1:]
    elif isinstance(value, tuple):
        if value:
            yield value[:-1]
        for at, one in enumerate(value):
            yield from ((*value[:at], other, *value[at + 1 :]) for other in bent(one))
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from (replace(value, **{field.name: other}) for other in bent(getattr(value, field.name)))


def test_nothing_can_change_unseen() -> None:
    """Each field of each document in the workspace, bent by itself, is a part of the change."""
    count = 0
    for field in fields(PLAIN):
        if field.name in ("version", "parent", "created_at", "rules"):
            continue
        for other in bent(getattr(PLAIN, field.name)):
            count += 1
            assert parts(PLAIN, replace(PLAIN, **{field.name: other})), field.name
    for rule in PLAIN.rules:
        for change in ({"rule_id": "x"}, {"owner": "x"}, {"starts": 1}, {"when": ()}, {"enabled": False}):
            assert parts(PLAIN, each("rules", "rule_id", rule.rule_id, **change)), change
    assert count > 200


# Rules.

PERMIT = "- rule: x\n  permit:\n  when: {action: [TRANSFER, CALL], amount.usd: at most 100}\n"
DENY = PERMIT.replace("permit", "deny")
LIMIT = "- rule: x\n  limit: [{usd: 10}, {usd: 100, every: 24h, per: [initiator]}]\n  when: {action: TRANSFER}\n"
ASK = "- rule: x\n  require: {approvals: 1, from groups: [risk, security]}\n  when: {amount.usd: above 100}\n"
BLIND = "- rule: blind\n  permit:\n  when: {action: CALL, opaque: yes}\n"
HOURS = "  during: {zone: UTC, days: [mon-fri], from: '09:00', to: '17:00'}\n"


def one(text: str) -> Rule:
    (made,) = rules(text)
    return made


def way_of(old: str, new: str) -> Direction:
    return direction(replace(PLAIN, rules=rules(old)), replace(PLAIN, rules=rules(new)))


@pytest.mark.parametrize(("text", "way"), [(PERMIT, LOOSEN), (DENY, TIGHTEN), (LIMIT, TIGHTEN), (ASK, TIGHTEN)])
def test_a_permit_loosens_when_it_comes_and_tightens_when_it_goes_and_others_the_other_way(
    text: str, way: Direction
) -> None:
    other = TIGHTEN if way is LOOSEN else LOOSEN
    off = text + "  enabled: no\n"
    assert (way_of("", text), way_of(text, "")) == (way, other)
    assert (way_of(off, text), way_of(text, off)) == (way, other)
    assert way_of("", off) is LOOSEN


NARROWER = {
    "one more test": lambda text: text.replace("{action", "{chain: 'eip155:1', action"),
    "fewer values": lambda text: text.replace("[TRANSFER, CALL]", "TRANSFER"),
    "a lower bound": lambda text: text.replace("at most 100", "at most 99"),
    "hours": lambda text: text + HOURS,
    "a start": lambda text: text + "  starts: 2030-01-01T00:00:00Z\n",
    "an end": lambda text: text + "  ends: 2030-01-01T00:00:00Z\n",
}


@pytest.mark.parametrize("name", NARROWER)
def test_a_rule_that_applies_to_less_permits_less_or_denies_less(name: str) -> None:
    narrow = NARROWER[name]
    assert narrow(PERMIT) != PERMIT
    assert (way_of(PERMIT, narrow(PERMIT)), way_of(narrow(PERMIT), PERMIT)) == (TIGHTEN, LOOSEN)
    assert (way_of(DENY, narrow(DENY)), way_of(narrow(DENY), DENY)) == (LOOSEN, TIGHTEN)


@pytest.mark.parametrize("old", [BLIND.replace(", opaque: yes", ""), BLIND.replace("yes", "[yes, no]")])
def test_a_permit_that_comes_to_ask_for_what_nobody_can_read_opens_it(old: str) -> None:
    assert way_of(old, BLIND) is LOOSEN
    assert way_of(BLIND, BLIND.replace("action: CALL", "action: CALL, initiator.role: trader")) is TIGHTEN
    assert way_of(old, BLIND + "  enabled: no\n") is TIGHTEN


@pytest.mark.parametrize(
    ("change", "way"),
    [
        (("09:00", "10:00"), TIGHTEN),
        (("17:00", "18:00"), LOOSEN),
        (("mon-fri", "mon"), TIGHTEN),
        (("'17:00'}", "'17:00', except: ['2030-01-01']}"), TIGHTEN),
        (("at most 100", "below 90"), LOOSEN),  # tighter, which is not proved
        (("at most 100", "above 100"), LOOSEN),
    ],
)
def test_other_changes_of_what_a_permit_speaks_of_tighten_only_if_that_is_proved(
    change: tuple[str, str], way: Direction
) -> None:
    text = PERMIT + HOURS
    assert change[0] in text
    assert way_of(text, text.replace(*change)) is way


@pytest.mark.parametrize(
    ("change", "way"),
    [
        (("usd: 100,", "usd: 99,"), TIGHTEN),
        (("usd: 100,", "usd: 101,"), LOOSEN),
        (("every: 24h", "every: 48h"), TIGHTEN),
        (("every: 24h", "every: 23h"), LOOSEN),
        ((", per: [initiator]", ""), TIGHTEN),
        (("[initiator]", "[initiator, source]"), LOOSEN),
        (("[{usd: 10}, ", "["), LOOSEN),
        (("[{usd: 10}, ", "[{usd: 10}, {count: 3}, "), TIGHTEN),
        (("every: 24h", "every: day, zone: UTC"), LOOSEN),
        (("{usd: 10}", "{count: 1}"), LOOSEN),
    ],
)
def test_a_limit_tightens_if_each_of_its_caps_is_kept_or_lowered(change: tuple[str, str], way: Direction) -> None:
    assert change[0] in LIMIT
    assert way_of(LIMIT, LIMIT.replace(*change)) is way


@pytest.mark.parametrize(
    ("change", "way"),
    [
        (("approvals: 1", "approvals: 2"), TIGHTEN),
        (("[risk, security]", "[risk]"), TIGHTEN),
        (("[risk, security]", "[risk, committee]"), LOOSEN),
        (("security]", "security], distinct teams: yes"), TIGHTEN),
        (("security]", "security], device bound: yes"), TIGHTEN),
        (("security]", "security], delay: 1h"), TIGHTEN),
        (("security]", "security], expires after: 1h"), TIGHTEN),
        (("security]", "security], cosigners: [1]"), TIGHTEN),
        (("security]", "security], overlap: yes"), LOOSEN),
        (("above 100", "above 50"), TIGHTEN),
        (("above 100", "above 150"), LOOSEN),
    ],
)
def test_a_requirement_tightens_if_whoever_meets_it_would_have_met_the_old_one(
    change: tuple[str, str], way: Direction
) -> None:
    new = ASK.replace(*change)
    assert change[0] in ASK
    assert way_of(ASK, new) is way
    assert way_of(new, ASK) is LOOSEN or way is LOOSEN


def test_two_quorums_are_not_replaced_by_one_and_alternatives_may_only_become_fewer() -> None:
    quorum = one(ASK).requirement.all_of[0]  # type: ignore[union-attr]
    smaller = replace(quorum, groups=("risk",))

    def way(old: tuple[Any, ...], new: tuple[Any, ...]) -> Direction:
        made = []
        for all_of, any_of in (old, new):
            rule = replace(one(ASK), requirement=Requirement(all_of, any_of, False, 0, 0, ()))
            made.append(replace(PLAIN, rules=(rule,)))
        return direction(*made)

    assert way(((quorum, quorum), ()), ((replace(quorum, threshold=2),), ())) is LOOSEN
    assert way(((quorum,), ()), ((smaller, quorum), ())) is TIGHTEN
    assert way(((), (quorum, smaller)), ((), (smaller,))) is TIGHTEN
    assert way(((), (smaller,)), ((), (quorum, smaller))) is LOOSEN
    assert way(((), (smaller,)), ((smaller,), ())) is LOOSEN
    assert way(((smaller,), ()), ((smaller,), (quorum,))) is TIGHTEN


@pytest.mark.parametrize("change", [{"description": "other"}, {"owner": "olga"}, {"kind": Kind.PERMIT}])
def test_other_words_or_another_kind_are_for_those_to_judge_who_may_loosen(change: dict[str, Any]) -> None:
    plain = one(DENY)
    assert direction(replace(PLAIN, rules=(plain,)), replace(PLAIN, rules=(replace(plain, **change),))) is LOOSEN


def test_a_test_on_several_values_that_is_no_membership_has_to_stay_as_it_is() -> None:
    odd = replace(one(PERMIT), when=(Condition("amount", Operator.ABOVE, (1, 2)),))
    more = replace(one(PERMIT), when=(Condition("amount", Operator.ABOVE, (1, 3)),))
    assert direction(replace(PLAIN, rules=(odd,)), replace(PLAIN, rules=(more,))) is LOOSEN


def test_a_person_with_several_parts_changed_has_each_of_them_shown() -> None:
    new = users("ravi", roles=("security",), enabled=False, team="x")
    found = {part.path: part.direction for part in parts(PLAIN, new)}
    assert found == {"users/ravi/team": LOOSEN, "users/ravi/enabled": TIGHTEN, "users/ravi/roles": TIGHTEN}


def test_the_sentences_say_what_stands_before_and_after_how_many_it_takes_and_what_it_breaks() -> None:
    new = following(CASES["a user disabled"][0])
    new = each("users", "user_id", "ravi2", base=new, enabled=False)
    lines = sentences(PLAIN, new)
    assert lines[0] == "Change workspace tests from version 0 to 1; it only tightens what is possible."
    assert "approvals: 1; from groups: [committee]" in lines[3]
    assert lines[-1].startswith("WARNING: after this, rule require-risk can be met by nobody: there are 1 of 2 people")
    assert all(line.isprintable() for line in lines)
    loosening = sentences(PLAIN, following(CASES["one more role"][0]))
    assert "it LOOSENS what is possible" in loosening[0]
    assert "approvals: 2; from groups: [committee]; delay: 1m" in loosening[3]
    assert loosening[4] == "It counts 1 minute after that."
    assert ADAM.user_id == "adam"
