"""A coordinator's database is put back to an earlier state: nothing is forked, and nodes give the log back."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oms.client import Client
from oms.devnet.network import Network
from oms_core.errors import NotFound
from oms_core.log.entries import AUTHORIZED, read_entry, read_record
from tests import cluster
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


async def entries(client: Client) -> list[tuple[str, str, bool]]:
    """Event, subject, and whether the record is there, of all of the log."""
    found, (_, size) = [], await client.log_items(0, 1)
    while len(found) < size:
        items, _ = await client.log_items(len(found))
        found += items
    read = [(read_entry(one.entry), one) for one in found]
    return [(entry.event, entry.subject, read_record(entry, one) is not None) for entry, one in read]


async def test_after_its_database_was_put_back_a_coordinator_stops_recovers_the_log_and_signs_again(
    network: Network, tmp_path: Path
) -> None:
    home, copies = network.root / "coordinator", tmp_path / "copies"
    async with network.client() as client:
        assert (await cluster.settle(network, client)).state == "CONFIRMED"
    network.processes.stop("coordinator")
    copies.mkdir()
    for file in home.glob("*.sqlite*"):
        shutil.copy(file, copies)
    network.start_coordinator()
    await network.attached(cluster.ALL)
    async with network.client() as client:
        await cluster.mode(client, "FULL")
        lost = await cluster.settle(network, client)
        assert lost.state == "CONFIRMED"
        before = await entries(client)
    network.processes.stop("coordinator")
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
        with pytest.raises(NotFound):
            await client.transaction(lost.transaction_id)
    network.processes.stop("coordinator")
    done = recover(network)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cosigner 5 has followed" in done.stdout
    assert "are back" in done.stdout
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
        assert ("order.confirmed", lost.transaction_id, False) in after
        assert (await cluster.settle(network, client)).state == "CONFIRMED"
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
