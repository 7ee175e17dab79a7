"""Who and what there is in a development network: people, cosigners, assets, addresses, contracts, and the rules."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from oms.authenticator import SoftwareAuthenticator
from oms.devnet.contracts import Deployed
from oms.signer import ProposalSigner
from oms_core.chains.evm import native_asset
from oms_core.encoding import encode
from oms_core.policy.rules import Quorum, Requirement
from oms_core.policy.text import rules_from_yaml
from oms_core.workspace import (
    AddressEntry,
    Asset,
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
    Workspace,
)
from oms_core.workspace.check import check_workspace
from oms_core.workspace.roles import incompatible, roles

ETHER = 10**18
RP_ID, ORIGIN = "localhost", "http://localhost:8080"
SITES = ("Zurich", "Singapore", "Reykjavik", "Toronto", "Montevideo")
KRAKEN = bytes.fromhex("28c6c06298d514db089934071355e5743bf21d60")
COLD = bytes.fromhex("be0eb53f46cd790cd13851d5eff43d12404d33e8")
SANCTIONED = bytes.fromhex("098b716b8aaf21512996dc57eb0615e2383e2f96")
PEOPLE = {  # user id: name, team, roles
    "tara": ("Tara Trader", "trading", ("TRADER",)),
    "paula": ("Paula Portfolio", "portfolio", ("PORTFOLIO_MANAGER",)),
    "ravi": ("Ravi Risk", "risk", ("RISK_OFFICER",)),
    "olga": ("Olga Operations", "operations", ("RISK_OFFICER",)),
    "carol": ("Carol Chief", "risk", ("CRO",)),
    "sam": ("Sam Security", "security", ("SECURITY_COMMITTEE",)),
    "sonja": ("Sonja Security", "security", ("SECURITY_COMMITTEE",)),
    "adam": ("Adam Admin", "administration", ("POLICY_ADMIN",)),
    "alice": ("Alice Admin", "administration", ("POLICY_ADMIN",)),
    "dora": ("Dora Director", "board", ("POLICY_ADMIN",)),
    "ulf": ("Ulf Auditor", "audit", ("AUDITOR",)),
}
ANCHOR, ANCHOR_WALLET = "anchor", "wal_anchor"  # the service that anchors the log, and the wallet that is there for it
PROPOSERS = ("tara", "adam", "alice")  # who have a proposal key besides the order desk
ROLES = (
    "TRADER", "PORTFOLIO_MANAGER", "RISK_OFFICER", "CRO", "SECURITY_COMMITTEE", "COSIGNER_OPERATOR", "POLICY_ADMIN",
    "AUDITOR",
)  # fmt: skip
WETH_METHODS = ("deposit()", "withdraw(uint256)")
ANCHOR_METHODS = ("anchor(bytes32,uint64)",)
ROUTER_METHODS = (
    "swapExactETHForTokens(uint256,address[],address,uint256)",
    "swapExactTokensForETH(uint256,uint256,address[],address,uint256)",
    "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
    "addLiquidityETH(address,uint256,uint256,uint256,address,uint256)",
)


def people(root: Path) -> tuple[User, ...]:
    """Users with fresh (software) keys in ``root``/people, and the order desk, which is a service."""
    folder, made = root / "people", list[User]()
    for user_id, (name, team, held) in PEOPLE.items():
        credential = SoftwareAuthenticator.create(folder / f"{user_id}.json", RP_ID).credential
        proposer = user_id in PROPOSERS
        keys = (ProposalSigner.create(folder / f"{user_id}.pem", f"{user_id}-1").public,) if proposer else ()
        made.append(User(user_id, f"person-{user_id}", name, team, "", held, (credential,), keys, enabled=True))
    desk = ProposalSigner.create(folder / "desk.pem", "desk-1").public
    both = ("TRADER", "COSIGNER_OPERATOR")
    anchor = ProposalSigner.create(folder / f"{ANCHOR}.pem", f"{ANCHOR}-1").public
    return (
        *made,
        User("desk", "service-desk", "Order desk", "trading", "", both, (), (desk,), enabled=True),
        User(ANCHOR, "service-anchor", "Log anchor", "log", "", ("ANCHORER",), (), (anchor,), enabled=True),
    )


def workspace(
    root: Path,
    cards: Mapping[int, tuple[bytes, bytes]],
    chain: str,
    contracts: Mapping[str, Deployed],
    delay: int,
    log: LogSettings,
) -> Workspace:
    """Version 0. ``cards`` are the cosigners' identity and witness keys; a loosening change waits ``delay`` seconds."""
    now = int(time.time())
    assets = _assets(chain, contracts)
    made = Workspace(
        name="devnet",
        version=0,
        parent=b"",
        created_at=now,
        rp_id=RP_ID,
        origins=(ORIGIN,),
        aaguids=(),
        users=people(root),
        roles=(*roles(ROLES), Role("ANCHORER", (Privilege.READ, Privilege.PROPOSE_ORDERS), (ANCHOR_WALLET,))),
        groups=(
            Group("risk", ("ravi", "olga", "carol")),
            Group("cro", ("carol",)),
            Group("security", ("sam", "sonja")),
            Group("committee", ("adam", "alice", "dora")),
        ),
        incompatible=incompatible(ROLES),
        roster=tuple(
            Member(i, SITES[i - 1].lower(), f"operator-{i}", f"team-{i}", SITES[i - 1], *cards[i])
            for i in sorted(cards)
        ),
        wallets=(),
        assets=assets,
        address_book=(
            AddressEntry("kraken-hot", "Kraken hot wallet", chain, KRAKEN, ("exchange",), EntryState.ACTIVE, now),
            AddressEntry("cold-vault", "Cold vault", chain, COLD, ("own",), EntryState.ACTIVE, now),
        ),
        contracts=(
            _contract("weth", "Wrapped Ether", "weth", chain, contracts["weth"], WETH_METHODS, now),
            _contract(
                "uniswap-router", "Uniswap V2 router", "uniswap", chain, contracts["router"], ROUTER_METHODS, now
            ),
            _contract("log-anchor", "Anchors of the log", "anchor", chain, contracts["anchor"], ANCHOR_METHODS, now),
        ),
        rules=rules_from_yaml(Path(__file__).with_name("rules.yaml").read_text(), assets),
        governance=(
            Governance(Direction.TIGHTEN, _committee(1, 0)),
            Governance(Direction.LOOSEN, _committee(2, delay)),
        ),
        distinct_operators=True,
        refusals_block_at=3,
        log=log,
    )
    check_workspace(made)
    (root / "workspace.cbor").write_bytes(encode(made))
    return made


