"""What has to hold of wallets, assets, the address book and the registry of contracts."""

from __future__ import annotations

import re

from oms_core.chains import abi
from oms_core.chains.address import NATIVE_DECIMALS, TOKENS, chain_id, native_asset, token_of
from oms_core.chains.intent import NOBODY, check_asset
from oms_core.errors import Malformed, Reason
from oms_core.workspace import AddressEntry, Asset, ContractEntry, Workspace
from oms_core.workspace.names import ID, NAME, WALLET, alike, distinct, named, unique, within

MAX_DECIMALS = 77  # 10^77 < 2^256
MAX_USD_MICRO = 1 << 63
MAX_SEVERITY = 4  # none, low, medium, high, critical
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,15}\Z")


def check_registry(workspace: Workspace) -> None:
    """Everything that an order may touch. Raises `Malformed` naming the field."""
    _check_wallets(workspace)
    _check_assets(workspace.assets)
    entries: list[AddressEntry | ContractEntry] = [*workspace.address_book, *workspace.contracts]
    named("entry_id", ID, [entry.entry_id for entry in entries])
    named("entries' label", NAME, [entry.label for entry in entries])
    distinct("entry ids", [entry.entry_id for entry in entries])
    distinct("entry labels", [entry.label for entry in entries])
    unique("address-book addresses", [(entry.chain, entry.address) for entry in workspace.address_book])
    unique("contracts' addresses", [(entry.chain, entry.address) for entry in workspace.contracts])
    for entry in entries:
        where = f"entry {entry.entry_id}"
        chain_id(entry.chain)
        if len(entry.address) != 20 or entry.address == NOBODY:
            raise Malformed(f"{where}: address: 20 bytes, not all zero", Reason.BAD_ADDRESS)
        _check_tags(f"{where}: tags", entry.tags)
        within(f"{where}: added_at", entry.added_at, 0, workspace.created_at)
    for contract in workspace.contracts:
        _check_contract(f"entry {contract.entry_id}", contract, workspace.created_at)
    protocols = [contract.protocol for contract in workspace.contracts if contract.protocol]
    alike("tags", [tag for one in (*entries, *workspace.wallets) for tag in one.tags])
    alike("protocols", protocols)


def _check_wallets(workspace: Workspace) -> None:
    named("wallet_id", WALLET, [wallet.wallet_id for wallet in workspace.wallets])
    unique("wallet ids", [wallet.wallet_id for wallet in workspace.wallets])
    for wallet in workspace.wallets:
        _check_tags(f"wallet {wallet.wallet_id}: tags", wallet.tags)
        named(f"wallet {wallet.wallet_id}: tier", NAME, [wallet.tier] if wallet.tier else [])
    alike("tiers", [wallet.tier for wallet in workspace.wallets])


def _check_assets(assets: tuple[Asset, ...]) -> None:
    unique("assets", [one.asset.casefold() for one in assets])
    for one in assets:
        where = f"asset {one.asset[:80]}"
        check_asset(one.asset)
        named(f"{where}: symbol", _SYMBOL, [one.symbol])
        within(f"{where}: decimals", one.decimals, 0, MAX_DECIMALS)
        within(f"{where}: usd_micro", one.usd_micro, 0, MAX_USD_MICRO)
        if len(one.code_hash) not in (0, 32):
            raise Malformed(f"{where}: code_hash: 32 bytes, or empty")
        _check_tags(f"{where}: classes", one.classes)
        chain, _, name = one.asset.partition("/")
        if one.asset == native_asset(chain):
            if one.decimals != NATIVE_DECIMALS or one.code_hash:
                raise Malformed(f"{where}: a chain's own coin has {NATIVE_DECIMALS} decimals and no code")
        elif name.partition(":")[0] in TOKENS:
            token_of(one.asset)
    # On one chain a symbol says which asset is meant; on two it may be the same coin.
    distinct("symbols", [f"{one.asset.partition('/')[0]} {one.symbol}" for one in assets])
    alike("classes", [label for one in assets for label in one.classes])


def _check_contract(where: str, contract: ContractEntry, created_at: int) -> None:
    if len(contract.code_hash) != 32:
        raise Malformed(f"{where}: code_hash: 32 bytes")
    named(f"{where}: protocol", NAME, [contract.protocol] if contract.protocol else [])
    for field, methods in (("methods", contract.methods), ("unwraps", contract.unwraps)):
        unique(f"{where}: {field}", methods)
        for method in methods:
            try:
                abi.method(method)
            except Malformed as error:
                raise Malformed(f"{where}: {field}: {error.message}", error.reason) from None
    within(f"{where}: max_open_severity", contract.max_open_severity, 0, MAX_SEVERITY)
    if len(contract.audit) not in (0, 32) or bool(contract.audit) != bool(contract.audited_at):
        raise Malformed(f"{where}: audit: 32 bytes and when it was made, or neither")
    within(f"{where}: audited_at", contract.audited_at, 0, created_at)
    if contract.expires_at and contract.expires_at <= contract.added_at:
        raise Malformed(f"{where}: expires_at: after it was added, or 0 for never")


def _check_tags(field: str, tags: tuple[str, ...]) -> None:
    named(field, NAME, tags)
    distinct(field, tags)
