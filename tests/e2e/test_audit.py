"""An audit of a whole network (scenario 31): packs and logs, verified without it, and whatever was changed is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from oms.devnet.cast import ETHER
from oms.devnet.network import Network
from oms_core.workspace import workspace_digest
from tests import cluster

ROOT = Path(__file__).parents[2]

OFFLINE = """
import socket, sys
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"grpc", "sqlalchemy", "pkcs11", "click", "httpx", "asyncio"}:
            raise ImportError(f"{name} is not there")
def none(*arguments, **named):
    raise OSError("there is no network")
socket.socket = socket.create_connection = socket.getaddrinfo = none
sys.meta_path.insert(0, Barred())
from auditor.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The auditor's command line in a process that has no sockets."""
    command = [sys.executable, "-c", OFFLINE, *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


async def settled(network: Network) -> str:
    """An order that people have approved and that stands in a block."""
    async with network.client() as client:
        tx = await cluster.propose(network, client, wei=2 * ETHER)
        await cluster.until(client, tx.transaction_id, "PENDING_APPROVAL")
        await cluster.approve(network, client, tx.transaction_id, "ravi")
        tx = await client.ended(tx.transaction_id)
        assert tx.state == "CONFIRMED", tx
        return tx.transaction_id


async def test_the_pack_of_a_settled_order_is_verified_where_there_is_no_network(
    network: Network, tmp_path: Path
) -> None:
    txn = await settled(network)
    async with network.client() as client:
        data = await client.evidence_pack(txn)
    file, pinned = tmp_path / "pack", workspace_digest(network.workspace).hex()
    file.write_bytes(data)
    done = audit("pack", str(file), "--digest", pinned)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("without a gap", "exactly what was asked for", "CONFIRMED in block", "in full", "ravi has decided"):
        assert words in done.stdout, done.stdout
    assert audit("pack", str(file), "--digest", "00" * 32).returncode == 1
    for place in range(0, len(data), len(data) // 12):
        other = bytearray(data)
        other[place] ^= 0x40
        file.write_bytes(other)
        assert audit("pack", str(file), "--digest", pinned).returncode in (1, 2)
