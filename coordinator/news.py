"""Tells whoever watches a subject that something about it has changed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

POLL = 1.0  # seconds: another replica's changes are seen this late


T = TypeVar("T")


class News:
    """One bell per subject."""

    def __init__(self) -> None:
        self._bells: dict[str, set[asyncio.Event]] = defaultdict(set)

    def ring(self, subject_id: str) -> None:
        """Something changed."""
        for bell in self._bells.get(subject_id, ()):
            bell.set()

    async def wait(self, subject_id: str, seconds: float = POLL) -> None:
        """Until it rings, at most ``seconds``."""
        bell = asyncio.Event()
        self._bells[subject_id].add(bell)
        try:
            async with asyncio.timeout(seconds):
                await bell.wait()
        except TimeoutError:
            pass
        finally:
            self._bells[subject_id].discard(bell)
            if not self._bells[subject_id]:
                del self._bells[subject_id]

    async def follow(self, subject_id: str, look: Callable[[], Awaitable[tuple[T, bool]]]) -> AsyncIterator[T]:
        """What a ``look`` shows whenever that has changed, until it says that nothing more will come."""
        last: T | None = None
        while True:
            shown, ended = await look()
            if shown != last:
                last = shown
                yield shown
            if ended:
                return
            await self.wait(subject_id)
