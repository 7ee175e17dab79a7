"""What the coordinator remembers of keys: changes, receipts, what it owes to absent nodes, presignatures, verdicts."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.calls import Call, remember
from coordinator.database import one, read, read_one
from coordinator.journal import COORDINATOR, OPERATOR, append
from coordinator.staging import OURS, record, said, stage, written
from coordinator.tables import changes, log_items, owed, presignatures, quarantine, receipts, verdicts
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.encoding import encode
from oms_core.errors import Conflict, NotFound, Reason
from oms_core.evidence import ChangeRequest
from oms_core.keys import ChangeKey
from oms_core.log.entries import AUTHORIZED, Item, Record, read_entry, read_record, spells_a_key
from oms_core.protocol.judge import Verdict

_LARGE = 1 << 20  # bytes of evidence, above which the log holds its hash alone; also of what spells a private key
_SAID = {"reason", "detail"}


class KeyBook:
    """Over the same database as orders and wallets."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    # Changes

    async def add_change(self, change: dict[str, Any], call: Call) -> None:
        """A new change of a key. Raises `Conflict` if its wish was submitted before."""
        try:
            async with self._engine.begin() as connection:
                values = {**change, "created_at": time.time()}
                by = values.pop("by", OURS)
                await connection.execute(insert(changes).values(values))
                await stage(connection, change["change_id"], change["state"], "", change["proposal"], by=by)
                await remember(connection, call, change["change_id"])
        except IntegrityError:
            raise Conflict("this wish was submitted before") from None

    async def change(self, change_id: str) -> RowMapping:
        """Raises `NotFound` (UNKNOWN_TRANSACTION)."""
        row = await read_one(self._engine, select(changes).where(changes.c.change_id == change_id))
        if row is None:
            raise NotFound(f"no change {change_id[:64]!r}", Reason.UNKNOWN_TRANSACTION)
        return row

    async def changes(self, wallet_id: str = "") -> list[RowMapping]:
        """All changes, or those of a wallet, oldest first."""
        query = select(changes).order_by(changes.c.created_at)
        if wallet_id:
            query = query.where(changes.c.wallet_id == wallet_id)
        return await read(self._engine, query)

    async def move_change(self, change_id: str, was: str, to: str, **values: Any) -> None:
        """One step. Raises `Conflict` (WRONG_STATE) if the change is not in ``was`` any more."""
        async with self._engine.begin() as connection:
            statement = update(changes).where(changes.c.change_id == change_id, changes.c.state == was)
            done = await connection.execute(statement.values(state=to, **{"reason": "", "detail": "", **values}))
            if done.rowcount != 1:
                raise Conflict(f"the change is not {was}", Reason.WRONG_STATE)
            reason = values.get("reason", "")
            await stage(connection, change_id, to, reason, *written(values), told=said(values))

    async def note_change(self, change_id: str, **values: Any) -> None:
        """Change what is said about a change, its reason and detail, not its state."""
        assert set(values) <= _SAID
        async with self._engine.begin() as connection:
            await connection.execute(update(changes).where(changes.c.change_id == change_id).values(**values))

    async def logged_at(self, request: ChangeRequest) -> int | None:
        """When (Unix seconds) a wish stood in the log first, with these very approvals; None if it never did."""
        wish, document = request.proposal.subject, encode(request)
        assert isinstance(wish, ChangeKey)
        query = select(log_items).where(log_items.c.subject.startswith("chg_", autoescape=True))
        query = query.where(log_items.c.at.between(wish.valid_from - CLOCK_SKEW, wish.valid_until + CLOCK_SKEW))
        for row in await read(self._engine, query.order_by(log_items.c.index)):
            item = Item(bytes(row["entry"]), bytes(row["record"]), bytes(row["salt"]))
            entry = read_entry(item.entry)
            record = read_record(entry, item) if entry.event == AUTHORIZED else None
            if record is not None and record.documents == (document,):
                return entry.at
        return None

    async def add_receipt(self, change_id: str, index: int, receipt: bytes) -> None:
        """Keep a node's receipt; the first stands."""
        values = {"change_id": change_id, "cosigner": index, "receipt": receipt}
        key = (receipts.c.change_id == change_id) & (receipts.c.cosigner == index)
        async with self._engine.begin() as connection:
            if await one(connection, select(receipts).where(key)) is None:
                await connection.execute(insert(receipts).values(values))
                await record(connection, change_id, "receipt", "", (receipt,), (f"cosigner-{index}", b""))

    async def receipts(self, change_id: str) -> list[bytes]:
        """Receipts of a change, by cosigner."""
        query = select(receipts.c.receipt).where(receipts.c.change_id == change_id).order_by(receipts.c.cosigner)
        return [row["receipt"] for row in await read(self._engine, query)]

    # What nodes still have to be told

    async def owe(self, change_id: str, indices: tuple[int, ...], message: bytes) -> None:
        """Remember that these nodes have to be told; once each."""
        async with self._engine.begin() as connection:
            query = select(owed.c.cosigner).where(owed.c.change_id == change_id)
            told = set((await connection.execute(query)).scalars())
            fresh = [index for index in indices if index not in told]
            for index in fresh:
                values = {"change_id": change_id, "cosigner": index, "message": message}
                await connection.execute(insert(owed).values(values))
            if fresh:
                await record(connection, change_id, "owed", f"to cosigners {', '.join(map(str, fresh))}", (message,))

    async def owed_to(self, index: int) -> list[RowMapping]:
        """What a node has to be told, by change."""
        return await read(self._engine, select(owed).where(owed.c.cosigner == index).order_by(owed.c.change_id))

    async def owing(self, change_id: str) -> set[int]:
        """Nodes that have not been told of a change."""
        query = select(owed.c.cosigner).where(owed.c.change_id == change_id)
        return {row["cosigner"] for row in await read(self._engine, query)}

    async def told(self, change_id: str, index: int) -> None:
        """The node has answered."""
        async with self._engine.begin() as connection:
            gone = owed.delete().where(owed.c.change_id == change_id, owed.c.cosigner == index)
            if (await connection.execute(gone)).rowcount:
                await record(connection, change_id, "told", f"cosigner {index}")

    # Presignatures

    async def add_presignature(
        self, presignature_id: bytes, wallet_id: str, epoch: int, path: tuple[int, ...], quorum: tuple[int, ...]
    ) -> None:
        """A fresh one, held by all of its quorum."""
        values = {
            "presignature_id": presignature_id,
            "wallet_id": wallet_id,
            "epoch": epoch,
            "path": json.dumps(path),
            "quorum": json.dumps(quorum),
            "at": time.time(),
        }
        async with self._engine.begin() as connection:
            await connection.execute(insert(presignatures).values(values))

    async def presignatures(self, wallet_id: str = "") -> list[RowMapping]:
        """All that are unused, or those of a wallet, oldest first."""
        query = select(presignatures).order_by(presignatures.c.at)
        if wallet_id:
            query = query.where(presignatures.c.wallet_id == wallet_id)
        return await read(self._engine, query)

    async def drop_presignatures(self, ids: list[bytes]) -> int:
        """Take some out, for good; how many were there. Who takes a single one out alone may use it."""
        async with self._engine.begin() as connection:
            gone = presignatures.delete().where(presignatures.c.presignature_id.in_(ids))
            return int((await connection.execute(gone)).rowcount)

    # Verdicts

    async def add_verdict(self, about: str, verdict: Verdict, evidence: bytes) -> str:
        """Keep evidence that convicts a node, and quarantine the node; returns the evidence's id."""
        evidence_id = "ev_" + hashlib.sha256(evidence).hexdigest()[:32]
        async with self._engine.begin() as connection:
            if await one(connection, select(verdicts).where(verdicts.c.evidence_id == evidence_id)) is None:
                values = {
                    "evidence_id": evidence_id,
                    "about": about,
                    "culprit": verdict.culprit,
                    "step": verdict.step,
                    "reason": verdict.reason,
                    "evidence": evidence,
                    "at": time.time(),
                }
                await connection.execute(insert(verdicts).values(values))
                documents = (evidence,) if len(evidence) <= _LARGE and not spells_a_key(evidence) else ()
                note = f"{evidence_id} {hashlib.sha256(evidence).hexdigest()} {verdict.step}: {verdict.reason}"
                leaf = Record(f"cosigner-{verdict.culprit}", b"", note, documents)
                await append(connection, "evidence.verdict", about, leaf)
            held = await one(connection, select(quarantine).where(quarantine.c.cosigner == verdict.culprit))
            if held is None:
                values = {"cosigner": verdict.culprit, "evidence_id": evidence_id, "at": time.time()}
                await connection.execute(insert(quarantine).values(values))
                leaf = Record(COORDINATOR, b"", evidence_id, ())
                await append(connection, "cosigner.quarantined", f"cosigner-{verdict.culprit}", leaf)
        return evidence_id

    async def verdicts(self) -> list[RowMapping]:
        """All evidence, oldest first."""
        return await read(self._engine, select(verdicts).order_by(verdicts.c.at))

    async def verdict(self, evidence_id: str) -> RowMapping:
        """Raises `NotFound`."""
        row = await read_one(self._engine, select(verdicts).where(verdicts.c.evidence_id == evidence_id))
        if row is None:
            raise NotFound(f"no evidence {evidence_id[:64]!r}", Reason.UNKNOWN_TRANSACTION)
        return row

    async def export(self, evidence_id: str, whom: str) -> RowMapping:
        """As `verdict`, for somebody who takes it away: who that was stands in the log."""
        row = await self.verdict(evidence_id)
        async with self._engine.begin() as connection:
            await append(connection, "evidence.exported", row["about"], Record(whom, b"", evidence_id, ()))
        return row

    async def quarantined(self) -> set[int]:
        """Convicted nodes that no operator has pardoned."""
        return {row["cosigner"] for row in await read(self._engine, select(quarantine.c.cosigner))}

    async def pardon(self, index: int) -> bool:
        """The operator's word that a node may be chosen again; whether it was in quarantine."""
        async with self._engine.begin() as connection:
            gone = await connection.execute(quarantine.delete().where(quarantine.c.cosigner == index))
            if gone.rowcount:
                await append(connection, "cosigner.pardoned", f"cosigner-{index}", Record(OPERATOR, b"", "", ()))
            return int(gone.rowcount) == 1
