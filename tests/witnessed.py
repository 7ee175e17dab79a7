"""The log of the tests' workspace: what its coordinator would have written, and notes as its witnesses sign them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from cosigner.witness import Witness
from oms_core.chains.intent import subject_digest
from oms_core.encoding import encode
from oms_core.errors import Malformed
from oms_core.evidence import ChangeWorkspaceRequest
from oms_core.history import Asked, authorization, spends_in
from oms_core.log.entries import AUTHORIZED, GENESIS, WORKSPACE_APPROVED, Entry, Item, Record, item, read_entry
from oms_core.log.note import LOG, WITNESS, write_note
from oms_core.log.witness import AddCheckpoint, Answer, write_request
from oms_core.workspace import Workspace, workspace_digest
from tests.logs import Signer, Tree, signed
from tests.people import NOW, workspace

BEGAN = NOW - 70 * 86_400
FOUR, THREE, TWO = (1, 2, 3, 4), (1, 2, 3), (1, 2)


class Logbook:
    """A log that began with this version of the workspace, long ago. Times are Unix seconds and never fall."""

    def __init__(self, begins_with: Workspace | None = None) -> None:
        first = begins_with or workspace()
        self.origin = first.log.origin
        self.log = Signer(self.origin, LOG, "witness 0")
        self.witnesses: dict[int, Any] = {}
        for i in range(1, 6):
            self.witnesses[i] = Signer(f"{self.origin}/cosigner-{i}", WITNESS, f"witness {i}")
        self.items: list[Item] = []
        self.tree = Tree()
        self._newest: dict[str, int] = {}
        self._versions = {workspace_digest(first): first}
        self.add(GENESIS, "", encode(first), at=BEGAN)

    @property
    def size(self) -> int:
        return len(self.items)

    def add(self, event: str, subject: str, *documents: bytes, at: int = NOW) -> int:
        """One entry more, at this time or the last one's; its index."""
        index = self.size
        before = read_entry(self.items[-1].entry).at if self.items else 0
        salt = hashlib.sha256(b"salt %d" % index).digest()[:16]
        previous = self._newest.get(subject, -1) if subject else -1
        record = Record("coordinator", b"", "", documents)
        self.items.append(item(index, max(before, at), event, subject, previous, record, salt))
        self.tree.append(self.items[-1].entry)
        self._newest[subject] = index
        return index

    def authorize(self, request: Asked, at: int = NOW) -> int:
        """Cosigners are about to be asked for this."""
        return self.add(AUTHORIZED, _name(subject_digest(request.proposal.subject)), encode(request), at=at)

    def approve(self, request: ChangeWorkspaceRequest, at: int = NOW) -> int:
        """People have approved this change of the workspace."""
        following = request.wish.next
        self._versions[workspace_digest(following)] = following
        return self.add(WORKSPACE_APPROVED, _name(subject_digest(request.proposal.subject)), encode(request), at=at)

    def takes(self, request: Asked) -> bool:
        """Whether this can stand in the log: its versions can be read, and explain what is asked for."""
        try:
            made = authorization(request)
            return made.workspace in self._versions and bool(spends_in(made, self._versions[made.workspace], NOW))
        except Malformed:
            return False

    def request(self, old: int, new: int | None = None) -> bytes:
        """What is asked of a witness that has followed ``old`` entries."""
        note = signed(self.tree.checkpoint(new, self.origin), log=self.log)
        return write_request(AddCheckpoint(old, self.tree.consistency(old, new), note)).encode()

    def followed_by(self, witness: Witness, now: int = NOW, size: int | None = None) -> None:
        """Have a node follow it up to this size, and cosign that. Raises `Malformed` with what the node says."""
        to = self.size if size is None else size
        while (old := witness.head().size) <= to:
            said = witness.follow(self.request(old, to), self.items[old:to], now)
            if said.answer is Answer.OK:
                return
            if (said.answer, said.size) != (Answer.CONFLICT, to):
                raise Malformed(said.detail)

    def fork(self, size: int | None = None) -> Logbook:
        """Another log with the same beginning, under the same keys."""
        other = object.__new__(type(self))
        other.origin, other.log, other.witnesses = self.origin, self.log, self.witnesses
        other.items = self.items[:size]
        other.tree = Tree(one.entry for one in other.items)
        other._newest, other._versions = dict(self._newest), dict(self._versions)
        return other

    def after(self, size: int) -> Iterable[tuple[Entry, Item]]:
        """What stands in it from here on."""
        return ((read_entry(one.entry), one) for one in self.items[size:])

    def note(
        self, size: int | None = None, by: Iterable[int] = FOUR, at: int = NOW, times: Mapping[int, int] | None = None
    ) -> bytes:
        """The checkpoint of this size, cosigned by these at this time, or each at its own."""
        made = signed(self.tree.checkpoint(size, self.origin), log=self.log)
        lines = tuple(self.witnesses[i].cosign(made.body, (times or {}).get(i, at)) for i in by)
        return write_note(type(made)(made.body, (*made.signatures, *lines))).encode()


def _name(subject: bytes) -> str:
    return f"sub_{subject.hex()[:16]}"
