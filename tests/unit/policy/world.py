"""A workspace, orders and operations in memory for tests of rules: no key signs anything here."""

from __future__ import annotations

from dataclasses import replace

from oms_core.chains.address import to_checksum
from oms_core.chains.intent import Bounds, CreateWallet, Intent, Transfer
from oms_core.chains.operations import Argument, Operation
from oms_core.policy.decision import Decision, Given
from oms_core.policy.facts import Facts, Observation, Provenance, Spend
from oms_core.policy.judge import judge_operations
from oms_core.policy.rules import DAY, Action, Cap, Kind, Operator, Per, Quorum, Requirement, Rule, Test, Unit
from oms_core.policy.spends import Judged
from oms_core.policy.text import rules_from_yaml
from oms_core.workspace import (
    AddressEntry,
    Asset,
    Assurance,
    ContractEntry,
    Credential,
    EntryState,
    Group,
    LogSettings,
    Member,
    Privilege,
    ProposalKey,
    Role,
    User,
    WalletEntry,
    Workspace,
)

NOW = 1_800_000_000  # 2027-01-15 08:00 UTC, a Friday
CHAIN = "eip155:1"
COIN, USDC, UNPRICED = f"{CHAIN}/slip44:60", f"{CHAIN}/erc20:0xA0b8", f"{CHAIN}/erc20:0xdead"
UNLISTED = f"{CHAIN}/erc20:0xbeef"
ETHER, DOLLAR = 10**18, 10**6
KRAKEN, FROZEN, ROUTER, STRANGER = (bytes.fromhex(byte * 20) for byte in ("11", "22", "33", "44"))
TEXT = {address: to_checksum(address) for address in (KRAKEN, FROZEN, ROUTER, STRANGER)}
SWAP = "swap(uint256,uint256,address,bytes)"

ASSETS = (
    Asset(COIN, "ETH", 18, ("native",), 3_000 * DOLLAR, b""),
    Asset(USDC, "USDC", 6, ("stable", "erc20"), DOLLAR, b""),
    Asset(UNPRICED, "ODD", 18, ("erc20",), 0, b""),
)


def person(user_id: str, role: str, team: str = "", site: str = "", human: str = "", synced: bool = False) -> User:
    kind = Assurance.SYNCED if synced else Assurance.DEVICE_BOUND
    key = Credential(user_id.encode(), b"", bytes(16), kind, b"", False)
    return User(
        user_id, human or f"p-{user_id}", user_id.title(), team or role, site or "zug", (role,), (key,), (), True
    )


PEOPLE = (
    person("ravi", "risk", "risk-a", "zug"),
    person("rosa", "risk", "risk-b", "zug"),
    person("remy", "risk", "risk-a", "rome"),
    person("ravi2", "risk", "risk-c", "rome", human="p-ravi"),
    person("sync", "risk", "risk-d", "oslo", synced=True),
    person("cleo", "chief"),
    person("sam", "security"),
    person("sonja", "security"),
)
DESK = User("desk", "p-dora", "Desk", "trading", "zug", ("trader",), (), (ProposalKey("desk-1", b"k"),), True)
TARA = replace(person("tara", "trader", "trading"), proposal_keys=(ProposalKey("tara-1", b"t"),))


