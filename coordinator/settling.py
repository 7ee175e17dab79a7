"""What becomes of orders that are back, where this database has said something else of them since it was put back.

What the log said before counts: shares may be out by it. An order that cosigners had been asked to sign, and that ended
here since, is not signed, and not said to be unpaid either: whether its bytes went out nobody knows, and people look.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.approving import PENDING
from coordinator.nonces import give_back
from coordinator.orders import execution_of, intent_of
from coordinator.pages import SIZE
from coordinator.rebuilding import BACK, ORDERS, SIGNED_STATES, WALLETS, Rebuilding
from coordinator.reservations import RESERVED
from coordinator.staging import stage
from coordinator.tables import orders, wallets
from coordinator.wallets import DENIED, FAILED, GENERATING
from oms_core.approvals import Approval, Verdict
from oms_core.encoding import decode
from oms_core.errors import Reason
from oms_core.lifecycle import TERMINAL, State
from oms_core.log.entries import Entry, Item, read_entry, read_record

LOST = "the bytes that were signed are lost"
_REASONS = {
    State.REJECTED: Reason.WRONG_STATE,
    State.DENIED: Reason.APPROVAL_DENIED,
    State.EXPIRED: Reason.EXPIRED,
    State.CANCELLED: Reason.CANCELLED,
    State.REPLACED: Reason.REPLACED,
}


async def settle(connection: AsyncConnection, books: Rebuilding, loose: Iterable[Item]) -> None:
    """After the last entry: write down where orders and wallets stand, wherever the log says otherwise.

    ``loose`` are entries that the database wrote itself since it was put back.
    """
    ends, denied = dict[str, State](), set[str]()
    for one, entry in ((one, read_entry(one.entry)) for one in loose):
        if (state := ORDERS.get(entry.event)) in _REASONS:
            ends[books.name(entry)] = state
        elif entry.event == "order.decision" and _denies(entry, one):
            ends.setdefault(books.name(entry), State.DENIED)
        if WALLETS.get(entry.event) == DENIED or (entry.event == "wallet.decision" and _denies(entry, one)):
            denied.add(entry.subject)
    names = iter(sorted(books.orders))
    while chunk := list(islice(names, SIZE)):
        query = select(orders).where(orders.c.order_id.in_(chunk)).order_by(orders.c.order_id)
        for row in (await connection.execute(query)).mappings().all():
            await _settle(connection, books, row, ends.get(row["order_id"]))
    for wallet_id in sorted(books.wallets):
        row = (await connection.execute(select(wallets).where(wallets.c.wallet_id == wallet_id))).mappings().one()
        await _settle_wallet(connection, row, wallet_id in denied)


def _denies(entry: Entry, one: Item) -> bool:
    """Whether it is somebody's no, which may have had no time to end anything."""
    record = read_record(entry, one)
    if record is None or len(record.documents) != 1:
        return False
    return decode(Approval, record.documents[0]).claim.verdict == Verdict.DENY


async def _settle(connection: AsyncConnection, books: Rebuilding, row: RowMapping, end: State | None) -> None:
    """One order, which has come to its ``end`` here; or to what the log says of it last."""
    told = books.orders[row["order_id"]]
    order_id, to, reason, detail = row["order_id"], State(row["state"]), "", BACK
    if end is State.REPLACED and (row["authorized_at"] or to in SIGNED_STATES):
        await _end_followers(connection, order_id)
    if to in (State.SIGNED, State.BROADCAST) and row["raw"] is None:
        to, reason, detail = State.QUARANTINED, str(Reason.STORE_CORRUPT), f"{LOST}: {_where(row)}"
    elif end is not None and to not in SIGNED_STATES | TERMINAL:
        to, reason, detail = end, str(_REASONS[end]), f"{end} here, before the log was back"
        if row["authorized_at"]:
            to, detail = State.QUARANTINED, f"{detail}; but cosigners had been asked to sign it: {_where(row)}"
    elif to not in SIGNED_STATES | TERMINAL and (other := await _nonce_is_of(books, row)):
        to, reason, detail = State.QUARANTINED, str(Reason.NONCE_CONFLICT), f"{other} has its nonce: {_where(row)}"
    if to is told:
        return
    if to is State.DENIED and told is not State.PENDING_APPROVAL:  # nobody denies what does not wait for people
        await stage(connection, order_id, State.PENDING_APPROVAL, BACK)
    await _put(connection, order_id, to, reason, detail)


async def _nonce_is_of(books: Rebuilding, row: RowMapping) -> str:
    """Whose nonce it is that cosigners were asked to sign this order with, if not its own; empty if it is.

    They never sign it with another one, and of the two that have this one only one is paid.
    """
    execution = execution_of(row)
    if not row["authorized_at"] or execution is None:
        return ""
    held = await books.holder(intent_of(row), execution)
    return held if held != row["order_id"] else ""


async def _put(connection: AsyncConnection, order_id: str, to: State, reason: str, detail: str) -> None:
    """The order stands there now. Where it ends without its bytes, its nonce is either used, or free."""
    values = {"state": to, "reason": reason, "detail": detail}
    await connection.execute(update(orders).where(orders.c.order_id == order_id).values(values))
    await stage(connection, order_id, to, detail)
    if to in TERMINAL:
        await give_back(connection, order_id)


async def _end_followers(connection: AsyncConnection, order_id: str) -> None:
    """Whatever was put in the place of an order that is not gone: one of the two was meant to be paid."""
    query = select(orders).where(orders.c.replaces == order_id, orders.c.authorized_at == 0)
    for row in (await connection.execute(query)).mappings().all():
        if row["state"] == State.REPLACED:
            await _end_followers(connection, row["order_id"])
        elif row["state"] in RESERVED:
            detail = f"cosigners had been asked to sign {order_id}, in whose place it was put"
            await _put(connection, row["order_id"], State.REJECTED, str(Reason.WRONG_STATE), detail)


def _where(row: RowMapping) -> str:
    execution = execution_of(row)
    if execution is None:
        return "who asked for it may have the signature"
    return f"it may be paid, look for nonce {execution.nonce} of its account on the chain"


async def _settle_wallet(connection: AsyncConnection, row: RowMapping, denied: bool) -> None:
    if row["confirmations"] or row["state"] in (PENDING, FAILED, DENIED):
        return
    state, reason, detail = FAILED, Reason.STORE_CORRUPT, "its key was made, and everyone's word on it is lost"
    if row["state"] == GENERATING:
        if not denied:
            return
        state, reason, detail = DENIED, Reason.APPROVAL_DENIED, "denied here, before the log was back"
    values = {"state": state, "reason": reason, "detail": detail}
    await connection.execute(update(wallets).where(wallets.c.wallet_id == row["wallet_id"]).values(values))
    await stage(connection, row["wallet_id"], state, detail)
