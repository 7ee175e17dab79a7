"""Calls of clients that change something: each is carried out once, however often it comes, also twice at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.tables import requests
from oms_core.errors import Conflict, CountersealError


@dataclass(frozen=True, slots=True)
class Call:
    """A mutating call of a client: its request id, which method, the body that has to be the same next time."""

    request_id: str
    method: str
    body: bytes

    @property
    def digest(self) -> bytes:
        """What is kept of the body."""
        return hashlib.sha256(self.body).digest()


class Memory(Protocol):
    """What knows which calls were carried out."""

    async def known(self, call: Call) -> str:
        """The object that a call made; empty if it made none."""


async def once(memory: Memory, call: Call, make: Callable[[], Awaitable[str]]) -> str:
    """The object of a call: what it made before, or what ``make`` makes now, which `remember`s the call.

    Raises what ``make`` raises, and `Conflict` (IDEMPOTENCY_CONFLICT) for another call under the same request id.
    """
    if made := await memory.known(call):
        return made
    try:
        return await make()
    except CountersealError:  # perhaps because of itself: whoever hears nothing asks again, while it is on its way
        if made := await memory.known(call):
            return made
        raise


async def remember(connection: AsyncConnection, call: Call, object_id: str) -> None:
    """The object that a call has made. Raises `Conflict` if another one has made its own under the same id since."""
    values = {"request_id": call.request_id, "method": call.method, "body": call.digest, "object_id": object_id}
    try:
        await connection.execute(insert(requests).values(values))
    except IntegrityError:
        raise Conflict(f"request id {call.request_id} was used for another call") from None
