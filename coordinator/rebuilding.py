"""Makes the books again from what cosigners gave back of the log: orders that were authorised, and wallets.

An order that nobody had signed goes on as the transaction that was authorised, with the approvals that were presented
for it; one that was signed, by its very bytes. So whoever asks for it finds it as it is, and nobody pays twice. What
was never authorised is not made up: cosigners keep no record of it, and nothing was at stake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.approving import PENDING
from coordinator.reservations import reserve
from coordinator.staging import stage
from coordinator.tables import decisions, nonces, one, orders, spends, stages, wallets
from coordinator.wallets import DENIED, FAILED, GENERATING, PRE_ACTIVE, account_of
from oms_core.approvals import Approval
from oms_core.chains.evm import transaction_hash
from oms_core.chains.intent import CreateWallet, Execution, Intent
from oms_core.encoding import encode
from oms_core.errors import Reason
from oms_core.evidence import CreateRequest, SignRequest
from oms_core.history import REPLAYED, Approved, Authorization, Began, read_effect
from oms_core.keys import KeyState
from oms_core.lifecycle import TERMINAL, State
from oms_core.log.entries import MADE, SIGNED, Entry, Item, read_entry, read_record
from oms_core.policy.facts import Provenance
from oms_core.policy.spends import spends as spends_of
from oms_core.workspace import Workspace, workspace_digest

BACK = "as cosigners gave the log back"
_RESUMED = {State.SIGNING: State.APPROVED, State.MINED: State.BROADCAST}
_SIGNED = (State.SIGNED, State.BROADCAST, State.MINED, State.CONFIRMED, State.FAILED_ON_CHAIN, State.QUARANTINED)
_ORDERS = {f"order.{state.lower()}": state for state in State}
_MAKING = (PENDING, GENERATING, PRE_ACTIVE, FAILED, DENIED)
_WALLETS = {f"wallet.{state.lower()}": str(state) for state in (*_MAKING, *KeyState)}


class Rebuilding:
    """Takes entries in their order, all in one transaction, which is its caller's."""

    def __init__(self, connection: AsyncConnection, versions: Iterable[Workspace]) -> None:
        self._connection = connection
        self._versions = {workspace_digest(one): one for one in versions}
        self._submitted = dict[str, int]()  # when
        self._names = dict[str, str]()  # of what was asked for anew, after the database was put back: its newer id
        self.orders, self.wallets = set[str](), set[str]()

    @property
    def unknown(self) -> int:
        """How many orders came to nobody but the lost database."""
        return len(set(self._submitted) - self.orders - set(self._names))

    async def take(self, items: Iterable[Item]) -> None:
        """The next entries. Raises `Malformed` for what no cosigner would have followed."""
        for one_item in items:
            entry = read_entry(one_item.entry)
            if entry.event in REPLAYED:
                match read_effect(entry, one_item):
                    case Began(digest=digest, workspace=workspace):
                        self._versions[digest] = workspace
                    case Approved() as approved:
                        self._versions[approved.digest] = approved.following
                    case Authorization(asked=SignRequest() as request) as made:
                        await self._order(entry, made, request)
                    case Authorization(asked=CreateRequest() as request) as made:
                        await self._wallet(entry, made, request)
            elif (state := _ORDERS.get(entry.event)) is not None:
                await self._move(entry, one_item, state)
            elif entry.event == "order.nonce_released":
                await self._connection.execute(delete(nonces).where(nonces.c.order_id == self._name(entry)))
            elif entry.event in _WALLETS:
                await self._move_wallet(entry, one_item)

    async def take_ends(self, items: Iterable[Item]) -> None:
        """What this database wrote itself since it was put back: an order that people ended meanwhile is not signed."""
        for one_item in items:
            entry = read_entry(one_item.entry)
            if self._name(entry) in self.orders and (state := _ORDERS.get(entry.event)) in TERMINAL:
                await self._move(entry, one_item, state)

    async def finish(self) -> None:
        """After the last entry: without the bytes that were signed, an order has to be looked for on its chain."""
        for order_id in sorted(self.orders):
            row = await one(self._connection, select(orders).where(orders.c.order_id == order_id))
            if row is not None and row["state"] in (State.SIGNED, State.BROADCAST) and row["raw"] is None:
                text = "the bytes that were signed are lost"
                mine = update(orders).where(orders.c.order_id == order_id)
                lost = {"state": State.QUARANTINED, "reason": Reason.STORE_CORRUPT, "detail": text}
                await self._connection.execute(mine.values(lost))
                await stage(self._connection, order_id, State.QUARANTINED, text)

    def _name(self, entry: Entry) -> str:
        return self._names.get(entry.subject, entry.subject)

    # Orders

    async def _order(self, entry: Entry, made: Authorization, request: SignRequest) -> None:
        """Cosigners were about to be asked for their shares of this."""
        intent = request.proposal.subject
        assert isinstance(intent, Intent)
        held = await one(self._connection, select(orders.c.order_id).where(orders.c.subject == made.subject))
        if held is None:
            await self._add(entry, made, request, intent)
        elif held["order_id"] != entry.subject:
            self._names[entry.subject] = held["order_id"]
        name = self._name(entry)
        execution = encode(request.execution) if request.execution is not None else None
        values = {"state": State.APPROVED, "execution": execution, "authorized_at": entry.at}
        mine = update(orders).where(orders.c.order_id == name, orders.c.state.not_in(_SIGNED))
        await self._connection.execute(mine.values(values))
        await self._connection.execute(update(spends).where(spends.c.subject == made.subject).values(at=entry.at))
        await self._approvals(name, made, request.approvals)
        if request.execution is not None:
            await self._nonce(name, intent, request.execution)
        self.orders.add(name)

    async def _add(self, entry: Entry, made: Authorization, request: SignRequest, intent: Intent) -> None:
        values = {
            "order_id": entry.subject,
            "wallet_id": intent.wallet_id,
            "state": State.APPROVED,
            "proposal": encode(request.proposal),
            "subject": made.subject,
            "created_at": self._submitted.get(entry.subject, entry.at),
        }
        await self._connection.execute(insert(orders).values(values))
        if (version := self._versions.get(made.workspace)) is not None:
            await reserve(self._connection, spends_of(version, intent, entry.at, Provenance.OWN))

    async def _approvals(self, name: str, made: Authorization, approvals: Iterable[Approval]) -> None:
        """What people had decided, where it is not known, or was void."""
        version = self._versions.get(made.workspace)
        people = {user.user_id: user.person_id for user in version.users} if version is not None else {}
        for approval in approvals:
            claim = approval.claim
            if (person := people.get(claim.approver)) is None:
                continue
            mine = (decisions.c.subject_id == name) & (decisions.c.person_id == person)
            await self._connection.execute(delete(decisions).where(mine, decisions.c.void != ""))
            if await one(self._connection, select(decisions).where(mine)) is None:
                values = {"subject_id": name, "person_id": person, "user_id": claim.approver, "verdict": claim.verdict}
                said = {"approval": encode(approval), "comment": "", "at": claim.decided_at}
                await self._connection.execute(insert(decisions).values(**values, **said))

    async def _nonce(self, name: str, intent: Intent, execution: Execution) -> None:
        """It is this order's, whoever was given it since: what others hold is not authorised, and chosen anew."""
        row = await one(self._connection, select(wallets).where(wallets.c.wallet_id == intent.wallet_id))
        if row is None or not row["confirmations"]:
            return
        account = account_of(row, intent.path).hex()
        same = (nonces.c.chain == intent.chain) & (nonces.c.account == account) & (nonces.c.nonce == execution.nonce)
        await self._connection.execute(delete(nonces).where(same | (nonces.c.order_id == name)))
        values = {"chain": intent.chain, "account": account, "nonce": execution.nonce, "order_id": name}
        await self._connection.execute(insert(nonces).values(values))

    async def _move(self, entry: Entry, one_item: Item, state: State) -> None:
        """An order's step, if the database has it: never back from where it was signed."""
        if state is State.SUBMITTED:
            self._submitted[entry.subject] = entry.at
        name, to = self._name(entry), _RESUMED.get(state, state)
        row = await one(self._connection, select(orders).where(orders.c.order_id == name))
        if row is None or (row["state"] in _SIGNED and to not in _SIGNED):
            return
        signed = _signed(row, entry, one_item) if entry.event == SIGNED else {}
        values = {"state": to, "reason": "", "detail": BACK, **signed}
        await self._connection.execute(update(orders).where(orders.c.order_id == name).values(values))
        await self._stage(name, entry, state)
        self.orders.add(name)

    # Wallets

    async def _wallet(self, entry: Entry, made: Authorization, request: CreateRequest) -> None:
        """A key was about to be made."""
        wish = request.proposal.subject
        assert isinstance(wish, CreateWallet)
        held = select(wallets.c.wallet_id).where(wallets.c.wallet_id == entry.subject)
        if await one(self._connection, held) is None:
            values = {"wallet_id": entry.subject, "state": GENERATING, "proposal": encode(request.proposal)}
            fixed = {"key_id": made.subject, "threshold": wish.threshold, "created_at": entry.at}
            await self._connection.execute(insert(wallets).values(**values, **fixed))
        await self._approvals(entry.subject, made, request.approvals)
        self.wallets.add(entry.subject)

    async def _move_wallet(self, entry: Entry, one_item: Item) -> None:
        """Epochs that a key went over to are learnt from cosigners, which keep their certificates."""
        state, record = _WALLETS[entry.event], read_record(entry, one_item)
        made = {"confirmations": record.documents[0]} if entry.event == MADE and record and record.documents else {}
        mine = update(wallets).where(wallets.c.wallet_id == entry.subject)
        if (await self._connection.execute(mine.values(state=state, reason="", detail="", **made))).rowcount:
            await self._stage(entry.subject, entry, state)
            self.wallets.add(entry.subject)

    async def _stage(self, name: str, entry: Entry, state: str) -> None:
        values = {"subject_id": name, "state": state, "at": entry.at, "note": BACK}
        await self._connection.execute(insert(stages).values(values))


def _signed(row: RowMapping, entry: Entry, one_item: Item) -> dict[str, object]:
    """The bytes that were signed, and their hash on the chain if they go to one."""
    record = read_record(entry, one_item)
    if record is None or not record.documents:
        return {}
    raw = record.documents[0]
    tx_hash = "" if row["execution"] is None else "0x" + transaction_hash(raw).hex()
    return {"raw": raw, "hash": tx_hash, "signers": json.dumps([int(one) for one in re.findall("[0-9]+", record.note)])}
