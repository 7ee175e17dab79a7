"""The contracts of a development chain: WETH, a token in the place of USDC and Uniswap V2 from published bytecode, and
the one that anchors the log.

They are created by an account of anvil's that does nothing else, in this order, so they always have the same addresses.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from oms.devnet import anchor_contract
from oms_core.chains import rlp
from oms_core.chains.evm import parse_address
from oms_core.chains.keccak import keccak256
from oms_core.errors import LocalError, Reason, Unavailable

DEPLOYER = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"  # anvil's last unlocked account
_BUILDS = Path("node_modules/@uniswap")
_SUPPLY = 10**9 * 10**6  # a thousand million, at six decimals
_GAS = 6_000_000  # the router needs the most; all of them fit into a block
_SECONDS = 180.0
NAMES = ("weth", "usdc", "factory", "router", "anchor")


@dataclass(frozen=True, slots=True)
class Deployed:
    """A contract: its 20-byte account and the keccak256 of its code."""

    address: bytes
    code_hash: bytes


def address_of(name: str) -> bytes:
    """Where a contract is created: the last 20 bytes of keccak256(rlp([creator, nonce]))."""
    nonce = NAMES.index(name)
    return keccak256(rlp.encode([parse_address(DEPLOYER), rlp.integer(nonce)]))[12:]


def deploy(url: str) -> dict[str, Deployed]:
    """Create what is not there yet. Raises `Unavailable` if the chain does not come up, `LocalError` without set-up."""
    with httpx.Client(trust_env=False, timeout=60) as http:
        _wait(http, url)
        sent = {}
        for name, code in _creations().items():
            if _ask(http, url, "eth_getCode", _hex(address_of(name)), "latest") == "0x":
                creation = {"from": DEPLOYER, "data": _hex(code), "gas": hex(_GAS)}
                sent[name] = str(_ask(http, url, "eth_sendTransaction", creation))
        for name, tx_hash in sent.items():
            _mined(http, url, tx_hash, name)
        return {name: Deployed(address_of(name), _code_hash(http, url, name)) for name in NAMES}


def _creations() -> dict[str, bytes]:
    weth, factory = address_of("weth").rjust(32, b"\0"), address_of("factory").rjust(32, b"\0")
    return {
        "weth": _bytecode("v2-periphery", "WETH9"),
        "usdc": _bytecode("v2-core", "ERC20") + _SUPPLY.to_bytes(32, "big"),
        "factory": _bytecode("v2-core", "UniswapV2Factory") + bytes(32),
        "router": _bytecode("v2-periphery", "UniswapV2Router02") + factory + weth,
        "anchor": anchor_contract.creation(),
    }


def _bytecode(package: str, name: str) -> bytes:
    try:
        built = json.loads((_BUILDS / package / "build" / f"{name}.json").read_text())
    except OSError:
        raise LocalError(
            "Uniswap V2 is missing: run `make setup` in the project's folder", Reason.CONFIG_INVALID
        ) from None
    return bytes.fromhex(built["bytecode"].removeprefix("0x"))


def _code_hash(http: httpx.Client, url: str, name: str) -> bytes:
    code = str(_ask(http, url, "eth_getCode", _hex(address_of(name)), "latest"))
    return keccak256(bytes.fromhex(code.removeprefix("0x")))


def _wait(http: httpx.Client, url: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            _ask(http, url, "eth_chainId")
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise Unavailable("the development chain does not come up", Reason.CHAIN_UNAVAILABLE) from None
            time.sleep(0.05)


def _mined(http: httpx.Client, url: str, tx_hash: str, name: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while (receipt := _ask(http, url, "eth_getTransactionReceipt", tx_hash)) is None:
        if time.monotonic() > deadline:
            raise Unavailable(f"contract {name} is not mined", Reason.CHAIN_UNAVAILABLE)
        time.sleep(0.05)
    if not isinstance(receipt, dict) or receipt["contractAddress"] != _hex(address_of(name)):
        raise LocalError(f"contract {name} is not where it belongs", Reason.CONFIG_INVALID)


def _ask(http: httpx.Client, url: str, method: str, *params: object) -> object:
    answer = http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).json()
    if "error" in answer:
        raise LocalError(f"{method}: {answer['error']}"[:300], Reason.CHAIN_UNAVAILABLE)
    return answer["result"]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
