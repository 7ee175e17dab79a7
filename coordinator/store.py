"""Orders, wallets, decisions, reservations: every state change is a compare-and-swap, visible in its WHERE clause.

It leaves an entry in the log, in its own transaction (coordinator/journal.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.calls import Call, remember
from coordinator.database import one, read, read_one, reading
from coordinator.journal import last_event
from coordinator.nonces import free, give_back
from coordinator.nonces import reserve as reserve_one
from coordinator.reservations import RESERVED, Reservations, reserve
from coordinator.staging import OURS, By, record, said, stage, written
from coordinator.tables import counters, decisions, nonces, orders, readings, refusals, requests, stages, wallets
from oms_core.approvals import Approval, Verdict
from oms_core.encoding import decode, encode
from oms_core.errors import Conflict, Malformed, NotFound, Reason, Refused
from oms_core.evidence import SignedRefusal
from oms_core.lifecycle import TERMINAL, IllegalTransition, State, advance
from oms_core.policy.facts import Facts
from oms_core.policy.limits import YEAR

_SAID = {"reason", "detail", "trace", "confirmations", "block_number"}  # about an order; no part of its state
_UNSIGNED = (State.PENDING_APPROVAL, State.APPROVED, State.SIGNING)


class Store:
    """The coordinator's memory. Losing it loses time, never safety."""

    def __init__(self, engine: AsyncEngine, horizon: Callable[[], int] = lambda: YEAR) -> None:
        """``horizon`` says how many seconds back limits look, by all versions of the workspace that may be asked."""
        self._engine, self._horizon = engine, horizon
        self._reservations = Reservations(engine)

    async def known(self, call: Call) -> str:
        """The object that this call made; empty if it is new, or on its way. Raises `Conflict` for another body."""
        if not 1 <= len(call.request_id) <= 128:
            raise Malformed("a request id has 1 to 128 characters")
        row = await read_one(self._engine, select(requests).where(requests.c.request_id == call.request_id))
        if row is None:
            return ""
        if (row["method"], row["body"]) != (call.method, call.digest):
            raise Conflict(f"request id {call.request_id} was used with another body")
        return str(row["object_id"])

    # Orders

    async def add_order(self, order: dict[str, Any], call: Call) -> None:
        """A new order in state SUBMITTED, with what it ``adds`` to limits (a tuple of spends), ``by`` whom it is.

        Raises `Conflict` if its intent was submitted before.
        """
        try:
            async with self._engine.begin() as connection:
                await _submit(connection, order, "")
                await remember(connection, call, order["order_id"])
        except IntegrityError:
            held = await read_one(self._engine, select(orders.c.order_id).filter_by(subject=order["subject"]))
            where = f", as {held['order_id']}" if held is not None else ""
            raise Conflict(f"this intent was submitted before{where}") from None

    async def order(self, order_id: str) -> RowMapping:
        """Raises `NotFound` (UNKNOWN_TRANSACTION)."""
        row = await read_one(self._engine, select(orders).where(orders.c.order_id == order_id))
        if row is None:
            raise NotFound(f"no transaction {order_id[:64]!r}", Reason.UNKNOWN_TRANSACTION)
        return row

    async def list_orders(self, wallet_id: str, limit: int, before: str) -> list[RowMapping]:
        """The newest orders first, ``before`` an order id or empty."""
        query = select(orders).order_by(orders.c.order_id.desc()).limit(limit)
        if wallet_id:
            query = query.where(orders.c.wallet_id == wallet_id)
        if before:
            query = query.where(orders.c.order_id < before)
        return await read(self._engine, query)

    async def orders_in(self, *states: State) -> list[RowMapping]:
        """Orders in any of these states, oldest first."""
        query = select(orders).where(orders.c.state.in_(states)).order_by(orders.c.order_id)
        return await read(self._engine, query)

    async def move(self, order_id: str, was: State, to: State, note: str = "", **values: Any) -> None:
        """One step of the lifecycle; an order that ends unsigned gives its nonce back.

        Raises `IllegalTransition` if the order is not in ``was`` any more.
        """
        advance(order_id, was, to)
        values = {"reason": "", "detail": "", **values}
        async with self._engine.begin() as connection:
            statement = update(orders).where(orders.c.order_id == order_id, orders.c.state == was)
            done = await connection.execute(statement.values(state=to, **values))
            if done.rowcount != 1:
                raise IllegalTransition(order_id, was, to)
            told, documents = note or said(values), written(values)
            await stage(connection, order_id, to, note or values["reason"], *documents, told=told)
            if to in TERMINAL and was in _UNSIGNED:  # later it could be forgotten, and the account would wait for ever
                await give_back(connection, order_id)

    async def withdraw(
        self,
        order_id: str,
        was: State,
        to: State,
        reason: str,
        text: str,
        call: Call,
        following: dict[str, Any] | None,
        by: By = OURS,
        withdrawal: bytes = b"",
    ) -> None:
        """End an order at its initiator's word, and put ``following`` in its place, if there is one: both or neither.

        Raises `IllegalTransition`, also once cosigners were asked to sign it, and `Conflict`.
        """
        advance(order_id, was, to)
        try:
            async with self._engine.begin() as connection:
                asked = select(orders).where(orders.c.order_id == order_id, orders.c.authorized_at > 0)
                signing = select(stages).where(stages.c.subject_id == order_id, stages.c.state == State.SIGNING)
                if await one(connection, asked) is not None or await one(connection, signing) is not None:
                    raise IllegalTransition(order_id, State.SIGNING, to)
                statement = update(orders).where(orders.c.order_id == order_id, orders.c.state == was)
                done = await connection.execute(statement.values(state=to, reason=reason, detail=text))
                if done.rowcount != 1:
                    raise IllegalTransition(order_id, was, to)
                await connection.execute(nonces.delete().where(nonces.c.order_id == order_id))
                given = update(decisions).where(decisions.c.subject_id == order_id)
                await connection.execute(given.values(void=reason))
                documents = (withdrawal,) if withdrawal else ()
                await stage(connection, order_id, to, text, *documents, by=by)
                made = order_id
                if following is not None:
                    made = following["order_id"]
                    await _submit(connection, following, f"in the place of {order_id}")
                await remember(connection, call, made)
        except IntegrityError:
            raise Conflict("this intent was submitted before") from None

    async def note(self, order_id: str, **values: Any) -> None:
        """Change what is said about an order, not its state; what was chosen for it is an entry of the log, too."""
        async with self._engine.begin() as connection:
            await connection.execute(update(orders).where(orders.c.order_id == order_id).values(**values))
            for name in sorted(set(values) - _SAID):
                await record(connection, order_id, name, documents=(values[name],) if values[name] else ())

    async def sending(self, order_id: str) -> None:
        """The order's signed bytes are about to leave: an entry once, however often they are sent."""
        async with self._engine.begin() as connection:
            if await last_event(connection, order_id) != "order.sending":
                row = await one(connection, select(orders.c.hash).where(orders.c.order_id == order_id))
                await record(connection, order_id, "sending", row["hash"] if row is not None else "")

    async def reserve_nonce(self, chain: str, account: str, order_id: str, least: int) -> int | None:
        """The order's nonce: the one it has, or the next free one from ``least`` on; None while it has to wait.

        Nonces are given out one by one (`nonces.reserve`).
        """
        async with self._engine.begin() as connection:
            return await reserve_one(connection, chain, account, order_id, least)

    async def nonce_of(self, order_id: str) -> int | None:
        """The nonce that an order holds."""
        held = await read_one(self._engine, select(nonces.c.nonce).where(nonces.c.order_id == order_id))
        return None if held is None else int(held["nonce"])

    async def free_nonce(self, chain: str, account: str, least: int) -> int:
        """The next nonce from ``least`` on that no order holds; nobody holds it by this."""
        async with reading(self._engine) as connection:
            return await free(connection, chain, account, least)

    async def release_nonce(self, order_id: str) -> None:
        """Give back the nonce of an order that is not signed."""
        async with self._engine.begin() as connection:
            await give_back(connection, order_id)

    async def facts(self, now: int, ahead_of: str = "", share: int = 1, logged_at: int | None = None) -> Facts:
        """What orders have reserved or spent by now; for the review of an order, ``ahead_of`` is its id.

        Where limits count one part in ``share`` only, later orders that are not authorised do not stand in its way.
        ``logged_at`` (Unix seconds) is the entry in the log under which cosigners are asked, None without one.
        """
        unsure = (State.SUBMITTED,) if share == 1 else RESERVED
        back = self._horizon() + max(0, now - (now if logged_at is None else logged_at))
        spent = await self._reservations.counted(now, ahead_of, back, unsure)
        return Facts(now, spent, share=share, logged_at=logged_at)

    async def add_refusal(self, order_id: str, refusal: SignedRefusal) -> None:
        """Keep a cosigner's signed no; the newest of each reason. Said again, it is no news, and no entry."""
        no = refusal.refusal
        values = {"order_id": order_id, "cosigner": no.index, "reason": no.reason}
        async with self._engine.begin() as connection:
            held = (await connection.execute(select(refusals.c.refusal).filter_by(**values))).scalar()
            await connection.execute(refusals.delete().filter_by(**values))
            await connection.execute(insert(refusals).values(**values, refusal=encode(refusal)))
            if held is None or decode(SignedRefusal, held).refusal.detail != no.detail:
                by = (f"cosigner-{no.index}", b"")
                await record(connection, order_id, "refusal", str(no.reason), (encode(refusal),), by)

    async def refusals(self, order_id: str) -> list[bytes]:
        """Signed refusals of an order, by cosigner."""
        query = select(refusals.c.refusal).where(refusals.c.order_id == order_id)
        query = query.order_by(refusals.c.cosigner, refusals.c.reason)
        return [row["refusal"] for row in await read(self._engine, query)]

    async def add_reading(self, subject_id: str, cosigner: int, reading: bytes, lines: tuple[str, ...]) -> None:
        """Keep what a cosigner read; its newest counts."""
        values = {"subject_id": subject_id, "cosigner": cosigner}
        async with self._engine.begin() as connection:
            await connection.execute(readings.delete().filter_by(**values))
            await connection.execute(insert(readings).values(**values, reading=reading, lines=json.dumps(lines)))
            await record(connection, subject_id, "reading", "", (reading,), (f"cosigner-{cosigner}", b""))

    async def readings(self, subject_id: str) -> list[RowMapping]:
        """What cosigners read, by cosigner."""
        query = select(readings).where(readings.c.subject_id == subject_id).order_by(readings.c.cosigner)
        return await read(self._engine, query)

    async def stages(self, subject_id: str) -> list[RowMapping]:
        """The way so far."""
        query = select(stages).where(stages.c.subject_id == subject_id).order_by(stages.c.number)
        return await read(self._engine, query)

    # Decisions

    async def decide(
        self, subject_id: str, approval: Approval, person: str, counter: int, comment: str, call: Call
    ) -> None:
        """Keep one person's decision.

        Of an order only while it waits: so whoever lets it go on after that can see what was kept.
        Raises `Conflict` (DUPLICATE_PERSON), `Refused` (COUNTER_REGRESSION, WRONG_STATE).
        """
        claim, credential = approval.claim, approval.credential_id.hex()
        async with self._engine.begin() as connection:
            state = (await connection.execute(select(orders.c.state).filter_by(order_id=subject_id))).scalar()
            if state not in (None, State.SUBMITTED, State.PENDING_APPROVAL):
                raise Refused(f"it is {state} already", Reason.WRONG_STATE)
            mine = (decisions.c.subject_id == subject_id) & (decisions.c.person_id == person)
            held = await one(connection, select(decisions).where(mine))
            if held is not None and not held["void"] and _good(held, claim.workspace):
                raise Conflict("this person has decided already", Reason.DUPLICATE_PERSON)
            await connection.execute(decisions.delete().where(mine))
            row = await one(connection, select(counters).where(counters.c.credential == credential))
            last = int(row["counter"]) if row is not None else 0
            if (counter or last) and counter <= last:
                raise Refused("the authenticator's counter did not rise: it may be cloned", Reason.COUNTER_REGRESSION)
            await connection.execute(counters.delete().where(counters.c.credential == credential))
            await connection.execute(insert(counters).values(credential=credential, counter=counter))
            values = {
                "subject_id": subject_id,
                "person_id": person,
                "user_id": claim.approver,
                "verdict": claim.verdict,
                "approval": encode(approval),
                "comment": comment,
                "at": time.time(),
            }
            await connection.execute(insert(decisions).values(values))
            by = (claim.approver, approval.credential_id)
            await record(connection, subject_id, "decision", comment, (encode(approval),), by)
            await remember(connection, call, subject_id)

    async def decisions(self, subject_id: str) -> list[RowMapping]:
        """What people decided and still counts, oldest first."""
        return [row for row in await self.all_decisions(subject_id) if not row["void"]]

    async def all_decisions(self, subject_id: str) -> list[RowMapping]:
        """As `decisions`, with those that are ``void``: the reason for it."""
        query = select(decisions).where(decisions.c.subject_id == subject_id).order_by(decisions.c.at)
        return await read(self._engine, query)

    async def void(self, subject_id: str, person: str, reason: str) -> None:
        """A decision that counts no more; the person may decide anew."""
        mine = (decisions.c.subject_id == subject_id) & (decisions.c.person_id == person)
        async with self._engine.begin() as connection:
            done = await connection.execute(update(decisions).where(mine).values(void=reason))
            if done.rowcount:
                await record(connection, subject_id, "void", f"{person}: {reason}")

    # Wallets

    async def add_wallet(
        self, wallet_id: str, state: str, proposal: bytes, key_id: bytes, threshold: int, call: Call, by: By = OURS
    ) -> None:
        """A new wallet. Raises `Conflict` if the id is taken."""
        values: dict[str, Any] = {"wallet_id": wallet_id, "state": state, "proposal": proposal, "key_id": key_id}
        values["threshold"] = threshold
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(wallets).values(**values, created_at=time.time()))
                await stage(connection, wallet_id, state, "", proposal, by=by)
                await remember(connection, call, wallet_id)
        except IntegrityError:
            raise Conflict(f"wallet {wallet_id} exists already") from None

    async def wallet(self, wallet_id: str) -> RowMapping:
        """Raises `NotFound` (UNKNOWN_WALLET)."""
        row = await read_one(self._engine, select(wallets).where(wallets.c.wallet_id == wallet_id))
        if row is None:
            raise NotFound(f"no wallet {wallet_id[:64]!r}", Reason.UNKNOWN_WALLET)
        return row

    async def wallets(self) -> list[RowMapping]:
        """All wallets, oldest first."""
        return await read(self._engine, select(wallets).order_by(wallets.c.created_at))

    async def note_wallet(self, wallet_id: str, **values: Any) -> None:
        """Change what is kept about a wallet: its key's epoch or state, or its drill."""
        async with self._engine.begin() as connection:
            await connection.execute(update(wallets).where(wallets.c.wallet_id == wallet_id).values(**values))
            named = (("state", str(values.get("state", "")).lower()), ("confirmations", "epoch"), ("drill", "drill"))
            event = next((event for name, event in named if name in values), "changed")
            await record(connection, wallet_id, event, documents=written(values))

    async def move_wallet(self, wallet_id: str, was: str, to: str, **values: Any) -> None:
        """One step of a wallet. Raises `Conflict` (WRONG_STATE) if it is not in ``was`` any more."""
        async with self._engine.begin() as connection:
            statement = update(wallets).where(wallets.c.wallet_id == wallet_id, wallets.c.state == was)
            done = await connection.execute(statement.values(state=to, **values))
            if done.rowcount != 1:
                raise Conflict(f"wallet {wallet_id} is not {was}", Reason.WRONG_STATE)
            reason = str(values.get("reason", ""))
            await stage(connection, wallet_id, to, reason, *written(values), told=said(values))

    async def count_open(self) -> int:
        """Orders that have not ended."""
        open_states = [state for state in State if state not in TERMINAL]
        query = select(func.count()).select_from(orders).where(orders.c.state.in_(open_states))
        async with reading(self._engine) as connection:
            return int((await connection.execute(query)).scalar_one())


async def _submit(connection: AsyncConnection, order: dict[str, Any], note: str) -> None:
    values = {**order, "state": State.SUBMITTED, "created_at": time.time()}
    await reserve(connection, values.pop("adds", ()))
    by = values.pop("by", OURS)
    await connection.execute(insert(orders).values(values))
    await stage(connection, order["order_id"], State.SUBMITTED, note, order["proposal"], by=by)


def _good(decided: RowMapping, workspace: bytes) -> bool:
    """Whether a decision stands: a denial always does, an approval for its time and its version of the workspace."""
    claim = decode(Approval, decided["approval"]).claim
    return decided["verdict"] == Verdict.DENY or (claim.expires_at > time.time() and claim.workspace == workspace)


def numbers(text: str) -> list[int]:
    """A stored list of integers."""
    return [int(n) for n in json.loads(text)]
