"""Makes the books again from what cosigners gave back of the log: orders that were authorised, and wallets.

An order that nobody had signed goes on as the transaction that was authorised, with the approvals that were presented
for it; one that was signed, by its very bytes. So whoever asks for it finds it as it is, and nobody pays twice. What
was never authorised is not made up: cosigners keep no record of it, and nothing was at stake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.approving import PENDING
from coordinator.database import one
from coordinator.ids import ORDER, kind_of
from coordinator.journal import events
from coordinator.pages import SIZE, Page
from coordinator.renaming import Names
from coordinator.tables import decisions, nonces, orders, spends, wallets
from coordinator.wallets import DENIED, FAILED, GENERATING, PRE_ACTIVE, Confirmations, account_of
from oms_core.approvals import Approval
from oms_core.chains.evm import transaction_hash
from oms_core.chains.intent import CreateWallet, Execution, Intent
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed
from oms_core.evidence import CreateRequest, SignRequest
from oms_core.history import REPLAYED, Approved, Authorization, Began, read_effect
from oms_core.keys import KeyState
from oms_core.lifecycle import TERMINAL, State
from oms_core.log.entries import AUTHORIZED, FORMERLY, MADE, NOW, SIGNED, Entry, Item, read_entry, read_record
from oms_core.policy.rows import rows_of
from oms_core.policy.spends import spends as spends_of
from oms_core.workspace import Workspace, workspace_digest

BACK = "as cosigners gave the log back"
SIGNED_STATES = frozenset(
    {State.SIGNED, State.BROADCAST, State.MINED, State.CONFIRMED, State.FAILED_ON_CHAIN, State.QUARANTINED}
)
ORDERS = {f"order.{state.lower()}": state for state in State}
MAKING = (PENDING, GENERATING, PRE_ACTIVE, FAILED, DENIED)
WALLETS = {f"wallet.{state.lower()}": str(state) for state in (*MAKING, *KeyState)}
_IN_USE = frozenset(KeyState) - set(MAKING)

_SIGNERS = 32  # at most
_RESUMED = {State.SIGNING: State.APPROVED, State.MINED: State.BROADCAST}


class Rebuilding:
    """Takes entries in their order, all in one transaction, which is its caller's."""

    def __init__(self, connection: AsyncConnection, versions: Iterable[Workspace]) -> None:
        self._connection, self._page = connection, Page(connection)
        self._versions = {workspace_digest(one): one for one in versions}
        self._submitted = dict[str, int]()  # when
        self.names = Names(connection)
        """Of what was asked for anew, after the database was put back, its other ids."""
        self._replaced, self._replaces = (-1, ""), dict[str, str]()
        self._accounts = dict[tuple[str, tuple[int, ...]], str]()
        self._authorized = set[str]()
        self.orders = dict[str, State]()
        """The orders that are back, and what the log says last of each."""
        self.wallets = set[str]()

    @property
    def unknown(self) -> int:
        """How many orders came to nobody but the lost database."""
        return len(set(self._submitted) - set(self.orders) - {name for name in self._submitted if name in self.names})

    def name(self, entry: Entry) -> str:
        """By which id the database knows an entry's order."""
        return self.names(entry.subject)

    def overrules(self, entry: Entry) -> bool:
        """Whether it is a step of something that is back, which this database took without knowing of that."""
        step = entry.event in ORDERS and self.name(entry) in self.orders
        return (step or (entry.event in WALLETS and entry.subject in self.wallets)) and entry.event != "order.submitted"

    async def take(self, items: Iterable[Item]) -> None:
        """The next entries. Raises `Malformed` for what no cosigner would have followed."""
        left = iter(items)
        while chunk := list(islice(left, SIZE)):
            await self._take([(read_entry(one_item.entry), one_item) for one_item in chunk])

    async def asked_again(self, entry: Entry, at: int) -> None:
        """An order that this database itself had authorised stands in the log at a later time."""
        mine = orders.c.order_id == self.name(entry)
        authorized = update(orders).where(mine, orders.c.authorized_at > 0).values(authorized_at=at)
        if (await self._connection.execute(authorized)).rowcount:
            subject = select(orders.c.subject).where(mine).scalar_subquery()
            await self._connection.execute(update(spends).where(spends.c.subject == subject).values(at=at))

    async def has_given_away(self, entry: Entry, one_item: Item) -> bool:
        """Whether what this database had authorised, and no cosigner has seen, is against what the log has authorised.

        Its order has ended, or is another transaction, or its nonce is another order's: then nobody is asked for it. An
        order of which the log knows no such request is as if it had never been authorised, and is chosen anew.
        """
        if entry.event != AUTHORIZED:
            return False
        made = read_effect(entry, one_item)
        if not isinstance(made, Authorization) or not isinstance(made.asked, SignRequest):
            return False
        row = await one(self._connection, select(orders).where(orders.c.subject == made.subject))
        if row is None or row["raw"] is not None or not await self._is_against(row, made.asked):
            return False
        if row["order_id"] not in self._authorized and not await self._was_asked(row["order_id"]):
            mine = update(orders).where(orders.c.order_id == row["order_id"])
            await self._connection.execute(mine.values(authorized_at=0))
        return True

    async def _was_asked(self, name: str) -> bool:
        """Whether the log has a request for it, by this id or by another."""
        return not {AUTHORIZED, FORMERLY, NOW}.isdisjoint(await events(self._connection, name))

    async def _is_against(self, row: RowMapping, request: SignRequest) -> bool:
        name, execution = str(row["order_id"]), request.execution
        if self.orders.get(name) in TERMINAL:
            return True
        if execution is None:
            return False
        if name in self._authorized:
            return bool(row["execution"] != encode(execution))
        intent = request.proposal.subject
        assert isinstance(intent, Intent)
        return await self.holder(intent, execution) in self._authorized

    async def holder(self, intent: Intent, execution: Execution) -> str:
        """Which order has this nonce of the account; empty if none has."""
        account = await self._account(intent)
        mine = (nonces.c.chain == intent.chain) & (nonces.c.account == account) & (nonces.c.nonce == execution.nonce)
        return str((await self._connection.execute(select(nonces.c.order_id).where(mine))).scalar() or "")

    async def _take(self, read: list[tuple[Entry, Item]]) -> None:
        self._page = Page(self._connection)
        effects = [read_effect(entry, one_item) if entry.event in REPLAYED else None for entry, one_item in read]
        names = {self.name(entry) for entry, _ in read if entry.subject} | {self.names.pending}
        await self._page.load(names, {one.subject for one in effects if isinstance(one, Authorization)})
        strange = {name for name in names if kind_of(name) == ORDER and name not in self._page.orders}
        await self._page.load(await self.names.recognise(strange, read[0][0].index), set())
        for (entry, one_item), effect in zip(read, effects, strict=True):
            match effect:
                case Began(digest=digest, workspace=workspace):
                    self._versions[digest] = workspace
                case Approved() as approved:
                    self._versions[approved.digest] = approved.following
                case Authorization(asked=SignRequest() as request) as made:
                    await self._order(entry, made, request)
                case Authorization(asked=CreateRequest() as request) as made:
                    await self._wallet(entry, made, request)
                case None if (state := ORDERS.get(entry.event)) is not None:
                    self._move(entry, one_item, state)
                case None if entry.event == "order.nonce_released":
                    self._release(self.name(entry))
                case None if entry.event in (FORMERLY, NOW):
                    self.names.take(entry, self._page.orders)
                case None if entry.event in WALLETS:
                    await self._move_wallet(entry, one_item)
        await self._page.write()

    # Orders

    async def _order(self, entry: Entry, made: Authorization, request: SignRequest) -> None:
        """Cosigners were about to be asked for their shares of this."""
        intent, page = request.proposal.subject, self._page
        assert isinstance(intent, Intent)
        if (held := page.ids.get(made.subject)) is None:
            if not entry.subject or entry.subject in page.orders:
                return  # no honest coordinator gives two orders one name, or none
            self._add(entry, made, request, intent)
        elif held != entry.subject:
            self.names.add(entry.subject, held)
        name = self.name(entry)
        row, execution = page.orders[name], encode(request.execution) if request.execution is not None else None
        if name in self._authorized and row["execution"] != execution:
            return  # the first one stands, as it does at cosigners
        self._authorized.add(name)
        page.date(made.subject, entry.at)
        if self.orders.get(name) in TERMINAL:
            return  # a database that did not know of its end had asked for it anew
        if row["state"] not in SIGNED_STATES:
            page.change(name, state=State.APPROVED, execution=execution, authorized_at=entry.at)
        self._approvals(name, made, request.approvals)
        if request.execution is not None:
            await self._nonce(name, intent, request.execution)
        self.orders.setdefault(name, State.APPROVED)

    def _add(self, entry: Entry, made: Authorization, request: SignRequest, intent: Intent) -> None:
        values = {
            "order_id": entry.subject,
            "wallet_id": intent.wallet_id,
            "state": State.APPROVED,
            "proposal": encode(request.proposal),
            "subject": made.subject,
            "replaces": self._replaces.get(entry.subject, ""),
            "created_at": self._submitted.get(entry.subject, entry.at),
        }
        version = self._versions.get(made.workspace)
        adds = spends_of(version, intent, entry.at) if version is not None else ()
        self._page.add(values, rows_of(adds))

    def _approvals(self, name: str, made: Authorization, approvals: Iterable[Approval]) -> None:
        """What people had decided, where it is not known, or was void."""
        version = self._versions.get(made.workspace)
        people = {user.user_id: user.person_id for user in version.users} if version is not None else {}
        for approval in approvals:
            claim = approval.claim
            if (person := people.get(claim.approver)) is not None:
                said = {"approval": encode(approval), "comment": "", "at": claim.decided_at}
                self._page.give(name, person, {"user_id": claim.approver, "verdict": claim.verdict, **said})

    async def _nonce(self, name: str, intent: Intent, execution: Execution) -> None:
        """It is this order's, whoever was given it since: what others hold is not authorised, and chosen anew."""
        if account := await self._account(intent):
            self._page.hold(name, intent.chain, account, execution.nonce)

    async def _account(self, intent: Intent) -> str:
        """Whose nonces it takes; empty if the wallet's key is not known."""
        key = intent.wallet_id, intent.path
        if key not in self._accounts:
            row = await one(self._connection, select(wallets).where(wallets.c.wallet_id == intent.wallet_id))
            if row is None or not row["confirmations"]:
                return ""
            self._accounts[key] = account_of(row, intent.path).hex()
        return self._accounts[key]

    def _move(self, entry: Entry, one_item: Item, state: State) -> None:
        """An order's step, if the database has it: never back from where it was signed."""
        if state is State.REPLACED:
            self._replaced = entry.index, self.name(entry)
        if state is State.SUBMITTED:
            self._submitted[entry.subject] = entry.at
            if self._replaced[0] == entry.index - 1:  # both are written down at once
                self._replaces[entry.subject] = self._replaced[1]
        name, to = self.name(entry), _RESUMED.get(state, state)
        row = self._page.orders.get(name)
        if row is None or (row["state"] in SIGNED_STATES and to not in SIGNED_STATES):
            return
        if to in TERMINAL and row["state"] not in SIGNED_STATES:
            self._page.release(name)
        signed = _signed(row, entry, one_item) if entry.event == SIGNED else {}
        self._page.change(name, state=to, reason="", detail=BACK, **signed)
        self._page.stages.append(_stage(name, entry, state))
        self.orders[name] = state

    def _release(self, name: str) -> None:
        """It gave its nonce back; not what cosigners were asked to sign: a database that had lost that said so."""
        row = self._page.orders.get(name)
        if row is None or not row["authorized_at"] or row["state"] in TERMINAL - SIGNED_STATES:
            self._page.release(name)

    # Wallets

    async def _wallet(self, entry: Entry, made: Authorization, request: CreateRequest) -> None:
        """A key was about to be made. If another one was asked for under its name since, that one came to nothing."""
        wish = request.proposal.subject
        assert isinstance(wish, CreateWallet)
        mine = wallets.c.wallet_id == entry.subject
        values: dict[str, Any] = {"state": GENERATING, "proposal": encode(request.proposal), "key_id": made.subject}
        values |= {"threshold": wish.threshold, "reason": "", "detail": ""}
        held = await one(self._connection, select(wallets.c.key_id, wallets.c.confirmations).where(mine))
        if held is None:
            row = {"wallet_id": entry.subject, "created_at": entry.at, **values}
            await self._connection.execute(insert(wallets).values(row))
        elif bytes(held["key_id"]) != made.subject and not held["confirmations"]:
            await self._connection.execute(update(wallets).where(mine).values(values))
            await self._connection.execute(delete(decisions).where(decisions.c.subject_id == entry.subject))
            self._page.forget(entry.subject)
        self._approvals(entry.subject, made, request.approvals)
        self.wallets.add(entry.subject)

    async def _move_wallet(self, entry: Entry, one_item: Item) -> None:
        """Epochs that a key went over to are learnt from cosigners, which keep their certificates."""
        state, mine = WALLETS[entry.event], wallets.c.wallet_id == entry.subject
        row = await one(self._connection, select(wallets).where(mine))
        if row is None or (row["state"] in _IN_USE and state not in _IN_USE):
            return
        made = _confirmed(entry, one_item) if entry.event == MADE else {}
        await self._connection.execute(update(wallets).where(mine).values(state=state, reason="", detail="", **made))
        self._page.stages.append(_stage(entry.subject, entry, state))
        self.wallets.add(entry.subject)


