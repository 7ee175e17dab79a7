"""Nothing that changes state goes without an entry in the log: both in one transaction, or neither (attack L09).

Each public method of the coordinator's books is either in one of the lists below, or makes this test fail.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.ext.asyncio import AsyncEngine

import coordinator
from coordinator.anchorbook import AnchorBook
from coordinator.authorizing import Authorizing
from coordinator.calls import Call
from coordinator.chainbook import ADOPTION, SCHEDULING, ChainBook
from coordinator.conflicts import Conflicts
from coordinator.keybook import KeyBook
from coordinator.standing import Standing
from coordinator.store import Store
from coordinator.tables import log_items, metadata
from oms_core.encoding import decode, encode
from oms_core.errors import Refused
from oms_core.evidence import Refusal, SignedRefusal
from oms_core.lifecycle import State
from oms_core.log.conflict import LogConflict
from oms_core.log.entries import read_entry
from oms_core.log.note import Checkpoint, write_note
from oms_core.log.roster import log_verifier
from oms_core.protocol.judge import Verdict
from oms_core.workspace.lifecycle import ChangeState
from tests.logs import signed
from tests.people import approve, create_request, intent, sign_request, wish, workspace
from tests.witnessed import Logbook

EVIDENCE = "ev_" + hashlib.sha256(b"evidence").hexdigest()[:32]
DECISION = approve(intent(500), "ravi")
REFUSAL = SignedRefusal(Refusal(b"session", b"request", 2, "LIMIT_EXCEEDED", "too much", 1), b"signature")

LOG = Logbook()
TWO = (write_note(signed(Checkpoint(LOG.origin, 1, bytes([n]) * 32), log=LOG.log)) for n in (1, 2))
CONFLICT = encode(LogConflict(*TWO, ()))


class World:
    """All books over one database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine, self.asked = engine, 0
        self.store, self.keys = Store(engine), KeyBook(engine)
        self.chain, self.anchors = ChainBook(engine), AnchorBook(engine)
        self.conflicts = Conflicts(engine)
        self.authorizing = Authorizing(engine, Standing(workspace()), SimpleNamespace())  # type: ignore[arg-type]

    def call(self) -> Call:
        self.asked += 1
        return Call(f"call {self.asked}", "Method", b"")

    def order(self, order_id: str) -> dict[str, Any]:
        return {"order_id": order_id, "wallet_id": "wal_1", "proposal": b"proposal", "subject": order_id.encode()}

    async def dump(self, without: tuple[str, ...] = ()) -> dict[str, list[str]]:
        """Everything in the database, but these columns."""
        found = {}
        async with self.engine.begin() as connection:
            for name, table in metadata.tables.items():
                columns = [one for one in table.c if one.name not in without]
                found[name] = sorted(repr(tuple(row)) for row in await connection.execute(select(*columns)))
        return found

    async def events(self) -> list[str]:
        async with self.engine.begin() as connection:
            rows = await connection.execute(select(log_items.c.entry).order_by(log_items.c.index))
            return [read_entry(bytes(one)).event for one in rows.scalars()]


