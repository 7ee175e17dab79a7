"""Rows that a page of entries changes, in memory until the page is through: a statement a table, not one an entry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.tables import decisions, nonces, orders, spends, stages

SIZE = 1000  # entries; databases take some 30,000 values in a query

_CHANGING = ("state", "reason", "detail", "execution", "authorized_at", "raw", "hash", "signers")
_COLUMNS = [orders.c[name] for name in ("order_id", "subject", *_CHANGING)]
_WRITTEN = {"raw": None, "hash": "", "signers": "[]", "reason": "", "detail": "", "execution": None, "authorized_at": 0}


class Page:
    """Orders with what hangs on them, as they were when the page began and as its entries leave them."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.orders = dict[str, dict[str, Any]]()
        self.ids = dict[bytes, str]()  # of subjects
        self._decided = dict[tuple[str, str], dict[str, Any]]()
        self._new, self._changed = set[str](), set[str]()
        self._void, self._given = list[dict[str, str]](), list[dict[str, Any]]()
        self._reserved, self._dated = list[dict[str, Any]](), dict[bytes, int]()
        self._holders = dict[tuple[str, str, int], str]()
        self._asked = set[str]()  # orders whose nonces have changed
        self.stages = list[dict[str, Any]]()

    async def load(self, names: set[str], subjects: set[bytes]) -> None:
        """The rows that this page is about, by their ids, or by the digests of what they are for."""
        query = select(*_COLUMNS).where(orders.c.order_id.in_(names) | orders.c.subject.in_(subjects))
        for row in (await self._connection.execute(query)).mappings():
            self.orders[row["order_id"]], self.ids[bytes(row["subject"])] = dict(row), row["order_id"]
        held = select(decisions.c.subject_id, decisions.c.person_id, decisions.c.void)
        held = held.where(decisions.c.subject_id.in_(names | set(self.orders)))
        for row in (await self._connection.execute(held)).mappings():
            self._decided[row["subject_id"], row["person_id"]] = dict(row)

    def add(self, order: dict[str, Any], reserved: Iterable[dict[str, Any]]) -> None:
        """A new order, and what it takes from limits."""
        name = order["order_id"]
        self.orders[name], self.ids[order["subject"]] = _WRITTEN | order, name
        self._new.add(name)
        self._reserved += reserved

    def change(self, name: str, **values: Any) -> None:
        """Something else about an order."""
        self.orders[name].update(values)
        self._changed.add(name)

    def date(self, subject: bytes, at: int) -> None:
        """As of when it counts against limits."""
        self._dated[subject] = at

    def give(self, subject_id: str, person_id: str, values: dict[str, Any]) -> None:
        """What somebody has decided, where that is not known, or is void."""
        mine = {"subject_id": subject_id, "person_id": person_id}
        if (held := self._decided.get((subject_id, person_id))) is not None:
            if not held["void"]:
                return
            self._void.append({f"its_{name}": value for name, value in mine.items()})
        self._decided[subject_id, person_id] = {"void": ""}
        self._given.append(mine | values)

    def forget(self, subject_id: str) -> None:
        """Nobody has decided anything about this, whoever did about what had its id."""
        self._decided = {key: row for key, row in self._decided.items() if key[0] != subject_id}
        self._void = [row for row in self._void if row["its_subject_id"] != subject_id]
        self._given = [row for row in self._given if row["subject_id"] != subject_id]

    def hold(self, name: str, chain: str, account: str, nonce: int) -> None:
        """The nonce is this order's, and no other one's; it has no other one."""
        self.release(name)
        self._holders[chain, account, nonce] = name

    def release(self, name: str) -> None:
        """The order has no nonce."""
        self._asked.add(name)
        self._holders = {key: holder for key, holder in self._holders.items() if holder != name}

    async def write(self) -> None:
        """All of it."""
        made = [self.orders[name] for name in self._new]
        changed = [self.orders[name] for name in sorted(self._changed - self._new)]
        values = [{name: row[name] for name in _CHANGING} | {"its_id": row["order_id"]} for row in changed]
        await self._many(insert(orders), made)
        await self._many(update(orders).where(orders.c.order_id == bindparam("its_id")), values)
        await self._many(insert(spends), self._reserved)
        dated = [{"whose": subject, "at": at} for subject, at in self._dated.items()]
        await self._many(update(spends).where(spends.c.subject == bindparam("whose")), dated)
        await self._many(insert(stages), self.stages)
        await self._write_decisions()
        await self._write_nonces()

    async def _write_decisions(self) -> None:
        mine = decisions.c.subject_id == bindparam("its_subject_id")
        gone = delete(decisions).where(mine, decisions.c.person_id == bindparam("its_person_id"))
        await self._many(gone, self._void)
        await self._many(insert(decisions), self._given)

    async def _write_nonces(self) -> None:
        await self._many(
            delete(nonces).where(nonces.c.order_id == bindparam("its_id")), [{"its_id": name} for name in self._asked]
        )
        held = [
            {"its_chain": chain, "its_account": account, "its_nonce": nonce} for chain, account, nonce in self._holders
        ]
        mine = (nonces.c.chain == bindparam("its_chain")) & (nonces.c.account == bindparam("its_account"))
        await self._many(delete(nonces).where(mine, nonces.c.nonce == bindparam("its_nonce")), held)
        rows = [
            {"chain": chain, "account": account, "nonce": nonce, "order_id": name}
            for (chain, account, nonce), name in self._holders.items()
        ]
        await self._many(insert(nonces), rows)

    async def _many(self, statement: Any, rows: list[dict[str, Any]]) -> None:
        if rows:
            await self._connection.execute(statement, rows)
