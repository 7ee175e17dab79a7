"""The auditor's package stands alone: it runs where nothing of a network, a store or a token can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from auditor.pack import write_pack
from oms_core.workspace import workspace_digest
from tests.evidence import story
from tests.people import workspace

ROOT = Path(__file__).parents[3]
BARRED = ("grpc", "sqlalchemy", "pkcs11", "click", "httpx", "asyncpg", "aiosqlite", "dbos", "structlog", "proto")
ALONE = f"""
import sys
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BARRED!r}:
            raise ImportError(name + " is not there")
sys.meta_path.insert(0, Barred())
from auditor.__main__ import main
code = main(sys.argv[1:])
held = set({BARRED!r}) & {{name.partition(".")[0] for name in sys.modules}}
sys.exit(code if not held else 99)
"""
PINNED = workspace_digest(workspace()).hex()


def alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ALONE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, check=False)


def test_a_pack_is_verified_where_nothing_of_a_network_can_be_imported(tmp_path: Path) -> None:
    file = tmp_path / "pack"
    file.write_bytes(write_pack(story().pack()))
    done = alone("pack", str(file), "--digest", PINNED)
    assert done.returncode == 0, done.stderr
    assert "VERIFIED txn_01" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--digest", "00" * 32), 1, "the workspace that was agreed"),
        (("--digest", "0x12"), 2, "32 bytes in hex"),
        ((), 2, "name what was agreed at the ceremony"),
        (("--digest", PINNED, "--block-hash", "11" * 32), 1, "ANCHOR_MISMATCH"),
    ],
)
def test_what_does_not_hold_has_its_words_and_its_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    file = tmp_path / "pack"
    file.write_bytes(write_pack(story().pack()))
    done = alone("pack", str(file), *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_files_that_are_not_there_or_are_nothing_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "pack").write_bytes(b"nothing")
    for name in ("pack", "nowhere"):
        done = alone("pack", str(tmp_path / name), "--digest", PINNED)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
