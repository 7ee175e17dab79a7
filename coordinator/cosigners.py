"""The attached cosigners: one stream each, dialled by them, driven by us. Requests and answers are matched by id.

Only who stands on the current version of the workspace counts as attached. A node that was away is let in all the same,
so that it can be brought up, and is chosen for nothing meanwhile.

Enclaves answer the heartbeat, so a hung enclave, gateway or network shows within seconds; the stream is then closed and
the cosigner is not chosen until it comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import structlog

from coordinator.standing import Standing
from coordinator.tls import Context, peer
from oms_core.errors import Reason, Refused, Unauthenticated, Unavailable
from oms_core.workspace import identities, operators_differ
from proto import cosigner_pb2 as pb
from proto import cosigner_pb2_grpc as pb_grpc

log = structlog.get_logger()

HEARTBEAT = 2.0  # seconds between pings
SILENCE = 5.0  # seconds for a pong
PROTOCOL_VERSION = 1
_STRIKE_SECONDS = 60.0


@dataclass
class Link:
    """One attached cosigner; ``workspace`` is the digest of the version that it stands on, ``version`` its number."""

    index: int
    workspace: bytes = b""
    version: int = 0
    outgoing: asyncio.Queue[pb.ToCosigner | None] = field(default_factory=lambda: asyncio.Queue(256))
    pending: dict[int, asyncio.Future[pb.FromCosigner]] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)
    latency: float = 0.0
    closed: bool = False
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def ask(self, request: pb.ToCosigner, seconds: float) -> pb.FromCosigner:
        """Send and wait. Raises `Unavailable` (PEER_UNREACHABLE) when it does not answer in time or goes away."""
        if self.closed:
            raise _gone(self.index)
        request.id = next(self._ids)
        future: asyncio.Future[pb.FromCosigner] = asyncio.get_running_loop().create_future()
        self.pending[request.id] = future
        try:
            async with asyncio.timeout(seconds):
                await self.outgoing.put(request)
                return await future
        except TimeoutError:
            raise _gone(self.index) from None
        finally:
            self.pending.pop(request.id, None)

    def answered(self, message: pb.FromCosigner) -> None:
        """Hand an answer to whoever waits for it; nobody does after a time-out."""
        self.heard = time.monotonic()
        future = self.pending.get(message.id)
        if future is not None and not future.done():
            future.set_result(message)

    def close(self) -> None:
        """End the stream; everybody who waits learns it."""
        self.closed = True
        for future in self.pending.values():
            if not future.done():
                future.set_exception(_gone(self.index))
        while self.outgoing.full():  # what is left unsent will not be asked for again, and the end has to get in
            self.outgoing.get_nowait()
        self.outgoing.put_nowait(None)


def _gone(index: int) -> Unavailable:
    return Unavailable(f"cosigner {index} does not answer", Reason.PEER_UNREACHABLE, cosigner=str(index))


class Cosigners(pb_grpc.CosignerLinkServicer):
    """The servicer that cosigners attach to, and the choice of quorums."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._links: dict[int, Link] = {}
        self._strikes: dict[int, tuple[int, float]] = {}
        self.quarantined: set[int] = set()
        """Proven liars, chosen for nothing."""
        self.stock: dict[int, list[pb.Stock]] = {}
        """What each node's pool held when it was last asked."""
        self.rolled_back: dict[int, str] = {}
        self.halted: dict[int, str] = {}
        """Why a node refuses everything, as it said when it was last asked."""
        self.logs: dict[int, tuple[str, str]] = {}
        """What a node would sign by what it knows of the log (FULL, DEGRADED, STOPPED), and why, as it said then."""
        self.changed = asyncio.Event()
        """Set, and replaced, whenever a cosigner attaches, or the workspace has a new version."""

    async def Attach(
        self, request_iterator: AsyncIterator[pb.FromCosigner], context: Context
    ) -> AsyncIterator[pb.ToCosigner]:
        """Serve one cosigner's stream until it ends."""
        link = await self._welcome(request_iterator, context)
        tasks = [asyncio.create_task(self._listen(link, request_iterator)), asyncio.create_task(self._beat(link))]
        try:
            while (message := await link.outgoing.get()) is not None:
                yield message
        finally:
            link.close()
            for task in tasks:
                task.cancel()
            if self._links.get(link.index) is link:
                del self._links[link.index]
                log.warning("cosigner detached", cosigner=link.index)

    async def _welcome(self, messages: AsyncIterator[pb.FromCosigner], context: Context) -> Link:
        first = pb.FromCosigner()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE):  # heard before any refusal: who still sends is told INTERNAL instead
                first = await anext(aiter(messages), first)
        name, hello = peer(context, "cosigner"), first.hello
        if first.WhichOneof("body") != "hello":
            raise Unauthenticated(f"certificate of cosigner {name}, and no hello", Reason.PEER_IDENTITY)
        if str(hello.index) != name:
            raise Unauthenticated(f"certificate of cosigner {name}, hello of {hello.index}", Reason.PEER_IDENTITY)
        if identities(self._standing.current).get(hello.index) != hello.identity:
            raise Unauthenticated(f"cosigner {name} has another identity key than the roster's", Reason.PEER_IDENTITY)
        if hello.protocol_version != PROTOCOL_VERSION:
            raise Refused(f"cosigner {name} speaks another version", Reason.POLICY_VERSION_MISMATCH)
        if self._standing.find(hello.workspace) is None and hello.version <= self._standing.current.version:
            raise Refused(f"cosigner {name} stands on another chain of workspaces", Reason.POLICY_VERSION_MISMATCH)
        link = Link(hello.index, hello.workspace, hello.version)
        if old := self._links.get(link.index):
            old.close()
        self._links[link.index] = link
        log.info("cosigner attached", cosigner=link.index, version=link.version)
        self.ring()
        return link

    def ring(self) -> None:
        """Wake whoever waits for `changed`."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def _listen(self, link: Link, messages: AsyncIterator[pb.FromCosigner]) -> None:
        try:
            async for message in messages:
                link.answered(message)
        finally:
            link.close()

    async def _beat(self, link: Link) -> None:
        try:
            while True:
                started = time.monotonic()
                answer = await link.ask(pb.ToCosigner(ping=pb.Ping(nonce=int(started * 1000))), SILENCE)
                self.stands_still(link.index, answer.pong.halted)
                link.latency = time.monotonic() - started
                await asyncio.sleep(HEARTBEAT)
        except Unavailable:
            log.warning("cosigner silent", cosigner=link.index)
        finally:
            link.close()

    def attached(self) -> dict[int, Link]:
        """Links that can be used now: of nodes that stand on the current version of the workspace."""
        return {i: link for i, link in self.present().items() if link.workspace == self._standing.digest}

    def present(self) -> dict[int, Link]:
        """All links, also of nodes that stand on another version: these can be told, and asked, and never chosen."""
        return {index: link for index, link in sorted(self._links.items()) if not link.closed}

    def stands(self, index: int, workspace: bytes, version: int) -> None:
        """A node has gone over to this version; it does not go back."""
        if (link := self._links.get(index)) is not None and version > link.version:
            link.workspace, link.version = workspace, version

    def link(self, index: int) -> Link:
        """Raises `Unavailable` (PEER_UNREACHABLE)."""
        link = self._links.get(index)
        if link is None or link.closed:
            raise _gone(index)
        return link

    def close(self) -> None:
        """End all streams."""
        for link in self._links.values():
            link.close()

    def strike(self, index: int) -> None:
        """This cosigner was silent or blamed: choose others for a while, if there are others."""
        count, _ = self._strikes.get(index, (0, 0.0))
        self._strikes[index] = (count + 1, time.monotonic())

    def stands_still(self, index: int, why: str) -> None:
        """What a node says of its operator's stop; an empty reason is that it goes on."""
        if why != self.halted.get(index, ""):
            log.warning("cosigner halted" if why else "cosigner resumed", cosigner=index, detail=why)
        self.halted[index] = why

    def willing(self) -> set[int]:
        """Attached, not in quarantine, and not halted by their operators."""
        return {i for i in self.attached() if i not in self.quarantined and not self.halted.get(i)}

    def distinct(self, quorum: Iterable[int]) -> bool:
        """Whether a quorum has no two of one operator, where the workspace says so."""
        workspace = self._standing.current
        return not workspace.distinct_operators or operators_differ(workspace, quorum)

    def quorum(
        self, parties: tuple[int, ...], size: int, without: set[int], among: tuple[int, ...] = ()
    ) -> tuple[int, ...] | None:
        """The best ``size`` of ``parties`` that are willing and not excluded, ascending; None if there are too few.

        All of ``among`` are in it, and no two of one operator where the workspace says so: who is better stands for
        its operator.
        """
        now = time.monotonic()

        def badness(index: int) -> tuple[int, float]:
            count, when = self._strikes.get(index, (0, 0.0))
            return (count if now - when < _STRIKE_SECONDS else 0, self._links[index].latency)

        usable = sorted((i for i in self.willing() - without if i in parties), key=badness)
        if not set(among) <= set(usable):
            return None
        chosen: list[int] = list(among)
        for index in usable:
            if len(chosen) < size and index not in chosen and self.distinct((*chosen, index)):
                chosen.append(index)
        return tuple(sorted(chosen)) if len(chosen) == size and self.distinct(chosen) else None
