"""Cosigners that lie inside the protocol: the order is signed without them, and anybody can check who lied."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from oms.client import Client
from oms.devnet.cast import ETHER
from oms.devnet.network import Network
from oms_core.keys import Change
from tests import cluster
from tests.attack.evil_cosigner import LIES

pytestmark = [pytest.mark.slow, pytest.mark.attack]


def oms(network: Network, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("oms")), "--config", str(network.root / "oms.toml"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def pardon(network: Network, index: int) -> None:
    """Every operator's word that the node may take part again."""
    config = str(network.root / "coordinator" / "coordinator.toml")
    command = [sys.executable, "-m", "coordinator", "--config", config, "pardon", str(index)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    for other in cluster.ALL:
        config = str(network.root / f"cosigner-{other}" / "cosigner.toml")
        command = [sys.executable, "-m", "cosigner", "--config", config, "pardon", "--yes", str(index)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or "is not convicted here" in done.stderr, done.stderr


async def lie(network: Network, liar: int, name: str) -> None:
    """Replace a node by one that lies, and leave no others than a quorum with it."""
    for index in cluster.ALL:
        network.kill_cosigner(index)
    network.start_cosigner(liar, ("tests.attack.evil_cosigner", name))
    for index in [index for index in cluster.ALL if index != liar][:2]:
        network.start_cosigner(index)
    quorum = {liar, *[index for index in cluster.ALL if index != liar][:2]}
    await network.attached(quorum, 60)


async def convicted(client: Client, seconds: float = 120) -> list[int]:
    """Whom the evidence convicts so far."""
    return [one.culprit for one in await client.evidence() if one.quarantined]


@pytest.mark.parametrize("name", [name for name, (step, _, _) in LIES.items() if not step.startswith("reshare")])
async def test_a_liar_is_named_with_evidence_and_the_order_is_signed_without_it(
    network: Network, name: str, tmp_path: Path
) -> None:
    liar = 1 + list(LIES).index(name) % 5
    async with network.client() as client:
        before = {one.evidence_id for one in await client.evidence()}
        await lie(network, liar, name)
        tx = await cluster.propose(network, client, wei=ETHER + 1)
        approving = asyncio.create_task(cluster.approve_all(network, client, "ravi"))
        await cluster.until(client, tx.transaction_id, "APPROVED", reason="QUORUM_UNAVAILABLE", seconds=200)
        found = [one for one in await client.evidence() if one.evidence_id not in before]
        assert {one.culprit for one in found} == {liar}
        assert all(one.step.startswith(LIES[name][0].split(".")[0]) for one in found)
        for index in cluster.ALL:
            if not network.processes.running(f"enclave-{index}"):
                network.start_cosigner(index)
        tx = await client.ended(tx.transaction_id)
        approving.cancel()
        assert tx.state == "CONFIRMED", (tx.reason, tx.detail)
        assert liar not in tx.signers
        file = tmp_path / "evidence"
        assert oms(network, "evidence", "export", found[0].evidence_id, "--out", str(file)).returncode == 0
        pinned = str(network.root / "workspace.cbor")
        judged = oms(network, "evidence", "verify-blame", str(file), "--workspace", pinned)
        assert judged.stdout.startswith(f"CONFIRMED: cosigner {liar} "), judged.stderr
    network.kill_cosigner(liar)
    pardon(network, liar)


async def test_a_dealer_that_gives_a_bad_share_is_named_and_the_old_epoch_goes_on(network: Network) -> None:
    liar = 4
    async with network.client() as client:
        wallet = await client.wallet(cluster.WALLET)
        network.kill_cosigner(liar)
        network.start_cosigner(liar, ("tests.attack.evil_cosigner", "share"))
        await network.attached(cluster.ALL, 60)
        change = await cluster.change_key(network, client, Change.REFRESH)
        assert change.state == "FAILED"
        assert liar in await convicted(client)
        assert (await client.wallet(cluster.WALLET)).epoch == wallet.epoch
        tx = await client.ended((await cluster.propose(network, client)).transaction_id)
        assert tx.state == "CONFIRMED"
        assert liar not in tx.signers
    network.kill_cosigner(liar)
    pardon(network, liar)
