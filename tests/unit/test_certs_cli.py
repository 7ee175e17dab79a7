"""The `certs` command, as people and the development network call it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from certs import ca

ROOT = Path(__file__).parents[2]


def certs(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "certs", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def done(folder: Path, *arguments: str) -> str:
    result = certs(folder, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(folder: Path, *arguments: str) -> str:
    """One line, exit code 2, no traceback."""
    result = certs(folder, *arguments)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    return result.stderr


def test_a_network_is_made_renewed_and_revoked_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("correct horse\n")
    secret = ("--passphrase-file", "pass")
    assert done(tmp_path, "init", "ca", *secret) == "made ca.pem\n"
    coordinator = ("--kind", "coordinator", "--name", "main", "--dns", "localhost", "--ip", "127.0.0.1")
    assert done(tmp_path, "issue", "ca", *coordinator, "--out", "tls", *secret) == "issued main.pem\n"
    assert done(tmp_path, "issue", "ca", "--kind", "cosigner", "--name", "1", "--out", "tls", *secret)
    shown = done(tmp_path, "show", "tls/main.pem")
    for line in ("use      serves", "name     spiffe://counterseal/coordinator/main", "name     127.0.0.1"):
        assert line in shown.splitlines()
    assert "use      dials" in done(tmp_path, "show", "tls/1.pem").splitlines()
    assert done(tmp_path, "renew", "ca", "tls/1.pem", *secret) == "renewed 1.pem\n"
    assert done(tmp_path, "revoke", "ca", "tls/1.pem", *secret) == "wrote ca.crl\n"
    assert "revoked" in refused(tmp_path, "renew", "ca", "tls/1.pem", *secret)


def test_the_line_end_of_a_passphrase_file_is_no_part_of_the_passphrase(tmp_path: Path) -> None:
    (tmp_path / "pass").write_bytes(b" two words \r\n")
    done(tmp_path, "init", "ca", "--passphrase-file", "pass")
    assert ca.load(tmp_path / "ca", b" two words ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("init", "ca"), "already"),
        (("issue", "none", "--kind", "oms", "--name", "a", "--out", "tls"), "certs init"),
        (("issue", "ca", "--kind", "cosigner", "--name", "zurich", "--out", "tls"), "index"),
        (("issue", "ca", "--kind", "coordinator", "--name", "a", "--ip", "here", "--out", "tls"), "IP address"),
        (("issue", "ca", "--kind", "oms", "--name", "a", "--out", "file/tls"), "folder"),
        (("revoke", "ca", "none.pem"), "none.pem"),
        (("show", "file"), "not a readable certificate"),
        (("init", "new", "--passphrase-file", "none"), "none"),
        (("init", "new", "--passphrase-file", "file"), "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_done_is_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done(tmp_path, "init", "ca")
    (tmp_path / "file").write_text("")
    assert words in refused(tmp_path, *arguments)
