"""The coordinator's memory of anchors, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.anchorbook import AnchorBook, AnchorState
from oms_core.errors import Reason, Refused


@pytest.fixture
def book(engine: AsyncEngine) -> AnchorBook:
    return AnchorBook(engine)


async def test_of_anchors_that_replicas_add_at_once_one_is_added(book: AnchorBook) -> None:
    added = await asyncio.gather(*(book.add(f"txn_{i}", 7, "note", b"proposal") for i in range(5)))
    assert sorted(added) == [False, False, False, False, True]
    assert len(await book.list(10)) == 1


async def test_an_anchor_ends_once_and_the_next_one_can_be_added_then(book: AnchorBook) -> None:
    assert await book.add("txn_1", 7, "note", b"proposal")
    await book.anchored("txn_1", b"receipt", b"ots", 55, 1_790_000_000)
    await book.failed("txn_1", Refused("too late", Reason.EXPIRED))
    assert await book.add("txn_2", 9, "note", b"proposal")
    await book.failed("txn_2", Refused("no", Reason.NO_PERMIT))
    await book.anchored("txn_2", b"receipt", b"ots", 56, 1_790_000_001)

    newest, first = await book.list(10)
    assert (first["state"], first["receipt"], first["ots"]) == (AnchorState.ANCHORED, b"receipt", b"ots")
    assert (first["block_number"], first["block_time"]) == (55, 1_790_000_000)
    assert (newest["state"], newest["reason"], newest["receipt"]) == (AnchorState.FAILED, Reason.NO_PERMIT, b"")


async def test_the_newest_is_found_by_state(book: AnchorBook) -> None:
    assert await book.newest() is None
    for number in range(3):
        assert await book.add(f"txn_{number}", number, "note", b"proposal")
        await book.anchored(f"txn_{number}", b"r", b"o", number, number)
    assert await book.add("txn_3", 3, "note", b"proposal")
    found = [await book.newest(*states) for states in ((), (AnchorState.ANCHORED,), (AnchorState.FAILED,))]
    assert [row["order_id"] if row else None for row in found] == ["txn_3", "txn_2", None]
    assert [row["order_id"] for row in await book.list(2)] == ["txn_3", "txn_2"]
