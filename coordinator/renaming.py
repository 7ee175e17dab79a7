"""By which id the database knows an order of which the log speaks by another one.

An intent that is proposed anew, after a database that had it was put back, is the same order under a newer id. What
the log says of either id is about that order, also where it is read once more for a database that knows the other one:
so the log has to say that both are one. Cosigners keep entries without their records, so two of them do, each about one
of the ids, and one behind the other.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.journal import OPERATOR, append
from coordinator.tables import log_items, orders
from oms_core.history import Authorization, read_effect
from oms_core.log.entries import AUTHORIZED, FORMERLY, NOW, Entry, Item, Record, read_entry


class Names:
    """Other ids of the database's orders. Entries are taken in their order."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._known = dict[str, str]()
        self._told = set[frozenset[str]]()
        self._strange, self._first = set[str](), -1
        self._formerly = (-1, "")

    def __call__(self, name: str) -> str:
        """As the database knows it."""
        return self._known.get(name, name)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    @property
    def pending(self) -> str:
        """Whom the next entry may give another id."""
        return self(self._formerly[1])

    def add(self, name: str, known: str) -> None:
        """What the log calls so is this order."""
        self._known[name] = known

    def take(self, entry: Entry, there: Collection[str]) -> None:
        """One of the two entries, where these orders are ``there``."""
        if entry.event == FORMERLY:
            self._formerly = entry.index, entry.subject
            return
        before, after = self._formerly[1], entry.subject
        if self._formerly[0] != entry.index - 1 or not before or not after:
            return
        for one, other in ((after, before), (before, after)):
            if self(other) in there and self(one) not in there:
                self._known[one] = self(other)
                self._told |= {frozenset((before, after)), frozenset((one, self(other)))}
                return

    async def recognise(self, names: Collection[str], first: int) -> set[str]:
        """Look in the database's own log, below the ``first`` entry that is back, for names that it does not have.

        Returns the orders that these are.
        """
        self._first = first if self._first < 0 else self._first
        found = set[str]()
        if not self._first or not (strange := set(names) - self._strange - set(self._known)):
            return found
        self._strange |= strange
        query = select(log_items.c.subject).where(log_items.c.subject.in_(strange), log_items.c.index < self._first)
        for name in sorted((await self._connection.execute(query.distinct())).scalars()):
            if (order_id := await self._order_of(name, {name})) is not None:
                self._known[name] = order_id
                self._told.add(frozenset((name, order_id)))
                found.add(order_id)
        return found

    async def tell(self) -> None:
        """Write down what the log does not say yet."""
        for name, known in sorted(self._known.items()):
            if frozenset((name, known)) not in self._told:
                for event, subject, other in ((FORMERLY, name, known), (NOW, known, name)):
                    await append(self._connection, event, subject, Record(OPERATOR, b"", other, ()))

    async def _order_of(self, name: str, seen: set[str]) -> str | None:
        """The order of which the database's own log speaks by this name."""
        columns = select(log_items.c.entry, log_items.c.record, log_items.c.salt)
        query = columns.where(log_items.c.subject == name, log_items.c.index < self._first).order_by(log_items.c.index)
        for row in (await self._connection.execute(query)).all():
            one_item = Item(*map(bytes, row))
            entry, held = read_entry(one_item.entry), None
            if entry.event == AUTHORIZED and isinstance(made := read_effect(entry, one_item), Authorization):
                mine = select(orders.c.order_id).where(orders.c.subject == made.subject)
                held = (await self._connection.execute(mine)).scalar()
            elif entry.event in (FORMERLY, NOW):
                held = await self._beside(entry, seen)
            if held is not None:
                return str(held)
        return None

    async def _beside(self, entry: Entry, seen: set[str]) -> str | None:
        """The order that has, or had, the other one of two ids."""
        index = entry.index + (1 if entry.event == FORMERLY else -1)
        row = (await self._connection.execute(select(log_items.c.entry).where(log_items.c.index == index))).scalar()
        if (
            row is None
            or index >= self._first
            or {(other := read_entry(bytes(row))).event, entry.event} != {FORMERLY, NOW}
        ):
            return None
        mine = select(orders.c.order_id).where(orders.c.order_id == other.subject)
        if (held := (await self._connection.execute(mine)).scalar()) is not None:
            return str(held)
        return None if other.subject in seen else await self._order_of(other.subject, seen | {other.subject})
