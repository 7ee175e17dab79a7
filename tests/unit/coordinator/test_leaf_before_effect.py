"""What leaves the coordinator stands in the log before: only then are cosigners asked, and bytes sent."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import RowMapping, select

from coordinator import desk as module
from coordinator import orders, sending
from coordinator.chain.fates import TAKEN, Fate, Said
from coordinator.database import reading
from coordinator.desk import Session
from coordinator.tables import log_items
from oms_core.encoding import decode, encode
from oms_core.errors import Reason
from oms_core.evidence import SignRequest
from oms_core.lifecycle import State
from oms_core.log.entries import AUTHORIZED, Item, Record, read_entry, read_record
from tests.people import intent
from tests.unit.coordinator.readers import ALL, Way, reads
from tests.unit.coordinator.test_refused_signing import Signing


class Watched(Signing):
    """Looks into the log, as anybody else sees it, at each moment at which something leaves."""

    def __init__(self, way: Way) -> None:
        super().__init__(way, {})
        self._chain: Any = self
        self.at: list[tuple[str, list[str]]] = []
        self.asked_for: list[SignRequest] = []
        self.away = 2

    async def entries(self) -> list[tuple[str, Record]]:
        async with reading(self.way.desk.engine) as connection:
            rows = (await connection.execute(select(log_items).order_by(log_items.c.index))).mappings().all()
        found = []
        for row in rows:
            entry = read_entry(row["entry"])
            record = read_record(entry, Item(row["entry"], row["record"], row["salt"]))
            assert record is not None
            if entry.subject == "txn_1":
                found.append((entry.event, record))
        return found

    async def events(self) -> list[str]:
        return [event for event, _ in await self.entries()]

    async def _sign_with(self, row: RowMapping, session: Session) -> None:
        self.at.append(("asked", await self.events()))
        self.asked_for.append(session.request)
        await super()._sign_with(row, session)

    async def send(self, raw: bytes, depth: int) -> Said:
        """What a chain does."""
        self.at.append(("sent", await self.events()))
        if self.away:
            self.away -= 1
            return Said(Fate.PASSES, Reason.CHAIN_UNAVAILABLE, "no node answers")
        return TAKEN


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(module, "RETRY", 0.001)
    monkeypatch.setattr(orders, "RETRY", 0.001)
    monkeypatch.setattr(sending, "RETRY", 0.001)
    way = await Way.open(tmp_path)
    way.desk.attach({i: reads(i) for i in ALL})
    now = int(time.time())
    await way.submitted(intent(50, valid_from=now - 10, valid_until=now + 1000))
    await way._store.move("txn_1", State.SUBMITTED, State.APPROVED)
    made = Watched(way)
    yield made
    await way.desk.engine.dispose()


@pytest.mark.covers("L09")
async def test_cosigners_are_asked_after_the_very_request_stands_in_the_log(watched: Watched) -> None:
    await watched.sign("txn_1")
    [(what, events)] = watched.at
    assert what == "asked"
    assert events.index(AUTHORIZED) < events.index("order.signing") == len(events) - 1
    [record] = [record for event, record in await watched.entries() if event == AUTHORIZED]
    assert record.documents == (encode(watched.asked_for[0]),)
    assert decode(SignRequest, record.documents[0]) == watched.asked_for[0]


@pytest.mark.covers("L09")
async def test_signed_bytes_are_sent_after_they_and_the_sending_stand_in_the_log_once(watched: Watched) -> None:
    await watched.sign("txn_1")
    await watched.broadcast("txn_1")
    sent = [events for what, events in watched.at if what == "sent"]
    assert len(sent) == 3
    for events in sent:
        assert events[-2:] == ["order.signed", "order.sending"]
    entries = dict(await watched.entries())
    assert entries["order.signed"].documents == (b"signed",)
    assert [event for event, _ in await watched.entries()][-1] == "order.broadcast"
