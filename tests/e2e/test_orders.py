"""Orders on a whole network: they settle, whoever dies, and nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from oms.client import Client, fresh
from oms.devnet.cast import ETHER, ORIGIN, SANCTIONED
from oms.devnet.network import Network
from oms_core.approvals import Verdict
from oms_core.chains.evm import decode_signed, sender, signing_digest, to_checksum
from oms_core.crypto import ecdsa
from oms_core.encoding import decode
from oms_core.errors import CountersealError, Reason, Unavailable
from oms_core.protocol.shares import SignedConfirmation, check_confirmations
from oms_core.workspace import identities
from tests import cluster
from tests.e2e import mortal_coordinator

MORTAL = "tests.e2e.mortal_coordinator"


async def test_a_wallet_is_confirmed_by_every_cosigner_under_its_identity_key(network: Network) -> None:
    async with network.client() as client:
        wallet, workspace = await client.wallet(cluster.WALLET), await client.workspace()
    signed = tuple(decode(SignedConfirmation, data) for data in wallet.confirmations)
    assert len(signed) == 5
    said = check_confirmations(signed, identities(workspace))
    assert said.public_key.to_bytes() == wallet.public_key


async def test_an_approved_transfer_is_signed_by_three_and_settles(network: Network) -> None:
    async with network.client() as client:
        wallet = await client.wallet(cluster.WALLET)
        tx = await cluster.propose(network, client, wei=2 * ETHER)
        await cluster.until(client, tx.transaction_id, "PENDING_APPROVAL")
        await cluster.approve(network, client, tx.transaction_id, "ravi")
        tx = await client.ended(tx.transaction_id)
    assert tx.state == "CONFIRMED"
    assert len(tx.signers) == 3
    parsed, signature = decode_signed(tx.raw)
    public = decode(SignedConfirmation, wallet.confirmations[0]).confirmation.public_key
    ecdsa.verify_independent(public, signing_digest(parsed), signature)
    assert ecdsa.recover(signature, signing_digest(parsed)) == public
    assert to_checksum(sender(tx.raw)) == wallet.address
    onchain = await network.rpc_call("eth_getTransactionByHash", tx.hash)
    assert isinstance(onchain, dict)
    assert onchain["from"] == wallet.address.lower()
    assert int(onchain["value"], 16) == 2 * ETHER


async def test_a_denied_transfer_is_not_signed_and_says_who_denied_it(network: Network) -> None:
    async with network.client() as client:
        tx = await cluster.propose(network, client, wei=2 * ETHER)
        await cluster.until(client, tx.transaction_id, "PENDING_APPROVAL")
        (waiting,) = [one for one in await client.inbox("ravi") if one.subject_id == tx.transaction_id]
        claim = replace(waiting.claim, verdict=Verdict.DENY)
        await client.decide(tx.transaction_id, network.authenticator("ravi").approve(claim, ORIGIN), "too much")
        tx = await client.ended(tx.transaction_id)
    assert (tx.state, tx.reason) == ("DENIED", Reason.APPROVAL_DENIED)
    assert "ravi" in tx.detail
    assert "too much" in tx.detail
    assert not tx.raw


@pytest.mark.parametrize(
    ("to", "wei", "reason"),
    [
        ("0x000000000000000000000000000000000000dEaD", ETHER, Reason.NO_PERMIT),
        (to_checksum(SANCTIONED), ETHER, Reason.NO_PERMIT),
        ("entry:kraken-hot", 51 * ETHER, Reason.LIMIT_EXCEEDED),
    ],
    ids=["not in the address book", "denied address", "over the limit"],
)
async def test_a_transfer_that_the_policy_forbids_is_rejected_with_its_rule(
    network: Network, to: str, wei: int, reason: Reason
) -> None:
    async with network.client() as client:
        tx = await cluster.propose(network, client, to, wei)
        tx = await client.ended(tx.transaction_id)
    assert tx.state == "REJECTED"
    reasons = {reason, Reason.DENIED_BY_RULE} if to == to_checksum(SANCTIONED) else {reason}
    assert tx.reason in reasons
    assert not tx.raw


async def test_any_three_of_five_processes_sign(network: Network) -> None:
    """The ten quorums, each as the only one alive; neighbours in the list differ by one node where they can.

    So few vouch for the log then that somebody has to name the exact transaction.
    """
    alive, signed = set(cluster.ALL), dict[str, tuple[int, ...]]()
    quorums = sorted(combinations(cluster.ALL, 3))
    async with network.client() as client, cluster.approving(network, client, "ravi"):
        while quorums:
            quorum = max(quorums, key=lambda q: len(set(q) & alive))
            quorums.remove(quorum)
            for index in sorted(alive - set(quorum)):
                network.kill_cosigner(index)
            for index in sorted(set(quorum) - alive):
                network.start_cosigner(index)
            alive = set(quorum)
            await network.attached(quorum)
            tx = await cluster.propose(network, client, wei=ETHER + 1)
            await cluster.until(client, tx.transaction_id, "SIGNED", "BROADCAST", "MINED", "CONFIRMED")
            signed[tx.transaction_id] = quorum
        assert len(signed) == 10
        for order_id, quorum in signed.items():
            tx = await client.ended(order_id)
            assert (tx.state, tuple(tx.signers)) == ("CONFIRMED", quorum), (tx.reason, tx.detail)


async def test_with_three_nodes_dead_the_order_waits_and_completes_when_one_returns(network: Network) -> None:
    for index in (1, 2, 3):
        network.kill_cosigner(index)
    await network.attached((4, 5))
    async with network.client() as client:
        tx = await cluster.propose(network, client)
        tx = await cluster.until(client, tx.transaction_id, "APPROVED", reason=Reason.QUORUM_UNAVAILABLE)
        network.start_cosigner(2)
        tx = await cluster.until(client, tx.transaction_id, "APPROVED", reason=Reason.EXACT_BYTES_NEEDED)
        network.start_cosigner(3)
        tx = await client.ended(tx.transaction_id)
    assert tx.state == "CONFIRMED"
    assert 1 not in tx.signers


async def test_a_cosigner_that_dies_during_a_session_is_replaced(network: Network, tmp_path: Path) -> None:
    """Of three that are about to die, one is in every quorum; the first that is asked to sign does."""
    grave, doomed = tmp_path / "grave", (3, 4, 5)
    await cluster.restarted(network, *doomed, module=("tests.e2e.mortal_cosigner", str(grave)))
    async with network.client() as client:
        tx = await client.ended((await cluster.propose(network, client)).transaction_id)
    dead = int(grave.read_text())
    assert network.processes.exit_code(f"enclave-{dead}") == -signal.SIGKILL
    assert tx.state == "CONFIRMED", (tx.reason, tx.detail)
    assert dead not in tx.signers
    *before, last = [re.findall(r"\d+", one.note) for one in tx.stages if one.state == "SIGNING"]
    # Others may have been asked first, for a presignature that was lost with the processes before these.
    assert any(str(dead) in asked for asked in before)
    assert str(dead) not in last
    await cluster.restarted(network, *doomed)


async def test_a_hung_cosigner_is_noticed_and_left_out(network: Network) -> None:
    network.processes.pause("enclave-1")
    try:
        await network.attached((2, 3, 4, 5))
        async with network.client() as client:
            tx = await client.ended((await cluster.propose(network, client)).transaction_id)
        assert tx.state == "CONFIRMED"
        assert 1 not in tx.signers
    finally:
        network.processes.resume("enclave-1")
    await cluster.ready(network)


@pytest.fixture(scope="module")
def _mortal(_network: Network) -> Iterator[None]:
    """The coordinator dies from now on of orders that say so."""
    if _network.processes.running("coordinator"):
        _network.processes.stop("coordinator")
    _network.start_coordinator(MORTAL)
    yield
    _network.processes.stop("coordinator")


@pytest.fixture
async def mortal(_mortal: None, network: Network) -> Network:
    return network


async def press_again(network: Network, client: Client, order_id: str) -> None:
    """Olga decides once more wherever she is asked to name the exact transaction, and only there."""
    while True:
        with contextlib.suppress(CountersealError):  # nobody would notice that she has stopped
            decisions = (await client.transaction(order_id)).decisions
            if any(one.reason == Reason.EXACT_BYTES_NEEDED for one in decisions):
                for one in [one for one in await client.inbox("olga") if one.subject_id == order_id]:
                    await client.decide(order_id, network.authenticator("olga").approve(one.claim, ORIGIN))
        await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    "state", ["SUBMITTED", "PENDING_APPROVAL", "APPROVED", "SIGNING", "SIGNED", "BROADCAST", "MINED"]
)
async def test_an_order_survives_the_death_of_the_coordinator_in_state(mortal: Network, state: str) -> None:
    asked, request_id = state not in ("SUBMITTED", "PENDING_APPROVAL"), fresh()
    async with mortal.client() as client:
        intent, _ = await client.prepare_transfer(
            cluster.WALLET, "entry:kraken-hot", ETHER + 1, "desk", mortal_coordinator.WORDS + state
        )
        proposal = mortal.desk().propose(intent)
        with contextlib.suppress(Unavailable):  # its answer may be lost with it
            order_id = (await client.submit(proposal, request_id)).transaction_id
            if asked:
                await cluster.approve(mortal, client, order_id, "olga")
    async with asyncio.timeout(cluster.PATIENT):
        while mortal.processes.running("coordinator"):
            await asyncio.sleep(0.02)
    assert mortal.processes.exit_code("coordinator") == -signal.SIGKILL
    mortal.start_coordinator(MORTAL)
    await cluster.ready(mortal)
    async with mortal.client() as client:
        tx = await client.submit(proposal, request_id)
        order_id = tx.transaction_id
        assert state in [stage.state for stage in tx.stages]
        if not asked:
            await cluster.approve(mortal, client, order_id, "olga")
        pressing = asyncio.create_task(press_again(mortal, client, order_id))
        tx = await client.ended(order_id)
        pressing.cancel()
        assert tx.state == "CONFIRMED", (tx.reason, tx.detail)
        onchain = await mortal.rpc_call("eth_getTransactionByHash", tx.hash)
        assert isinstance(onchain, dict)
        sent = [t for t in await client.transactions(limit=500) if t.hash and t.transaction_id == order_id]
        assert len(sent) == 1


async def test_with_the_chain_down_the_order_waits_and_completes_when_it_returns(network: Network) -> None:
    network.processes.stop("anvil")
    async with network.client() as client:
        tx = await cluster.propose(network, client)
        await cluster.until(client, tx.transaction_id, "APPROVED", reason=Reason.CHAIN_UNAVAILABLE)
        assert not (await client.status()).chain_reachable
        network.start_chain()
        tx = await client.ended(tx.transaction_id)
    assert tx.state == "CONFIRMED"


async def test_orders_submitted_together_all_settle_with_their_own_nonces(network: Network) -> None:
    async with network.client() as client:
        submitted = await asyncio.gather(*(cluster.propose(network, client, wei=1000 + i) for i in range(6)))
        ended = await asyncio.gather(*(client.ended(tx.transaction_id) for tx in submitted))
    assert {tx.state for tx in ended} == {"CONFIRMED"}
    assert len({decode_signed(tx.raw)[0].nonce for tx in ended}) == 6
