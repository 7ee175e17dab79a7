"""What a workspace calls the accounts and assets of one chain, and how it writes amounts; it never guesses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from oms_core.chains.address import NATIVE_DECIMALS, native_asset, to_checksum
from oms_core.chains.amount import format_amount
from oms_core.chains.known import contract_on, entry_on, token_on
from oms_core.errors import Malformed
from oms_core.memo import by_identity
from oms_core.workspace import AddressEntry, ContractEntry, EntryState, Workspace, asset_named
from oms_core.workspace.names import look

OUTSIDE = "an address that is NOT in the book"
NOBODY = "the zero address, which is nobody's"


@by_identity(8)
def _looks(workspace: Workspace) -> Mapping[tuple[str, str], frozenset[tuple[str, bytes | str]]]:
    """Chain and look of every label and symbol, to those that have it: what each is called, and what it stands for."""
    found: dict[tuple[str, str], set[tuple[str, bytes | str]]] = defaultdict(set)
    entries: tuple[AddressEntry | ContractEntry, ...] = (*workspace.address_book, *workspace.contracts)
    for entry in entries:
        found[entry.chain, look(entry.label)].add(("label", entry.address))
    for asset in workspace.assets:
        found[asset.asset.partition("/")[0], look(asset.symbol)].add(("symbol", asset.asset))
    return {key: frozenset(value) for key, value in found.items()}


class Names:
    """The names on one chain. Everything raises `Malformed` for a name that could be taken for another one's."""

    def __init__(self, workspace: Workspace, chain: str) -> None:
        self._workspace, self._chain = workspace, chain

    def amount(self, asset: str, amount: int) -> str:
        """In whole units with the asset's symbol; in base units where no asset is registered."""
        registered = asset_named(self._workspace, asset)
        if amount < 0 or registered is None:
            format_amount(amount, 0)  # refuses a negative one
            return f"{amount} base units of {asset}, which is NOT a registered asset,"
        symbol = self._plain("symbol", asset, registered.symbol)
        return f"{format_amount(amount, registered.decimals)} {symbol}"

    def symbol(self, asset: str) -> str:
        """What the asset is called."""
        registered = asset_named(self._workspace, asset)
        return self._plain("symbol", asset, registered.symbol) if registered else asset

    def coin(self, wei: int) -> str:
        """An amount of the chain's own coin."""
        registered = asset_named(self._workspace, native_asset(self._chain))
        if registered is None or registered.decimals != NATIVE_DECIMALS:
            return f"{format_amount(wei, 0)} wei"
        return self.amount(registered.asset, wei)

    def account(self, address: bytes) -> str:
        """EIP-55 form, with all that the workspace calls it. Raises `Malformed` (BAD_ADDRESS)."""
        outside = OUTSIDE if any(address) else NOBODY
        return f"{to_checksum(address)}: {', '.join(self._called(address)) or outside}"

    def known(self, address: bytes) -> bool:
        """Whether the workspace has a name for an account."""
        return any(True for _ in self._called(address))

    def out_of_use(self, address: bytes) -> Iterator[str]:
        """The entries for an account that are suspended or revoked."""
        entries = (
            entry_on(self._workspace, self._chain, address),
            contract_on(self._workspace, self._chain, address),
        )
        for entry in entries:
            if entry and entry.state is not EntryState.ACTIVE:
                yield f"{entry.label} ({entry.entry_id}) is {entry.state}"

    def _called(self, address: bytes) -> Iterator[str]:
        entry = entry_on(self._workspace, self._chain, address)
        contract = contract_on(self._workspace, self._chain, address)
        token = token_on(self._workspace, self._chain, address)
        if entry:
            yield f"address-book entry {self._plain('label', address, entry.label)} ({entry.entry_id})"
        if contract:
            label = self._plain("label", address, contract.label)
            yield f"contract {label} ({contract.entry_id}) of protocol {contract.protocol or 'none'}"
        if token:
            yield f"token {self._plain('symbol', token.asset, token.symbol)}"

    def _plain(self, kind: str, stands_for: bytes | str, name: str) -> str:
        """The name, if it is plain and no other one looks like it."""
        if not name.isascii() or not name.isprintable() or not name.strip():
            raise Malformed(f"the {kind} {ascii(name)[:60]} is not plain text")
        alike = {other for other in _looks(self._workspace).get((self._chain, look(name)), ()) if other[0] == kind}
        if alike - {(kind, stands_for)}:
            raise Malformed(f"the {kind} {name[:60]} looks like another one's")
        return name
