"""What follows from a failed session: who is proven to have lied is quarantined, who is suspected is chosen last."""

from __future__ import annotations

import asyncio

import structlog

from coordinator.cosigners import Cosigners
from coordinator.keybook import KeyBook
from coordinator.sessions import SessionFailed

log = structlog.get_logger()


class Outcomes:
    """Only a CONFIRMED verdict, which anybody can repeat from the evidence, keeps a node out."""

    def __init__(self, book: KeyBook, cosigners: Cosigners) -> None:
        self._book, self._cosigners = book, cosigners
        self._turn = asyncio.Lock()

    async def load(self) -> None:
        """Take over who was in quarantine before this process started, or was put there by another replica."""
        async with self._turn:  # so that the newest look counts
            self._cosigners.quarantined = await self._book.quarantined()

    async def failed(self, about: str, failure: SessionFailed) -> set[int]:
        """Keep the evidence; returns whom it convicts."""
        guilty = set()
        for verdict, evidence in failure.proven:
            guilty.add(verdict.culprit)
            evidence_id = await self._book.add_verdict(about, verdict, evidence)
            log.warning("convicted", cosigner=verdict.culprit, step=verdict.step, evidence=evidence_id, about=about)
        if guilty:
            await self.load()
        suspects = failure.suspects - guilty
        if not (guilty or suspects or failure.refusals or failure.stale):
            suspects = set(failure.parties)  # one of them lied as nobody can show: choose others for a while
        for index in suspects:
            self._cosigners.strike(index)
        return guilty
