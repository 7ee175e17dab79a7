"""A wallet that asks for a drill becomes active when backups of a quorum have signed, and not before."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from oms.devnet.network import Network
from tests import cluster

pytestmark = pytest.mark.slow

WALLET = "wal_drilled"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def cosigner(network: Network, index: int, *command: str) -> subprocess.CompletedProcess[str]:
    config = str(network.root / f"cosigner-{index}" / "cosigner.toml")
    return run(sys.executable, "-m", "cosigner", "--config", config, *command)


async def test_a_wallet_with_a_drill_is_active_only_after_its_backups_have_signed(
    network: Network, tmp_path: Path
) -> None:
    async with network.client() as client:
        await client.create_wallet(network.desk().propose(replace(cluster.wish(WALLET), drill=True)))
        await cluster.approve(network, client, WALLET, "sam", "sonja")
        while (await client.wallet(WALLET)).state != "PRE_ACTIVE":
            await asyncio.sleep(0.2)
        pairs = []
        for index in (1, 3, 5):
            recovery, backup = tmp_path / f"recovery-{index}", tmp_path / f"backup-{index}"
            assert cosigner(network, index, "recovery-key", "new", str(recovery)).returncode == 0
            public = f"{recovery}.pub"
            made = cosigner(network, index, "backup", "--to", str(backup), "--recovery", public, "--wallet", WALLET)
            assert made.returncode == 0, made.stderr
            pairs.append(f"{backup}:{recovery}")
        assert (await client.wallet(WALLET)).state == "PRE_ACTIVE"
        record = tmp_path / "drill"
        drilled = cosigner(network, 1, "drill", "--out", str(record), *pairs)
        assert drilled.returncode == 0, drilled.stderr
        oms = str(Path(sys.executable).with_name("oms"))
        handed = run(oms, "--config", str(network.root / "oms.toml"), "wallet", "drill", WALLET, str(record))
        assert handed.returncode == 0, handed.stderr
        async with asyncio.timeout(cluster.PATIENT):
            while (await client.wallet(WALLET)).state != "ACTIVE":
                await asyncio.sleep(0.2)
