"""A workspace, as decisions look things up in it: made once for each version."""

from __future__ import annotations

from collections.abc import Sequence

from oms_core.memo import by_identity
from oms_core.workspace import AddressEntry, ContractEntry, User, Workspace

DIGITS = 40  # hex digits of an account
_REMEMBERED = 4096
_LANE = 48  # bits


class Index:
    """Tables of a workspace by what is asked for. Where something stands twice, the first counts."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.users: dict[str, User] = {}
        for one in workspace.users:
            self.users.setdefault(one.user_id, one)
        self.groups_of = {
            name: tuple(sorted(group.group_id for group in workspace.groups if name in group.members))
            for name in self.users
        }
        self.members = {group.group_id: group.members for group in workspace.groups}
        self.wallets = {one.wallet_id: one for one in workspace.wallets}
        self.assets = {one.asset: one for one in workspace.assets}
        self.book: dict[tuple[str, bytes], AddressEntry] = {}
        for entry in workspace.address_book:
            self.book.setdefault((entry.chain, entry.address), entry)
        self.contracts: dict[tuple[str, bytes], ContractEntry] = {}
        for contract in workspace.contracts:
            self.contracts.setdefault((contract.chain, contract.address), contract)
        self.entry_ids = {one.entry_id for one in workspace.address_book}
        self.entry_ids.update(one.entry_id for one in workspace.contracts)
        listed = sorted({address for _, address in (*self.book, *self.contracts) if 2 * len(address) == DIGITS})
        self._lanes = _Lanes(listed)
        self._nearest: dict[bytes, int] = {}

    def person(self, user_id: str) -> str:
        """Whose user this is; a user who is not there any more is somebody else than all others."""
        held = self.users.get(user_id)
        return held.person_id if held else f"user {user_id}"

    def nearest(self, address: bytes) -> int:
        """Edit distance in hex digits to the nearest other listed account; `DIGITS` if there is no other."""
        if address not in self._nearest:
            if len(self._nearest) >= _REMEMBERED:
                self._nearest.clear()
            self._nearest[address] = self._lanes.nearest(address)
        return self._nearest[address]


@by_identity(size=8)
def index_of(workspace: Workspace) -> Index:
    """The index of a frozen workspace, made once."""
    return Index(workspace)


class _Lanes:
    """Accounts side by side in one long integer: Levenshtein's distance to all of them at once, bit-parallel.

    (Myers 1999, in Hyyrö's form.) Each has a lane: its digits' bits, and room for what an addition carries.
    """

    def __init__(self, accounts: Sequence[bytes]) -> None:
        self._count, size = len(accounts), _LANE // 8
        self._ones = int.from_bytes(bytes([1, *bytes(size - 1)]) * self._count, "little")
        self._full = self._ones * ((1 << DIGITS) - 1)
        bits = {digit: bytearray(size * self._count) for digit in "0123456789abcdef"}
        for lane, account in enumerate(accounts):
            for at, digit in enumerate(account.hex()):
                bits[digit][size * lane + at // 8] |= 1 << at % 8
        self._places = {digit: int.from_bytes(its, "little") for digit, its in bits.items()}

    def nearest(self, account: bytes) -> int:
        """The least distance that is not 0; `DIGITS` if there is none."""
        ones, full, last = self._ones, self._full, DIGITS - 1
        more, less, scores = full, 0, ones * DIGITS
        for digit in account.hex():
            same = self._places[digit]
            diagonal = (((same & more) + more) ^ more) | same | less
            up, down = less | ~(diagonal | more) & full, more & diagonal
            scores += (up >> last & ones) - (down >> last & ones)
            up, down = up << 1 | ones, down << 1
            more, less = (down | ~(diagonal | up)) & full, up & diagonal & full
        found = scores.to_bytes(_LANE // 8 * self._count, "little")[:: _LANE // 8]
        return min(filter(None, found), default=DIGITS)
