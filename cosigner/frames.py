"""Frames on the Unix socket between gateway and enclave: four bytes of length, then one protobuf message."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from oms_core.errors import Malformed, Reason

M = TypeVar("M", bound=Message)


async def read_frame(reader: asyncio.StreamReader, kind: type[M], limit: int) -> M:
    """The next message. Raises `Malformed` for too long or unreadable ones, EOFError at the end."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size > limit:
            raise Malformed(f"a frame of {size} bytes is above {limit}", Reason.TOO_LARGE)
        data = await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        raise EOFError from None
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Malformed("a frame that is not a message") from None


async def write_frame(writer: asyncio.StreamWriter, message: Message) -> None:
    """Send one message."""
    data = message.SerializeToString()
    writer.write(len(data).to_bytes(4, "big") + data)
    await writer.drain()
