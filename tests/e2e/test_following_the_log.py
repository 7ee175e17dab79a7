"""The log of a whole network, as anybody reads it over the API: every step of an order, under one signed tree."""

from __future__ import annotations

import asyncio

from oms.client import Client
from oms.devnet.cast import ETHER
from oms.devnet.network import Network
from oms_core.chains.evm import transaction_hash
from oms_core.encoding import decode
from oms_core.log.entries import GENESIS, Entry, Item, Record, read_entry, read_record
from oms_core.log.note import LOG, Verifier, read_note, verify_log
from oms_core.log.tree import Frontier, leaf_hash, verify_consistency, verify_inclusion
from oms_core.workspace import Workspace, workspace_digest
from tests import cluster


async def everything(client: Client, limit: int = 1000) -> list[Item]:
    """All items, batch by batch."""
    items: list[Item] = []
    while True:
        found, size = await client.log_items(len(items), limit)
        items += found
        if len(items) >= size:
            return items


def read(items: list[Item]) -> list[tuple[Entry, Record | None]]:
    """Entries with their records, each of which is the one that its entry commits to; some went with a database."""
    entries = [read_entry(one.entry) for one in items]
    return [(entry, read_record(entry, one)) for entry, one in zip(entries, items, strict=True)]


async def test_every_step_of_an_order_stands_in_the_log_under_a_tree_that_its_key_signs(network: Network) -> None:
    async with network.client() as client:
        tx = await cluster.propose(network, client, wei=2 * ETHER)
        await cluster.until(client, tx.transaction_id, "PENDING_APPROVAL")
        await cluster.approve(network, client, tx.transaction_id, "ravi")
        tx = await client.ended(tx.transaction_id)
        _, size = await client.log_items(0, 1)
        async with asyncio.timeout(cluster.PATIENT):
            while (checkpoint := await client.checkpoint()).size < size:
                await asyncio.sleep(0.1)
        items = await everything(client)
        workspace = await client.workspace()
        index = next(i for i, one in enumerate(items) if read_entry(one.entry).event == "order.signed")
        path = await client.log_proof(index, checkpoint.size)
        half = await client.log_consistency(checkpoint.size // 2, checkpoint.size)
    head = verify_log(read_note(checkpoint.note), Verifier(workspace.log.origin, workspace.log.public, LOG))
    leaves = [leaf_hash(one.entry) for one in items]
    assert head.root == Frontier().extended(leaves[: head.size]).root()
    verify_inclusion(leaves[index], index, head.size, path, head.root)
    old = head.size // 2
    verify_consistency(old, Frontier().extended(leaves[:old]).root(), head.size, head.root, half)

    entries = read(items)
    assert [entry.index for entry, _ in entries] == list(range(len(entries)))
    first, record = entries[0]
    assert first.event == GENESIS
    assert record is not None
    assert workspace_digest(decode(Workspace, record.documents[0])) == workspace_digest(network.workspace)
    mine = [(entry, record) for entry, record in entries if entry.subject == tx.transaction_id]
    assert [entry.previous for entry, _ in mine] == [-1, *(entry.index for entry, _ in mine[:-1])]
    events = [entry.event.removeprefix("order.") for entry, _ in mine]
    wanted = ["submitted", "reading", "pending_approval", "decision", "approved", "execution", "signing", "signed"]
    wanted += ["sending", "broadcast", "mined", "confirmed"]
    places = [events.index(one) for one in wanted]
    assert places == sorted(places)
    by = {entry.event: record for entry, record in mine if record is not None}
    assert set(by) == {entry.event for entry, _ in mine}
    assert by["order.submitted"].actor == "desk"
    assert by["order.decision"].actor == "ravi"
    assert transaction_hash(by["order.signed"].documents[0]).hex() == tx.hash.removeprefix("0x")
    assert "0x" in by["order.mined"].note
