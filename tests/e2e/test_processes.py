"""The operator's commands and the processes themselves: what goes wrong is said in one line, with its reason."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oms.devnet import ceremony
from oms.devnet.network import Network
from tests import cluster


def cosigner(config: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cosigner", "--config", str(config), *command],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node's folder with its token."""
    made = ceremony.cosigner_files(tmp_path, 1, "localhost:1", "L112")
    ceremony.init_token(made)
    return made


def test_a_wrong_pin_ends_the_enclave_with_its_reason(config: Path) -> None:
    (config.parent / "pin").write_text("00000000")
    done = cosigner(config, "enclave")
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "HSM_PIN")


def test_a_pin_file_that_others_can_read_is_refused(config: Path) -> None:
    (config.parent / "pin").chmod(0o644)
    done = cosigner(config, "card")
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "HSM_PIN")


def test_a_missing_token_ends_the_enclave_with_its_reason(config: Path) -> None:
    shutil.rmtree(config.parent / "tokens")
    (config.parent / "tokens").mkdir()
    done = cosigner(config, "enclave")
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "HSM_TOKEN_MISSING")


def test_a_token_is_never_made_over_an_existing_one(config: Path) -> None:
    done = cosigner(config, "init-token")
    assert done.returncode == 2
    assert "exists already" in done.stderr


def test_an_enclave_without_a_pinned_workspace_does_not_start(config: Path) -> None:
    done = cosigner(config, "enclave")
    assert done.returncode == 2


def test_an_unknown_key_in_the_configuration_is_named(config: Path) -> None:
    config.write_text("surprise = 1\n" + config.read_text())
    done = cosigner(config, "card")
    assert done.returncode == 2
    assert "CONFIG_INVALID" in done.stderr
    assert "surprise" in done.stderr


def test_a_store_that_is_no_database_is_refused(config: Path) -> None:
    (config.parent / "store.sqlite").write_bytes(b"not a database, though long enough to look at" * 100)
    done = cosigner(config, "enclave")
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "STORE_CORRUPT")


def opened(pid: int) -> set[str]:
    """What a process has open; it opens and closes files while we look."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(fd))
    assert any(one.startswith("socket:") for one in found)
    return found


async def test_a_cosigner_listens_on_no_network_port(network: Network) -> None:
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    inodes = {
        line.split()[9] for line in listening.splitlines()[1:] if len(line.split()) > 9 and line.split()[3] == "0A"
    }
    for name, pid in network.processes.pids().items():
        if name.startswith(("enclave", "gateway")):
            assert not {f"socket:[{inode}]" for inode in inodes} & opened(pid), f"{name} listens"


async def test_an_enclave_has_no_network_socket_at_all(network: Network) -> None:
    for name, pid in network.processes.pids().items():
        if not name.startswith("enclave"):
            continue
        inet = Path(f"/proc/{pid}/net/tcp").read_text() + Path(f"/proc/{pid}/net/udp").read_text()
        inodes = {line.split()[9] for line in inet.splitlines() if ":" in line and len(line.split()) > 9}
        assert not {f"socket:[{inode}]" for inode in inodes} & opened(pid)


async def test_the_status_command_uses_the_hsm_and_counts_starts(network: Network) -> None:
    config = network.root / "cosigner-1" / "cosigner.toml"
    before = cosigner(config, "status")
    assert before.returncode == 0
    assert "HSM OK" in before.stdout
    assert "wal_treasury  ACTIVE" in before.stdout
    generation = int(before.stdout.split("boot generation ")[1].split()[0])
    await cluster.restarted(network, 1)
    assert f"boot generation {generation + 1}" in cosigner(config, "status").stdout


async def test_no_log_and_no_clear_column_shows_a_secret(network: Network) -> None:
    pins = {(network.root / f"cosigner-{i}" / "pin").read_text().strip() for i in range(1, 6)}
    for log in (network.root / "logs").glob("*.log"):
        text = log.read_text(errors="replace")
        assert not any(pin in text for pin in pins), log.name
    for pid in network.processes.pids().values():
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        assert not any(pin in arguments for pin in pins)
