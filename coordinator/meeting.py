"""What nodes that attach know of the log, before they are shown a head of it: a put-back database forks nothing."""

from __future__ import annotations

import structlog

from coordinator.cosigners import Cosigners, Link
from coordinator.journal import Journal
from oms_core.errors import CountersealError, Unavailable
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

SECONDS = 30.0  # for an answer


class Meeting:
    """Who has shown what it knows, and what the database lacks of it."""

    def __init__(self, journal: Journal, cosigners: Cosigners) -> None:
        self._journal, self._cosigners = journal, cosigners
        self._met: dict[int, Link] = {}
        self.lacking = ""
        """What a node has followed of this log and the database does not hold, in words; empty if nothing is lost."""

    def met(self) -> dict[int, Link]:
        """Links of nodes that have shown what they know since they attached."""
        return {index: link for index, link in self._cosigners.present().items() if self._met.get(index) is link}

    def strangers(self) -> dict[int, Link]:
        """Links of nodes that have not."""
        return {index: link for index, link in self._cosigners.present().items() if self._met.get(index) is not link}

    async def meet(self, link: Link) -> None:
        """Hold what a node knows of the log against the database.

        A head under our own key that is not in the database shows that entries are lost, whoever shows it.
        """
        try:
            answer = await link.ask(pb.ToCosigner(gossip=pb.Gossip()), SECONDS)
            lacks = await self._journal.lacks(answer.gossiped.head) if answer.gossiped.head else ""
        except Unavailable:
            return
        except CountersealError as error:
            log.warning("shows no head of this log", cosigner=link.index, detail=error.message)
            lacks = ""
        if lacks and not self.lacking:
            self.lacking = f"cosigner {link.index} has followed {lacks}"
            log.critical("ALERT: the log has lost entries", detail=self.lacking)
        self._met[link.index] = link
