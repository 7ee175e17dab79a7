"""Orders and wallets are made again from entries alone, as they were in the database that was lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.calls import Call
from coordinator.database import open_database
from coordinator.journal import Journal
from coordinator.orders import proposal_of
from coordinator.rebuilding import Rebuilding
from coordinator.settling import settle
from coordinator.tables import decisions, nonces, orders, spends, stages, wallets
from coordinator.wallets import GENERATING, PRE_ACTIVE, Confirmations, account_of
from oms_core.chains.evm import assemble, message_signature, transaction_hash, what_is_signed
from oms_core.chains.intent import Bounds, Intent, Message, subject_digest
from oms_core.crypto.ecdsa import Signature
from oms_core.encoding import decode, encode
from oms_core.errors import Reason
from oms_core.lifecycle import State
from oms_core.log.entries import KEPT, SIGNED, Item, read_entry
from oms_core.policy.spends import spends as spends_of
from oms_core.protocol.shares import SignedConfirmation
from tests.integration.test_journal import KEY
from tests.logs import ORIGIN
from tests.people import EXECUTION, NOW, approve, create_request, intent, propose, sign_request, wish, workspace
from tests.unit.coordinator.desk import Desk
from tests.unit.cosigner.epochs import certificate, originals, signed

LATER = {"detail", "reason", "created_at", "at", "trace", "comment", "number", "note", "confirmations"}
"""What cosigners keep no record of, and what is told otherwise."""
RAVI = next(one.person_id for one in workspace().users if one.user_id == "ravi")
UNSIGNED = [State.DENIED, State.REJECTED, State.EXPIRED]


@pytest.fixture(autouse=True)
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' approvals and intents are good now."""
    monkeypatch.setattr("time.time", lambda: float(NOW))


@pytest.fixture
async def lost(tmp_path: Path) -> AsyncIterator[Desk]:
    """The database that nobody has any more."""
    made = Desk(await open_database(f"sqlite:///{tmp_path / 'lost.sqlite'}"))
    yield made
    await made.engine.dispose()


@pytest.fixture
async def here(engine: AsyncEngine) -> Desk:
    """The one that is there instead."""
    return Desk(engine)


async def make_wallet(desk: Desk) -> None:
    """From the wish to the active wallet."""
    wanted = wish()
    request = create_request(wanted, approve(wanted, "adam"))
    call = Call("wallet", "CreateWallet", b"")
    await desk.store.add_wallet("wal_1", GENERATING, encode(request.proposal), subject_digest(wanted), 3, call)
    await desk.authorizing.entry("wal_1", request)
    said = Confirmations(tuple(decode(SignedConfirmation, one) for one in certificate(originals())))
    await desk.store.move_wallet("wal_1", GENERATING, PRE_ACTIVE, confirmations=encode(said))
    await desk.store.move_wallet("wal_1", PRE_ACTIVE, "ACTIVE")


async def submit(
    desk: Desk, order_id: str = "txn_1", subject: Intent | None = None, to: State = State.APPROVED
) -> None:
    """An order that people have approved, or that waits for them."""
    subject = subject or intent()
    adds = spends_of(workspace(), subject, NOW)
    order = {"order_id": order_id, "wallet_id": "wal_1", "proposal": encode(propose(subject)), "adds": adds}
    await desk.store.add_order({**order, "subject": subject_digest(subject)}, Call(order_id, "SubmitIntent", b""))
    await desk.store.move(order_id, State.SUBMITTED, State.PENDING_APPROVAL)
    if to is State.APPROVED:
        call = Call(f"{order_id}-ravi", "Decide", b"")
        await desk.store.decide(order_id, approve(subject, "ravi"), RAVI, 1, "", call)
        await desk.store.move(order_id, State.PENDING_APPROVAL, State.APPROVED)


async def reserve(desk: Desk, order_id: str = "txn_1") -> None:
    account = account_of(await desk.store.wallet("wal_1"), ()).hex()
    assert await desk.store.reserve_nonce(intent().chain, account, order_id, EXECUTION.nonce) == EXECUTION.nonce


