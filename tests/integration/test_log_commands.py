"""What an operator does with the log: files for a web server, erasing, starting a coordinator with the right key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from coordinator.__main__ import cli
from coordinator.config import load
from coordinator.conflicts import Conflicts
from coordinator.database import open_database
from coordinator.journal import Journal, append
from coordinator.server import serve
from oms.signer import write_secret
from oms_core.encoding import encode
from oms_core.errors import LocalError, Reason, Refused
from oms_core.log.conflict import LogConflict
from oms_core.log.entries import read_entry, read_record
from oms_core.log.note import Checkpoint, Note, log_message, log_signature, read_note, verify_log, write_note
from tests.integration.test_journal import KEY, SAID, ours

CONFIG = """listen_oms = "127.0.0.1:0"
listen_cosigners = "127.0.0.1:0"
database = "sqlite:///{home}/orders.sqlite"
workspace = "workspace.cbor"
[tls]
ca = "ca.pem"
cert = "c.pem"
key = "c.key"
[log]
key = "log.pem"
[chain]
id = "eip155:1"
rpc = ["http://127.0.0.1:1"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A coordinator's folder, with a log of 300 orders' entries."""
    (tmp_path / "workspace.cbor").write_bytes(encode(ours()))
    write_secret(tmp_path / "log.pem", KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path = tmp_path / "coordinator.toml"
    path.write_text(CONFIG.format(home=tmp_path))

    async def fill(journal: Journal) -> None:
        await journal.begin(ours())
        async with journal._engine.begin() as connection:
            for number in range(300):
                await append(connection, "order.submitted", f"txn_{number}", SAID)
        await journal.checkpoint()

    on(path, fill)
    return path


def on(config: Path, work: Callable[[Journal], Awaitable[Any]]) -> Any:
    async def opened() -> Any:
        engine = await open_database(load(config).database)
        try:
            return await work(Journal(engine, KEY, ours().log.origin))
        finally:
            await engine.dispose()

    return asyncio.run(opened())


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(config), *arguments])


def test_the_log_is_written_as_files_and_then_only_what_is_new(config: Path, tmp_path: Path) -> None:
    first = run(config, "log-tiles", str(tmp_path / "www"))
    assert first.output == f"6 files written to {tmp_path / 'www'}\n"  # 2 + 1 tiles, 2 bundles, the checkpoint
    assert run(config, "log-tiles", str(tmp_path / "www")).output.startswith("0 files")
    note = read_note((tmp_path / "www" / "checkpoint").read_bytes())
    assert on(config, lambda journal: _head(journal, note.body)) == 301


async def _head(journal: Journal, body: str) -> int:
    head = verify_log(read_note((await journal.newest(0))[0]), journal.verifier)
    assert head.body() == body
    return head.size


def test_a_record_is_erased_for_a_reason_that_stands_in_the_log(config: Path) -> None:
    asked = run(config, "erase", "7", "--reason", "she asked for it")
    assert (asked.exit_code, "Erase them, which nothing undoes but a backup?" in asked.output) == (1, True)
    assert on(config, lambda journal: journal.items(7, 8, 1 << 20))[0].record
    assert run(config, "erase", "7", "--reason", "she asked for it", "--yes").output == (
        "the record of entry 7 is erased; entry 301 says so\n"
    )
    items = on(config, lambda journal: journal.items(0, 400, 1 << 20))
    assert not items[7].record
    assert read_entry(items[301].entry).event == "log.erased"
    refused = run(config, "erase", "0", "--reason", "why not", "--yes")
    assert isinstance(refused.exception, Refused)
    assert run(config, "erase", "8").exit_code == 2


def test_conflicts_are_shown_and_lifted_for_a_reason_that_stands_in_the_log(config: Path, tmp_path: Path) -> None:
    async def fork(journal: Journal) -> bytes:
        note, size = await journal.checkpoint()
        body = Checkpoint(journal.origin, size, b"\x07" * 32).body()
        other = write_note(Note(body, (log_signature(journal.verifier, KEY.sign(log_message(body))),)))
        shown = encode(LogConflict(note.decode(), other, ()))
        await Conflicts(journal.engine).found(2, shown, journal.verifier)
        return shown

    shown = on(config, fork)
    said = run(config, "log-conflicts", "--out", str(tmp_path / "evidence")).output.splitlines()
    assert said[0] == "1 conflicts are known, 1 stop all signing here"
    assert "two heads of 301 entries" in said[1]
    assert (tmp_path / "evidence" / "0.conflict").read_bytes() == shown
    assert run(config, "lift-conflicts", "--yes").exit_code == 2
    assert run(config, "lift-conflicts", "--reason", "no").exit_code == 1  # nobody has confirmed it
    for count in (1, 0):
        said = run(config, "lift-conflicts", "--yes", "--reason", "agreed by the teams").output.splitlines()
        assert said[-1] == f"{count} conflicts are lifted; the evidence stays"
    assert run(config, "log-conflicts").output == "1 conflicts are known, 0 stop all signing here\n"
    *_, last = on(config, lambda journal: journal.items(0, 400, 1 << 20))
    record = read_record(entry := read_entry(last.entry), last)
    assert (entry.event, entry.index) == ("log.goes_on", 302)
    assert record is not None
    assert (record.actor, record.note) == ("operator", "in spite of 1 conflicts: agreed by the teams")


async def test_a_coordinator_does_not_start_with_a_key_that_is_not_the_workspaces(config: Path) -> None:
    path = config.with_name("log.pem")
    path.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(LocalError) as caught:
        await serve(load(config))
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "log.key" in caught.value.message
    path.chmod(0o644)
    with pytest.raises(LocalError) as caught:
        await serve(load(config))
    assert "chmod" in caught.value.message


async def test_a_coordinator_does_not_start_on_the_database_of_another_log(config: Path) -> None:
    other = replace(ours(), log=replace(ours().log, origin="log.example/other"))
    config.with_name("workspace.cbor").write_bytes(encode(other))
    with pytest.raises(LocalError) as caught:
        await serve(load(config))
    assert "another one" in caught.value.message
