"""The workspace that the attacks are against: its people, their keys and its rules. The only rule documents here.

What the rules come to is said a second time, in other words and without them, in `oracle`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from cosigner.hsm import Card
from oms.signer import ProposalSigner
from oms_core.chains.evm import native_asset
from oms_core.policy.rules import DAY, Action, Cap, Kind, Operator, Quorum, Requirement, Rule, Test, Unit
from oms_core.workspace import (
    AddressEntry,
    Asset,
    Assurance,
    ContractEntry,
    Direction,
    EntryState,
    Governance,
    Group,
    LogSettings,
    Member,
    Privilege,
    Role,
    User,
    WalletEntry,
    Workspace,
)
from tests.attack.coordinator.authenticator import AAGUID, Authenticator
from tests.folders import lasting
from tests.people import witness

NOW = 1_800_000_000
CHAIN, OTHER_CHAIN = "eip155:31337", "eip155:1"
COIN = native_asset(CHAIN)
TOKEN_ADDRESS = bytes.fromhex("71c7656ec7ab88b098defb751b7401b5f6d8976f")
TOKEN = f"{CHAIN}/erc20:0x71C7656EC7ab88b098defB751B7401B5f6d8976F"
KNOWN, OTHER = bytes.fromhex("11" * 20), bytes.fromhex("12" * 20)
SUSPENDED, DENIED, STRANGE = bytes.fromhex("21" * 20), bytes.fromhex("22" * 20), bytes.fromhex("33" * 20)
ROUTER, OLD_ROUTER = bytes.fromhex("44" * 20), bytes.fromhex("45" * 20)
DEPOSIT, DRAIN, MULTICALL = "deposit(uint256,address)", "drain(address)", "multicall(bytes[])"
WALLET, OTHER_WALLET = "wal_hot", "wal_cold"


@dataclass(frozen=True)
class Person:
    """A user of the workspace, by what the tables of `oracle` know about her."""

    human: str
    team: str
    roles: tuple[str, ...]
    enabled: bool = True
    bound: bool = False
    revoked: bool = False


PEOPLE: Mapping[str, Person] = {
    "ivan": Person("person-ivan", "markets", ("trader", "risk")),  # may propose, and approve what others propose
    "ravi": Person("person-ravi", "risk-zurich", ("risk",)),
    "ravi2": Person("person-ravi", "risk-toronto", ("risk",)),  # the same human in a second account
    "rosa": Person("person-rosa", "risk-zurich", ("risk",)),
    "olga": Person("person-olga", "risk-singapore", ("risk",)),
    "otto": Person("person-otto", "risk-toronto", ("risk",)),
    "dora": Person("person-dora", "risk-geneva", ("risk",), enabled=False),
    "lena": Person("person-lena", "risk-geneva", ("risk",), revoked=True),
    "sam": Person("person-sam", "security", ("security",), bound=True),
    "sonja": Person("person-sonja", "security", ("security",)),
    "saul": Person("person-saul", "security", ("security",)),
    "stan": Person("person-stan", "security", ("security",), revoked=True),
    "tara": Person("person-tara", "trading", ("trader",)),
}
MEMBERS = {
    "risk": ("ivan", "ravi", "ravi2", "rosa", "olga", "otto", "dora", "lena"),
    "security": ("sam", "sonja", "saul", "stan"),
}


@dataclass(frozen=True)
class Keys:
    """Everybody's keys, in memory. ``stranger`` is registered nowhere."""

    people: Mapping[str, Authenticator]
    desk: ProposalSigner
    ivan: ProposalSigner
    sam: ProposalSigner
    stranger: Authenticator


@cache
def keys() -> Keys:
    root = lasting("cs-world-")
    made = {
        name: Authenticator(Assurance.DEVICE_BOUND if one.bound else Assurance.SYNCED) for name, one in PEOPLE.items()
    }
    signers = (ProposalSigner.create(root / f"{name}.pem", f"{name}-1") for name in ("desk", "ivan", "sam"))
    return Keys(made, *signers, Authenticator())


def _user(name: str, one: Person) -> User:
    credential = keys().people[name].credential(one.revoked)
    proposes = {"ivan": (keys().ivan.public,), "sam": (keys().sam.public,)}.get(name, ())
    return User(name, one.human, name.title(), one.team, "site", one.roles, (credential,), proposes, one.enabled)


def _is(field: str, *values: int | str) -> Test:
    return Test(field, Operator.IS, values)


def _rule(
    rule_id: str, kind: Kind, *when: Test, caps: tuple[Cap, ...] = (), requirement: Requirement | None = None
) -> Rule:
    return Rule(rule_id, kind, "", "", when, None, caps, requirement, enabled=True, starts=0, ends=0)


def quorum(threshold: int, group: str, distinct_teams: bool = False, device_bound: bool = False) -> Quorum:
    return Quorum(threshold, (), (group,), (), distinct_teams, False, device_bound)


def asking(*quorums: Quorum, expires_in: int = 0, delay: int = 0) -> Requirement:
    return Requirement(quorums, (), overlap=False, expires_in=expires_in, delay=delay, cosigners=())


