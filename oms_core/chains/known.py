"""Tokens and contracts of a workspace by their addresses, looked up often."""

from __future__ import annotations

from collections.abc import Mapping

from oms_core.chains.abi import Method, method
from oms_core.chains.address import token_of
from oms_core.errors import Malformed
from oms_core.memo import by_identity
from oms_core.policy.index import index_of
from oms_core.workspace import AddressEntry, Asset, ContractEntry, Workspace

_Place = tuple[str, bytes]


@by_identity(8)
def _tokens(workspace: Workspace) -> Mapping[_Place, Asset]:
    found: dict[_Place, Asset] = {}
    for asset in workspace.assets:
        try:
            chain, _, contract = token_of(asset.asset)
        except Malformed:  # the chain's own coin, or what no call can be about
            continue
        found.setdefault((chain, contract), asset)
    return found


@by_identity(1024)
def _methods(entry: ContractEntry) -> Mapping[str, Method]:
    found = {}
    for signature in (*entry.methods, *entry.unwraps):
        try:
            found[signature] = method(signature)
        except Malformed:  # what nobody can call; a typed message's form may be longer than a signature
            continue
    return found


def token_on(workspace: Workspace, chain: str, contract: bytes) -> Asset | None:
    """The asset that is registered for a token's contract, if there is one."""
    return _tokens(workspace).get((chain, contract))


def entry_on(workspace: Workspace, chain: str, address: bytes) -> AddressEntry | None:
    """The address-book entry for an account, whatever its state, if there is one."""
    return index_of(workspace).book.get((chain, address))


def contract_on(workspace: Workspace, chain: str, address: bytes) -> ContractEntry | None:
    """The registry's entry for a contract, whatever its state, if there is one."""
    return index_of(workspace).contracts.get((chain, address))


def methods_of(entry: ContractEntry | None) -> Mapping[str, Method]:
    """The methods that an entry lists, those whose arguments are calls among them, by signature."""
    return _methods(entry) if entry else {}