def _assets(chain: str, contracts: Mapping[str, Deployed]) -> tuple[Asset, ...]:
    usdc, weth = contracts["usdc"], contracts["weth"]
    return (
        Asset(native_asset(chain), "ETH", 18, ("coin",), 2_500 * 10**6, b""),
        Asset(f"{chain}/erc20:0x{usdc.address.hex()}", "USDC", 6, ("stable",), 10**6, usdc.code_hash),
        Asset(f"{chain}/erc20:0x{weth.address.hex()}", "WETH", 18, ("coin",), 2_500 * 10**6, weth.code_hash),
    )


def _contract(
    entry_id: str, label: str, protocol: str, chain: str, deployed: Deployed, methods: tuple[str, ...], now: int
) -> ContractEntry:
    return ContractEntry(
        entry_id=entry_id,
        label=label,
        chain=chain,
        address=deployed.address,
        protocol=protocol,
        tags=(),
        code_hash=deployed.code_hash,
        methods=methods,
        unwraps=(),
        audit=b"",
        audited_at=0,
        max_open_severity=0,
        state=EntryState.ACTIVE,
        added_at=now,
        expires_at=0,
    )


def _committee(threshold: int, delay: int) -> Requirement:
    quorum = Quorum(
        threshold=threshold,
        users=(),
        groups=("committee",),
        roles=(),
        distinct_teams=False,
        distinct_sites=False,
        device_bound=False,
    )
    return Requirement((quorum,), (), overlap=False, expires_in=0, delay=delay, cosigners=())