def _stage(name: str, entry: Entry, state: str) -> dict[str, Any]:
    return {"subject_id": name, "state": state, "at": entry.at, "note": BACK}


def _document(entry: Entry, one_item: Item) -> tuple[str, bytes] | None:
    """The note and the first document of the record beside an entry; None if there is none, or it was erased."""
    record = read_record(entry, one_item)
    return (record.note, record.documents[0]) if record is not None and record.documents else None


def _signed(row: dict[str, Any], entry: Entry, one_item: Item) -> dict[str, object]:
    """The bytes that were signed, and their hash on the chain if they go to one."""
    if (found := _document(entry, one_item)) is None:
        return {}
    note, raw = found
    tx_hash = "" if row["execution"] is None else "0x" + transaction_hash(raw).hex()
    signers = [int(one) for one in re.findall(r"\b[0-9]{1,3}\b", note)][:_SIGNERS]
    return {"raw": raw, "hash": tx_hash, "signers": json.dumps(signers)}


def _confirmed(entry: Entry, one_item: Item) -> dict[str, object]:
    """Everyone's word on a wallet's key; nothing if that is not what stands there."""
    if (found := _document(entry, one_item)) is None:
        return {}
    try:
        said = decode(Confirmations, found[1]).signed
    except Malformed:
        return {}
    return {"confirmations": found[1]} if said and said[0].confirmation.wallet_id == entry.subject else {}
