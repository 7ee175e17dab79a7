"""The life of a key on a whole network: presignatures, derived accounts, new epochs, states, nodes that were away."""

from __future__ import annotations

import asyncio

import pytest

from oms.client import Client
from oms.devnet.cast import ETHER
from oms.devnet.network import Network
from oms_core.chains.evm import address_of, sender, to_checksum
from oms_core.crypto.bip32 import derive
from oms_core.encoding import decode, encode
from oms_core.errors import Reason, Refused
from oms_core.keys import Change, KeyState, SignedKeyReceipt
from oms_core.protocol.identity import verify_identity
from oms_core.protocol.shares import SignedConfirmation, check_confirmations
from oms_core.workspace import identities
from proto import oms_pb2 as pb
from tests import cluster


def how(tx: pb.Transaction) -> str:
    """How it was signed, from the note of its last signing stage."""
    return [stage.note for stage in tx.stages if stage.state == "SIGNING"][-1]


async def settled(network: Network, client: Client) -> pb.Transaction:
    tx = await client.ended((await cluster.propose(network, client)).transaction_id)
    assert tx.state == "CONFIRMED", (tx.state, tx.reason, tx.detail)
    return tx


def destroyed(change: pb.KeyChange, workspace_keys: dict[int, bytes], epoch: int) -> set[int]:
    """Which nodes have signed that this epoch is destroyed there."""
    found = set()
    for data in change.receipts:
        signed = decode(SignedKeyReceipt, data)
        receipt = signed.receipt
        verify_identity(workspace_keys[receipt.index], "key-receipt", encode(receipt), signed.signature)
        assert (receipt.epoch, receipt.state) == (epoch, KeyState.DESTROYED)
        found.add(receipt.index)
    return found


async def test_an_order_is_signed_with_a_presignature_that_was_made_before(network: Network) -> None:
    async with network.client() as client:
        # What is known of the pools may be from before a test that emptied them.
        async with asyncio.timeout(2 * cluster.PATIENT):
            await cluster.pooled(client)
            while not how(await settled(network, client)).endswith("with a presignature"):
                await cluster.pooled(client)


async def test_presignatures_are_gone_after_a_restart_and_orders_are_signed_all_the_same(network: Network) -> None:
    async with network.client() as client:
        await cluster.pooled(client)
        await cluster.restarted(network, *cluster.ALL)
        await settled(network, client)


async def test_an_account_below_the_wallets_key_pays_from_its_own_address(network: Network) -> None:
    path = (0, 7)
    async with network.client() as client:
        wallet = await client.wallet(cluster.WALLET)
        signed = tuple(decode(SignedConfirmation, data) for data in wallet.confirmations)
        said = check_confirmations(signed, identities(await client.workspace()))
        account = address_of(derive(said.public_key, said.chain_code, path).public_key)
        await network.fund(to_checksum(account), ETHER)
        intent, lines = await client.prepare_transfer(
            cluster.WALLET, "entry:kraken-hot", ETHER // 10, "desk", path=path
        )
        assert f"{cluster.WALLET}/0/7" in lines[0]
        tx = await client.ended((await client.submit(network.desk().propose(intent))).transaction_id)
    assert tx.state == "CONFIRMED", (tx.reason, tx.detail)
    assert sender(tx.raw) == account


async def test_a_refresh_keeps_the_address_and_destroys_every_old_share(network: Network) -> None:
    async with network.client() as client:
        before, keys = await client.wallet(cluster.WALLET), identities(await client.workspace())
        change = await cluster.change_key(network, client, Change.REFRESH)
        assert change.state == "DONE", (change.reason, change.detail)
        after = await client.wallet(cluster.WALLET)
        assert (after.address, after.epoch > before.epoch) == (before.address, True)
        while (change := await client.key_change(change.change_id)).owing:
            await asyncio.sleep(0.2)
        assert destroyed(change, keys, before.epoch) == set(cluster.ALL)
        await settled(network, client)


async def test_a_lost_node_is_replaced_without_its_share_and_finds_its_way_when_it_returns(network: Network) -> None:
    async with network.client() as client:
        before, keys = await client.wallet(cluster.WALLET), identities(await client.workspace())
        network.kill_cosigner(5)
        change = await cluster.change_key(network, client, Change.RESHARE, (1, 2, 3, 4), 3)
        assert change.state == "DONE", (change.reason, change.detail)
        after = await client.wallet(cluster.WALLET)
        assert (after.address, list(after.parties), after.threshold) == (before.address, [1, 2, 3, 4], 3)
        await settled(network, client)
        network.start_cosigner(5)
        while (change := await client.key_change(change.change_id)).owing:
            await asyncio.sleep(0.2)
        assert destroyed(change, keys, before.epoch) == set(cluster.ALL)
        back = await cluster.change_key(network, client, Change.RESHARE, cluster.ALL, 3)
        assert back.state == "DONE", (back.reason, back.detail)
        assert (await client.wallet(cluster.WALLET)).address == before.address
        await settled(network, client)


async def test_a_suspended_key_signs_at_no_node_until_it_is_resumed(network: Network) -> None:
    async with network.client() as client:
        change = await cluster.change_key(network, client, Change.SUSPEND)
        assert change.state == "DONE", (change.reason, change.detail)
        with pytest.raises(Refused) as refused:
            await cluster.propose(network, client)
        assert refused.value.reason is Reason.WRONG_STATE
        change = await cluster.change_key(network, client, Change.RESUME)
        assert change.state == "DONE", (change.reason, change.detail)
        await settled(network, client)


async def test_a_wish_about_an_epoch_that_is_over_is_refused(network: Network) -> None:
    async with network.client() as client:
        wallet = await client.wallet(cluster.WALLET)
        wallet.epoch += 1
        with pytest.raises(Refused) as refused:
            await client.change_key(network.desk().propose(cluster.wish_to_change(Change.REFRESH, wallet)))
    assert refused.value.reason is Reason.EPOCH_STALE


@pytest.mark.slow
@pytest.mark.attack
@pytest.mark.covers("K16", "R24")
@pytest.mark.parametrize(
    ("state", "pause"), [("RUNNING", 0.0), ("RUNNING", 3.0), ("RUNNING", 8.0), ("COMMITTING", 0.0)]
)
async def test_a_refresh_that_is_killed_anywhere_leaves_a_key_that_signs(
    network: Network, state: str, pause: float
) -> None:
    """Two nodes and the coordinator die in the middle of it; whatever epoch counts afterwards, a quorum signs."""
    async with network.client() as client:
        wallet = await client.wallet(cluster.WALLET)
        wish = cluster.wish_to_change(Change.REFRESH, wallet)
        asked = await client.change_key(network.desk().propose(wish))
        await cluster.approve(network, client, asked.change_id, "sam", "sonja")
        while (await client.key_change(asked.change_id)).state not in (state, "COMMITTING", "DONE"):
            await asyncio.sleep(0.02)
        await asyncio.sleep(pause)
        for index in (2, 4):
            network.kill_cosigner(index)
        network.processes.kill("coordinator")
    network.start_coordinator()
    for index in (2, 4):
        network.start_cosigner(index)
    await cluster.ready(network)
    async with network.client() as client:
        await settled(network, client)
        async with asyncio.timeout(2 * cluster.PATIENT):
            while (await client.key_change(asked.change_id)).state not in ("DONE", "FAILED"):
                await asyncio.sleep(0.5)
        assert (await client.wallet(cluster.WALLET)).address == wallet.address
        await settled(network, client)
