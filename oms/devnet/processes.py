"""Child processes with log files: started, watched, paused, killed, and never left behind."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path

from oms_core.errors import LocalError, Reason

_LOWEST = 10_000


class Processes:
    """Named children. They die with this process unless ``keep`` is set."""

    def __init__(self, logs: Path, keep: bool = False) -> None:
        self._logs, self._keep = logs, keep
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, *command: str, env: dict[str, str] | None = None) -> None:
        """Start a child; its output goes to <name>.log. Raises `LocalError` if one of that name runs."""
        if self.running(name):
            raise LocalError(f"{name} runs already", Reason.WRONG_STATE)
        with (self._logs / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=None if self._keep else _die_with_parent,
            )
        self._record()

    def kill(self, name: str) -> None:
        """SIGKILL: no warning, no clean-up."""
        child = self._children.pop(name)
        child.kill()
        child.wait()
        self._record()

    def stop(self, name: str, seconds: float = 60.0) -> int:
        """SIGTERM, and SIGKILL if that does not help; returns the exit code."""
        child = self._children.pop(name)
        child.terminate()
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        self._record()
        return code

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self._children[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._children[name].send_signal(signal.SIGCONT)

    def running(self, name: str) -> bool:
        """Whether the child lives."""
        return name in self._children and self._children[name].poll() is None

    def exit_code(self, name: str) -> int | None:
        """The exit code of a child that ended by itself; None if it runs, or was stopped or killed by us."""
        return self._children[name].poll() if name in self._children else None

    def pids(self) -> dict[str, int]:
        """Name to process id."""
        return {name: child.pid for name, child in self._children.items() if child.poll() is None}

    def stop_all(self) -> None:
        """End every child."""
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.terminate()
        deadline = time.monotonic() + 8
        for child in self._children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()
        self._record()

    def _record(self) -> None:
        (self._logs / "pids.json").write_text(json.dumps(self.pids()))


def stop_recorded(logs: Path) -> int:
    """End the children that another process recorded and kept, and wait for it; returns how many there were."""
    path = logs / "pids.json"
    pids = list(json.loads(path.read_text()).values()) if path.exists() else []
    running = [pid for pid in pids if _signalled(pid, signal.SIGTERM)]
    deadline, left = time.monotonic() + 15, running
    while (left := [pid for pid in left if _signalled(pid, 0)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        _signalled(pid, signal.SIGKILL)
    path.unlink(missing_ok=True)
    return len(running)


def _signalled(pid: int, number: int) -> bool:
    """Whether there is such a process, other than one that has ended and waits to be collected."""
    try:
        os.kill(pid, number)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody uses now.

    They are below those that the system gives to whoever dials: a server that was killed finds its own free again.
    """
    found: dict[int, socket.socket] = {}
    try:
        while len(found) < count:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", _LOWEST + secrets.randbelow(_dialled() - _LOWEST)))
            except OSError:
                probe.close()
            else:
                found[int(probe.getsockname()[1])] = probe
        return list(found)
    finally:
        for probe in found.values():
            probe.close()


def _dialled() -> int:
    """The lowest port of those that dial."""
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        lowest = 0
    return lowest if lowest > _LOWEST + 1000 else 32768


def run(*command: str) -> str:
    """Run to the end; returns what it printed. Raises `LocalError` with the last line it complained in."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise LocalError(f"{Path(command[0]).name} {' '.join(command[1:4])}: {complaint[0]}", Reason.CONFIG_INVALID)
    return done.stdout


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
