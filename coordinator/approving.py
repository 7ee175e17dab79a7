"""Collects people's decisions about orders and wallets, each verified before it is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import RowMapping

from coordinator.calls import Call
from coordinator.orders import execution_of
from coordinator.preflight import Preflight
from coordinator.standing import Standing, Stands
from coordinator.store import Store
from oms_core.approvals import Approval, ApprovalClaim, Verdict
from oms_core.authorize import execution_digest, expected_claim, verify_approval
from oms_core.chains.evm import is_message
from oms_core.chains.intent import Execution, Intent, Proposal, Subject
from oms_core.encoding import decode
from oms_core.errors import Malformed, NotFound, Reason, Refused
from oms_core.memo import by_identity
from oms_core.policy.facts import Facts
from oms_core.policy.judge import Decision, Given, Objection, Outcome, judge, judge_operations
from oms_core.workspace import Workspace

log = structlog.get_logger()

PENDING = "PENDING_APPROVAL"
GOES_ON = (Outcome.PERMIT, Outcome.DELAY)
"""By what an approved subject goes on: a delay is counted by the nodes."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that waits for a person's decision."""

    subject_id: str
    proposal: bytes
    subject: Subject
    claim: ApprovalClaim
    execution: Execution | None = None
    """The exact transaction, where the claim names one."""


def decide(workspace: Workspace, subject: Subject, facts: Facts, given: tuple[Given, ...]) -> Decision:
    """What the rules say; a no to what cannot even be read under this version: a token that it moves has left the list.

    `judge` raises then. Orders were taken on under an earlier version, and have to come to an end all the same.
    """
    try:
        return judge(workspace, subject, facts, given)
    except (Refused, Malformed, NotFound) as error:
        nothing = judge_operations(_without_rules(workspace), subject, (), facts)  # type: ignore[arg-type]
        text = f"it cannot be read under version {workspace.version} of the workspace: {error.message}"
        return replace(nothing, objections=(Objection("", error.reason, -1, text),), needs=())


@by_identity(size=4)
def _without_rules(workspace: Workspace) -> Workspace:
    return replace(workspace, rules=())


class Approving(Stands):
    """The inbox of every approver."""

    def __init__(
        self, store: Store, standing: Standing, preflight: Preflight, seconds: int, exactly: Callable[[], bool]
    ) -> None:
        """``seconds``: how long an approval is good. ``exactly``: whether it has to name the exact transaction now."""
        self._store, self._standing, self._seconds, self._exactly = store, standing, seconds, exactly
        self.preflight = preflight

    async def denial(self, subject_id: str) -> str:
        """Who denied it first, and why; empty if nobody did."""
        denials = [row for row in await self._store.decisions(subject_id) if row["verdict"] == Verdict.DENY]
        return f"denied by {denials[0]['user_id']}: {denials[0]['comment'] or 'no reason given'}" if denials else ""

    async def standing_now(self, subject_id: str, subject: Subject) -> tuple[Decision, tuple[Approval, ...]]:
        """As `standing`, by what is reserved or spent now."""
        facts = await self._store.facts(int(time.time()), ahead_of=subject_id)
        return await self.standing(subject_id, subject, facts)

    async def standing(self, subject_id: str, subject: Subject, facts: Facts) -> tuple[Decision, tuple[Approval, ...]]:
        """What the rules say with the approvals so far, and those that count.

        Expired ones do not, nor do those that were given under a version which does not permit it: a cosigner asks all
        the versions that approvals name, and these people have to decide anew.
        """
        rows = await self._store.decisions(subject_id)
        approvals = tuple(decode(Approval, row["approval"]) for row in rows if row["verdict"] == Verdict.APPROVE)
        alive = tuple(approval for approval in approvals if approval.claim.expires_at > facts.now)
        while True:
            given = tuple(given for approval in alive if (given := self._given(approval)) is not None)
            decision, current = decide(self._workspace, subject, facts, given), self._standing.digest
            named = {approval.claim.workspace for approval in alive} - {current}
            against = {digest for digest in named if not self._permits(digest, subject, facts, given)}
            if decision.outcome not in GOES_ON or not against:
                return decision, alive
            alive = tuple(approval for approval in alive if approval.claim.workspace not in against)

    def _permits(self, version: bytes, subject: Subject, facts: Facts, given: tuple[Given, ...]) -> bool:
        """Whether an earlier version would let it go, with everybody's approval."""
        then = self._standing.find(version)
        return then is not None and decide(then, subject, facts, given).outcome in GOES_ON

    def _given(self, approval: Approval) -> Given | None:
        """A verified approval as the rules count it; None if the workspace knows its credential no more."""
        for one in self._workspace.users:
            for credential in one.credentials if one.user_id == approval.claim.approver else ():
                if credential.credential_id == approval.credential_id and not credential.revoked:
                    return Given(one.user_id, credential.assurance, approval.claim.decided_at)
        return None

    async def inbox(self, approver: str, waiting: list[tuple[str, RowMapping]], facts: Facts) -> list[Pending]:
        """What of ``waiting`` (subject id, row) this user may decide now.

        An order whose exact transaction has to be named is not asked about before one is chosen.
        """
        found = []
        for subject_id, row in waiting:
            subject = decode(Proposal, row["proposal"]).subject
            if subject.valid_until <= facts.now:
                continue
            exactly = self._exactly() and isinstance(subject, Intent) and not is_message(subject)
            execution = execution_of(row) if exactly else None
            if exactly and execution is None:
                continue
            decision, _ = await self.standing(subject_id, subject, facts)
            if any(approver in need.eligible for need in decision.needs if need.missing):
                asked = (facts.now, min(subject.valid_until, facts.now + self._seconds), execution_digest(execution))
                try:
                    claim = expected_claim(subject, self._workspace, approver, Verdict.APPROVE, *asked)
                except (Refused, Malformed, NotFound) as error:  # what cannot be read hides nothing else that waits
                    log.warning("cannot be shown", subject=subject_id, reason=error.reason, detail=error.message)
                    continue
                found.append(Pending(subject_id, row["proposal"], subject, claim, execution))
        return found

    async def decide(
        self, subject_id: str, row: RowMapping, approval: Approval, comment: str, facts: Facts, call: Call
    ) -> Verdict:
        """Verify and keep one decision. Raises `Refused`, `Conflict` or `Malformed`; nothing is kept then."""
        subject = decode(Proposal, row["proposal"]).subject
        named = execution_digest(execution_of(row))
        verified = verify_approval(approval, self._workspace, subject, facts.now, self._standing.older, named)
        decision, _ = await self.standing(subject_id, subject, facts)
        user_id = verified.user.user_id
        if not any(user_id in (*need.eligible, *need.given) for need in decision.needs):
            raise Refused(f"no rule asks {user_id} about this", Reason.NOT_ELIGIBLE)
        if row["state"] != PENDING:
            raise Refused(f"it is {row['state']} already", Reason.WRONG_STATE)
        if len(comment) > 280 or not comment.isprintable():
            raise Refused("a comment has at most 280 printable characters", Reason.MALFORMED)
        await self._store.decide(subject_id, approval, verified.user.person_id, verified.counter, comment, call)
        return approval.claim.verdict
