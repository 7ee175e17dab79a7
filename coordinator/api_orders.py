"""The OMS service's calls that take orders back: cancel, and amend."""

from __future__ import annotations

import secrets
import time
from typing import Protocol

from coordinator import durable
from coordinator.amending import Amending
from coordinator.api_keys import MAX_PROPOSAL
from coordinator.store import Call, Store
from coordinator.tls import Context, peer
from oms_core.chains.intent import Proposal
from oms_core.encoding import decode
from proto import oms_pb2 as pb


class _Service(Protocol):
    _store: Store
    _amending: Amending

    async def _transaction(self, order_id: str) -> pb.Transaction: ...


def new_order_id() -> str:
    """Ascending with time, and nobody's guess."""
    return f"txn_{int(time.time() * 1000):012x}{secrets.token_hex(8)}"


class OrderCalls:
    """Calls about orders that were submitted before."""

    async def CancelOrder(self: _Service, request: pb.CancelOrderRequest, context: Context) -> pb.Transaction:
        """End an order at its initiator's word."""
        peer(context, "oms")
        body = request.transaction_id.encode() + request.withdrawal
        call = Call(request.request_id, "CancelOrder", body)
        if not await self._store.known(call):
            await self._amending.cancel(request.transaction_id, request.withdrawal, call)
        return await self._transaction(request.transaction_id)

    async def AmendOrder(self: _Service, request: pb.AmendOrderRequest, context: Context) -> pb.Transaction:
        """Put another order in the place of one; returns the new one."""
        peer(context, "oms")
        body = request.transaction_id.encode() + request.proposal + request.withdrawal
        call = Call(request.request_id, "AmendOrder", body)
        order_id = await self._store.known(call)
        if not order_id:
            order_id, proposal = new_order_id(), decode(Proposal, request.proposal, MAX_PROPOSAL)
            await self._amending.amend(request.transaction_id, order_id, proposal, request.withdrawal, call)
        await durable.begin("order", order_id)
        return await self._transaction(order_id)
