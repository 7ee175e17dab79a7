"""Blocks as a node shows them: whole, under their own hashes, or not at all."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import pytest

from coordinator.chain.evm import EvmChain
from coordinator.chain.rpc import Rpc
from oms_core.chains.header import read_header
from oms_core.chains.transaction import transaction_hash
from oms_core.chains.trie import transactions_root
from oms_core.errors import Reason, Unavailable

BLOCKS = json.loads((Path(__file__).parents[2] / "vectors" / "anvil_blocks.json").read_text())


class Node:
    """A node that has one block; what it shows can be bent."""

    def __init__(self, place: int, index: int) -> None:
        recorded = deepcopy(BLOCKS[place])
        self.block: Any = recorded["block"]
        self.block["transactions"] = [None] * self.block["transactions"]
        self.raws: Any = recorded["transactions"]
        self.tx_hash = "0x" + transaction_hash(bytes.fromhex(self.raws[index][2:])).hex()
        self.receipt: Any = {"blockHash": self.block["hash"], "transactionIndex": hex(index)}

    async def call(self, method: str, *params: Any) -> Any:
        """What `Rpc` does."""
        if method == "eth_getTransactionReceipt":
            return self.receipt if params == (self.tx_hash,) else None
        assert params[0] == self.receipt["blockHash"]
        return self.block if method == "eth_getBlockByHash" else self.raws[int(params[1], 16)]

    def chain(self) -> EvmChain:
        """A chain of which this is the node."""
        return EvmChain("eip155:31337", cast(Rpc, self))


@pytest.mark.parametrize(("place", "index"), [(0, 0), (1, 3), (2, 299)])
async def test_the_block_of_a_transaction_comes_whole(place: int, index: int) -> None:
    node = Node(place, index)
    found = await node.chain().block_of(node.tx_hash)
    assert found is not None
    header = read_header(found.header)
    assert "0x" + header.hash.hex() == node.block["hash"]
    assert transactions_root(found.transactions) == header.transactions_root
    assert "0x" + transaction_hash(found.transactions[found.index]).hex() == node.tx_hash


async def test_a_transaction_in_no_block_or_in_one_that_is_gone_has_none() -> None:
    node = Node(0, 0)
    assert await node.chain().block_of("0x" + "00" * 32) is None
    node.block = None
    assert await node.chain().block_of(node.tx_hash) is None


async def test_a_node_that_shows_something_else_is_not_believed() -> None:
    def bent(bend: Any) -> Node:
        node = Node(1, 2)
        bend(node)
        return node

    bends = [
        lambda node: node.block.update(transactionsRoot="0x" + "00" * 32),
        lambda node: node.block.update(hash="0x" + "00" * 32),
        lambda node: node.block["transactions"].pop(),
        lambda node: node.raws.reverse(),
        lambda node: node.raws.__setitem__(0, None),
        lambda node: node.raws.__setitem__(0, "0xzz"),
        lambda node: node.raws.__setitem__(0, "0x"),
        lambda node: node.receipt.update(transactionIndex="0x1"),
        lambda node: node.receipt.update(transactionIndex="0x9"),
        lambda node: node.block.update(extraField="0x1", gasUsed="0x2"),
    ]
    for bend in bends:
        node = bent(bend)
        with pytest.raises(Unavailable) as caught:
            await node.chain().block_of(node.tx_hash)
        assert caught.value.reason == Reason.CHAIN_UNAVAILABLE
