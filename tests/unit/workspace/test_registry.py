"""Wallets, assets, addresses and contracts: each thing that may be wrong with them, refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oms_core.chains.evm import to_checksum
from oms_core.errors import Malformed, Reason
from oms_core.workspace import AddressEntry, Asset, ContractEntry, EntryState, WalletEntry, Workspace
from oms_core.workspace.check import check_workspace
from tests.people import CHAIN, COIN, KNOWN, NOW, STRANGE, workspace

PLAIN = workspace()
TOKEN = f"{CHAIN}/erc20:{to_checksum(b'token' * 4)}"
USDC = Asset(TOKEN, "USDC", 6, ("stable",), 1_000_000, bytes(32))
ENTRY = AddressEntry("new", "New", CHAIN, STRANGE, ("exchange",), EntryState.ACTIVE, NOW)
ROUTER = ContractEntry(
    "router", "Router", CHAIN, b"router" * 3 + b"!!", "uniswap", ("dex",), bytes(32), ("swap(uint256,address[])",),
    ("multicall(bytes[])",), b"a" * 32, NOW - 5, 1, EntryState.ACTIVE, NOW, NOW + 100,
)  # fmt: skip
WALLET = WalletEntry("wal_1", ("hot",), "warm")


def why(bad: Workspace, match: str) -> Reason:
    with pytest.raises(Malformed, match=match) as caught:
        check_workspace(bad)
    return caught.value.reason


def test_a_registry_with_some_of_everything_passes() -> None:
    check_workspace(
        replace(
            PLAIN,
            wallets=(WALLET,),
            assets=(*PLAIN.assets, USDC),
            address_book=(*PLAIN.address_book, ENTRY),
            contracts=(ROUTER,),
        )
    )


@pytest.mark.parametrize(
    ("changes", "match", "reason"),
    [
        ({"entry_id": "new entry"}, "entry_id", Reason.MALFORMED),
        ({"entry_id": "KNOWN"}, "entry ids .* look alike", Reason.MALFORMED),
        ({"label": "known"}, "entry labels .* look alike", Reason.MALFORMED),
        ({"label": "Kn0wn"}, "entry labels .* look alike", Reason.MALFORMED),
        ({"label": "Κnown"}, "label", Reason.MALFORMED),
        ({"label": "new, or old"}, "label", Reason.MALFORMED),
        ({"address": KNOWN}, "addresses are not unique", Reason.MALFORMED),
        ({"address": bytes(20)}, "entry new: address", Reason.BAD_ADDRESS),
        ({"address": bytes(19)}, "entry new: address", Reason.BAD_ADDRESS),
        ({"chain": "eip155:0"}, "chain", Reason.UNSUPPORTED_TYPE),
        ({"tags": ("a", "a")}, "entry new: tags are not unique", Reason.MALFORMED),
        ({"tags": ("",)}, "entry new: tags", Reason.MALFORMED),
        ({"added_at": -1}, "entry new: added_at", Reason.MALFORMED),
        ({"added_at": NOW + 1}, "entry new: added_at", Reason.MALFORMED),
    ],
)
def test_an_address_with_a_part_out_of_shape_is_refused(changes: dict[str, Any], match: str, reason: Reason) -> None:
    assert why(replace(PLAIN, address_book=(*PLAIN.address_book, replace(ENTRY, **changes))), match) is reason


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"entry_id": "known"}, "entry ids are not unique"),
        ({"label": "Denied"}, "entry labels are not unique"),
        ({"code_hash": bytes(31)}, "entry router: code_hash"),
        ({"code_hash": b""}, "entry router: code_hash"),
        ({"protocol": "uni swap!"}, "entry router: protocol"),
        ({"methods": ("swap(uint256, address)",)}, "entry router: methods: .* is not a type"),
        ({"methods": ("swap",)}, "entry router: methods"),
        ({"methods": ("swap(uint256)", "swap(uint256)")}, "entry router: methods are not unique"),
        ({"unwraps": ("f(uint)",)}, "entry router: unwraps"),
        ({"max_open_severity": 5}, "entry router: max_open_severity"),
        ({"audit": b"a" * 31}, "entry router: audit"),
        ({"audit": b""}, "entry router: audit: 32 bytes and when"),
        ({"audited_at": 0}, "entry router: audit: 32 bytes and when"),
        ({"audited_at": NOW + 1}, "entry router: audited_at"),
        ({"expires_at": NOW}, "entry router: expires_at"),
        ({"expires_at": -1}, "entry router: expires_at"),
        ({"tags": ("Dex", "dex")}, "entry router: tags .* look alike"),
    ],
)
def test_a_contract_with_a_part_out_of_shape_is_refused(changes: dict[str, Any], match: str) -> None:
    why(replace(PLAIN, contracts=(replace(ROUTER, **changes),)), match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"asset": "USDC"}, "CAIP-19"),
        ({"asset": COIN}, "assets are not unique"),
        ({"asset": TOKEN.replace("0x746F", "0x746f")}, "checksum"),
        ({"symbol": "US DC"}, "symbol"),
        ({"symbol": "eth"}, "symbols .* look alike"),
        ({"decimals": -1}, "decimals"),
        ({"decimals": 78}, "decimals"),
        ({"usd_micro": -1}, "usd_micro"),
        ({"usd_micro": 1 << 64}, "usd_micro"),
        ({"code_hash": bytes(20)}, "code_hash"),
        ({"classes": ("stable", "Stable")}, "classes .* look alike"),
    ],
)
def test_an_asset_with_a_part_out_of_shape_is_refused(changes: dict[str, Any], match: str) -> None:
    why(replace(PLAIN, assets=(*PLAIN.assets, replace(USDC, **changes))), match)


def test_two_spellings_of_one_token_are_one_token() -> None:
    why(replace(PLAIN, assets=(USDC, replace(USDC, asset=TOKEN.lower(), symbol="X"))), "assets are not unique")


def test_a_chains_own_coin_has_eighteen_decimals_and_no_code() -> None:
    (coin,) = PLAIN.assets
    why(replace(PLAIN, assets=(replace(coin, decimals=6),)), "18 decimals and no code")
    why(replace(PLAIN, assets=(replace(coin, code_hash=bytes(32)),)), "18 decimals and no code")


@pytest.mark.parametrize(
    ("wallets", "match"),
    [
        ((replace(WALLET, wallet_id="treasury"),), "wallet_id"),
        ((WALLET, WALLET), "wallet ids are not unique"),
        ((replace(WALLET, tags=("hot", "hot")),), "wallet wal_1: tags"),
        ((replace(WALLET, tier="wärm"),), "wallet wal_1: tier"),
        ((WALLET, replace(WALLET, wallet_id="wal_2", tier="Warm")), "tiers .* look alike"),
        ((WALLET, replace(WALLET, wallet_id="wal_2", tags=("h0t",))), "tags .* look alike"),
    ],
)
def test_a_wallet_with_a_part_out_of_shape_is_refused(wallets: tuple[WalletEntry, ...], match: str) -> None:
    why(replace(PLAIN, wallets=wallets), match)
