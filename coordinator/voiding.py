"""What a new version of the workspace does to approvals that were given before: some no longer count, and say so."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import RowMapping

from coordinator.approving import PENDING
from coordinator.keybook import KeyBook
from coordinator.news import News
from coordinator.standing import Standing, Stands
from coordinator.store import Store
from oms_core.approvals import Approval, Verdict
from oms_core.authorize import verify_approval
from oms_core.chains.intent import Proposal, Subject
from oms_core.encoding import decode
from oms_core.errors import Malformed, NotFound, Reason, Refused
from oms_core.lifecycle import TERMINAL, State
from oms_core.workspace.change import removed_people

log = structlog.get_logger()

_UNSIGNED = tuple(state for state in State if state not in {*TERMINAL, State.SIGNED, State.BROADCAST, State.MINED})


class Voiding(Stands):
    """Looks through everything that is not signed yet. Doing it again changes nothing."""

    def __init__(self, store: Store, book: KeyBook, standing: Standing, news: News) -> None:
        self._store, self._book, self._standing, self._news = store, book, standing, news

    async def void(self) -> None:
        """Mark the approvals that the current version no longer lets their people give, and ring for all."""
        waiting = [(row["order_id"], row) for row in await self._store.orders_in(*_UNSIGNED)]
        waiting += [(row["wallet_id"], row) for row in await self._store.wallets() if row["state"] == PENDING]
        waiting += [(row["change_id"], row) for row in await self._book.changes() if row["state"] == PENDING]
        for subject_id, row in waiting:
            subject = decode(Proposal, row["proposal"]).subject
            decided = await self._store.decisions(subject_id)
            for person, reason in await asyncio.to_thread(self._gone, subject, decided):
                await self._store.void(subject_id, person, reason)
                log.warning("approval invalidated", subject=subject_id, person=person, reason=reason)
            self._news.ring(subject_id)

    def _gone(self, subject: Subject, decided: list[RowMapping]) -> list[tuple[str, str]]:
        """(person, why) of each approval that does not count any more. That it has expired is another matter."""
        gone = []
        for row in decided:
            if row["verdict"] != Verdict.APPROVE:
                continue
            approval = decode(Approval, row["approval"])
            claim = approval.claim
            try:
                then = self._standing.named(claim.workspace)
                older, named = self._standing.older, claim.execution  # which one it is, is another matter
                verify_approval(approval, self._workspace, subject, claim.decided_at, older, named)
                if claim.approver in removed_people(then, self._workspace).users:
                    raise Refused(f"{claim.approver} may approve less by now", Reason.NOT_ELIGIBLE)
            except (Refused, NotFound, Malformed) as error:
                if error.reason not in (Reason.APPROVAL_EXPIRED, Reason.EXPIRED):
                    gone.append((row["person_id"], str(error.reason)))
        return gone
