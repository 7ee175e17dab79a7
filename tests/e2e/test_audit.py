"""An audit of a whole network (scenario 31): packs and logs, verified without it, and whatever was changed is named."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from oms.devnet.cast import ETHER
from oms.devnet.network import Network
from oms_core.encoding import encode
from oms_core.log.entries import Item, item, read_entry, read_record
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
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=600, check=False)


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
        await cluster.covered(client)
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


COLUMNS = ("entry", "record", "salt", "leaf", "subject", "at")
Row = tuple[object, ...]


@contextlib.contextmanager
def tampered(network: Network, changes: dict[int, Row | None]) -> Iterator[None]:
    """Rows of the coordinator's log that somebody has put others in the place of, or none; put back afterwards."""
    held = {index: stored(network, index) for index in changes}
    write(network, changes)
    try:
        yield
    finally:
        write(network, held)


def database(network: Network) -> sqlite3.Connection:
    return sqlite3.connect(network.root / "coordinator" / "orders.sqlite", timeout=30)


def stored(network: Network, index: int) -> Row:
    """All of a row but its index."""
    with contextlib.closing(database(network)) as connection:
        query = f'SELECT {", ".join(COLUMNS)} FROM log_items WHERE "index" = ?'
        return tuple(connection.execute(query, (index,)).fetchone())


def write(network: Network, rows: dict[int, Row | None]) -> None:
    with contextlib.closing(database(network)) as connection, connection:
        for index, row in rows.items():
            connection.execute('DELETE FROM log_items WHERE "index" = ?', (index,))
            if row is not None:
                connection.execute("INSERT INTO log_items VALUES (?, ?, ?, ?, ?, ?, ?)", (index, *row))


def edited(row: Row) -> Row:
    """The same entry with another remark in its record, to which it commits as it should."""
    old = Item(*(bytes(one) for one in row[:3]))  # type: ignore[arg-type]
    entry = read_entry(old.entry)
    record = read_record(entry, old)
    assert record is not None
    other = type(record)(record.actor, record.credential, "this is how it was", record.documents)
    made = item(entry.index, entry.at, entry.event, entry.subject, entry.previous, other, old.salt)
    return (made.entry, made.record, made.salt, *row[3:])


async def oms(network: Network, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The order desk's command line."""
    call = (sys.executable, "-c", "from oms.cli import main; main()", "--config", str(network.root / "oms.toml"))

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([*call, *arguments], capture_output=True, text=True, check=False, timeout=600)

    return await asyncio.to_thread(run)


async def test_whatever_was_changed_in_the_stored_log_is_named_by_its_index(network: Network, tmp_path: Path) -> None:
    await settled(network)
    async with network.client() as client:
        _, size = await client.log_items(0, 1)
    pinned = tmp_path / "workspace"
    pinned.write_bytes(encode(network.workspace))
    verify = ("log", "verify", "--workspace", str(pinned))
    done = await oms(network, *verify)
    assert done.returncode == 0, done.stderr
    assert "VERIFIED" in done.stdout
    head = tmp_path / "head"
    async with network.client() as client:
        head.write_bytes((await client.checkpoint(4)).note)

    one = next(index for index in range(size // 2, size) if stored(network, index)[COLUMNS.index("record")])
    other = one + 3
    async with network.client() as client, asyncio.timeout(cluster.PATIENT):
        while min(node.log_size for node in (await client.status()).cosigners) <= other:
            await asyncio.sleep(0.2)  # else a cosigner that comes by meanwhile is told of what is not so
    changes: list[tuple[int, dict[int, Row | None]]] = [
        (one, {one: edited(stored(network, one))}),
        (other, {other: None}),
        (one, {one: stored(network, other), other: stored(network, one)}),
    ]
    for index, rows in changes:
        with tampered(network, rows):
            done = await oms(network, *verify)
            assert done.returncode == 2, done.stdout
            assert f"entry {index}: " in done.stderr
    assert (await oms(network, *verify)).returncode == 0

    done = await oms(network, "log", "diff", str(head), "--workspace", str(pinned))
    assert done.returncode == 0, done.stdout + done.stderr
    done = await oms(network, "log", "prove", str(one), "-o", str(tmp_path / "proof"), "--workspace", str(pinned))
    assert done.returncode == 0, done.stderr
    assert audit("proof", str(tmp_path / "proof"), "--workspace", str(pinned)).returncode == 0
    file = tmp_path / "log.jsonl"
    done = await oms(network, "log", "export", "--records", "-o", str(file), "--workspace", str(pinned))
    assert done.returncode == 0, done.stderr
    done_there = audit("log", "--export", str(file), "--workspace", str(pinned))
    assert done_there.returncode == 0, done_there.stderr
    assert len((await oms(network, "log", "tail", "-n", "5")).stdout.splitlines()) == 5
