"""Ends orders at their initiator's word: cancelled, or replaced by another one, whose approvals begin anew."""

from __future__ import annotations

from coordinator.calls import Call
from coordinator.desk import Desk
from coordinator.news import News
from coordinator.standing import Standing, Stands
from coordinator.store import Store
from oms_core.chains.intent import Intent, Proposal
from oms_core.encoding import decode
from oms_core.errors import Malformed, Reason, Refused
from oms_core.lifecycle import State
from oms_core.withdrawals import SignedWithdrawal, verify_withdrawal

LIMIT = 4096  # bytes of a signed withdrawal


class Amending(Stands):
    """Only what no cosigner was asked to sign yet can be taken back: a share that is out cannot."""

    def __init__(self, store: Store, standing: Standing, desk: Desk, news: News) -> None:
        self._store, self._standing, self._desk, self._news = store, standing, desk, news

    async def cancel(self, order_id: str, withdrawal: bytes, call: Call) -> None:
        """→ CANCELLED. Raises `Refused`, `Conflict` or `NotFound`; the order stays as it is then."""
        row = await self._store.order(order_id)
        signed = decode(SignedWithdrawal, withdrawal, LIMIT)
        initiator = verify_withdrawal(signed, _intent(row["proposal"]), None, self._workspace)
        text = f"by {initiator.user_id}"
        await self._end(order_id, State.CANCELLED, Reason.CANCELLED, text, call, withdrawal)

    async def amend(self, order_id: str, new_id: str, proposal: Proposal, withdrawal: bytes, call: Call) -> None:
        """The old order → REPLACED, and the new one SUBMITTED, together or not at all.

        What people approved of the old one says nothing about the new one: it is about another digest.
        """
        row = await self._store.order(order_id)
        old, new = _intent(row["proposal"]), proposal.subject
        if not isinstance(new, Intent):
            raise Malformed("an order's subject is an intent")
        if new.wallet_id != old.wallet_id:
            raise Refused("an order is amended within its wallet", Reason.NOT_ELIGIBLE)
        verify_withdrawal(decode(SignedWithdrawal, withdrawal, LIMIT), old, new, self._workspace)
        values = await self._desk.admitted(new_id, proposal)
        following = {**values, "replaces": order_id}
        await self._end(order_id, State.REPLACED, Reason.REPLACED, f"by {new_id}", call, withdrawal, following)

    async def _end(
        self,
        order_id: str,
        to: State,
        reason: Reason,
        text: str,
        call: Call,
        withdrawal: bytes,
        following: dict[str, object] | None = None,
    ) -> None:
        row = await self._store.order(order_id)
        by = (_intent(row["proposal"]).initiator, b"")
        was = State(row["state"])
        await self._store.withdraw(order_id, was, to, str(reason), text, call, following, by, withdrawal)
        self._news.ring(order_id)
        self._news.ring(row["wallet_id"])


def _intent(proposal: bytes) -> Intent:
    subject = decode(Proposal, proposal).subject
    assert isinstance(subject, Intent)
    return subject
