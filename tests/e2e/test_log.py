"""The log on a whole network: an order's way stands in it, and signing stands on it, with as many as vouch for it."""

from __future__ import annotations

import asyncio
import time

from auditor.verify import verify_pack
from oms.cli.prompts import exactly, own_claim
from oms.client import Client
from oms.devnet.cast import ETHER, ORIGIN
from oms.devnet.network import Network
from oms_core.authorize import execution_digest
from oms_core.chains.evm import decode_signed
from oms_core.chains.intent import Intent, Proposal
from oms_core.encoding import decode
from oms_core.errors import Reason
from oms_core.evidence import SignRequest
from oms_core.log.entries import AUTHORIZED, GENESIS, read_entry, read_record
from oms_core.log.note import cosignatures, read_note, verify_log
from oms_core.log.roster import log_verifier, witness_verifiers
from oms_core.log.tree import leaf_hash, verify_inclusion
from oms_core.workspace import workspace_digest
from proto import oms_pb2 as pb
from tests import cluster


async def settled(network: Network, client: Client) -> pb.Transaction:
    """An order that ravi approves."""
    tx = await cluster.propose(network, client, wei=2 * ETHER)
    await cluster.approve(network, client, tx.transaction_id, "ravi")
    return await client.ended(tx.transaction_id)


async def test_every_step_of_an_orders_way_is_in_the_log_under_a_head_that_four_have_cosigned(network: Network) -> None:
    async with network.client() as client:
        workspace = await client.workspace()
        tx = await settled(network, client)
        assert tx.state == "CONFIRMED"
        size, deadline = 0, time.monotonic() + cluster.PATIENT
        _, wanted = await client.log_items(0, 1)
        while size < wanted and time.monotonic() < deadline:
            checkpoint = await client.checkpoint(4)
            size = int(checkpoint.size)
            await asyncio.sleep(0.2)
        note = read_note(checkpoint.note)
        root = verify_log(note, log_verifier(workspace)).root
        assert len(cosignatures(note, tuple(witness_verifiers(workspace).values()))) >= 4
        found, start = [], 0
        while start < size:
            items, _ = await client.log_items(start)
            found += items
            start += len(items)
        entries = [read_entry(one.entry) for one in found[:size]]
        assert [entry.index for entry in entries] == list(range(size))
        assert entries[0].event == GENESIS
        mine = [entry for entry in entries if entry.subject == tx.transaction_id]
        events = [entry.event for entry in mine]
        for stage in tx.stages:
            assert f"order.{stage.state.lower()}" in events
        assert {"order.reading", "order.decision", AUTHORIZED, "order.sending"} <= set(events)
        assert events.index(AUTHORIZED) < events.index("order.signing") < events.index("order.signed")
        for entry in mine:
            path = await client.log_proof(entry.index, size)
            verify_inclusion(leaf_hash(found[entry.index].entry), entry.index, size, path, root)
        asked = next(entry for entry in reversed(mine) if entry.event == AUTHORIZED)
        record = read_record(asked, found[asked.index])
        assert record is not None
        request = decode(SignRequest, record.documents[0], 1 << 20)
        signed, _ = decode_signed(tx.raw)
        assert request.execution is not None
        assert request.execution.nonce == signed.nonce
        pack = await client.evidence_pack(tx.transaction_id)
    assert network.workspace is not None
    assert verify_pack(pack, workspace_digest(network.workspace)).subject == tx.transaction_id


