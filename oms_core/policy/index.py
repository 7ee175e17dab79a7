"""A workspace, as decisions look things up in it: made once for each version."""

from __future__ import annotations

from oms_core.memo import by_identity
from oms_core.workspace import AddressEntry, ContractEntry, User, Workspace

DIGITS = 40  # hex digits of an account
_REMEMBERED = 4096


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
        self._listed = tuple(sorted({address for _, address in (*self.book, *self.contracts)}))
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
            text, others = address.hex(), (other.hex() for other in self._listed if other != address)
            self._nearest[address] = min((edit_distance(text, other) for other in others), default=DIGITS)
        return self._nearest[address]


@by_identity(size=8)
def index_of(workspace: Workspace) -> Index:
    """The index of a frozen workspace, made once."""
    return Index(workspace)


def edit_distance(first: str, second: str) -> int:
    """Levenshtein's, of texts of any length, bit-parallel (Myers 1999, in Hyyrö's form)."""
    if not first:
        return len(second)
    places: dict[str, int] = {}
    for at, character in enumerate(first):
        places[character] = places.get(character, 0) | 1 << at
    full, last, score = (1 << len(first)) - 1, 1 << (len(first) - 1), len(first)
    more, less = full, 0
    for character in second:
        same = places.get(character, 0)
        diagonal = (((same & more) + more) ^ more) | same | less
        up, down = less | ~(diagonal | more) & full, more & diagonal
        score += (up & last != 0) - (down & last != 0)
        up, down = up << 1 | 1, down << 1
        more, less = (down | ~(diagonal | up)) & full, up & diagonal & full
    return score
