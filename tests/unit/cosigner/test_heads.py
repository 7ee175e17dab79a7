"""Heads with a generation that no node comes to: they would silence their node for good, or fit into no store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosigner.boots import Boots
from cosigner.store import open_store
from oms_core.encoding import encode
from oms_core.errors import Malformed, ProtocolAbort
from oms_core.protocol.heads import Head, SignedHead, read_head, sign_head
from tests.unit.cosigner.heads import SoftToken, World
from tests.unit.cosigner.node import Node

TOO_HIGH = [1 << 62, 1 << 63, 1 << 64, 10**400]


@pytest.fixture
def world(node: Node, tmp_path: Path) -> World:
    """The node and its peers, who have met."""
    made = World(tmp_path, node.token.public)
    assert made.meet(node) == {}
    return made


@pytest.mark.parametrize("generation", [*TOO_HIGH, -1], ids=["2^62", "2^63", "2^64", "10^400", "-1"])
def test_a_peer_with_such_a_head_is_named_and_its_head_is_not_kept(node: Node, world: World, generation: int) -> None:
    first, second, third = world.hellos(node)
    known = node.boots.known((2, 3))
    bent = replace(second, head=encode(sign_head(world.tokens[2], generation, bytes(16))))
    with pytest.raises(ProtocolAbort) as caught:
        node.boots.examine((first, bent, third), world.roster)
    assert caught.value.culprits == {2}
    assert node.boots.known((2, 3)) == known
    assert world.meet(node) == {}


@pytest.mark.parametrize("generation", TOO_HIGH, ids=["2^62", "2^63", "2^64", "10^400"])
def test_a_node_does_not_take_such_a_head_for_its_own(node: Node, world: World, generation: int) -> None:
    first, *rest = world.hellos(node)
    mine = encode(sign_head(node.token, generation, bytes(16)))
    node.boots.examine((first, *(replace(hello, known=(mine, *hello.known)) for hello in rest)), world.roster)
    assert node.boots.rolled_back == ""
    assert node.boots.reconcile(1) == node.boots.generation == 2


def test_such_a_head_is_read_by_nobody(world: World) -> None:
    token = world.tokens[2]
    assert read_head(encode(sign_head(token, (1 << 62) - 1, bytes(16))), 2, token.public)
    for generation in (*TOO_HIGH, 10**5000):
        head = Head(2, generation, bytes(16))
        data = encode(SignedHead(head, token.sign("head", encode(head))))
        with pytest.raises(Malformed):
            read_head(data, 2, token.public)


def test_a_peer_with_a_new_identity_key_is_followed_from_its_first_boot(
    node: Node, world: World, tmp_path: Path
) -> None:
    for _ in range(3):
        world.peers[2].begin()
    assert world.meet(node) == {}
    token = SoftToken(2)  # people have replaced its token: the roster has another key at its index
    world.tokens[2], world.roster[2] = token, token.public
    world.peers[2] = Boots(open_store(tmp_path / "new-peer.sqlite"), token)  # type: ignore[arg-type]
    world.peers[2].begin()
    assert world.meet(node) == {}
    older = world.peers[2].head()
    world.peers[2].begin()
    assert world.meet(node) == {}
    first, second, third = world.hellos(node)
    with pytest.raises(ProtocolAbort) as caught:
        node.boots.examine((first, replace(second, head=older), third), world.roster)
    assert caught.value.culprits == {2}
