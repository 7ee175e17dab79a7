"""Tells whoever watches a subject that something about it has changed."""

from __future__ import annotations

import asyncio
from collections import defaultdict

POLL = 1.0  # seconds: another replica's changes are seen this late


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