Step = Callable[[World], Awaitable[Any]]
# In this order, each on what those before have left: what is called, how, and which entries it leaves.
CHANGES: list[tuple[str, Step, list[str]]] = [
    ("Store.add_order", lambda w: w.store.add_order(w.order("txn_1"), w.call()), ["order.submitted"]),
    ("Store.add_refusal", lambda w: w.store.add_refusal("txn_1", REFUSAL), ["order.refusal"]),
    ("Store.add_reading", lambda w: w.store.add_reading("txn_1", 3, b"reading", ("pay",)), ["order.reading"]),
    ("Store.decide", lambda w: w.store.decide("txn_1", DECISION, "ravi", 7, "fine", w.call()), ["order.decision"]),
    ("Store.void", lambda w: w.store.void("txn_1", "ravi", "NOT_ELIGIBLE"), ["order.void"]),
    ("Store.move", lambda w: w.store.move("txn_1", State.SUBMITTED, State.APPROVED), ["order.approved"]),
    ("Store.reserve_nonce", lambda w: w.store.reserve_nonce("eip155:1", "aa", "txn_1", 3), ["order.nonce"]),
    ("Store.note", lambda w: w.store.note("txn_1", execution=b"execution", reason=""), ["order.execution"]),
    ("Store.release_nonce", lambda w: w.store.release_nonce("txn_1"), ["order.nonce_released"]),
    ("Store.sending", lambda w: w.store.sending("txn_1"), ["order.sending"]),
    (
        "Store.withdraw",
        lambda w: w.store.withdraw(
            "txn_1", State.APPROVED, State.REPLACED, "REPLACED", "by desk", w.call(), w.order("txn_2")
        ),
        ["order.replaced", "order.submitted"],
    ),
    (
        "Store.add_wallet",
        lambda w: w.store.add_wallet("wal_1", "PENDING_APPROVAL", b"proposal", b"key", 3, w.call()),
        ["wallet.pending_approval"],
    ),
    (
        "Store.move_wallet",
        lambda w: w.store.move_wallet("wal_1", "PENDING_APPROVAL", "PRE_ACTIVE", confirmations=b"all"),
        ["wallet.pre_active"],
    ),
    ("Store.note_wallet", lambda w: w.store.note_wallet("wal_1", drill=b"signature"), ["wallet.drill"]),
    ("Store.note_wallet", lambda w: w.store.note_wallet("wal_1", state="SUSPENDED"), ["wallet.suspended"]),
    (
        "Store.note_wallet",
        lambda w: w.store.note_wallet("wal_1", confirmations=b"next", threshold=3),
        ["wallet.epoch"],
    ),
    (
        "KeyBook.add_change",
        lambda w: w.keys.add_change(
            {"change_id": "chg_1", "wallet_id": "wal_1", "state": "RUNNING", "proposal": b"p", "subject": b"s"},
            w.call(),
        ),
        ["key.running"],
    ),
    (
        "KeyBook.move_change",
        lambda w: w.keys.move_change("chg_1", "RUNNING", "COMMITTING", certificate=b"all", request=b"request"),
        ["key.committing"],
    ),
    ("KeyBook.owe", lambda w: w.keys.owe("chg_1", (1, 2), b"message"), ["key.owed"]),
    ("KeyBook.told", lambda w: w.keys.told("chg_1", 2), ["key.told"]),
    ("KeyBook.add_receipt", lambda w: w.keys.add_receipt("chg_1", 2, b"receipt"), ["key.receipt"]),
    (
        "KeyBook.add_verdict",
        lambda w: w.keys.add_verdict("txn_2", Verdict(4, "presign", "a proof does not hold"), b"evidence"),
        ["evidence.verdict", "cosigner.quarantined"],
    ),
    (
        "KeyBook.export",
        lambda w: w.keys.export(EVIDENCE, "front-end"),
        ["evidence.exported"],
    ),
    ("KeyBook.pardon", lambda w: w.keys.pardon(4), ["cosigner.pardoned"]),
    (
        "ChainBook.add",
        lambda w: w.chain.add(
            {"change_id": "wsc_1", "proposal": b"p", "subject": b"change", "version": 1, "digest": b"d"}, w.call()
        ),
        ["workspace.proposed"],
    ),
    (
        "ChainBook.move",
        lambda w: w.chain.move("wsc_1", ChangeState.PROPOSED, ChangeState.APPROVED, document=b"request"),
        ["workspace.approved"],
    ),
    ("ChainBook.keep", lambda w: w.chain.keep(b"change", 1, SCHEDULING, b"seen"), ["workspace.scheduling"]),
    ("ChainBook.keep", lambda w: w.chain.keep(b"change", 1, ADOPTION, b"adopted"), ["workspace.adoption"]),
    ("ChainBook.add_version", lambda w: w.chain.add_version(1, b"d", b"change", b"request"), ["workspace.version"]),
    (
        "ChainBook.add_version",
        lambda w: w.chain.add_version(2, b"e", b"learnt", b"request"),
        ["workspace.approved", "workspace.version"],
    ),
    ("AnchorBook.add", lambda w: w.anchors.add("txn_2", 9, "checkpoint", b"proposal"), ["anchor.proposed"]),
    ("AnchorBook.anchored", lambda w: w.anchors.anchored("txn_2", b"receipt", b"ots", 5, 6), ["anchor.anchored"]),
    ("AnchorBook.add", lambda w: w.anchors.add("txn_3", 12, "checkpoint", b"proposal"), ["anchor.proposed"]),
    ("Conflicts.found", lambda w: w.conflicts.found(2, CONFLICT, log_verifier(workspace())), ["log.conflict"]),
    ("Conflicts.lift", lambda w: w.conflicts.lift("agreed"), ["log.goes_on"]),
    ("Authorizing.entry", lambda w: w.authorizing.entry("wal_2", create_request(wish())), ["authorized"]),
    ("Store.move", lambda w: w.store.move("txn_2", State.SUBMITTED, State.APPROVED), ["order.approved"]),
    ("Authorizing.order", lambda w: w.authorizing.order("txn_2", sign_request(intent(50))), ["authorized"]),
    ("AnchorBook.failed", lambda w: w.anchors.failed("txn_3", Refused("no")), ["anchor.failed"]),
]
TOLD = ("reason", "detail", "trace", "confirmations", "block_number")
# What a coordinator says or keeps for its own convenience; nobody's rights and no order's way hang on it.
SAID: list[tuple[str, Step]] = [
    ("Store.note", lambda w: w.store.note("txn_2", reason="R", detail="d", trace="[]", confirmations=1)),
    ("KeyBook.note_change", lambda w: w.keys.note_change("chg_1", reason="R", detail="d")),
    ("ChainBook.note", lambda w: w.chain.note("wsc_1", reason="R", detail="d")),
    ("KeyBook.add_presignature", lambda w: w.keys.add_presignature(b"p", "wal_1", 0, (), (1, 2, 3))),
    ("KeyBook.drop_presignatures", lambda w: w.keys.drop_presignatures([b"p"])),
]
READS = {
    Store: "known order list_orders orders_in facts refusals readings stages decisions all_decisions wallet wallets "
    "count_open nonce_of free_nonce",
    KeyBook: "change changes logged_at receipts owed_to owing presignatures verdicts verdict quarantined",
    ChainBook: "approved change changes kept versions",
    AnchorBook: "newest list",
    Conflicts: "load documents compare",
    Authorizing: "cover covered",  # which begins with `entry`
}
# Modules that write to the database at all; books are looked through above.
WRITERS = {
    "anchorbook": "a book",
    "authorizing": "a book",
    "calls": "called by books, in their transactions",
    "chainbook": "a book",
    "conflicts": "a book",
    "erasing": "leaves its own entry (test_erasing.py)",
    "journal": "the log itself",
    "keybook": "a book",
    "rebuilding": "what entries that are back say of orders and wallets (test_rebuilding.py)",
    "nonces": "called by Store and settling, in their transactions",
    "pages": "called by rebuilding alone, in its transaction",
    "recovering": "leaves its own entry (test_recovering.py)",
    "reservations": "called by Store alone, in its transactions",
    "settling": "where orders stand that are back, each with its entry (test_settling.py)",
    "staging": "writes the entries",
    "store": "a book",
    "tiling": "the log's tree",
}


