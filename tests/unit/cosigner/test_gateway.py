"""The gateway outlives whatever ends a stream: a peer that goes away costs a connection, and no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from cosigner import gateway
from cosigner.frames import write_frame
from proto import cosigner_pb2 as pb

PONG = pb.FromCosigner(pong=pb.Pong(nonce=1))
Enclave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Streams:
    """Stands in for the coordinator: each stream behaves as ``write`` and ``read`` say."""

    def __init__(self, write: Callable[[], Awaitable[None]], read: Callable[[], Awaitable[Any]]) -> None:
        self._write, self._read = write, read
        self.opened, self.second = 0, asyncio.Event()

    def __call__(self, _: object) -> Any:
        return SimpleNamespace(Attach=self._attach)

    def _attach(self) -> Any:
        self.opened += 1
        if self.opened == 2:
            self.second.set()

        async def write(_: pb.FromCosigner) -> None:
            await self._write()

        return SimpleNamespace(write=write, read=self._read)


async def greets_and_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await write_frame(writer, pb.FromCosigner(hello=pb.Hello(index=1)))
    await write_frame(writer, PONG)
    await reader.read()
    writer.close()


async def never() -> None:
    await asyncio.Event().wait()


async def nothing() -> None:
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def kept(monkeypatch: pytest.MonkeyPatch, folder: Path, streams: Streams, enclave: Enclave) -> AsyncIterator[Any]:
    """A gateway that runs, between such an enclave and such streams."""

    @contextlib.asynccontextmanager
    async def channel(*_: object) -> AsyncIterator[None]:
        yield None

    monkeypatch.setattr(gateway, "channel", channel)
    monkeypatch.setattr(gateway.pb_grpc, "CosignerLinkStub", streams)
    config: Any = SimpleNamespace(socket=folder / "socket", coordinators=["coordinator"], max_message_bytes=1 << 20)
    server = await asyncio.start_unix_server(enclave, str(config.socket))
    running = asyncio.create_task(gateway.run(config))
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()


async def finished() -> None:
    raise asyncio.InvalidStateError("RPC already finished.")


async def cancelled() -> None:
    raise asyncio.CancelledError


async def odd() -> None:
    raise RuntimeError("what nobody thought of")


@pytest.mark.parametrize("end", [finished, cancelled, odd])
async def test_an_answer_that_meets_the_end_of_its_stream_does_not_end_the_gateway(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: Callable[[], Awaitable[None]]
) -> None:
    streams = Streams(end, never)
    async with kept(monkeypatch, tmp_path, streams, greets_and_answers) as running, asyncio.timeout(120):
        again = asyncio.create_task(streams.second.wait())
        await asyncio.wait([running, again], return_when=asyncio.FIRST_COMPLETED)
        assert not running.done()
        await again


async def test_a_read_that_was_cancelled_from_within_does_not_end_the_gateway(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    streams = Streams(nothing, cancelled)
    async with kept(monkeypatch, tmp_path, streams, greets_and_answers) as running, asyncio.timeout(120):
        again = asyncio.create_task(streams.second.wait())
        await asyncio.wait([running, again], return_when=asyncio.FIRST_COMPLETED)
        assert not running.done()
        await again


async def test_an_enclave_that_does_not_greet_is_dialled_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gateway, "_GREETING", 0.05)
    connections, second = 0, asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections == 2:
            second.set()
        await reader.read()
        writer.close()

    async with kept(monkeypatch, tmp_path, Streams(nothing, never), silent), asyncio.timeout(120):
        await second.wait()


async def test_a_gateway_ends_when_it_is_told_to_although_a_message_comes_in_at_that_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def ping() -> pb.ToCosigner:
        return pb.ToCosigner(ping=pb.Ping(nonce=1))

    streams = Streams(nothing, ping)
    async with kept(monkeypatch, tmp_path, streams, greets_and_answers) as running, asyncio.timeout(120):
        while not streams.opened:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()


async def test_the_reason_of_the_coordinator_is_what_is_said_of_the_end_of_a_stream(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    log = SimpleNamespace(
        info=lambda *_, **__: None, warning=lambda event, **more: said.append((event, more)), exception=None
    )
    monkeypatch.setattr(gateway, "log", log)

    async def refused() -> None:
        empty = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAUTHENTICATED, empty, empty, "not in the roster")

    streams = Streams(finished, refused)
    async with kept(monkeypatch, tmp_path, streams, greets_and_answers), asyncio.timeout(120):
        await streams.second.wait()
    assert {more.get("code") for _, more in said} == {"UNAUTHENTICATED"}
