"""`oms log` and `oms evidence verify`, over a coordinator in memory: what they print, write and exit with."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from auditor.pack import write_pack
from auditor.proofs import verify_entry_proof
from oms.cli import cli, evidence, logs
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason
from oms_core.log.conflict import LogConflict
from oms_core.log.entries import Item, read_entry
from oms_core.workspace import workspace_digest
from proto import oms_pb2 as pb
from tests.evidence import TXN, Story, story
from tests.people import workspace
from tests.unit.auditor.test_logs import edited, exported, folder, long

PINNED = workspace_digest(workspace()).hex()


class Client:
    """What the command line asks of a coordinator."""

    def __init__(self, made: Story, items: list[Item]) -> None:
        self.made, self.items = made, items

    async def checkpoint(self, cosignatures: int = 0) -> pb.Checkpoint:
        return pb.Checkpoint(note=self.made.note(), size=self.made.size, cosignatures=4)

    async def log_items(self, start: int, limit: int = 1000) -> tuple[list[Item], int]:
        return self.items[start : start + limit], self.made.size

    async def log_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        return self.made.tree.inclusion(index, size)

    async def log_consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        return self.made.tree.consistency(old, new)

    async def evidence_pack(self, transaction_id: str) -> bytes:
        assert transaction_id == TXN
        return write_pack(story().pack())

    async def anchors(self, limit: int = 50) -> list[pb.Anchor]:
        done = pb.Anchor(transaction_id="txn_a", state="ANCHORED", size=9, receipt=b"r", ots=b"o", checkpoint="c")
        return [done, pb.Anchor(transaction_id="txn_b", state="FAILED", reason="EXPIRED")]


@cache
def workspace_file() -> bytes:
    return encode(workspace())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    import asyncio

    (tmp_path / "workspace").write_bytes(workspace_file())

    def ran(*arguments: str, items: list[Item] | None = None, as_json: bool = False) -> Result:
        client = Client(long(), list(long().items) if items is None else items)

        def call(context: object, work: Any) -> Any:
            return asyncio.run(work(client, None))

        monkeypatch.setattr(logs, "call", call)
        monkeypatch.setattr(evidence, "call", call)
        flags = ["--json"] if as_json else []
        return CliRunner().invoke(cli, [*flags, *arguments])

    return ran


def known(tmp_path: Path) -> tuple[str, str]:
    return "--workspace", str(tmp_path / "workspace")


def test_a_log_is_verified_at_its_coordinator_and_an_edited_entry_named(run: Any, tmp_path: Path) -> None:
    done = run("log", "verify", *known(tmp_path))
    assert done.exit_code == 0, done.output
    assert "VERIFIED example.org/log" in done.output
    done = run("log", "verify", *known(tmp_path), "--from", "256", "--to", "700")
    assert "entries, 256 to 699" in done.output
    done = run("log", "verify", "--digest", PINNED, items=edited(444, note="something else"))
    assert isinstance(done.exception, ProofInvalid)
    assert done.exception.details["index"] == "444"


def test_a_log_is_verified_from_files_without_a_coordinator(run: Any, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    tiles = str(folder(long(), tmp_path / "www"))
    file = str(exported(long(), list(long().items), tmp_path / "log.jsonl"))
    for arguments in (("--tiles", tiles), ("--export", file), ("--export", file, "--tiles", tiles)):
        done = run("log", "verify", *arguments, *known(tmp_path), items=[])
        assert done.exit_code == 0, done.exception
        assert "VERIFIED" in done.output


def test_the_proof_of_an_entry_is_written(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "proof"
    done = run("log", "prove", "77", "-o", str(out), *known(tmp_path))
    assert done.exit_code == 0, done.exception
    assert verify_entry_proof(out.read_text(), workspace())[0].index == 77
    done = run("log", "prove", "77", "-o", str(tmp_path / "no"), *known(tmp_path), items=edited(77, note="else"))
    assert isinstance(done.exception, ProofInvalid)
    assert not (tmp_path / "no").exists()
    assert run("log", "prove", "1300", "-o", str(out), *known(tmp_path)).exit_code == 1


def test_heads_that_fit_and_one_that_does_not(run: Any, tmp_path: Path) -> None:
    made, other = long(), long().fork(600)
    other.add("order.submitted", "txn_forked")
    (tmp_path / "old").write_bytes(made.note(300))
    (tmp_path / "forked").write_bytes(other.note())
    done = run("log", "diff", str(tmp_path / "old"), *known(tmp_path))
    assert (done.exit_code, done.output.count("ok ")) == (0, 1)
    proof = tmp_path / "conflict"
    heads = [str(tmp_path / "old"), str(tmp_path / "forked")]
    done = run("log", "diff", *heads, "--evidence", str(proof), *known(tmp_path))
    assert done.exit_code == 3
    assert "CONFLICT" in done.output
    assert decode(LogConflict, proof.read_bytes())
    done = run("evidence", "verify", str(proof), *known(tmp_path))
    assert done.exit_code == 0, done.exception
    assert "CONFIRMED: the log example.org/log has signed" in done.output


def test_the_newest_entries_are_shown_in_lines_or_in_json(run: Any) -> None:
    done = run("log", "tail", "-n", "3")
    assert len(done.output.splitlines()) == 3
    assert "order.submitted" in done.output
    lines = [json.loads(line) for line in run("log", "tail", "-n", "2", as_json=True).output.splitlines()]
    assert [one["index"] for one in lines] == [1298, 1299]


def test_an_export_can_be_verified_afterwards(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "log.jsonl"
    done = run("log", "export", "--records", "-o", str(out), *known(tmp_path))
    assert done.exit_code == 0, done.exception
    lines = out.read_text().splitlines()
    assert len(lines) == long().size + 1
    assert json.loads(lines[5])["index"] == 5
    assert run("log", "verify", "--export", str(out), "--digest", PINNED).exit_code == 0
    assert run("log", "export", "--from", "9999", "-o", str(out), *known(tmp_path)).exit_code == 1


def test_anchors_are_listed_and_written(run: Any, tmp_path: Path) -> None:
    done = run("log", "anchors", "-o", str(tmp_path / "anchors"))
    assert "ANCHORED" in done.output
    assert "FAILED" in done.output
    names = sorted(path.name for path in (tmp_path / "anchors").iterdir())
    assert names == ["txn_a.checkpoint", "txn_a.ots", "txn_a.receipt"]


def test_a_pack_is_exported_and_verified(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    assert run("evidence", "export", TXN, "-o", str(out)).exit_code == 0
    done = run("evidence", "verify", str(out), *known(tmp_path))
    assert done.exit_code == 0, done.exception
    assert f"VERIFIED {TXN}" in done.output
    done = run("evidence", "verify", str(out), "--digest", "00" * 32)
    assert isinstance(done.exception, ProofInvalid)


def test_evidence_of_no_kind_that_is_known_is_refused(run: Any, tmp_path: Path) -> None:
    for data in (b"", b"nothing", encode(workspace())):
        (tmp_path / "file").write_bytes(data)
        done = run("evidence", "verify", str(tmp_path / "file"), *known(tmp_path))
        assert isinstance(done.exception, Malformed)
        assert done.exception.reason == Reason.UNSUPPORTED_TYPE


def test_what_was_agreed_has_to_be_named(run: Any, tmp_path: Path) -> None:
    done = run("log", "verify", *known(tmp_path), "--digest", "11" * 32)
    assert isinstance(done.exception, CountersealError)
    assert done.exception.reason == Reason.POLICY_VERSION_MISMATCH
    assert read_entry(long().items[0].entry).index == 0