class PowerCut(Exception):
    """The machine stops."""


@pytest.fixture
async def world(engine: AsyncEngine) -> World:
    return World(engine)


@contextmanager
def _dying(engine: Engine, after: bool) -> Iterator[None]:
    """The machine stops as an entry is written, or ``after`` that and before the transaction's end."""

    def watch(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO log_items"):
            raise PowerCut

    name = "after_cursor_execute" if after else "before_cursor_execute"
    event.listen(engine, name, watch)
    try:
        yield
    finally:
        event.remove(engine, name, watch)


@pytest.mark.covers("L09")
async def test_each_change_of_state_leaves_its_entry_in_its_own_transaction_or_does_not_happen(world: World) -> None:
    engine = world.engine.sync_engine
    for name, step, expected in CHANGES:
        before, events = await world.dump(), await world.events()
        for after in (False, True):
            with _dying(engine, after), pytest.raises(PowerCut):
                await step(world)
            assert await world.dump() == before, name
        await step(world)
        assert (await world.events())[len(events) :] == expected, name


async def test_what_is_only_said_leaves_no_entry_and_changes_no_state(world: World) -> None:
    for _, step, _ in CHANGES:
        await step(world)
    for name, step in SAID:
        before = await world.dump(TOLD)
        await step(world)
        after = await world.dump(TOLD)
        assert {table for table in after if after[table] != before[table]} <= {"presignatures"}, name


async def test_entries_name_ids_and_events_and_nobody(world: World) -> None:
    for _, step, _ in CHANGES:
        await step(world)
    async with world.engine.begin() as connection:
        rows = (await connection.execute(select(log_items.c.entry, log_items.c.record))).all()
    said, shown = b"".join(row.record for row in rows), b"".join(row.entry for row in rows)
    for word in (b"ravi", b"fine", b"by desk", b"front-end", b"NOT_ELIGIBLE", b"proposal", b"too much"):
        assert word in said
        assert word not in shown


async def test_a_refusal_that_is_said_again_is_no_entry_and_one_in_other_words_is(world: World) -> None:
    again, other = (replace(REFUSAL.refusal, detail=detail, at=2) for detail in ("too much", "far too much"))
    for refusal, count in ((REFUSAL.refusal, 1), (again, 1), (other, 2)):
        await world.store.add_refusal("txn_1", SignedRefusal(refusal, b"signature"))
        assert await world.events() == count * ["order.refusal"]
    [kept] = await world.store.refusals("txn_1")
    assert decode(SignedRefusal, kept).refusal == other


def test_no_method_of_a_book_is_forgotten_here() -> None:
    public = {
        f"{book.__name__}.{name}"
        for book in READS
        for name, _ in inspect.getmembers(book, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    changing = {name for name, _, _ in CHANGES} | {name for name, _ in SAID}
    reads = {f"{book.__name__}.{name}" for book, names in READS.items() for name in names.split()}
    assert public == changing | reads
    assert not changing & reads


@pytest.mark.covers("L09")
def test_nothing_but_books_and_the_log_writes_to_the_database() -> None:
    found = set()
    for path in Path(coordinator.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sqlalchemy"):
                if {one.name for one in node.names} & {"insert", "update", "delete", "text"}:
                    found.add(path.stem)
            elif isinstance(node, ast.Attribute) and node.attr == "exec_driver_sql" and path.stem != "database":
                found.add(path.stem)
    assert found == set(WRITERS)
