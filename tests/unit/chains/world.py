"""A workspace with tokens and contracts, and orders in it, for tests of what orders do and how they read."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

from oms_core.chains.abi import method
from oms_core.chains.address import to_checksum
from oms_core.chains.intent import Bounds, Call, Execution, Intent, TypedData, What
from oms_core.workspace import AddressEntry, Asset, ContractEntry, EntryState, LogSettings, Member, User, Workspace

NOW = 1_800_000_000
CHAIN, COIN = "eip155:31337", "eip155:31337/slip44:60"
KNOWN, STRANGE = bytes.fromhex("11" * 20), bytes.fromhex("33" * 20)
TOKEN, NFT, ITEMS, WETH = (bytes.fromhex(f"{n:02x}" * 20) for n in (0xA0, 0xA1, 0xA2, 0xA3))
ROUTER, PERMIT2, UNIVERSAL, MULTICALL, SAFE, MULTISEND, ENTRY = (
    bytes.fromhex(f"{n:02x}" * 20) for n in range(0xB0, 0xB7)
)
USDC, ART, GAMES, WRAPPED = (
    f"{CHAIN}/{kind}:{to_checksum(a)}"
    for kind, a in (("erc20", TOKEN), ("erc721", NFT), ("erc1155", ITEMS), ("erc20", WETH))
)
DEAD = b"\x33" * 20
NODE_MODULES = Path(__file__).parents[3] / "node_modules"
EXECUTION = Execution(2, 7, 90_000, 10**9, 10**8, ())

SWAP = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
PERMIT2_METHODS = (
    "approve(address,address,uint160,uint48)",
    "permit(address,((address,uint160,uint48,uint48),address,uint256),bytes)",
    "permit(address,((address,uint160,uint48,uint48)[],address,uint256),bytes)",
    "transferFrom(address,address,uint160,address)",
    "transferFrom((address,address,uint160,address)[])",
    "permitTransferFrom(((address,uint256),uint256,uint256),(address,uint256),address,bytes)",
    "lockdown((address,address)[])",
)


def signatures(contract: str) -> tuple[str, ...]:
    """Canonical signatures of all methods in a published Uniswap V2 build."""
    path = next((NODE_MODULES / "@uniswap").glob(f"*/build/{contract}.json"))
    functions = [one for one in json.loads(path.read_text())["abi"] if one["type"] == "function"]
    return tuple(f"{one['name']}({','.join(arg['type'] for arg in one['inputs'])})" for one in functions)


def contract(entry_id: str, address: bytes, methods: tuple[str, ...], unwraps: tuple[str, ...] = ()) -> ContractEntry:
    return ContractEntry(
        entry_id=entry_id, label=entry_id.title(), chain=CHAIN, address=address, protocol=entry_id, tags=(),
        code_hash=bytes(32), methods=methods, unwraps=unwraps, audit=b"", audited_at=0, max_open_severity=0,
        state=EntryState.ACTIVE, added_at=NOW, expires_at=0,
    )  # fmt: skip


@cache
def workspace() -> Workspace:
    execute = ("execute(bytes,bytes[])", "execute(bytes,bytes[],uint256)")
    aggregate = ("aggregate3((address,bool,bytes)[])", "aggregate3Value((address,bool,uint256,bytes)[])")
    run = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
    return Workspace(
        name="tests",
        version=0,
        parent=b"",
        created_at=NOW,
        rp_id="localhost",
        origins=(),
        aaguids=(),
        users=(User("desk", "person-desk", "Order desk", "trading", "here", ("trader",), (), (), True),),
        roles=(),
        groups=(),
        incompatible=(),
        roster=tuple(Member(i, f"node-{i}", f"op-{i}", f"team-{i}", f"site-{i}", b"", b"") for i in range(1, 6)),
        wallets=(),
        assets=(
            Asset(COIN, "ETH", 18, (), 0, b""),
            Asset(USDC, "USDC", 6, (), 0, b""),
            Asset(ART, "ART", 0, (), 0, b""),
            Asset(GAMES, "GAMES", 0, (), 0, b""),
            Asset(WRAPPED, "WETH", 18, (), 0, b""),
        ),
        address_book=(AddressEntry("known", "Known", CHAIN, KNOWN, (), EntryState.ACTIVE, NOW),),
        contracts=(
            contract("router", ROUTER, (*signatures("UniswapV2Router02"), "multicall(bytes[])")),
            contract("permit2", PERMIT2, PERMIT2_METHODS),
            contract("universal", UNIVERSAL, execute),
            contract("multicall", MULTICALL, (), aggregate),
            contract("safe", SAFE, (run,), (run,)),
            contract("multisend", MULTISEND, ("multiSend(bytes)",)),
            contract("entry-point", ENTRY, ()),
            contract("weth", WETH, signatures("WETH9")),
        ),
        rules=(),
        governance=(),
        distinct_operators=True,
        refusals_block_at=2,
        log=LogSettings("example.org/log", b"", 60, 86_400),
    )


def order(action: What, **changes: object) -> Intent:
    plain = Intent(
        intent_id="int_1",
        wallet_id="wal_1",
        path=(),
        chain=CHAIN,
        action=action,
        bounds=Bounds(10**16, 500_000),
        initiator="desk",
        purpose="rebalance",
        valid_from=NOW - 10,
        valid_until=NOW + 1000,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def called(to: bytes, signature: str, *values: object, value: int = 0) -> Intent:
    return order(Call(to, value, method(signature).encode(*values)))  # type: ignore[arg-type]


def typed(primary: str, types: dict[str, str], message: object, contract: bytes = TOKEN, chain: object = 31337) -> str:
    """JSON of typed data; members of a type are written as in Solidity, ``address spender,uint256 value``."""
    domain = {"name": "Test", "chainId": chain, "verifyingContract": to_checksum(contract)}
    written = {"EIP712Domain": "string name,uint256 chainId,address verifyingContract", **types}
    made = {
        name: [dict(zip(("type", "name"), member.split(" "), strict=True)) for member in members.split(",")]
        for name, members in written.items()
    }
    return json.dumps({"types": made, "primaryType": primary, "domain": domain, "message": message})


def signs(text: str) -> Intent:
    return order(TypedData(text), bounds=Bounds(0, 0))
