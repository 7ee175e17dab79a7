"""A coordinator's database is put back to an earlier state: nothing is forked, and nodes give the log back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.client import Client
from oms.devnet.cast import ETHER
from oms.devnet.network import Network
from oms_core.chains.intent import Proposal
from oms_core.encoding import decode
from oms_core.errors import Conflict, NotFound, Unavailable
from oms_core.log.entries import AUTHORIZED, read_entry, read_record
from oms_core.workspace import workspace_digest
from tests import cluster
from tests.e2e import mortal_coordinator
from tests.e2e.test_audit import audit


def recover(network: Network, *options: str) -> subprocess.CompletedProcess[str]:
    """What the coordinator's operator runs."""
    config = str(network.root / "coordinator" / "coordinator.toml")
    command = [sys.executable, "-m", "coordinator", "--config", config, "recover", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def put_back(home: Path, copies: Path) -> None:
    """The databases as they were copied."""
    for file in home.glob("*.sqlite*"):
        file.unlink()
    for file in copies.iterdir():
        shutil.copy(file, home)


async def backed_up(network: Network, copies: Path) -> None:
    """Copies of the databases, of a moment when the coordinator does not run."""
    network.processes.stop("coordinator")
    copies.mkdir()
    for file in (network.root / "coordinator").glob("*.sqlite*"):
        shutil.copy(file, copies)
    network.start_coordinator()
    await cluster.ready(network)


async def dies_while_signing(network: Network) -> str:
    """The coordinator asks for an order's shares, and is killed; the order's id."""
    network.processes.stop("coordinator")
    network.start_coordinator("tests.e2e.mortal_coordinator")
    await cluster.ready(network)
    async with network.client() as client:
        purpose = f"{mortal_coordinator.WORDS}SIGNING"
        intent, _ = await client.prepare_transfer(cluster.WALLET, "entry:kraken-hot", ETHER + 1, "desk", purpose)
        order_id = (await client.submit(network.desk().propose(intent))).transaction_id
        with contextlib.suppress(Unavailable):  # its answer may be lost with it
            await cluster.approve(network, client, order_id, "olga")
    async with asyncio.timeout(cluster.PATIENT):
        while network.processes.running("coordinator"):
            await asyncio.sleep(0.02)
    return order_id


async def followed(client: Client) -> list[tuple[str, str, bool]]:
    """As `entries`, once cosigners have them all."""
    found = await entries(client)
    async with asyncio.timeout(cluster.PATIENT):
        while (await client.status()).log.size < len(found):
            await asyncio.sleep(0.1)
    return found


async def entries(client: Client) -> list[tuple[str, str, bool]]:
    """Event, subject, and whether the record is there, of all of the log."""
    found, (_, size) = [], await client.log_items(0, 1)
    while len(found) < size:
        items, _ = await client.log_items(len(found))
        found += items
    read = [(read_entry(one.entry), one) for one in found]
    return [(entry.event, entry.subject, read_record(entry, one) is not None) for entry, one in read]


@pytest.fixture
async def unanchored(network: Network) -> AsyncIterator[Network]:
    """The network, where nobody anchors the log meanwhile: all that is asked for is the test's."""
    config = network.root / "coordinator" / "coordinator.toml"
    text = config.read_text()
    network.processes.stop("coordinator")
    config.write_text(text.partition("[anchoring]")[0])
    network.start_coordinator()
    await cluster.ready(network)
    async with network.client() as client:
        for one in await client.anchors():
            with contextlib.suppress(NotFound):  # it was about to be asked for
                await client.ended(one.transaction_id)
    yield network
    network.processes.stop("coordinator")
    config.write_text(text)


async def test_after_its_database_was_put_back_a_coordinator_stops_recovers_the_log_and_signs_again(
    unanchored: Network, tmp_path: Path
) -> None:
    network, home, copies = unanchored, unanchored.root / "coordinator", tmp_path / "copies"
    async with network.client() as client:
        assert (await cluster.settle(network, client)).state == "CONFIRMED"
    await backed_up(network, copies)
    async with network.client() as client:
        lost = await cluster.settle(network, client)
        assert lost.state == "CONFIRMED"
        address = await cluster.make_wallet(network, "wal_later")
        before = await followed(client)
    under_way = await dies_while_signing(network)
    put_back(home, copies)
    network.start_coordinator()
    await network.attached(cluster.ALL)
    async with network.client() as client:
        said = await cluster.mode(client, "STOPPED")
        deadline = time.monotonic() + cluster.PATIENT
        while "`coordinator recover`" not in said.detail:
            assert time.monotonic() < deadline, said.detail
            await asyncio.sleep(0.1)
            said = (await client.status()).log
        waits = await cluster.propose(network, client)
        for meanwhile in (lost.transaction_id, under_way):
            with pytest.raises(NotFound):
                await client.transaction(meanwhile)
        with pytest.raises(NotFound):
            await client.wallet("wal_later")
    network.processes.stop("coordinator")
    done = recover(network)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cosigner 5 has followed" in done.stdout
    assert "are back" in done.stdout
    assert "2 orders and 1 wallets are as the log has them" in done.stdout
    assert recover(network).stdout.splitlines()[-1].startswith("nothing is missing")
    network.start_coordinator()
    await network.attached(cluster.ALL)
    async with network.client() as client:
        await cluster.mode(client, "FULL")
        tx = await client.ended(waits.transaction_id)
        assert tx.state == "CONFIRMED", (tx.reason, tx.detail)
        after = await entries(client)
        shared = next(n for n, (event, _, _) in enumerate(after) if event == "log.recovered")
        again = [one for one in after[:shared] if one[1] == waits.transaction_id]
        assert again[0][0] == "order.submitted"
        size = min(len(before), shared - len(again))
        assert [one[:2] for one in before[:size]] == [one[:2] for one in after[:size]]
        assert (AUTHORIZED, lost.transaction_id, True) in after
        assert ("order.signed", lost.transaction_id, True) in after
        assert ("order.confirmed", lost.transaction_id, False) in after
        known = await client.transaction(lost.transaction_id)
        assert (known.state, known.hash, known.raw, known.signers) == (lost.state, lost.hash, lost.raw, lost.signers)
        with pytest.raises(Conflict, match=lost.transaction_id):
            await client.submit(network.desk().propose(decode(Proposal, lost.proposal).subject))
        async with cluster.approving(network, client, "olga"):
            tx = await client.ended(under_way)
        assert tx.state == "CONFIRMED", (tx.reason, tx.detail)
        assert (await client.wallet("wal_later")).address == address
        intent, _ = await client.prepare_transfer("wal_later", "entry:kraken-hot", 1, "desk", "tests")
        tx = await client.submit(network.desk().propose(intent))
        assert (await client.ended(tx.transaction_id)).state == "CONFIRMED"
        assert (await cluster.settle(network, client)).state == "CONFIRMED"
        await cluster.covered(client)
        packs = [await client.evidence_pack(txn) for txn in (lost.transaction_id, under_way)]
    for data in packs:
        (tmp_path / "pack").write_bytes(data)
        done = audit("pack", str(tmp_path / "pack"), "--digest", workspace_digest(network.workspace).hex())
        assert done.returncode == 0, done.stdout + done.stderr
    verified = verify(network, tmp_path / "log.jsonl")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def verify(network: Network, out: Path) -> subprocess.CompletedProcess[str]:
    """The whole log, as an auditor verifies it."""
    env = {**os.environ, "OMS_CONFIG": str(network.root / "oms.toml")}
    command = [str(Path(sys.executable).with_name("oms")), "log", "export", "--records", "-o", str(out)]
    exported = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=env)
    assert exported.returncode == 0, exported.stderr
    return audit("log", "--export", str(out), "--workspace", str(network.root / "workspace.cbor"))


async def test_without_enough_cosigners_nothing_is_recovered(network: Network) -> None:
    network.processes.stop("coordinator")
    for index in (1, 2, 4):
        network.kill_cosigner(index)
    waited = recover(network, "--seconds", "1")
    assert (waited.returncode, waited.stderr.split(":")[0]) == (2, "QUORUM_UNAVAILABLE"), waited.stderr
    assert "are not there" in waited.stderr
    few = recover(network, "--seconds", "300", "--without", "1", "--without", "2", "--without", "4")
    assert (few.returncode, few.stderr.split(":")[0]) == (2, "QUORUM_UNAVAILABLE"), few.stderr
    assert "fewer than 3 cosigners" in few.stderr
