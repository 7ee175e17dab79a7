"""Pauses of loops that run in the background, which end early when there is news, or when the loops are to end.

Such a loop is told to end, not cancelled: a query that is cancelled leaves its connection hanging, and with it the
end of the process.
"""

from __future__ import annotations

import asyncio


async def rest(seconds: float, *events: asyncio.Event) -> None:
    """Wait until one of these is set, at most so long."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
