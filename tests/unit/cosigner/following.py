"""A node with a real token that is a witness of the tests' log, and what a coordinator asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cosigner.history import History
from cosigner.logbook import Followed, followed, root_at
from cosigner.rumours import trust
from cosigner.witness import Witness, Witnessed
from oms_core.log.entries import Item
from oms_core.log.note import Verifier, cosignatures, read_signatures, with_signatures, write_note
from oms_core.log.roster import witness_verifiers
from oms_core.log.witness import AddCheckpoint, Answer, write_request
from oms_core.workspace import Workspace
from tests.logs import signed
from tests.people import NOW, workspace
from tests.unit.cosigner.node import Node
from tests.witnessed import Logbook


def seated(node: Node) -> Workspace:
    """The tests' workspace with the witness key of this node's token in its roster."""
    first, *rest = workspace().roster
    return replace(workspace(), roster=(replace(first, witness=node.token.witness), *rest))


class Follower:
    """A node that follows a log, and asks about it as the log's coordinator does. ``now`` is the node's clock."""

    def __init__(self, node: Node, log: Logbook | None = None) -> None:
        self.node, self.workspace, self.now = node, seated(node), NOW
        self.log = log or Logbook(self.workspace)
        self.opened()

    def opened(self) -> Follower:
        """The witness on what is open of the node now: as after a restart."""
        node = self.node
        fold = History().fold
        self.witness = Witness(node.store, node.token, lambda: self.workspace, node.boots, fold)
        return self

    def trust(self, despite_conflict: bool = False) -> None:
        """The operator's word."""
        with self.node.store.begin() as connection:
            trust(connection, self.now, despite_conflict)

    def restart(self) -> Follower:
        self.node.restart()
        return self.opened()

    @property
    def verifier(self) -> Verifier:
        return witness_verifiers(self.workspace)[self.node.config.index]

    @property
    def head(self) -> Followed:
        with self.node.store.begin() as connection:
            return followed(connection)

    def root(self, size: int) -> bytes | None:
        """The root of the tree of this size, if the node has cosigned that, or one that begins with it."""
        with self.node.store.begin() as connection:
            head = followed(connection)
            return root_at(connection, head, size) if 0 <= size <= head.cosigned else None

    def ask(
        self,
        new: int | None = None,
        old: int | None = None,
        log: Logbook | None = None,
        items: Sequence[Item] = (),
        asked_at: int = 0,
    ) -> Witnessed:
        """Ask to cosign this size of the log, by default all of it, from where the node is."""
        log = log or self.log
        old = self.head.size if old is None else old
        between = items or log.items[old : log.size if new is None else new]
        return self.witness.follow(request(log, old, new), between, self.now, asked_at)

    def cosigned(self, new: int | None = None) -> Witnessed:
        """As `ask`, and the cosignature is one."""
        said = self.ask(new)
        assert said.answer == Answer.OK, said.detail
        assert self.time(said) > 0
        return said

    def catch_up(self, log: Logbook | None = None, batch: int = 2000) -> list[Answer]:
        """So many entries at a time, as long as there are any."""
        log, said = log or self.log, list[Answer]()
        while self.head.size < log.size:
            said.append(self.ask(min(log.size, self.head.size + batch), log=log).answer)
        return said

    def time(self, said: Witnessed, log: Logbook | None = None) -> int:
        """When the node has cosigned, by its valid cosignature of the log's tree of that size."""
        made = signed((log or self.log).tree.checkpoint(said.size, self.log.origin), log=self.log.log)
        note = with_signatures(made, read_signatures(said.line))
        return cosignatures(note, [self.verifier])[self.verifier.name]

    def covered(self, size: int | None = None, by: Sequence[int] = (2, 3, 4, 5), at: int | None = None) -> bytes:
        """The log's note of this size with these others' cosignatures, by default now."""
        return self.log.note(size, by, self.now if at is None else at)


def request(log: Logbook, old: int, new: int | None = None) -> bytes:
    """What the log's coordinator sends to a witness that stands at ``old``."""
    made = signed(log.tree.checkpoint(new, log.origin), log=log.log)
    size = log.size if new is None else new
    proof = log.tree.consistency(old, size) if old <= size else ()
    return write_request(AddCheckpoint(old, proof, made)).encode()


def bare_note(log: Logbook, size: int | None = None) -> bytes:
    """Under the log's signature alone."""
    return write_note(signed(log.tree.checkpoint(size, log.origin), log=log.log)).encode()
