"""Brings cosigners to the workspace's next version, and those that were away to the current one, step by step.

Nodes keep the requests by which they went over to a version, and hand them to any coordinator that asks; so the chain
is never lost with a coordinator. What one node alone has adopted is not followed: most of them have to have.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import structlog

from coordinator.chainbook import ADOPTION, SCHEDULING, ChainBook
from coordinator.cosigners import Cosigners, Link
from coordinator.news import News
from coordinator.pausing import rest
from coordinator.standing import Standing, Stands
from coordinator.voiding import Voiding
from coordinator.witnessing import Witnessing
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason, Refused, Unavailable
from oms_core.evidence import ChangeWorkspaceRequest, SignedAdoption, SignedScheduling
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import ChangeWorkspace, identities, workspace_digest
from oms_core.workspace.change import honest_among, verify_change
from oms_core.workspace.lifecycle import ChangeState
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

LIMIT = 8 << 20  # bytes of a request
SECONDS = 60.0  # for an answer
PAUSE = 2.0  # seconds between looks


class Bringing(Stands):
    """Speaks with nodes about versions."""

    def __init__(
        self,
        book: ChainBook,
        standing: Standing,
        cosigners: Cosigners,
        voiding: Voiding,
        witnessing: Witnessing,
        news: News,
    ) -> None:
        self._book, self._standing, self._cosigners = book, standing, cosigners
        self._voiding, self._witnessing, self._news = voiding, witnessing, news
        self._turn = asyncio.Lock()

    async def load(self) -> None:
        """Take over what was adopted before this process started, or was noted by another replica."""
        async with self._turn:
            later = await self._book.versions(self._workspace.version)
            for row in later:
                self._standing.advance(decode(ChangeWorkspaceRequest, row["request"], LIMIT).wish.next)
            if later:
                await self._settled()

    async def offer(self, index: int, request: ChangeWorkspaceRequest) -> None:
        """Show a node an approved change, and keep what it signs. What it answers can hold up nobody else.

        It has to have followed the log to where the change stands as approved: it takes no other.
        """
        wish = request.wish
        if not await self._witnessing.abreast(index):
            return
        said = await self._book.kept(subject_digest(wish), SCHEDULING)
        shown = replace(request, scheduled=tuple(decode(SignedScheduling, one) for one in said.values()))
        message = pb.ToCosigner(offer_workspace=pb.OfferWorkspace(request=encode(shown)))
        try:
            answer = await self._cosigners.link(index).ask(message, SECONDS)
            if answer.WhichOneof("body") == "workspace_answer":
                await self._keep(index, wish, answer.workspace_answer)
            else:
                failed = answer.failed
                log.warning("change not taken", cosigner=index, reason=failed.reason, detail=failed.detail[:300])
        except Unavailable:
            return
        except (Malformed, ProofInvalid, Refused) as error:
            self._cosigners.strike(index)
            log.warning("no answer to a change", cosigner=index, reason=error.reason, detail=error.message)

    async def stand(self, request: ChangeWorkspaceRequest) -> None:
        """Go over to the version that most nodes have adopted."""
        wish = request.wish
        async with self._turn:
            if self._standing.find(workspace_digest(wish.next)) is not None:
                return
            number, digest = wish.next.version, workspace_digest(wish.next)
            await self._book.add_version(number, digest, subject_digest(wish), encode(request))
            self._standing.advance(wish.next)
            log.warning("workspace", version=number, digest=digest.hex()[:16])
            await self._settled()

    async def _settled(self) -> None:
        """What follows from a new version for what waits, whoever noticed it first."""
        for row in await self._book.changes(ChangeState.ACTIVE):
            if row["version"] < self._workspace.version:
                await self._book.move(row["change_id"], ChangeState.ACTIVE, ChangeState.SUPERSEDED)
        await self._voiding.void()
        for row in await self._book.changes():
            self._news.ring(row["change_id"])
        self._cosigners.ring()

    async def run(self, stop: asyncio.Event) -> None:
        """Bring up whoever is behind, and follow those ahead; until told to stop."""
        while not stop.is_set():
            changed = self._cosigners.changed
            try:
                await self.load()
                await self.look()
            except Exception as error:
                log.exception("could not bring anybody up", kind=type(error).__name__)
            await rest(PAUSE, stop, changed)

    async def look(self) -> None:
        """Once for each node that stands on another version than this coordinator."""
        elsewhere = [link for link in self._cosigners.present().values() if link.workspace != self._standing.digest]
        ahead = [link for link in elsewhere if link.version > self._workspace.version]
        if ahead:
            await self._follow(ahead)
        await asyncio.gather(*(self._raise(link) for link in elsewhere if link not in ahead))

    async def _raise(self, link: Link) -> None:
        """Tell a node of the versions that it has missed, in order, as far as it takes them."""
        for row in await self._book.versions(link.version):
            before, request = link.version, decode(ChangeWorkspaceRequest, row["request"], LIMIT)
            if len(await self._book.kept(row["subject"], SCHEDULING)) < honest_among(len(self._workspace.roster)):
                past = [i for i, one in self._cosigners.present().items() if one.version >= row["number"]]
                await asyncio.gather(*(self.offer(index, request) for index in past))  # they say again when they saw it
            await self.offer(link.index, request)
            if link.version == before:
                return
        log.info("cosigner brought up", cosigner=link.index, version=link.version)

    async def _follow(self, links: list[Link]) -> None:
        """What most nodes have gone over to without this coordinator, which may have lost its memory."""
        told = await asyncio.gather(*(self._next_at(link) for link in links))
        counted = Counter(workspace_digest(one.wish.next) for one in told if one is not None)
        for digest, count in counted.most_common(1):
            if count < honest_among(len(self._workspace.roster)):
                return
            request = next(one for one in told if one and workspace_digest(one.wish.next) == digest)
            moment = max([request.wish.valid_from, *(one.claim.decided_at for one in request.approvals)])
            try:
                await asyncio.to_thread(verify_change, request, self._workspace, moment)
            except CountersealError as error:
                log.warning("a version that is not followed", reason=error.reason, detail=error.message)
                return
            await self.stand(request)

    async def _next_at(self, link: Link) -> ChangeWorkspaceRequest | None:
        """By what a node went on from our version."""
        message = pb.ToCosigner(get_workspace_requests=pb.GetWorkspaceRequests(after=self._workspace.version))
        try:
            answer = await link.ask(message, SECONDS)
            found = [decode(ChangeWorkspaceRequest, one, LIMIT) for one in answer.workspace_requests.requests[:1]]
            return found[0] if found and found[0].wish.next.parent == self._standing.digest else None
        except (Unavailable, Malformed, Refused):
            return None

    async def _keep(self, index: int, wish: ChangeWorkspace, answer: pb.WorkspaceAnswer) -> None:
        """A statement counts as this node's under its identity key, and about this change. Raises if it does not."""
        parent, subject = self._standing.named(wish.next.parent), subject_digest(wish)
        public = identities(parent).get(index) or identities(wish.next)[index]
        said = decode(SignedScheduling, answer.scheduling, 4096)
        verify_identity(public, "scheduling", encode(said.scheduling), said.signature)
        if (said.scheduling.index, said.scheduling.change) != (index, subject):
            raise Malformed("a statement about another change", Reason.DIGEST_MISMATCH)
        await self._book.keep(subject, index, SCHEDULING, answer.scheduling)
        if answer.adoption:
            signed = decode(SignedAdoption, answer.adoption, 4096)
            verify_identity(public, "adoption", encode(signed.adoption), signed.signature)
            about = (signed.adoption.index, signed.adoption.version, signed.adoption.workspace)
            if about != (index, wish.next.version, workspace_digest(wish.next)):
                raise Malformed("an adoption of another version", Reason.DIGEST_MISMATCH)
            await self._book.keep(subject, index, ADOPTION, answer.adoption)
            self._cosigners.stands(index, signed.adoption.workspace, signed.adoption.version)