SPENDS = _is("action", Action.TRANSFER, Action.APPROVE)
RULES = (
    _rule(
        "permit-transfers",
        Kind.PERMIT,
        _is("action", Action.TRANSFER),
        _is("initiator.role", "trader"),
        _is("destination.type", "WHITELISTED"),
    ),
    _rule(
        "permit-deposits",
        Kind.PERMIT,
        _is("action", Action.CALL),
        _is("destination.entry", "router"),
        _is("method", DEPOSIT, MULTICALL),
    ),
    _rule("permit-allowances", Kind.PERMIT, _is("action", Action.APPROVE), _is("destination.entry", "router")),
    _rule(
        "require-risk",
        Kind.REQUIRE,
        _is("action", Action.TRANSFER, Action.APPROVE, Action.CALL),
        requirement=asking(quorum(2, "risk", distinct_teams=True), expires_in=3600),
    ),
    _rule(
        "require-security-for-large",
        Kind.REQUIRE,
        SPENDS,
        Test("amount", Operator.ABOVE, (500,)),
        requirement=asking(quorum(1, "security", device_bound=True)),
    ),
    _rule("limit-order", Kind.LIMIT, SPENDS, _is("fee", 0), caps=(Cap(Unit.BASE, 1000, 0, None, None, ()),)),
    _rule(
        "limit-day",
        Kind.LIMIT,
        _is("action", Action.TRANSFER, Action.APPROVE),
        _is("asset", TOKEN),
        caps=(Cap(Unit.BASE, 2000, DAY, None, None, ()),),
    ),
    _rule(
        "deny-denied",
        Kind.DENY,
        _is("destination.address", "0x" + "22" * 20),
    ),
    _rule("permit-keys", Kind.PERMIT, _is("action", Action.KEY_CREATE, Action.KEY_CHANGE, Action.KEY_SUSPEND)),
    _rule(
        "require-for-keys",
        Kind.REQUIRE,
        _is("action", Action.KEY_CREATE, Action.KEY_CHANGE, Action.KEY_SUSPEND),
        requirement=asking(quorum(2, "security")),
    ),
)


def workspace(cards: Iterable[Card]) -> Workspace:
    """The workspace, version 0, with these nodes in its roster."""
    every = ("*",)
    book = (("known", KNOWN), ("other", OTHER), ("denied", DENIED))
    contracts = (("router", ROUTER, EntryState.ACTIVE), ("old-router", OLD_ROUTER, EntryState.SUSPENDED))
    return Workspace(
        name="besieged",
        version=0,
        parent=b"",
        created_at=NOW - 70 * DAY,
        rp_id="localhost",
        origins=("http://localhost:8080",),
        aaguids=(AAGUID,),
        users=(
            User("desk", "service-desk", "Order desk", "trading", "site", ("trader",), (), (keys().desk.public,), True),
            *(_user(name, one) for name, one in PEOPLE.items()),
        ),
        roles=(
            Role("trader", (Privilege.READ, Privilege.PROPOSE_ORDERS), every),
            Role("risk", (Privilege.READ, Privilege.APPROVE_ORDERS), every),
            Role(
                "security",
                (
                    Privilege.APPROVE_ORDERS,
                    Privilege.PROPOSE_KEYS,
                    Privilege.APPROVE_KEYS,
                    Privilege.PROPOSE_CHANGES,
                    Privilege.APPROVE_CHANGES,
                ),
                every,
            ),
        ),
        groups=tuple(Group(name, members) for name, members in MEMBERS.items()),
        incompatible=(),
        roster=tuple(
            Member(
                one.index,
                f"node-{one.index}",
                f"op-{one.index}",
                f"team-{one.index}",
                f"site-{one.index}",
                one.identity,
                one.witness,
            )
            for one in cards
        ),
        wallets=(WalletEntry(WALLET, (), "hot"), WalletEntry(OTHER_WALLET, (), "cold")),
        assets=(Asset(COIN, "COIN", 18, ("native",), 0, b""), Asset(TOKEN, "USD", 6, ("stable",), 1_000_000, b"")),
        address_book=(
            *(
                AddressEntry(name, name.title(), CHAIN, address, (), EntryState.ACTIVE, NOW - 90 * DAY)
                for name, address in book
            ),
            AddressEntry("suspended", "Suspended", CHAIN, SUSPENDED, (), EntryState.SUSPENDED, NOW - 90 * DAY),
        ),
        contracts=tuple(
            ContractEntry(
                entry_id=name,
                label=name.title(),
                chain=CHAIN,
                address=address,
                protocol="vault",
                tags=(),
                code_hash=bytes([7]) * 32,
                methods=(DEPOSIT, DRAIN, MULTICALL),
                unwraps=(MULTICALL,),
                audit=bytes([8]) * 32,
                audited_at=NOW - 80 * DAY,
                max_open_severity=0,
                state=state,
                added_at=NOW - 90 * DAY,
                expires_at=0,
            )
            for name, address, state in contracts
        ),
        rules=RULES,
        governance=(
            Governance(Direction.TIGHTEN, asking(quorum(1, "security"))),
            Governance(Direction.LOOSEN, asking(quorum(2, "security"), delay=DAY)),
        ),
        distinct_operators=True,
        refusals_block_at=3,
        log=LogSettings("example.org/log", witness(0), 60, 86_400),
    )
