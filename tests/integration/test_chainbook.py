"""The coordinator's memory of the workspace's chain, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.calls import Call
from coordinator.chainbook import ADOPTION, SCHEDULING, ChainBook
from coordinator.store import Store
from oms_core.errors import Conflict, NotFound, Reason
from oms_core.workspace.lifecycle import ChangeState
from tests.people import NOW, approve, intent


@pytest.fixture
def book(engine: AsyncEngine) -> ChainBook:
    return ChainBook(engine)


def change(name: str) -> dict[str, object]:
    return {"change_id": f"wsc_{name}", "proposal": b"p", "subject": name.encode(), "version": 1, "digest": b"d"}


async def test_a_change_is_taken_on_once_and_moves_by_the_table_alone(book: ChainBook) -> None:
    await book.add(change("a"), Call("a", "Propose", b""))
    with pytest.raises(Conflict):
        await book.add({**change("b"), "subject": b"a"}, Call("b", "Propose", b""))
    with pytest.raises(Conflict):
        await book.move("wsc_a", ChangeState.PROPOSED, ChangeState.ACTIVE)
    moves = [book.move("wsc_a", ChangeState.PROPOSED, ChangeState.APPROVED, document=b"r") for _ in range(4)]
    done = await asyncio.gather(*moves, return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["Conflict", "Conflict", "Conflict", "NoneType"]
    assert [row["change_id"] for row in await book.changes(ChangeState.APPROVED)] == ["wsc_a"]
    assert await book.changes(ChangeState.PROPOSED) == []
    with pytest.raises(NotFound):
        await book.change("wsc_b")


async def test_a_nodes_first_statement_of_each_kind_stands(book: ChainBook) -> None:
    for document in (b"first", b"second"):
        await book.keep(b"s", 2, SCHEDULING, document)
    await book.keep(b"s", 1, ADOPTION, b"adopted")
    assert await book.kept(b"s", SCHEDULING) == {2: b"first"}
    assert await book.kept(b"s", ADOPTION) == {1: b"adopted"}
    assert await book.kept(b"other", ADOPTION) == {}


async def test_one_version_has_a_number(book: ChainBook) -> None:
    await book.add_version(1, b"d1", b"s1", b"r1")
    await book.add_version(1, b"d1", b"s1", b"r1")
    await book.add_version(2, b"d2", b"s2", b"r2")
    for digest, subject in ((b"other", b"s1"), (b"d1", b"other")):
        with pytest.raises(Conflict) as caught:
            await book.add_version(1, digest, subject, b"r1")
        assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH
    assert [row["number"] for row in await book.versions(0)] == [1, 2]
    assert [bytes(row["request"]) for row in await book.versions(1)] == [b"r2"]


async def test_a_decision_that_is_void_is_shown_and_counts_no_more(engine: AsyncEngine) -> None:
    store = Store(engine)
    given = approve(intent(), "olga", expires_at=2 * NOW, decided_at=NOW)
    await store.decide("txn_1", given, "person-olga", 0, "", Call("a", "Decide", b""))
    with pytest.raises(Conflict):
        await store.decide("txn_1", given, "person-olga", 0, "", Call("b", "Decide", b""))
    await store.void("txn_1", "person-olga", Reason.CREDENTIAL_REVOKED)
    assert await store.decisions("txn_1") == []
    assert [row["void"] for row in await store.all_decisions("txn_1")] == [Reason.CREDENTIAL_REVOKED]
    await store.decide("txn_1", given, "person-olga", 0, "", Call("b", "Decide", b""))
    assert len(await store.decisions("txn_1")) == 1
