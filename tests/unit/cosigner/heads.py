"""Peers whose tokens are in memory, and the hellos by which nodes tell each other of their boots."""

from __future__ import annotations

from pathlib import Path

from cosigner.boots import Boots
from cosigner.counters import Counters
from cosigner.store import open_store
from oms_core.protocol.packets import Hello
from tests.parties import SoftIdentity
from tests.unit.cosigner.node import Node

ALL = (1, 2, 3)


class SoftToken(SoftIdentity):
    """An identity key and a boot counter in memory."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.held, self.writes = 0, 0

    def counters(self) -> Counters:
        return Counters(self.held, self.writes)

    def generation(self) -> int:
        return self.held

    def advance_generation(self, to: int) -> None:
        assert to > self.held
        self.held = to


class World:
    """The node that is tested is 1; its peers are 2 and 3."""

    def __init__(self, root: Path, public: bytes) -> None:
        self.tokens = {j: SoftToken(j) for j in ALL[1:]}
        self.peers: dict[int, Boots] = {}
        for j, token in self.tokens.items():
            self.peers[j] = Boots(open_store(root / f"peer-{j}.sqlite"), token)  # type: ignore[arg-type]
            self.peers[j].begin()
        self.roster = {1: public, **{j: token.public for j, token in self.tokens.items()}}

    def hellos(self, node: Node, with_node: Boots | None = None) -> tuple[Hello, ...]:
        """Everyone's, as a session starts with."""
        everyone = {1: with_node or node.boots, **self.peers}
        return tuple(Hello(b"", j, b"", (), boots.head(), boots.known(ALL)) for j, boots in everyone.items())

    def meet(self, node: Node) -> dict[int, Exception]:
        """All start a session together, and each looks at all hellos. Returns who raised what."""
        hellos, raised = self.hellos(node), {}
        for j, boots in {1: node.boots, **self.peers}.items():
            try:
                boots.examine(hellos, self.roster)
            except Exception as error:  # noqa: BLE001 - a test looks at it
                raised[j] = error
        return raised
