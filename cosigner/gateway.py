"""The process with a network and no secrets: keeps one stream to each coordinator and passes frames to the enclave.

It dials out and listens nowhere. The server has to show a certificate of the private CA, for server use, with the DNS
name that the CA gives to coordinators alone; a cosigner's certificate has neither. Frames pass unread but for their
size; if stream or enclave goes away the pair is closed, and made again with growing pauses.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import grpc
import structlog

from cosigner.config import Config
from cosigner.frames import read_frame, write_frame
from oms_core.errors import LocalError, Malformed, Reason
from proto import cosigner_pb2 as pb
from proto import cosigner_pb2_grpc as pb_grpc

log = structlog.get_logger()

Stream = grpc.aio.StreamStreamCall[pb.FromCosigner, pb.ToCosigner]

_LONGEST_PAUSE = 2.0  # seconds
_SILENCE = 15.0  # seconds without a word of the coordinator, which pings every few: it hangs
_GREETING = 15.0  # seconds for the enclave's hello, which it sends first


def channel(config: Config, target: str) -> grpc.aio.Channel:
    """A mutual-TLS channel. Raises `LocalError` (CONFIG_INVALID) if a file is missing."""
    try:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=config.tls.ca.read_bytes(),
            private_key=config.tls.key.read_bytes(),
            certificate_chain=config.tls.cert.read_bytes(),
        )
    except OSError as error:
        raise LocalError(f"cannot read {error.filename}", Reason.CONFIG_INVALID) from None
    options = [
        ("grpc.ssl_target_name_override", config.server_name),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 3_000),
        ("grpc.http2.ping_timeout_ms", 3_000),  # without it, keepalive notices nothing
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.enable_retries", 0),
    ]
    return grpc.aio.secure_channel(target, credentials, options=options)


async def run(config: Config) -> None:
    """Keep a stream to every coordinator until cancelled."""
    if not config.coordinators:
        raise LocalError("no coordinators are configured", Reason.CONFIG_INVALID)
    async with asyncio.TaskGroup() as group:
        for target in config.coordinators:
            group.create_task(_keep(config, target))


async def _keep(config: Config, target: str) -> None:
    pause = 0.2
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await _attach(config, target)
        except (EOFError, OSError, Malformed) as error:
            log.warning("enclave or frame", coordinator=target, kind=type(error).__name__, detail=str(error)[:200])
        except grpc.aio.AioRpcError as error:
            log.warning(
                "stream ended", coordinator=target, code=error.code().name, detail=(error.details() or "")[:200]
            )
        except TimeoutError:
            log.warning("coordinator silent", coordinator=target)
        except Exception as error:  # one stream's end, however odd, must not be the end of all of them
            log.exception("stream failed", coordinator=target, kind=type(error).__name__)
        if asyncio.get_running_loop().time() - started > _LONGEST_PAUSE:
            pause = 0.2
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads reconnects, decides nothing
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _attach(config: Config, target: str) -> None:
    """One enclave connection paired with one stream, until either ends."""
    reader, writer = await asyncio.open_unix_connection(str(config.socket))
    try:
        hello = await _greeting(reader)
        async with channel(config, target) as connection:

            async def outgoing() -> AsyncIterator[pb.FromCosigner]:
                yield hello
                while True:
                    yield await read_frame(reader, pb.FromCosigner, config.max_message_bytes)

            stream = pb_grpc.CosignerLinkStub(connection).Attach()
            # Not a task group: one that fails while it is cancelled forgets that it was, and this never ends.
            pumps = [
                asyncio.create_task(_pump_in(stream, writer, target)),  # first: it knows why the stream ended
                asyncio.create_task(_pump_out(outgoing(), stream)),
            ]
            try:
                done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                ended = next(pump for pump in pumps if pump in done)
                if ended.cancelled():  # by gRPC, not by us: that would have come out of the wait
                    raise EOFError("the stream was cancelled")
                ended.result()
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
    finally:
        writer.close()


async def _greeting(reader: asyncio.StreamReader) -> pb.FromCosigner:
    try:
        async with asyncio.timeout(_GREETING):
            return await read_frame(reader, pb.FromCosigner, 64 * 1024)
    except TimeoutError:
        raise EOFError("the enclave does not greet") from None


async def _pump_out(messages: AsyncIterator[pb.FromCosigner], stream: Stream) -> None:
    async for message in messages:
        try:
            await stream.write(message)
        except asyncio.InvalidStateError:  # how gRPC tells a writer that the stream is over
            raise EOFError("the stream ended") from None


async def _pump_in(stream: Stream, writer: asyncio.StreamWriter, target: str) -> None:
    first = True
    while True:
        async with asyncio.timeout(_SILENCE):  # not wait_for, which forgets a cancellation that meets a message
            message = await stream.read()
        if not isinstance(message, pb.ToCosigner):
            raise EOFError("the coordinator closed the stream")
        if first:
            log.info("attached", coordinator=target)
            first = False
        await write_frame(writer, message)