async def authorize(desk: Desk, order_id: str = "txn_1", subject: Intent | None = None) -> None:
    """Its execution is chosen, and cosigners are about to be asked."""
    subject = subject or intent()
    execution = None if isinstance(subject.action, Message) else EXECUTION
    if execution is not None:
        await reserve(desk, order_id)
        await desk.store.note(order_id, execution=encode(execution))
    proposal = proposal_of(await desk.store.order(order_id))
    request = replace(sign_request(subject, approve(subject, "ravi"), execution=execution), proposal=proposal)
    await desk.authorizing.order(order_id, request)


def raw_of(subject: Intent) -> bytes:
    tx, digest = what_is_signed(subject, None if isinstance(subject.action, Message) else EXECUTION)
    made = decode(Signature, signed(digest))
    return message_signature(made) if tx is None else assemble(tx, made)


async def sign(desk: Desk, order_id: str = "txn_1", subject: Intent | None = None) -> bytes:
    subject = subject or intent()
    raw = raw_of(subject)
    tx_hash = "" if isinstance(subject.action, Message) else "0x" + transaction_hash(raw).hex()
    await desk.store.move(order_id, State.APPROVED, State.SIGNING)
    values: dict[str, Any] = {"raw": raw, "hash": tx_hash, "signers": json.dumps([1, 2, 3])}
    await desk.store.move(order_id, State.SIGNING, State.SIGNED, "by cosigners 1, 2, 3", **values)
    return raw


async def kept(desk: Desk) -> list[Item]:
    """Of the log, what cosigners keep."""
    items = await Journal(desk.engine, KEY, ORIGIN).items(0, 1000, 1 << 24)
    return [one if read_entry(one.entry).event in KEPT else Item(one.entry, b"", b"") for one in items]


async def rebuilt(lost: Desk, here: Desk, own: list[Item] | None = None, drop: str = "") -> Rebuilding:
    """What `recover` does with entries that are back."""
    found = await kept(lost)
    items = [Item(one.entry, b"", b"") if read_entry(one.entry).event == drop else one for one in found]
    async with here.engine.begin() as connection:
        books = Rebuilding(connection, [workspace()])
        for at in range(0, len(items), 3):
            await books.take(items[at : at + 3])
        await settle(connection, books, own or [])
    return books


async def rows(desk: Desk, table: Table) -> list[dict[str, Any]]:
    async with desk.engine.begin() as connection:
        found = (await connection.execute(select(table).order_by(*list(table.c)[:2]))).mappings().all()
    return [{name: value for name, value in row.items() if name not in LATER} for row in found]


@pytest.mark.parametrize("subject", [intent(), intent(action=Message("I am I"), bounds=Bounds(0, 0))])
async def test_orders_and_wallets_of_a_lost_database_are_as_they_were(lost: Desk, here: Desk, subject: Intent) -> None:
    await make_wallet(lost)
    await submit(lost, subject=subject)
    await authorize(lost, subject=subject)
    await sign(lost, subject=subject)
    books = await rebuilt(lost, here)
    assert (set(books.orders), books.wallets, books.unknown) == ({"txn_1"}, {"wal_1"}, 0)
    for table in (orders, wallets, nonces, spends):
        assert await rows(here, table) == await rows(lost, table), table
    assert await here.wallets.active("wal_1") == await lost.wallets.active("wal_1")
    people = [row["person_id"] for row in await rows(here, decisions)]
    assert sorted(people) == sorted(one.person_id for one in workspace().users if one.user_id in ("adam", "ravi"))
    facts = await here.store.facts(NOW)
    assert facts.spent == (await lost.store.facts(NOW)).spent
    assert facts.spent


