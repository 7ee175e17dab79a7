"""The OMS gRPC service: parse, call, answer. Errors become statuses in one interceptor."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator

from sqlalchemy import RowMapping

from coordinator import durable, views, wallets
from coordinator.amending import Amending
from coordinator.api_anchors import AnchorCalls
from coordinator.api_keys import MAX_PROPOSAL, KeyCalls
from coordinator.api_log import LogCalls
from coordinator.api_orders import OrderCalls
from coordinator.api_prepare import PrepareCalls
from coordinator.api_workspaces import WorkspaceCalls
from coordinator.approving import PENDING, Approving
from coordinator.calls import Call, once
from coordinator.chain.evm import EvmChain
from coordinator.cosigners import Cosigners
from coordinator.evidence import Packing
from coordinator.ids import KEY, ORDER, WORKSPACE, kind_of
from coordinator.news import News
from coordinator.parts import Books, Ways
from coordinator.standing import Standing
from coordinator.tls import Context, peer
from coordinator.witnessing import Witnessing
from oms_core.approvals import Approval, challenge
from oms_core.chains.intent import CreateWallet, Proposal
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed
from oms_core.lifecycle import State
from oms_core.workspace import user
from proto import oms_pb2 as pb


class OmsService(AnchorCalls, KeyCalls, LogCalls, OrderCalls, PrepareCalls, WorkspaceCalls):
    """Everything an OMS front end, a person's tool or an algo asks of the network."""

    def __init__(
        self,
        books: Books,
        ways: Ways,
        standing: Standing,
        approving: Approving,
        cosigners: Cosigners,
        witnessing: Witnessing,
        chain: EvmChain,
        news: News,
    ) -> None:
        self._store, self._book, self._chain_book = books.store, books.keys, books.chain
        self._anchors, self._journal = books.anchors, books.journal
        self._desk, self._keys, self._changes, self._workspaces = ways.orders, ways.wallets, ways.keys, ways.workspaces
        self._standing, self._approving, self._cosigners = standing, approving, cosigners
        self._witnessing, self._chain, self._news, self._reports = witnessing, chain, news, OrderedDict()
        self._packing = Packing(books, standing)
        self._amending = Amending(books.store, standing, ways.orders, news)

    # Wallets

    async def CreateWallet(self, request: pb.CreateWalletRequest, context: Context) -> pb.Wallet:
        """Begin to make a wallet."""
        peer(context, "oms")
        proposal = decode(Proposal, request.proposal, MAX_PROPOSAL)
        if not isinstance(proposal.subject, CreateWallet):
            raise Malformed("a wallet's subject is a wish for one")
        call = Call(request.request_id, "CreateWallet", request.proposal)
        wallet_id = await once(self._store, call, lambda: self._keys.submit(proposal, call))
        await durable.begin("wallet", wallet_id)
        return views.wallet(await self._store.wallet(wallet_id))

    async def GetWallet(self, request: pb.GetWalletRequest, context: Context) -> pb.Wallet:
        """One wallet."""
        peer(context, "oms")
        return views.wallet(await self._store.wallet(request.wallet_id))

    async def ListWallets(self, request: pb.ListWalletsRequest, context: Context) -> pb.ListWalletsResponse:
        """All wallets."""
        peer(context, "oms")
        return pb.ListWalletsResponse(wallets=[views.wallet(row) for row in await self._store.wallets()])

    async def WatchWallet(self, request: pb.GetWalletRequest, context: Context) -> AsyncIterator[pb.WalletEvent]:
        """Every protocol step and state, until the wallet is active or has failed."""
        peer(context, "oms")
        seen, last = 0, ""
        while True:
            row = await self._store.wallet(request.wallet_id)
            shown = views.wallet(row)
            steps = self._keys.progress.get(request.wallet_id, [])
            for done in steps[seen:]:
                yield pb.WalletEvent(wallet=shown, step=done.step, round=done.round, elapsed_seconds=done.elapsed)
            seen = len(steps)
            if row["state"] != last:
                last = row["state"]
                yield pb.WalletEvent(wallet=shown)
            if last in wallets.ENDED:
                return
            await self._news.wait(request.wallet_id)

    # Approvals

    async def ListApprovals(self, request: pb.ListApprovalsRequest, context: Context) -> pb.ListApprovalsResponse:
        """What waits for this user's decision, with the claim to sign."""
        peer(context, "oms")
        who = user(self._workspace, request.approver)
        waiting: list[tuple[str, RowMapping]] = [
            (row["order_id"], row) for row in await self._store.orders_in(State.PENDING_APPROVAL)
        ]
        waiting += [(row["wallet_id"], row) for row in await self._store.wallets() if row["state"] == PENDING]
        waiting += [(row["change_id"], row) for row in await self._book.changes() if row["state"] == PENDING]
        facts = await self._store.facts(int(time.time()))
        asked = await self._approving.inbox(request.approver, waiting, facts)
        asked += await self._workspaces.inbox(request.approver, facts.now)
        found = [
            pb.ApprovalRequest(
                subject_id=pending.subject_id,
                subject=encode(pending.subject),
                proposal=pending.proposal,
                lines=views.sentences(pending.subject, self._workspace),
                claim=encode(pending.claim),
                challenge=challenge(pending.claim),
                rp_id=self._workspace.rp_id,
                credential_ids=[one.credential_id for one in who.credentials if not one.revoked],
                expires_at=pending.claim.expires_at,
                readings=await self._readings(pending.subject_id, pending.subject),
                refusals=views.refused(await self._store.refusals(pending.subject_id), self._workspace),
                execution=encode(pending.execution) if pending.execution is not None else b"",
            )
            for pending in asked
        ]
        return pb.ListApprovalsResponse(requests=found)

    async def Decide(self, request: pb.DecideRequest, context: Context) -> pb.Decided:
        """Take one person's decision, verified first."""
        peer(context, "oms")
        approval = decode(Approval, request.approval, MAX_PROPOSAL)
        row = await self._decidable(request.subject_id)
        call = Call(request.request_id, "Decide", request.subject_id.encode() + request.approval)

        async def decide() -> str:
            if kind_of(request.subject_id) == WORKSPACE:
                await self._workspaces.decide(request.subject_id, approval, request.comment, call)
            else:
                facts = await self._store.facts(int(time.time()))
                await self._approving.decide(request.subject_id, row, approval, request.comment, facts, call)
            return request.subject_id

        await once(self._store, call, decide)
        self._news.ring(request.subject_id)
        row = await self._decidable(request.subject_id)
        return pb.Decided(subject_id=request.subject_id, state=row["state"])

    async def _decidable(self, subject_id: str) -> RowMapping:
        books = {ORDER: self._store.order, KEY: self._book.change, WORKSPACE: self._chain_book.change}
        return await books.get(kind_of(subject_id), self._store.wallet)(subject_id)

    # The network

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.NetworkStatus:
        """Cosigners, log, chain and open orders."""
        peer(context, "oms")
        try:
            reachable, block = True, await asyncio.wait_for(self._chain.check(), 5)
        except (CountersealError, TimeoutError):
            reachable, block = False, 0
        return pb.NetworkStatus(
            cosigners=views.cosigners(self._standing, self._cosigners, self._witnessing),
            log=views.log_status(self._witnessing),
            workspace=self._standing.digest,
            version=self._workspace.version,
            chain=self._chain.name,
            chain_reachable=reachable,
            block_number=block,
            open_orders=await self._store.count_open(),
        )
