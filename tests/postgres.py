"""A PostgreSQL server of Debian's, for the tests that need one: its own data folder, loopback only."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from oms.devnet.processes import free_ports


class Postgres:
    """One server. ``url`` is for SQLAlchemy-style configuration."""

    def __init__(self) -> None:
        """Start it, or skip the test saying what is missing."""
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not found:
            pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
        self._bin = Path(found[-1]).parent
        self._home = Path(tempfile.mkdtemp(prefix="cs-pg-"))
        self._as = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self._as:
            shutil.chown(self._home, "postgres")
        password = self._home / "password"
        password.write_text("app")
        password.chmod(0o644)
        [port] = free_ports(1)
        data = ("-D", str(self._home / "data"))
        self._run("initdb", *data, "-A", "scram-sha-256", f"--pwfile={password}", "-U", "app", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._home} -F"
        self._run("pg_ctl", *data, "-w", "-t", "600", "-l", str(self._home / "log"), "-o", options, "start")
        self.url = f"postgresql://app:app@127.0.0.1:{port}/postgres"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as, str(self._bin / program), *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/tmp",
        )

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self._run("pg_ctl", "-D", str(self._home / "data"), "-m", "immediate", "stop")
        shutil.rmtree(self._home, ignore_errors=True)
