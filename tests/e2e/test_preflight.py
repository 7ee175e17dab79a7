"""What people see before they approve, on a whole network: readings, check words, a halted node, an amended order."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from oms.client import Client
from oms.devnet.cast import ETHER
from oms.devnet.network import Network
from oms_core.chains.intent import Intent, Proposal, subject_digest
from oms_core.encoding import decode
from oms_core.errors import Reason
from oms_core.readings import agreement
from oms_core.words import in_words
from tests import cluster


async def oms(network: Network, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line of the order desk."""
    call = (sys.executable, "-c", "from oms.cli import main; main()")
    return await ran(*call, "--config", str(network.root / "oms.toml"), *arguments)


async def cosigner(network: Network, index: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A cosigner's operator."""
    config = network.root / f"cosigner-{index}" / "cosigner.toml"
    return await ran(sys.executable, "-m", "cosigner", "--config", str(config), *arguments)


async def ran(*command: str) -> subprocess.CompletedProcess[str]:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    return await asyncio.to_thread(run)


async def pending(network: Network, client: Client, ethers: int = 2) -> str:
    """An order that waits for a risk officer."""
    tx = await cluster.propose(network, client, wei=ethers * ETHER)
    await cluster.until(client, tx.transaction_id, "PENDING_APPROVAL")
    return tx.transaction_id


async def cancelled(network: Network, client: Client, order_id: str) -> None:
    """An order that nobody decides about any more: rules that another test makes laxer would let it go its way."""
    intent = decode(Proposal, (await client.transaction(order_id)).proposal).subject
    assert isinstance(intent, Intent)
    await client.cancel(order_id, network.desk().withdraw(intent))
    assert (await client.ended(order_id)).state == "CANCELLED"


async def test_five_cosigners_have_signed_that_they_read_an_order_the_same_before_anybody_is_asked(
    network: Network,
) -> None:
    async with network.client() as client:
        tx = await client.transaction(await pending(network, client))
        workspace = await client.workspace()
        await cancelled(network, client, tx.transaction_id)
    subject = decode(Proposal, tx.proposal).subject
    found = agreement(subject, workspace, [one.signed_reading for one in tx.readings])
    assert found.unanimous
    assert len(found.same) >= 3
    assert tx.agreement == f"{len(found.same)} of 5 cosigners read this the same way"
    assert tx.check_words == in_words(subject_digest(subject))


async def test_one_and_the_same_words_are_shown_to_the_desk_the_approver_and_the_cosigners_operator(
    network: Network, tmp_path: Path
) -> None:
    async with network.client() as client:
        order_id = await pending(network, client)
        words = in_words((await client.transaction(order_id)).subject_digest)
    assert f"check words: {words}" in (await oms(network, "tx", "show", order_id)).stdout
    assert f"{order_id}  {words}" in (await oms(network, "inbox", "ravi")).stdout
    file = tmp_path / "proposal"
    assert words in (await oms(network, "tx", "proposal", order_id, "--out", str(file))).stdout
    read = await cosigner(network, 2, "read", str(file))
    assert read.stdout.startswith(words), read.stderr
    assert "Send 2 ETH" in read.stdout
    async with asyncio.timeout(cluster.PATIENT):
        while words not in (network.root / "logs" / "enclave-2.log").read_text():
            await asyncio.sleep(0.1)
    async with network.client() as client:
        await cancelled(network, client, order_id)


async def test_an_approver_presses_on_the_command_line_when_the_cosigners_agree(network: Network) -> None:
    key = network.root / "people" / "ravi.json"
    async with network.client() as client:
        order_id = await pending(network, client)
        done = await oms(network, "approve", "ravi", order_id, "--key", str(key))
        assert done.returncode == 0, done.stderr
        assert "cosigners read this the same way" in done.stderr
        assert (await client.ended(order_id)).state == "CONFIRMED"


async def test_a_halted_cosigner_signs_nothing_through_a_restart_until_it_is_resumed(network: Network) -> None:
    try:
        assert "halted: an audit" in (await cosigner(network, 1, "halt", "--reason", "an audit")).stdout
        assert "HALTED: an audit" in (await cosigner(network, 1, "status")).stdout
        await cluster.restarted(network, 1)
        async with network.client() as client:
            async with asyncio.timeout(cluster.PATIENT):
                while not (said := {one.index: one.halted for one in (await client.status()).cosigners})[1]:
                    await asyncio.sleep(0.1)
            assert said == {1: "an audit", 2: "", 3: "", 4: "", 5: ""}
            shown = (await oms(network, "status")).stdout
            assert "HALTED" in shown
            assert "halted by its operator: an audit" in shown
            tx = await client.ended((await cluster.propose(network, client)).transaction_id)
            assert (tx.state, 1 in tx.signers) == ("CONFIRMED", False)
            network.kill_cosigner(5)
            network.kill_cosigner(4)
            waiting = await cluster.propose(network, client, wei=ETHER + 1)
            async with cluster.approving(network, client, "ravi"):
                await cluster.until(client, waiting.transaction_id, "APPROVED", reason=Reason.QUORUM_UNAVAILABLE)
                assert (await cosigner(network, 1, "resume")).stdout == "resumed\n"
                tx = await client.ended(waiting.transaction_id)
            assert (tx.state, tuple(tx.signers)) == ("CONFIRMED", (1, 2, 3))
    finally:
        await cosigner(network, 1, "resume")


async def test_an_amended_order_is_approved_anew_and_the_old_one_is_never_signed(network: Network) -> None:
    async with network.client() as client:
        old_id = await pending(network, client, 3)
        old = decode(Proposal, (await client.transaction(old_id)).proposal).subject
        assert isinstance(old, Intent)
        done = await oms(network, "tx", "amend", old_id, "--amount", "2", "--yes")
        assert done.returncode == 0, done.stderr
        new_id = done.stdout.split()[0]
        replaced = await client.transaction(old_id)
        assert (replaced.state, replaced.reason, replaced.detail) == ("REPLACED", Reason.REPLACED, f"by {new_id}")
        await cluster.until(client, new_id, "PENDING_APPROVAL")
        await cluster.approve(network, client, new_id, "olga")
        tx = await client.ended(new_id)
        assert (tx.state, tx.replaces) == ("CONFIRMED", old_id)
        onchain = await network.rpc_call("eth_getTransactionByHash", tx.hash)
        assert isinstance(onchain, dict)
        assert int(onchain["value"], 16) == 2 * ETHER
        assert not (await client.transaction(old_id)).raw


async def test_a_cancelled_order_ends_and_its_approval_counts_for_nothing(network: Network) -> None:
    async with network.client() as client:
        order_id = await pending(network, client)
        done = await oms(network, "tx", "cancel", order_id)
        assert done.returncode == 0, done.stderr
        tx = await client.transaction(order_id)
        assert (tx.state, tx.reason) == ("CANCELLED", Reason.CANCELLED)
        assert order_id not in [one.subject_id for one in await client.inbox("ravi")]
        again = await oms(network, "tx", "cancel", order_id)
        assert (again.returncode, again.stderr.split(":")[0]) == (2, Reason.WRONG_STATE)