@pytest.mark.parametrize(
    ("ways", "stands"),
    [
        ((), State.APPROVED),
        ((State.SIGNING,), State.APPROVED),
        ((State.SIGNING, State.APPROVED, State.PENDING_APPROVAL), State.PENDING_APPROVAL),
        ((State.SIGNING, State.SIGNED, State.BROADCAST), State.BROADCAST),
        ((State.SIGNING, State.SIGNED, State.BROADCAST, State.MINED), State.BROADCAST),
        ((State.SIGNING, State.SIGNED, State.BROADCAST, State.MINED, State.CONFIRMED), State.CONFIRMED),
        ((State.SIGNING, State.SIGNED, State.BROADCAST, State.MINED, State.FAILED_ON_CHAIN), State.FAILED_ON_CHAIN),
        *(((State.SIGNING, State.APPROVED, end), end) for end in (State.REJECTED, State.EXPIRED)),
    ],
)
async def test_an_order_goes_on_from_where_the_log_says_it_stood(
    lost: Desk, here: Desk, ways: tuple[State, ...], stands: State
) -> None:
    for desk in (lost, here):
        await make_wallet(desk)
        await submit(desk, to=State.PENDING_APPROVAL)
    await lost.store.move("txn_1", State.PENDING_APPROVAL, State.APPROVED)
    await authorize(lost)
    for was, to in zip((State.APPROVED, *ways), ways, strict=False):
        values = {"raw": raw_of(intent()), "hash": "0x1"} if to is State.SIGNED else {}
        await lost.store.move("txn_1", was, to, **values)
    await rebuilt(lost, here)
    row = await here.store.order("txn_1")
    assert row["state"] == stands
    assert row["authorized_at"] == (await lost.store.order("txn_1"))["authorized_at"] > 0
    assert (row["raw"] is not None) == (State.SIGNED in ways)
    assert await rows(here, nonces) == await rows(lost, nonces)
    assert (stands in (State.REJECTED, State.EXPIRED)) is not bool(await rows(here, nonces))
    told = [row["state"] for row in await rows(here, stages) if row["subject_id"] == "txn_1"]
    goes_on = [stands] if ways and ways[-1] is not stands else []
    assert told[2:] == [State.SUBMITTED, State.PENDING_APPROVAL, State.APPROVED, *ways, *goes_on]


async def test_an_order_whose_signed_bytes_nobody_has_is_for_people_to_look_at(lost: Desk, here: Desk) -> None:
    await make_wallet(lost)
    await submit(lost)
    await authorize(lost)
    await sign(lost)
    await rebuilt(lost, here, drop=SIGNED)
    row = await here.store.order("txn_1")
    assert (row["state"], row["reason"]) == (State.QUARANTINED, Reason.STORE_CORRUPT)
    said = [read_entry(one.entry).event for one in await kept(here)]
    assert said == ["order.quarantined", "order.nonce_released"]  # used or not, nobody waits for it
    assert await rows(here, nonces) == []


async def test_what_was_never_authorised_is_counted_and_not_made_up(lost: Desk, here: Desk) -> None:
    await make_wallet(lost)
    await submit(lost)
    await submit(lost, "txn_2", intent(intent_id="int_2", amount=2), State.PENDING_APPROVAL)
    await authorize(lost)
    books = await rebuilt(lost, here)
    assert (set(books.orders), books.unknown) == ({"txn_1"}, 1)
    assert [row["order_id"] for row in await rows(here, orders)] == ["txn_1"]


@pytest.mark.parametrize("end", UNSIGNED)
@pytest.mark.parametrize("asked", [False, True])
async def test_an_order_that_ended_here_meanwhile_is_not_signed_nor_said_to_be_unpaid_if_a_share_may_be_out(
    lost: Desk, here: Desk, end: State, asked: bool
) -> None:
    for desk in (lost, here):
        await make_wallet(desk)
        await submit(desk, to=State.PENDING_APPROVAL)
    await lost.store.move("txn_1", State.PENDING_APPROVAL, State.APPROVED)
    if asked:
        await authorize(lost)
    own = len(await kept(here))
    await here.store.move("txn_1", State.PENDING_APPROVAL, end)
    await rebuilt(lost, here, (await kept(here))[own:])
    row = await here.store.order("txn_1")
    assert row["state"] == (State.QUARANTINED if asked else end)
    assert row["detail"].startswith(f"{end} here, before the log was back")
    assert ("look for nonce 7 of its account" in row["detail"]) is asked
    assert await rows(here, nonces) == []


