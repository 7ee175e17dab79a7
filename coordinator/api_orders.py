"""The part of the OMS service that is about orders: to submit and to watch them, and to take them back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from sqlalchemy import RowMapping

from coordinator import durable, views
from coordinator.amending import Amending
from coordinator.api_keys import MAX_PROPOSAL
from coordinator.approving import Approving
from coordinator.calls import Call, once
from coordinator.desk import Desk
from coordinator.ids import ORDER, new_id
from coordinator.news import News
from coordinator.standing import Stands
from coordinator.store import Store
from coordinator.tls import Context, peer
from oms_core.chains.intent import Proposal, Subject
from oms_core.encoding import decode
from oms_core.errors import Malformed, NotFound, Refused
from oms_core.policy.facts import Facts
from proto import oms_pb2 as pb
from proto import oms_pb2_grpc as pb_grpc

_USUAL, _MOST = 50, 500  # orders in one answer


class OrderCalls(Stands, pb_grpc.OmsServicer):
    """Orders, and their ends."""

    _store: Store
    _desk: Desk
    _amending: Amending
    _approving: Approving
    _news: News

    async def SubmitIntent(self, request: pb.SubmitIntentRequest, context: Context) -> pb.Transaction:
        """Take an order on, once per request id."""
        peer(context, "oms")
        call = Call(request.request_id, "SubmitIntent", request.proposal)

        async def submit() -> str:
            order_id, proposal = new_id(ORDER), decode(Proposal, request.proposal, MAX_PROPOSAL)
            await self._desk.submit(order_id, proposal, call)
            return order_id

        order_id = await once(self._store, call, submit)
        await durable.begin("order", order_id)
        return await self._transaction(order_id)

    async def GetTransaction(self, request: pb.GetTransactionRequest, context: Context) -> pb.Transaction:
        """One order."""
        peer(context, "oms")
        return await self._transaction(request.transaction_id)

    async def ListTransactions(
        self, request: pb.ListTransactionsRequest, context: Context
    ) -> pb.ListTransactionsResponse:
        """Orders, newest first."""
        peer(context, "oms")
        rows = await self._store.list_orders(request.wallet_id, min(request.limit or _USUAL, _MOST), request.before)
        facts = await self._store.facts(int(time.time()))
        return pb.ListTransactionsResponse(transactions=[await self._order(row, facts) for row in rows])

    async def WatchTransaction(
        self, request: pb.GetTransactionRequest, context: Context
    ) -> AsyncIterator[pb.Transaction]:
        """The order whenever something about it changes, until it has ended."""
        peer(context, "oms")

        async def look() -> tuple[pb.Transaction, bool]:
            row = await self._store.order(request.transaction_id)
            return await self._order(row, await self._store.facts(int(time.time()))), self._desk.ended(row)

        async for shown in self._news.follow(request.transaction_id, look):
            yield shown

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Context) -> pb.Transaction:
        """End an order at its initiator's word."""
        peer(context, "oms")
        body = request.transaction_id.encode() + request.withdrawal
        call = Call(request.request_id, "CancelOrder", body)

        async def cancel() -> str:
            await self._amending.cancel(request.transaction_id, request.withdrawal, call)
            return request.transaction_id

        await once(self._store, call, cancel)
        return await self._transaction(request.transaction_id)

    async def AmendOrder(self, request: pb.AmendOrderRequest, context: Context) -> pb.Transaction:
        """Put another order in the place of one; returns the new one."""
        peer(context, "oms")
        body = request.transaction_id.encode() + request.proposal + request.withdrawal
        call = Call(request.request_id, "AmendOrder", body)

        async def amend() -> str:
            order_id, proposal = new_id(ORDER), decode(Proposal, request.proposal, MAX_PROPOSAL)
            await self._amending.amend(request.transaction_id, order_id, proposal, request.withdrawal, call)
            return order_id

        order_id = await once(self._store, call, amend)
        await durable.begin("order", order_id)
        return await self._transaction(order_id)

    async def _transaction(self, order_id: str) -> pb.Transaction:
        row = await self._store.order(order_id)
        return await self._order(row, await self._store.facts(int(time.time())))

    async def _order(self, row: RowMapping, facts: Facts) -> pb.Transaction:
        order_id, subject = row["order_id"], decode(Proposal, row["proposal"]).subject
        decision, _ = await self._approving.standing(order_id, subject, facts)
        return views.transaction(
            row,
            self._workspace,
            decision.needs,
            await self._store.stages(order_id),
            await self._store.refusals(order_id),
            await self._readings(order_id, subject),
            await self._store.all_decisions(order_id),
        )

    async def _readings(self, subject_id: str, subject: Subject) -> list[pb.CosignerReading]:
        preflight = self._approving.preflight
        rows = await preflight.readings(subject_id)  # once: else one that comes meanwhile looks like a different one
        try:
            same = preflight.agreement(subject, rows).same
        except (Refused, Malformed, NotFound):  # under this version nobody reads anything in it
            same = ()
        return views.readings(rows, self._workspace, same)