def workspace(*rules: Rule, **changes: object) -> Workspace:
    made = Workspace(
        name="tests",
        version=0,
        parent=b"",
        created_at=NOW - 100 * DAY,
        rp_id="localhost",
        origins=("http://localhost:8080",),
        aaguids=(),
        users=(DESK, TARA, *PEOPLE),
        roles=(
            Role("trader", (Privilege.PROPOSE_ORDERS, Privilege.PROPOSE_KEYS), ("*",)),
            Role("risk", (Privilege.APPROVE_ORDERS,), ("*",)),
            Role("chief", (Privilege.APPROVE_ORDERS, Privilege.APPROVE_KEYS), ("*",)),
            Role("security", (Privilege.APPROVE_KEYS,), ("*",)),
        ),
        groups=(
            Group("risk", ("ravi", "rosa", "remy", "ravi2", "sync")),
            Group("chiefs", ("cleo", "ravi")),
            Group("traders", ("desk", "tara")),
        ),
        incompatible=(),
        roster=tuple(Member(i, f"node-{i}", f"op-{i}", f"team-{i}", f"site-{i}", b"", b"") for i in range(1, 6)),
        wallets=(WalletEntry("wal_hot", ("trading",), "hot"), WalletEntry("wal_cold", (), "cold")),
        assets=ASSETS,
        address_book=(
            AddressEntry("kraken", "Kraken", CHAIN, KRAKEN, ("exchange",), EntryState.ACTIVE, NOW - 10 * DAY),
            AddressEntry("frozen", "Frozen", CHAIN, FROZEN, (), EntryState.SUSPENDED, NOW - DAY),
        ),
        contracts=(
            ContractEntry(
                "router", "Router", CHAIN, ROUTER, "uniswap", ("dex",), b"c" * 32, (SWAP,), (), b"a" * 32,
                NOW - 30 * DAY, 2, EntryState.ACTIVE, NOW - 20 * DAY, 0,
            ),
        ),
        rules=rules,
        governance=(),
        distinct_operators=False,
        refusals_block_at=3,
        log=LogSettings("example.org/log", b"", 60, 86_400),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def intent(**changes: object) -> Intent:
    plain = Intent(
        intent_id="int_1",
        wallet_id="wal_hot",
        path=(0, 7),
        chain=CHAIN,
        action=Transfer(COIN, KRAKEN, ETHER),
        bounds=Bounds(0, 100_000),
        initiator="desk",
        purpose="rebalance",
        valid_from=NOW - 10,
        valid_until=NOW + 1000,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def wish(**changes: object) -> CreateWallet:
    plain = CreateWallet("wal_new", "New", 3, (1, 2, 3, 4, 5), "L112", "desk", "", NOW - 10, NOW + 1000)
    return replace(plain, **changes)  # type: ignore[arg-type]


_PLAIN = Operation(Action.CALL, CHAIN, b"", b"", "", 0, False, 0, "", (), 0, False, False)


def pay(amount: int = ETHER, to: bytes = KRAKEN, **changes: object) -> Operation:
    made = replace(_PLAIN, action=Action.TRANSFER, target=to, counterparty=to, asset=COIN, amount=amount, value=amount)
    return replace(made, **changes)  # type: ignore[arg-type]


def token(amount: int = 100 * DOLLAR, to: bytes = KRAKEN, asset: str = USDC, **changes: object) -> Operation:
    method = "transfer(address,uint256)"
    made = replace(_PLAIN, action=Action.TRANSFER, target=b"\x55" * 20, counterparty=to, asset=asset, amount=amount)
    return replace(made, method=method, **changes)  # type: ignore[arg-type]


def allow(amount: int = 100 * DOLLAR, spender: bytes = ROUTER, asset: str = USDC, **changes: object) -> Operation:
    made = token(amount, spender, asset, action=Action.APPROVE)
    return replace(made, method="approve(address,uint256)", **changes)  # type: ignore[arg-type]


def call(value: int = 0, to: bytes = ROUTER, **changes: object) -> Operation:
    arguments = (
        Argument("0", "uint256", 5),
        Argument("1[0]", "address", TEXT[KRAKEN]),
        Argument("1[1]", "address", TEXT[ROUTER]),
        Argument("2.0", "bool", 1),
    )
    made = replace(_PLAIN, target=to, counterparty=to, value=value, method=SWAP, arguments=arguments)
    return replace(made, **changes)  # type: ignore[arg-type]


MESSAGE = replace(_PLAIN, action=Action.MESSAGE)
OPAQUE = replace(_PLAIN, target=ROUTER, counterparty=ROUTER, opaque=True)


def rule(rule_id: str, kind: Kind, *when: Test, **changes: object) -> Rule:
    plain = Rule(rule_id, kind, "", "", when, None, (), None, True, 0, 0)
    return replace(plain, **changes)  # type: ignore[arg-type]


def permit(*when: Test, rule_id: str = "permit") -> Rule:
    return rule(rule_id, Kind.PERMIT, *when)


def deny(*when: Test, rule_id: str = "deny") -> Rule:
    return rule(rule_id, Kind.DENY, *when)


def limit(*caps: Cap, when: tuple[Test, ...] = (), rule_id: str = "limit") -> Rule:
    return rule(rule_id, Kind.LIMIT, *when, caps=caps)


def require(
    *all_of: Quorum, when: tuple[Test, ...] = (), rule_id: str = "require", any_of: tuple[Quorum, ...] = (),
    overlap: bool = False, expires_in: int = 0, delay: int = 0, cosigners: tuple[int, ...] = (),
) -> Rule:  # fmt: skip
    asked = Requirement(all_of, any_of, overlap, expires_in, delay, cosigners)
    return rule(rule_id, Kind.REQUIRE, *when, requirement=asked)


def quorum(threshold: int, *groups: str, **changes: object) -> Quorum:
    plain = Quorum(threshold, (), groups, (), False, False, False)
    return replace(plain, **changes)  # type: ignore[arg-type]


def usd(maximum: int, seconds: int = 0, *per: Per) -> Cap:
    """A cap in whole USD."""
    return Cap(Unit.USD, maximum * DOLLAR, seconds, None, None, per)


def test(field: str, operator: Operator, *values: int | str) -> Test:
    return Test(field, operator, values)


test.__test__ = False  # type: ignore[attr-defined]


def given(*names: str, at: int = NOW, kind: Assurance = Assurance.DEVICE_BOUND) -> tuple[Given, ...]:
    return tuple(Given(name, kind, at) for name in names)


def spent(usd_amount: int, at: int = NOW - 60, **changes: object) -> Spend:
    """Earlier spending of USDC, worth as many USD, by another order."""
    amount = usd_amount * DOLLAR
    plain = Spend(b"s" * 32, 0, Action.TRANSFER, "wal_hot", "desk", CHAIN, KRAKEN, "", USDC, amount, amount, at)
    return replace(plain, **changes)  # type: ignore[arg-type]


def observed(name: str, value: int | str, provenance: Provenance = Provenance.OWN, operation: int = -1) -> Observation:
    return Observation(name, operation, value, provenance)


def decide(
    rules: tuple[Rule, ...] | list[Rule] | str,
    *operations: Operation,
    subject: Judged | None = None,
    facts: Facts | None = None,
    approvers: tuple[Given, ...] = (),
    **changes: object,
) -> Decision:
    """What rules, written as documents or in YAML, say about operations (a transfer of 1 ETH if there are none)."""
    made = rules_from_yaml(rules, ASSETS) if isinstance(rules, str) else tuple(rules)
    under = workspace(*made, **changes)
    return judge_operations(under, subject or intent(), operations or (pay(),), facts or Facts(NOW), approvers)
