"""Witnesses of the log that are there as a test wants, without a log."""

from __future__ import annotations

from coordinator.witnessing import NONE, CosignedCheckpoint, Status
from oms_core.log.cover import Mode, mode_of

ALL = (1, 2, 3, 4, 5)


class Vouching:
    """What parts of a coordinator ask of `Witnessing`; ``there`` are those that vouch, and have for ``seconds``."""

    def __init__(self) -> None:
        self.there, self.seconds = ALL, 100.0
        self.covers: list[int] = []
        self.behind: set[int] = set()

    def mode(self) -> Mode:
        """Of five."""
        return mode_of(len(self.there), 5)

    def status(self) -> Status:
        """With words."""
        words = "" if self.mode() is Mode.FULL else f"{len(self.there)} vouch"
        return Status(self.mode(), 1, b"", 0.0, len(self.there), words)

    def degraded_for(self) -> float:
        """So long."""
        return self.seconds

    async def abreast(self, index: int) -> bool:
        """Whoever is not behind."""
        return index not in self.behind

    async def covered(self, index: int, wanted: int, seconds: float, among: tuple[int, ...] = ()) -> CosignedCheckpoint:
        """Whoever is there vouches."""
        self.covers.append(index)
        if self.mode() is Mode.STOPPED:
            return NONE
        return CosignedCheckpoint(b"note of %d" % (index + 1), index + 1, self.there, self.mode())
