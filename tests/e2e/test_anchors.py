"""Anchors on a whole network: they go out on schedule, a quorum signs them, they are proved without the coordinator."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from oms.devnet import anchor_contract
from oms.devnet.contracts import address_of
from oms.devnet.network import Network
from oms_core.chains.address import to_checksum
from oms_core.chains.header import header_of, read_header
from oms_core.chains.intent import Call
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason
from oms_core.log.anchor import ANCHOR, AnchorReceipt, checkpoint_of, verify_anchor
from oms_core.log.note import cosignatures, read_note, verify_log
from oms_core.log.ots import verify_ots
from oms_core.log.quorum import degraded
from oms_core.log.roster import log_verifier, witness_verifiers
from proto import oms_pb2 as pb
from tests import cluster

WALLET, CONTRACT = "wal_anchor", address_of("anchor")


@dataclass(frozen=True)
class Place:
    """The network, and the anchor wallet's account."""

    network: Network
    account: bytes

    async def anchored(self, after: int = 0, seconds: float = cluster.PATIENT) -> pb.Anchor:
        """The next anchor of more entries than these, once it is proved."""
        deadline = time.monotonic() + seconds
        async with self.network.client() as client:
            while True:
                found = await client.anchors()
                if made := [one for one in found if one.state == "ANCHORED" and one.size > after]:
                    return made[-1]
                assert time.monotonic() < deadline, [(one.state, one.reason, one.detail, one.size) for one in found]
                await asyncio.sleep(0.5)

    async def header(self, block: int) -> bytes:
        """A header as the chain itself has it."""
        shown = await self.network.rpc_call("eth_getBlockByNumber", hex(block), False)
        assert isinstance(shown, dict)
        return header_of(shown)


@pytest.fixture
async def place(network: Network) -> Place:
    """The network with an anchor wallet: what it is told to anchor, it anchors from now on."""
    async with network.client() as client:
        held = {wallet.wallet_id: wallet.address for wallet in await client.wallets()}
    address = held.get(WALLET) or await cluster.make_wallet(network, WALLET)
    return Place(network, bytes.fromhex(address[2:]))


@contextlib.asynccontextmanager
async def every_minute(network: Network) -> AsyncIterator[None]:
    """A coordinator that anchors every minute for a while."""
    config = network.root / "coordinator" / "coordinator.toml"
    text = config.read_text()
    for written in (text.replace("minutes = 10", "minutes = 1"), text):
        config.write_text(written)
        network.processes.stop("coordinator")
        network.start_coordinator()
        await cluster.ready(network)
        if written != text:
            yield


async def test_checkpoints_are_anchored_on_schedule_and_proved_offline(place: Place) -> None:
    first = await place.anchored()
    async with every_minute(place.network):
        second = await place.anchored(after=first.size)
    assert second.created_at >= first.created_at + 60
    for one in (first, second):
        receipt, header = decode(AnchorReceipt, one.receipt), await place.header(one.block_number)
        shown = verify_anchor(receipt, place.account, CONTRACT, read_header(header).hash)
        assert (shown.size, shown.block, shown.timestamp) == (one.size, one.block_number, one.block_time)
        assert receipt.header == header
        roots = {one.block_number: read_header(header).transactions_root}
        assert verify_ots(one.ots, checkpoint_of(receipt.checkpoint).body(), roots.__getitem__).blocks == tuple(roots)

        event = await place.network.rpc_call("eth_getTransactionReceipt", "0x" + shown.txid.hex())
        assert isinstance(event, dict)
        [logged] = event["logs"]
        topics = ["0x" + anchor_contract.EVENT.hex(), "0x" + place.account.hex().rjust(64, "0")]
        assert (logged["topics"], logged["address"]) == (topics, "0x" + CONTRACT.hex())


async def test_an_anchored_checkpoint_is_the_logs_and_an_honest_witness_has_seen_it(place: Place) -> None:
    anchor = await place.anchored()
    async with place.network.client() as client:
        workspace = await client.workspace()
    note = read_note(anchor.checkpoint)
    assert verify_log(note, log_verifier(workspace)).size == anchor.size
    seen = cosignatures(note, list(witness_verifiers(workspace).values()))
    assert len(seen) >= degraded(len(workspace.roster))


@pytest.mark.attack
@pytest.mark.covers("L12")
async def test_a_receipt_of_which_one_byte_is_changed_proves_nothing(place: Place) -> None:
    anchor = await place.anchored()
    known = read_header(await place.header(anchor.block_number)).hash
    good = decode(AnchorReceipt, anchor.receipt)
    whole = verify_anchor(good, place.account, CONTRACT, known)
    covered = len(checkpoint_of(good.checkpoint).body().encode())
    start = anchor.receipt.index(checkpoint_of(good.checkpoint).body().encode())
    for at in range(len(anchor.receipt)):
        changed = bytearray(anchor.receipt)
        changed[at] ^= 1
        try:
            found = verify_anchor(decode(AnchorReceipt, bytes(changed)), place.account, CONTRACT, known)
        except (Malformed, ProofInvalid):
            continue
        assert found == whole  # a signature of the note, which others check
        assert at >= start + covered
    assert encode(good) == anchor.receipt
    with pytest.raises(ProofInvalid) as caught:
        verify_anchor(replace(good, index=good.index + 1), place.account, CONTRACT, known)
    assert caught.value.reason in (Reason.DIGEST_MISMATCH, Reason.MALFORMED)


async def test_the_contract_takes_the_one_call_and_nothing_else(place: Place) -> None:
    good = ANCHOR.encode(bytes(32), 1)
    contract = to_checksum(CONTRACT)
    for data, value in ((good + b"\0", 0), (good[:-1], 0), (b"", 0), (bytes(4) + good[4:], 0), (good, 1)):
        call = {"to": contract, "data": "0x" + data.hex(), "value": hex(value)}
        with pytest.raises(CountersealError, match="revert"):
            await place.network.rpc_call("eth_call", call, "latest")
    await place.network.rpc_call("eth_call", {"to": contract, "data": "0x" + good.hex()}, "latest")


@pytest.mark.attack
async def test_the_anchor_services_key_moves_nothing_but_anchors(place: Place) -> None:
    weth = Call(address_of("weth"), 0, bytes.fromhex("d0e30db0"))
    paid = Call(CONTRACT, 1, ANCHOR.encode(bytes(32), 1))
    async with place.network.client() as client:
        for wallet, action in ((WALLET, weth), (WALLET, paid), (cluster.WALLET, replace(paid, value=0))):
            intent, _ = await client.prepare(wallet, action, "anchor", "stolen key")
            try:
                tx = await client.submit(place.network.proposer("anchor").propose(intent))
                tx = await client.ended(tx.transaction_id)
                said = (tx.state, tx.raw, tx.reason)
            except CountersealError as error:
                said = ("REJECTED", b"", error.reason)
            assert said[:2] == ("REJECTED", b"")
            assert said[2] in (Reason.DENIED_BY_RULE, Reason.NO_PERMIT, Reason.NOT_ELIGIBLE)
