"""The enclave's socket, when a newer enclave of the same node has put its own in the same place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosigner import enclave
from cosigner.enclave import Enclave
from cosigner.frames import read_frame, write_frame
from proto import cosigner_pb2 as pb


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


@pytest.mark.covers("C14")
@pytest.mark.parametrize(("limit", "most"), [("AT_ONCE", 9), ("BYTES_AT_ONCE", 20_000)])
async def test_what_is_sent_faster_than_it_is_answered_waits_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, most: int
) -> None:
    """Else a coordinator that floods a node fills its memory with what is still to be looked at."""
    monkeypatch.setattr(enclave, limit, most)
    begun, go_on = [0], asyncio.Event()

    async def handle(request: pb.ToCosigner) -> pb.FromCosigner:
        begun[0] += 1
        await go_on.wait()
        return pb.FromCosigner(pong=pb.Pong(nonce=request.ping.nonce))

    made: Any = Enclave.__new__(Enclave)
    made.config = SimpleNamespace(max_message_bytes=1 << 20)
    made._hello, made.handle = pb.Hello, handle
    async with await asyncio.start_unix_server(made._connected, str(tmp_path / "socket")):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        await read_frame(reader, pb.FromCosigner, 1 << 20)
        for number in range(40):
            padding = pb.Gossip(notes=[bytes(2000)]) if limit == "BYTES_AT_ONCE" else None
            await write_frame(writer, pb.ToCosigner(id=number, gossip=padding))
        await until(lambda: begun[0] >= 9)
        await asyncio.sleep(0.1)
        assert begun[0] <= 11
        go_on.set()
        answered = [await read_frame(reader, pb.FromCosigner, 1 << 20) for _ in range(40)]
        assert sorted(one.id for one in answered) == list(range(40))
        writer.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)
