"""Cosigners in memory that go from version to version as real ones do, each with a clock, and a desk that asks them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from coordinator.bringing import Bringing
from coordinator.calls import Call
from coordinator.chainbook import ChainBook
from coordinator.voiding import Voiding
from coordinator.workspaces import Workspaces
from oms_core.approvals import Verdict
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Reason, Unavailable
from oms_core.evidence import (
    Adoption,
    ChangeWorkspaceRequest,
    ReadRequest,
    Scheduling,
    SignedAdoption,
    SignedReading,
    SignedScheduling,
)
from oms_core.policy.facts import Facts
from oms_core.readings import read
from oms_core.workspace import ChangeWorkspace, Workspace, workspace_digest
from oms_core.workspace.change import ready, verify_change
from proto import cosigner_pb2 as pb
from tests.parties import identity
from tests.people import NOW, approve, propose, workspace
from tests.unit.coordinator.desk import ALL, Desk, stopped


class Clock:
    """What time it is for everybody."""

    def __init__(self) -> None:
        self.now = NOW

    def time(self) -> float:
        """Unix seconds."""
        return self.now


class ChainNode:
    """One attached cosigner; ``lies`` bends what it answers."""

    def __init__(self, index: int, clock: Clock, current: Workspace) -> None:
        self.index, self.clock, self.current = index, clock, current
        self.closed, self.latency = False, 0.0
        self.workspace, self.version = workspace_digest(current), current.version
        self.seen: dict[bytes, SignedScheduling] = {}
        self.requests: list[tuple[ChangeWorkspaceRequest, SignedAdoption]] = []
        self.asked: list[str] = []
        self.lies: Any = None

    async def ask(self, request: pb.ToCosigner, seconds: float) -> pb.FromCosigner:
        """What a link does. Raises `Unavailable`."""
        if self.closed:
            raise Unavailable(f"cosigner {self.index} does not answer", Reason.PEER_UNREACHABLE)
        body = str(request.WhichOneof("body"))
        self.asked.append(body)
        try:
            answer = self._answer(body, request)
        except CountersealError as error:
            answer = pb.FromCosigner(failed=pb.Failed(reason=error.reason, detail=error.message))
        return self.lies(answer) if self.lies else answer

    def _answer(self, body: str, request: pb.ToCosigner) -> pb.FromCosigner:
        if body == "offer_workspace":
            return pb.FromCosigner(workspace_answer=self._offer(request.offer_workspace.request))
        if body == "get_workspace_requests":
            after = request.get_workspace_requests.after
            later = [encode(one) for one, said in self.requests if said.adoption.version > after]
            return pb.FromCosigner(workspace_requests=pb.WorkspaceRequests(requests=later))
        asked = decode(ReadRequest, request.read.request)
        reading, rendering = read(self.index, asked, self.current, Facts(self.clock.now))
        signed = SignedReading(reading, identity(self.index).sign("reading", encode(reading)))
        return pb.FromCosigner(reading=pb.Reading(signed_reading=encode(signed), lines=rendering.lines))

    def _offer(self, data: bytes) -> pb.WorkspaceAnswer:
        request = decode(ChangeWorkspaceRequest, data)
        wish = request.proposal.subject
        assert isinstance(wish, ChangeWorkspace)
        change = subject_digest(wish)
        for held, adoption in self.requests:
            if subject_digest(held.proposal.subject) == change:
                return pb.WorkspaceAnswer(scheduling=encode(self._see(change)), adoption=encode(adoption))
        others = [one.scheduling.at for one in request.scheduled]
        moment = self.seen[change].scheduling.at if change in self.seen else min([*others, self.clock.now])
        delay = verify_change(request, self.current, moment).delay
        signed, roster = self._see(change), self.current.roster
        if not ready(change, signed.scheduling.at, request.scheduled, roster, delay, self.clock.now):
            return pb.WorkspaceAnswer(scheduling=encode(signed))
        return pb.WorkspaceAnswer(scheduling=encode(signed), adoption=encode(self._adopt(request, wish.next)))

    def _see(self, change: bytes) -> SignedScheduling:
        if change not in self.seen:
            said = Scheduling(self.index, change, self.clock.now)
            self.seen[change] = SignedScheduling(said, identity(self.index).sign("scheduling", encode(said)))
        return self.seen[change]

    def _adopt(self, request: ChangeWorkspaceRequest, made: Workspace) -> SignedAdoption:
        said = Adoption(self.index, made.version, workspace_digest(made), self.clock.now)
        signed = SignedAdoption(said, identity(self.index).sign("adoption", encode(said)))
        self.requests.append((request, signed))
        self.current = made
        return signed

    def reattach(self) -> None:
        """As a new stream does: its hello says where it stands."""
        self.closed = False
        self.workspace, self.version = workspace_digest(self.current), self.current.version


class ChainDesk(Desk):
    """A desk with all that changes the workspace, and five nodes."""

    chain_book: ChainBook
    bringing: Bringing
    workspaces: Workspaces
    clock: Clock
    nodes: dict[int, ChainNode]

    @classmethod
    async def start(cls, root: Path, clock: Clock, made: Workspace | None = None) -> ChainDesk:
        """Everybody stands on version 0."""
        desk = await cls.open(root, made)
        assert isinstance(desk, ChainDesk)
        desk.clock, desk.nodes = clock, {i: ChainNode(i, clock, made or workspace()) for i in ALL}
        desk.renew()
        return desk

    def renew(self) -> None:
        """A coordinator's process, over its database, with the nodes as they are."""
        self.chain_book = ChainBook(self.engine)
        voiding = Voiding(self.store, self.book, self.standing, self.news)
        self.bringing = Bringing(self.chain_book, self.standing, self.cosigners, voiding, self.vouching, self.news)
        parts = (self.chain_book, self.store, self.standing, self.cosigners, self.bringing, self.preflight, self.news)
        self.workspaces = Workspaces(*parts, 400)
        self.cosigners._links = self.nodes  # type: ignore[assignment]

    async def propose(self, wish: ChangeWorkspace, change_id: str = "wsc_1", confirmed: bool = False) -> str:
        """Take a wish on."""
        call = Call(change_id, "ProposeWorkspaceChange", b"")
        await self.workspaces.submit(change_id, propose(wish), confirmed, call)
        return change_id

    async def decide(
        self, wish: ChangeWorkspace, user_id: str, change_id: str = "wsc_1", verdict: Verdict = Verdict.APPROVE
    ) -> None:
        """One person's press."""
        under = self.standing.find(wish.next.parent)
        given = approve(wish, user_id, verdict, expires_at=self.clock.now + 400, decided_at=self.clock.now, under=under)
        call = Call(f"{user_id}-{change_id}-{self.clock.now}", "Decide", b"")
        await self.workspaces.decide(change_id, given, "", call)

    async def stands(self, change_id: str = "wsc_1") -> str:
        """The change's state."""
        return str((await self.chain_book.change(change_id))["state"])

    def versions(self) -> dict[int, int]:
        """Where each node stands."""
        return {index: node.current.version for index, node in self.nodes.items()}


async def goes_on(desk: ChainDesk, change_id: str = "wsc_1") -> str:
    """Do what is left of a change's way until it has ended, or waits for the third time; returns its state."""
    waited = asyncio.Event()
    moments = 0

    async def wait(_: str, seconds: float = 0.0) -> None:
        nonlocal moments
        moments += 1
        if moments == 3:
            waited.set()
        await asyncio.sleep(0.01)

    desk.news.wait = wait  # type: ignore[method-assign]
    for _, step in desk.workspaces.steps():
        idle, task = asyncio.create_task(waited.wait()), asyncio.create_task(step(change_id))
        await asyncio.wait([idle, task], return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        if not task.done():
            await stopped(task, desk.engine)
            break
        task.result()
    return await desk.stands(change_id)