@pytest.mark.parametrize("end", UNSIGNED)
async def test_an_order_that_was_signed_stays_so_whatever_was_said_of_it_since(
    lost: Desk, here: Desk, end: State
) -> None:
    for desk in (lost, here):
        await make_wallet(desk)
        await submit(desk, to=State.PENDING_APPROVAL)
    await lost.store.move("txn_1", State.PENDING_APPROVAL, State.APPROVED)
    await authorize(lost)
    raw = await sign(lost)
    own = len(await kept(here))
    await here.store.move("txn_1", State.PENDING_APPROVAL, end)
    await rebuilt(lost, here, (await kept(here))[own:])
    row = await here.store.order("txn_1")
    assert (row["state"], row["raw"]) == (State.SIGNED, raw)


async def test_the_nonce_is_the_authorised_orders_whoever_was_given_it_since(lost: Desk, here: Desk) -> None:
    for desk in (lost, here):
        await make_wallet(desk)
    await submit(lost)
    await authorize(lost)
    await submit(here, "txn_2", intent(intent_id="int_2", amount=2))
    await reserve(here, "txn_2")
    await rebuilt(lost, here)
    assert await here.store.nonce_of("txn_1") == EXECUTION.nonce
    assert await here.store.nonce_of("txn_2") is None


async def test_an_intent_that_was_proposed_anew_since_is_known_by_its_newer_id(lost: Desk, here: Desk) -> None:
    for desk in (lost, here):
        await make_wallet(desk)
    await submit(lost)
    await authorize(lost)
    raw = await sign(lost)
    await submit(here, "txn_9", to=State.PENDING_APPROVAL)
    books = await rebuilt(lost, here)
    assert (set(books.orders), books.unknown) == ({"txn_9"}, 0)
    row = await here.store.order("txn_9")
    assert (row["state"], row["raw"]) == (State.SIGNED, raw)
    assert len(await rows(here, orders)) == 1
    assert len(await rows(here, spends)) == len(await rows(lost, spends))


async def test_decisions_that_are_void_here_and_were_presented_there_stand_again(lost: Desk, here: Desk) -> None:
    for desk in (lost, here):
        await make_wallet(desk)
        await submit(desk)
    await here.store.void("txn_1", RAVI, "EXACT_BYTES_NEEDED")
    await authorize(lost)
    await rebuilt(lost, here)
    assert [row["person_id"] for row in await here.store.decisions("txn_1")] == [RAVI]


async def test_a_key_that_was_not_made_is_asked_for_again(lost: Desk, here: Desk) -> None:
    wanted, call = wish(), Call("wallet", "CreateWallet", b"")
    await lost.store.add_wallet("wal_1", GENERATING, encode(propose(wanted)), subject_digest(wanted), 3, call)
    await lost.authorizing.entry("wal_1", create_request(wanted, approve(wanted, "adam")))
    await rebuilt(lost, here)
    assert (await here.store.wallet("wal_1"))["state"] == GENERATING
    await lost.store.move_wallet("wal_1", GENERATING, "FAILED")
    await rebuilt(lost, here)
    assert (await here.store.wallet("wal_1"))["state"] == "FAILED"


async def test_a_suspended_wallet_is_suspended(lost: Desk, here: Desk) -> None:
    await make_wallet(lost)
    await lost.store.note_wallet("wal_1", state="SUSPENDED")
    await rebuilt(lost, here)
    assert (await here.store.wallet("wal_1"))["state"] == "SUSPENDED"
