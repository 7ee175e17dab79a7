"""Calls of clients that change something: each is carried out once, however often it comes, also twice at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from coordinator.store import Call, Store
from oms_core.errors import Conflict


async def once(store: Store, call: Call, make: Callable[[], Awaitable[str]]) -> str:
    """The object of a call: what it made before, or what ``make`` makes now, which `remember`s the call.

    Raises what ``make`` raises, and `Conflict` (IDEMPOTENCY_CONFLICT) for another call under the same request id.
    """
    if made := await store.known(call):
        return made
    try:
        return await make()
    except Conflict:  # perhaps with itself: whoever hears nothing asks again, while the first one is on its way
        if made := await store.known(call):
            return made
        raise
