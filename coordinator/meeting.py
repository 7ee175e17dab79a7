"""What nodes that attach know of the log, before they are shown a head of it: a put-back database forks nothing."""

from __future__ import annotations

import time

import structlog

from coordinator.cosigners import Cosigners, Link
from coordinator.journal import Journal
from oms_core.errors import CountersealError, Malformed, Unavailable
from oms_core.log.quorum import degraded
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

SECONDS = 30.0  # for an answer
AGAIN = 10.0  # seconds until a node that has told nothing is asked again
GRACE = 4.0  # seconds for those that enough need not wait for: nodes dial again at least that often
NEVER = float("inf")


class Meeting:
    """Who has shown what it knows, and what the database lacks of it."""

    def __init__(self, journal: Journal, cosigners: Cosigners) -> None:
        self._journal, self._cosigners = journal, cosigners
        self._met: dict[int, tuple[Link, float]] = {}  # and when to ask again, never if it has told what it knows
        self._enough_since = NEVER
        self.lacking = ""
        """What somebody has seen of this log and the database does not hold, in words; empty if nothing is lost."""

    def met(self) -> dict[int, Link]:
        """Links of nodes that have answered since they attached."""
        return {index: link for index, link in self._cosigners.present().items() if self._at(link) is not None}

    def strangers(self) -> dict[int, Link]:
        """Links of nodes that are to be asked: they have not answered, or told nothing."""
        now = time.monotonic()
        return {index: link for index, link in self._cosigners.present().items() if (self._at(link) or 0.0) < now}

    def told(self) -> int:
        """How many of those that are there have shown how far they have followed this log, or that they have not."""
        return sum(self._at(link) == NEVER for link in self._cosigners.present().values())

    def heard(self, n: int) -> bool:
        """Whether all ``n`` have told what they know; or enough have for a while, and the others do not come.

        What a database has lost when it broke down is often what one or two nodes alone had followed by then.
        """
        if (told := self.told()) < degraded(n):
            self._enough_since = NEVER
        elif self._enough_since == NEVER:
            self._enough_since = time.monotonic()
        return told == n or time.monotonic() - self._enough_since > GRACE

    async def meet(self, link: Link) -> None:
        """Hold what a node knows of the log against the database.

        A head under our own key that is not in the database shows that entries are lost, whoever shows it. Who answers
        without one that can be read says nothing of how far the log has gone.
        """
        again = time.monotonic() + AGAIN
        try:
            answer = await link.ask(pb.ToCosigner(gossip=pb.Gossip()), SECONDS)
            if answer.WhichOneof("body") != "gossiped":
                raise Malformed(f"{answer.failed.reason} {answer.failed.detail}"[:300])
            if answer.gossiped.head:
                await self.lacks(answer.gossiped.head, f"cosigner {link.index} has followed")
            again = NEVER
        except Unavailable:
            return
        except CountersealError as error:
            if self._at(link) is None:
                log.warning("shows no head of this log", cosigner=link.index, detail=error.message)
        self._met[link.index] = link, again

    async def lacks(self, note: bytes, who: str = "this coordinator has signed a head of") -> bool:
        """Whether entries are lost: by a head of this log, also by our own last one if the database changed meanwhile.

        Raises `ProofInvalid` or `Malformed` for what is no head of this log.
        """
        if (lost := await self._journal.lacks(note)) and not self.lacking:
            self.lacking = f"{who} {lost}"
            log.critical("ALERT: the log has lost entries", detail=self.lacking)
        return bool(lost)

    def _at(self, link: Link) -> float | None:
        """When to ask it again; None if it has not answered yet."""
        held = self._met.get(link.index)
        return held[1] if held is not None and held[0] is link else None
