"""The way of a change of the workspace: told what it means, approved by people, seen by cosigners, adopted by them.

Cosigners verify all of it themselves, and keep the time that a change has to wait. What is decided here is only whom to
ask, and when enough of them have gone over. A change that cosigners have seen is stopped for certain by nothing but
another change that they adopt before it: withdrawing it here is a coordinator's promise.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog
from sqlalchemy import RowMapping

from coordinator import durable
from coordinator.amending import LIMIT as WITHDRAWAL_LIMIT
from coordinator.approving import Pending
from coordinator.bringing import Bringing
from coordinator.calls import Call
from coordinator.chainbook import ADOPTION, SCHEDULING, ChainBook
from coordinator.cosigners import Cosigners
from coordinator.news import News
from coordinator.preflight import Preflight
from coordinator.reports import Report, described, eligible, report
from coordinator.staging import OURS, By
from coordinator.standing import Standing, Stands
from coordinator.store import Store
from coordinator.wallets import confirmed
from oms_core.approvals import Approval, Verdict
from oms_core.authorize import expected_claim, verify_approval
from oms_core.chains.intent import CLOCK_SKEW, Proposal, subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, Reason, Refused
from oms_core.evidence import ChangeWorkspaceRequest, SignedScheduling
from oms_core.withdrawals import SignedWithdrawal, verify_withdrawal
from oms_core.workspace import ChangeWorkspace, Privilege, Workspace, identities, privileges, workspace_digest
from oms_core.workspace.change import Approved, honest_among, verify_change
from oms_core.workspace.lifecycle import ChangeState
from oms_core.workspace.roster import check_identities

log = structlog.get_logger()

LIMIT = 8 << 20  # bytes of a proposal
RETRY = 1.0  # seconds between looks at a change that waits
_DELAYED = (ChangeState.APPROVED, ChangeState.SCHEDULED)


class Workspaces(Stands):
    """All changes of the workspace."""

    def __init__(
        self,
        book: ChainBook,
        store: Store,
        standing: Standing,
        cosigners: Cosigners,
        bringing: Bringing,
        preflight: Preflight,
        news: News,
        seconds: int,
    ) -> None:
        """``seconds``: how long an approval is good."""
        self._book, self._store, self._standing, self._cosigners = book, store, standing, cosigners
        self._bringing, self._preflight, self._news, self._seconds = bringing, preflight, news, seconds
        self._delays: dict[str, int] = {}

    def steps(self) -> tuple[durable.Step, ...]:
        """A change's way."""
        return (("approvals", self.approvals), ("bring", self.bring))

    async def review(self, following: Workspace) -> Report:
        """What a next version would change. Raises `Malformed` or `Refused` for what can be none."""
        made = await asyncio.to_thread(report, self._workspace, following)
        check_identities(following, self._workspace, self._standing.older.values())
        return made.stranding(await self._stranded(following))

    async def submit(self, change_id: str, proposal: Proposal, confirmed: bool, call: Call) -> None:
        """Take a wish on. Raises `Refused`, `Malformed`, `NotFound`; nothing is kept then.

        UNSATISFIABLE: it leaves rules or keys that nobody can use, and nobody has ``confirmed`` that it shall.
        """
        wish = proposal.subject
        if not isinstance(wish, ChangeWorkspace):
            raise Malformed("the subject is not a wish to change the workspace")
        try:
            await self._verified(ChangeWorkspaceRequest(proposal, (), ()), int(time.time()))
        except Refused as error:
            if error.reason is not Reason.APPROVAL_MISSING:
                raise
        told = await self.review(wish.next)
        if told.unsatisfiable and not confirmed:
            raise Refused("; ".join(told.unsatisfiable)[:2000], Reason.UNSATISFIABLE)
        values = {
            "change_id": change_id,
            "proposal": encode(proposal),
            "subject": subject_digest(wish),
            "version": wish.next.version,
            "digest": workspace_digest(wish.next),
            "by": (wish.initiator, proposal.key_id.encode()),
        }
        await self._book.add(values, call)

    async def inbox(self, approver: str, now: int) -> list[Pending]:
        """What this user may decide now."""
        found = []
        for row in await self._book.changes(ChangeState.PROPOSED):
            wish = wish_in(row)
            if wish.next.parent != self._standing.digest or wish.valid_until <= now:
                continue
            decided = {one["user_id"] for one in await self._store.decisions(row["change_id"]) if _stands(one, now)}
            if approver in eligible(self._workspace, wish) and approver not in decided:
                expires = min(wish.valid_until, now + self._seconds)
                claim = expected_claim(wish, self._workspace, approver, Verdict.APPROVE, now, expires)
                found.append(Pending(row["change_id"], row["proposal"], wish, claim))
        return found

    async def decide(self, change_id: str, approval: Approval, comment: str, call: Call) -> None:
        """Verify and keep one person's decision. Once it is approved it stands in the log, and none counts any more.

        Raises `Refused`, `Conflict`, `NotFound` or `Malformed`; nothing is kept then.
        """
        row = await self._book.change(change_id)
        wish, verdict = wish_in(row), approval.claim.verdict
        parent = self._standing.named(wish.next.parent)
        verified = await asyncio.to_thread(verify_approval, approval, parent, wish, int(time.time()))
        user_id = verified.user.user_id
        if Privilege.APPROVE_CHANGES not in privileges(parent, verified.user, ""):
            raise Refused(f"{user_id} may not approve changes", Reason.NOT_ELIGIBLE)
        if verdict is Verdict.APPROVE and user_id not in eligible(parent, wish):
            raise Refused(f"{user_id} is not asked about this, or would gain by it", Reason.NOT_ELIGIBLE)
        _check_open(row)
        if len(comment) > 280 or not comment.isprintable():
            raise Refused("a comment has at most 280 printable characters", Reason.MALFORMED)
        await self._store.decide(change_id, approval, verified.user.person_id, verified.counter, comment, call)
        self._news.ring(change_id)

    async def withdraw(self, change_id: str, withdrawal: bytes) -> None:
        """Go on with it no further, at its initiator's word: else whoever has a client could keep anybody in office.

        Raises `Refused`, WRONG_STATE once people have approved it, `Malformed` and `NotFound`.
        """
        row = await self._book.change(change_id)
        signed = decode(SignedWithdrawal, withdrawal, WITHDRAWAL_LIMIT)
        initiator = verify_withdrawal(signed, wish_in(row), None, self._workspace)
        if row["state"] == ChangeState.WITHDRAWN:
            return
        _check_open(row)
        await self._move(row, ChangeState.WITHDRAWN, withdrawal, (initiator.user_id, signed.key_id.encode()))

    async def approvals(self, change_id: str) -> None:
        """PROPOSED → APPROVED, REJECTED, SUPERSEDED or EXPIRED."""
        looked: object = None
        while (row := await self._book.change(change_id))["state"] == ChangeState.PROPOSED:
            if await self._over(row):
                return
            request, now = await self._request(row), int(time.time())
            await self._preflight.show(change_id, request.proposal)
            if request.approvals == looked:
                await self._news.wait(change_id, RETRY)
                continue
            looked = request.approvals
            try:
                await self._verified(request, now)
            except (Refused, Malformed) as error:
                await self._say(change_id, error.reason, error.message)
            else:
                await self._move(row, ChangeState.APPROVED, encode(request))
        self._preflight.forget(change_id)

    async def bring(self, change_id: str) -> None:
        """APPROVED → SCHEDULED → ACTIVE, as cosigners see it, wait, and go over; or another one was first."""
        while (row := await self._book.change(change_id))["state"] in _DELAYED:
            wish, request = wish_in(row), await self._request(row)
            parent = self._standing.find(wish.next.parent)
            if not await self._is_ours(row):
                if await self._over(row):
                    return
                told = await self._due(row, wish)
                await asyncio.gather(*(self._bringing.offer(index, request) for index in told))
            seen = await self._book.kept(row["subject"], SCHEDULING)
            adopted = await self._book.kept(row["subject"], ADOPTION)
            if parent is None or (row["state"] == ChangeState.APPROVED and not seen and not adopted):
                await self._news.wait(change_id, RETRY)
            elif row["state"] == ChangeState.APPROVED:
                await self._move(row, ChangeState.SCHEDULED)
            else:
                await self._count(row, request, parent, set(seen), set(adopted))

    async def _due(self, row: RowMapping, wish: ChangeWorkspace) -> list[int]:
        """Nodes on the version that it changes which have not seen it, or for which its delay is over by now."""
        there = [i for i, link in self._cosigners.present().items() if link.workspace == wish.next.parent]
        kept = await self._book.kept(row["subject"], SCHEDULING)
        seen = {index: decode(SignedScheduling, data).scheduling.at for index, data in kept.items()}
        if not set(there) <= set(seen):
            return [index for index in there if index not in seen]
        if row["change_id"] not in self._delays:
            told = await asyncio.to_thread(described, self._workspace, wish.next)
            self._delays[row["change_id"]] = told.delay
        enough = honest_among(len(self._workspace.roster))
        earliest = sorted(seen.values())[:enough]
        since = earliest[-1] if len(earliest) == enough else max(seen.values(), default=0)
        over = time.time() - self._delays[row["change_id"]]
        return [index for index in there if min(seen[index], since) <= over]

    async def _count(
        self, row: RowMapping, request: ChangeWorkspaceRequest, parent: Workspace, seen: set[int], adopted: set[int]
    ) -> None:
        """Go over with most cosigners; it is active when all of them have but one, who may be away."""
        wish = wish_in(row)
        if len(adopted) >= honest_among(len(parent.roster)):
            await self._bringing.stand(request)
        staying = set(identities(parent)) & set(identities(wish.next))
        if len(adopted & staying) >= max(1, len(staying) - 1):
            state = ChangeState.ACTIVE
            await self._move(row, state, detail=f"adopted by cosigners {_names(adopted)}")
            if self._workspace.version > row["version"]:
                await self._move({**row, "state": state}, ChangeState.SUPERSEDED)
            return
        where = f"adopted by cosigners {_names(adopted)}" if adopted else f"seen by cosigners {_names(seen)}, waiting"
        await self._say(row["change_id"], Reason.DELAYED if not adopted else Reason.QUORUM_UNAVAILABLE, where)
        await self._news.wait(row["change_id"], RETRY)

    async def _over(self, row: RowMapping) -> bool:
        """Whether it has come to its end: another one was first, or people denied it, or did not approve it in time.

        What they have approved stands in the log, and cosigners wait for it: that ends by another change alone.
        """
        wish, asked = wish_in(row), row["state"] == ChangeState.PROPOSED
        denied = [one for one in await self._store.decisions(row["change_id"]) if one["verdict"] == Verdict.DENY]
        if asked and denied:
            text = f"denied by {denied[-1]['user_id']}: {denied[-1]['comment'] or 'no reason given'}"
            await self._move(row, ChangeState.REJECTED, reason=Reason.APPROVAL_DENIED, detail=text)
        elif await self._passed(row, wish):
            text = f"version {self._workspace.version} is another one, and counts"
            await self._move(row, ChangeState.SUPERSEDED, reason=Reason.POLICY_VERSION_MISMATCH, detail=text)
        elif asked and time.time() >= wish.valid_until:
            await self._move(row, ChangeState.EXPIRED, reason=Reason.EXPIRED, detail="not approved in time")
        else:
            return False
        return True

    async def _passed(self, row: RowMapping, wish: ChangeWorkspace) -> bool:
        """Whether the chain went on by another change. It may go on by this one at any time, also while we look."""
        parent = wish.next.parent
        gone = self._standing.find(parent) is not None and parent != self._standing.digest
        return gone and not await self._is_ours(row)

    async def _is_ours(self, row: RowMapping) -> bool:
        """Whether the chain went on by this very change."""
        versions = await self._book.versions(row["version"] - 1)
        return bool(versions) and versions[0]["subject"] == row["subject"]

    async def _verified(self, request: ChangeWorkspaceRequest, now: int) -> Approved:
        return await asyncio.to_thread(verify_change, request, self._workspace, now)

    async def _request(self, row: RowMapping) -> ChangeWorkspaceRequest:
        """As it stands in the log; while people are asked, with the approvals that will be good when it does."""
        if row["state"] in _DELAYED:
            return decode(ChangeWorkspaceRequest, await self._book.approved(row["change_id"]), LIMIT)
        rows = await self._store.decisions(row["change_id"])
        found = [decode(Approval, one["approval"]) for one in rows if one["verdict"] == Verdict.APPROVE]
        found = [one for one in found if one.claim.expires_at > time.time() + CLOCK_SKEW]
        ordered = tuple(sorted(found, key=lambda one: one.claim.approver))
        return ChangeWorkspaceRequest(decode(Proposal, row["proposal"], LIMIT), ordered, ())

    async def _stranded(self, following: Workspace) -> list[str]:
        """Keys whose holders would be fewer than it takes to sign, or to deal the key to others."""
        held, stays = identities(self._workspace), identities(following)
        found = []
        for row in await self._store.wallets():
            parties = [one.confirmation.index for one in confirmed(row)]
            left = [index for index in parties if held.get(index) == stays.get(index)]
            if parties and len(left) < row["threshold"]:
                text = (
                    f"wallet {row['wallet_id']}: {len(left)} of its cosigners stay, and {row['threshold']} have to sign"
                )
                found.append(text)
        return found

    async def _move(
        self, row: RowMapping | dict[str, Any], to: ChangeState, document: bytes = b"", by: By = OURS, **values: Any
    ) -> None:
        await self._book.move(row["change_id"], ChangeState(row["state"]), to, document, by, **values)
        log.info("workspace change", change=row["change_id"], state=str(to), reason=str(values.get("reason", "")))
        self._news.ring(row["change_id"])

    async def _say(self, change_id: str, reason: str, detail: str) -> None:
        row = await self._book.change(change_id)
        if (row["reason"], row["detail"]) != (str(reason), detail[:500]):
            await self._book.note(change_id, reason=str(reason), detail=detail[:500])
            self._news.ring(change_id)


def _check_open(row: RowMapping) -> None:
    """People may still decide. Raises `Refused` (WRONG_STATE)."""
    if row["state"] != ChangeState.PROPOSED:
        text = "; it stands in the log, and only another change stops it" if row["state"] in _DELAYED else ""
        raise Refused(f"it is {row['state']} already{text}", Reason.WRONG_STATE)


def _stands(decided: RowMapping, now: int) -> bool:
    """Whether a decision needs not be made again: an approval is good for its time."""
    return decided["verdict"] == Verdict.DENY or decode(Approval, decided["approval"]).claim.expires_at > now


def wish_in(row: RowMapping | dict[str, Any]) -> ChangeWorkspace:
    """The wish of a change."""
    wish = decode(Proposal, row["proposal"], LIMIT).subject
    assert isinstance(wish, ChangeWorkspace)
    return wish


def _names(indices: set[int]) -> str:
    return ", ".join(map(str, sorted(indices)))
