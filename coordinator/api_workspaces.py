"""The part of the OMS service that is about the workspace, its versions, and changes of it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator

from sqlalchemy import RowMapping

from coordinator import durable
from coordinator.calls import Call, once
from coordinator.chainbook import ADOPTION, SCHEDULING, ChainBook
from coordinator.ids import WORKSPACE, new_id
from coordinator.news import News
from coordinator.reports import Report, described
from coordinator.standing import Stands
from coordinator.store import Store
from coordinator.tls import Context, peer
from coordinator.views import decisions
from coordinator.workspaces import LIMIT, Workspaces, wish_in
from oms_core.chains.intent import Proposal
from oms_core.encoding import decode, encode
from oms_core.workspace import Workspace, workspace_digest
from oms_core.workspace.lifecycle import ENDED
from proto import oms_pb2 as pb
from proto import oms_pb2_grpc as pb_grpc

_KEPT = 64  # reports


class WorkspaceCalls(Stands, pb_grpc.OmsServicer):
    """What the workspace is, and how it changes."""

    _store: Store
    _news: News
    _chain_book: ChainBook
    _workspaces: Workspaces
    _reports: OrderedDict[bytes, pb.WorkspaceReport]

    async def GetWorkspace(self, request: pb.GetWorkspaceRequest, context: Context) -> pb.WorkspaceResponse:
        """The workspace that decides, or an earlier version by its digest."""
        peer(context, "oms")
        shown = self._standing.named(request.digest) if request.digest else self._workspace
        return pb.WorkspaceResponse(workspace=encode(shown), digest=workspace_digest(shown))

    async def ReviewWorkspaceChange(
        self, request: pb.ReviewWorkspaceChangeRequest, context: Context
    ) -> pb.WorkspaceReport:
        """What a next version would mean; nothing is kept."""
        peer(context, "oms")
        return _report(await self._workspaces.review(decode(Workspace, request.next, LIMIT)))

    async def ProposeWorkspaceChange(
        self, request: pb.ProposeWorkspaceChangeRequest, context: Context
    ) -> pb.WorkspaceChange:
        """Take a change on, once per request id."""
        peer(context, "oms")
        body = bytes([request.confirm_unsatisfiable]) + request.proposal
        call = Call(request.request_id, "ProposeWorkspaceChange", body)

        async def submit() -> str:
            change_id, proposal = new_id(WORKSPACE), decode(Proposal, request.proposal, LIMIT)
            await self._workspaces.submit(change_id, proposal, request.confirm_unsatisfiable, call)
            return change_id

        change_id = await once(self._store, call, submit)
        await durable.begin("workspace", change_id)
        return await self._shown(await self._chain_book.change(change_id))

    async def WithdrawWorkspaceChange(
        self, request: pb.WithdrawWorkspaceChangeRequest, context: Context
    ) -> pb.WorkspaceChange:
        """Go on with a change no further."""
        peer(context, "oms")
        await self._workspaces.withdraw(request.change_id, request.withdrawal)
        return await self._shown(await self._chain_book.change(request.change_id))

    async def GetWorkspaceChange(self, request: pb.GetWorkspaceChangeRequest, context: Context) -> pb.WorkspaceChange:
        """One change."""
        peer(context, "oms")
        return await self._shown(await self._chain_book.change(request.change_id))

    async def WatchWorkspaceChange(
        self, request: pb.GetWorkspaceChangeRequest, context: Context
    ) -> AsyncIterator[pb.WorkspaceChange]:
        """The change whenever something about it changes, until nothing more is done for it."""
        peer(context, "oms")

        async def look() -> tuple[pb.WorkspaceChange, bool]:
            row = await self._chain_book.change(request.change_id)
            return await self._shown(row), row["state"] in ENDED

        async for shown in self._news.follow(request.change_id, look):
            yield shown

    async def ListWorkspaceChanges(
        self, request: pb.ListWorkspaceChangesRequest, context: Context
    ) -> pb.ListWorkspaceChangesResponse:
        """All changes, oldest first, without their proposals."""
        peer(context, "oms")
        shown = [await self._shown(row) for row in await self._chain_book.changes()]
        for one in shown:
            one.proposal = b""
        return pb.ListWorkspaceChangesResponse(changes=shown)

    async def _shown(self, row: RowMapping) -> pb.WorkspaceChange:
        change_id = row["change_id"]
        return pb.WorkspaceChange(
            change_id=change_id,
            state=row["state"],
            reason=row["reason"],
            detail=row["detail"],
            proposal=row["proposal"],
            version=row["version"],
            digest=row["digest"],
            report=await self._report(row),
            decisions=decisions(await self._store.all_decisions(change_id), int(time.time())),
            schedulings=(await self._chain_book.kept(row["subject"], SCHEDULING)).values(),
            adoptions=(await self._chain_book.kept(row["subject"], ADOPTION)).values(),
            stages=[
                pb.Stage(state=stage["state"], at=stage["at"], note=stage["note"])
                for stage in await self._store.stages(change_id)
            ],
        )

    async def _report(self, row: RowMapping) -> pb.WorkspaceReport | None:
        """Made once: it does not change any more. None while the version that it is about is not known here."""
        if (held := self._reports.get(row["subject"])) is not None:
            return held
        following = wish_in(row).next
        if (parent := self._standing.find(following.parent)) is None:
            return None
        made = self._reports[row["subject"]] = _report(await asyncio.to_thread(described, parent, following))
        while len(self._reports) > _KEPT:
            self._reports.popitem(last=False)
        return made


def _report(made: Report) -> pb.WorkspaceReport:
    return pb.WorkspaceReport(
        parts=[pb.WorkspacePart(path=one.path, words=one.words, direction=one.direction) for one in made.parts],
        direction=made.direction,
        unsatisfiable=made.unsatisfiable,
        approvals=made.approvals,
        delay=made.delay,
    )
