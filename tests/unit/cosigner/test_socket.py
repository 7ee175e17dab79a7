"""The enclave's socket, when a newer enclave of the same node has put its own in the same place."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosigner import enclave
from cosigner.enclave import Enclave


@pytest.fixture
def socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where enclaves without token, store and protocols will listen."""
    idle = SimpleNamespace(prepare=lambda: None, close=lambda: None)
    monkeypatch.setattr(enclave, "PrimeReserve", lambda _: idle)
    monkeypatch.setattr(enclave, "Engine", lambda *_: None)
    return tmp_path / "run" / "socket"


async def serving(monkeypatch: pytest.MonkeyPatch, socket: Path) -> asyncio.Task[None]:
    """An enclave that listens there by now."""
    made: Any = Enclave.__new__(Enclave)
    made.config = SimpleNamespace(index=1, level="L112", socket=socket, max_sessions=1, session_seconds=1)
    made.parts = None
    made.boots = SimpleNamespace(generation=1)
    ready = asyncio.Event()
    monkeypatch.setattr(enclave, "log", SimpleNamespace(info=lambda *_, **__: ready.set()))
    task: asyncio.Task[None] = asyncio.create_task(made.serve())
    await asyncio.wait_for(ready.wait(), 120)
    return task


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_an_enclave_that_ends_leaves_the_socket_of_a_newer_one_alone(
    monkeypatch: pytest.MonkeyPatch, socket: Path
) -> None:
    older = await serving(monkeypatch, socket)
    newer = await serving(monkeypatch, socket)
    await end(older)
    _, writer = await asyncio.open_unix_connection(str(socket))
    writer.close()
    await end(newer)


async def test_an_enclave_that_ends_removes_its_own_socket(monkeypatch: pytest.MonkeyPatch, socket: Path) -> None:
    await end(await serving(monkeypatch, socket))
    assert not socket.exists()
