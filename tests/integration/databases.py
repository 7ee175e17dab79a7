"""A coordinator's databases, as they come and go, and cosigners that hand back what they have followed of one's log."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from coordinator.database import open_database
from coordinator.journal import Journal
from coordinator.recovering import recover
from coordinator.standing import Standing
from oms_core.log.entries import Item, read_entry
from proto import cosigner_pb2 as pb
from tests.integration.test_journal import KEY
from tests.integration.test_rebuilding import kept
from tests.logs import ORIGIN
from tests.people import workspace
from tests.unit.coordinator.desk import Desk


class Keeper:
    """A cosigner that has followed a log, and hands it back without the records of entries ``without`` which."""

    def __init__(self, index: int, note: bytes, items: list[Item], without: str = "") -> None:
        self.index, self.note = index, note
        gone = [Item(one.entry, b"", b"") if read_entry(one.entry).event == without else one for one in items]
        self.items = [pb.LogItem(entry=one.entry, record=one.record, salt=one.salt) for one in gone]

    async def ask(self, request: pb.ToCosigner, seconds: float) -> pb.FromCosigner:
        """A few at a time, not as many as others."""
        start = request.recall.start
        found = self.items[start : start + 3 + self.index]
        return pb.FromCosigner(recalled=pb.Recalled(head=self.note, items=found))


class Databases:
    """One coordinator's, as they come and go."""

    def __init__(self, root: Path) -> None:
        self.root, self.desks = root, dict[str, Desk]()

    async def begun(self, name: str = "first") -> Desk:
        self.desks[name] = Desk(await open_database(f"sqlite:///{self.root / name}"))
        return self.desks[name]

    async def copied(self, of: Desk, name: str) -> Desk:
        """A backup of this moment, as it is put back later."""
        source = next(held for held, desk in self.desks.items() if desk is of)
        with sqlite3.connect(self.root / source) as one, sqlite3.connect(self.root / name) as other:
            one.backup(other)
        return await self.begun(name)


async def recovered(lost: Desk, here: Desk, **without: str) -> list[str]:
    """What cosigners hand back of the lost database's log, ``without`` some records at some; what was said."""
    note, _ = await Journal(lost.engine, KEY, ORIGIN).checkpoint()
    items, told = await kept(lost), list[str]()
    links: Any = {i: Keeper(i, note, items, without.get(f"at_{i}", without.get("all", ""))) for i in (1, 2, 3)}
    await recover(Journal(here.engine, KEY, ORIGIN), links, Standing(workspace()), told.append)
    return told