async def test_with_two_dead_an_approval_that_names_no_transaction_is_asked_for_anew_and_one_that_does_settles(
    network: Network,
) -> None:
    async with network.client() as client:
        await cluster.mode(client, "FULL")
        workspace = await client.workspace()
        tx = await cluster.propose(network, client, wei=2 * ETHER)
        order_id = tx.transaction_id
        await cluster.until(client, order_id, "PENDING_APPROVAL")
        (asked,) = [one for one in await client.inbox("ravi") if one.subject_id == order_id]
        assert asked.execution is None
        assert exactly(asked) == []
        small = (await cluster.propose(network, client, wei=7)).transaction_id
        await client.ended(small)
        for index in (2, 4):
            network.kill_cosigner(index)
        said = await cluster.mode(client, "DEGRADED")
        assert "3 of 5 cosigners vouch for the log" in said.detail
        press = network.authenticator("ravi").approve
        await client.decide(order_id, press(asked.claim, ORIGIN))  # as she was asked before
        deadline = time.monotonic() + cluster.PATIENT
        while not (again := [one for one in await client.inbox("ravi") if one.subject_id == order_id]):
            assert time.monotonic() < deadline, await client.transaction(order_id)
            await asyncio.sleep(0.1)
        shown = await client.transaction(order_id)
        assert [(one.state, one.reason) for one in shown.decisions] == [("INVALIDATED", Reason.EXACT_BYTES_NEEDED)]
        (asked,) = again
        assert asked.execution is not None
        assert f"account nonce {asked.execution.nonce}" in " ".join(exactly(asked))
        claim = own_claim(asked, workspace, "ravi")
        assert claim.execution == execution_digest(asked.execution)
        await client.decide(order_id, press(claim, ORIGIN))
        tx = await client.ended(order_id)
    assert (tx.state, tuple(tx.signers)) == ("CONFIRMED", (1, 3, 5)), (tx.reason, tx.detail)
    signed, _ = decode_signed(tx.raw)
    assert (signed.nonce, signed.gas_limit) == (asked.execution.nonce, asked.execution.gas_limit)


async def test_in_degraded_mode_what_nobody_approves_waits_and_limits_count_a_third(network: Network) -> None:
    for index in (2, 4):
        network.kill_cosigner(index)
    async with network.client() as client:
        await cluster.mode(client, "DEGRADED")
        small = (await cluster.propose(network, client)).transaction_id
        tx = await cluster.until(client, small, "APPROVED", reason=Reason.EXACT_BYTES_NEEDED)
        assert "nobody has to approve this order" in tx.detail
        # Of 200 ETH a day 66 count while so few vouch; what waits for people is reserved.
        large = [await cluster.propose(network, client, wei=40 * ETHER) for _ in range(2)]
        await cluster.approve(network, client, large[1].transaction_id, "ravi")
        waits = await cluster.until(client, large[1].transaction_id, "APPROVED", reason=Reason.VELOCITY_EXCEEDED)
        assert "3 of 5 cosigners vouch" in waits.detail
        for one in large:
            intent = decode(Proposal, one.proposal).subject
            assert isinstance(intent, Intent)
            await client.cancel(one.transaction_id, network.desk().withdraw(intent))
        for index in (2, 4):
            network.start_cosigner(index)
        await cluster.mode(client, "FULL")
        tx = await client.ended(small)
    assert tx.state == "CONFIRMED", (tx.reason, tx.detail)


async def test_with_three_dead_nothing_is_signed_until_they_are_back_and_have_caught_up(network: Network) -> None:
    for index in (1, 2, 4):
        network.kill_cosigner(index)
    async with network.client() as client:
        said = await cluster.mode(client, "STOPPED")
        assert "nothing is signed" in said.detail
        tx = await cluster.propose(network, client)
        tx = await cluster.until(client, tx.transaction_id, "APPROVED", reason=Reason.QUORUM_UNAVAILABLE)
        async with asyncio.timeout(cluster.PATIENT):
            while True:
                sizes = {one.index: one.log_size for one in (await client.status()).cosigners}
                if min(sizes[i] for i in (3, 5)) > max(sizes[i] for i in (1, 2, 4)):
                    break
                await asyncio.sleep(0.1)
        for index in (1, 2, 4):
            network.start_cosigner(index)
        tx = await client.ended(tx.transaction_id)
        assert tx.state == "CONFIRMED"
        deadline = time.monotonic() + cluster.PATIENT
        while time.monotonic() < deadline:
            said = await client.status()
            if all(one.log_size == said.log.size for one in said.cosigners):
                break
            await asyncio.sleep(0.2)
        assert {one.log_size for one in said.cosigners} == {said.log.size}
