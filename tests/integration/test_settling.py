"""A database is put back, lives on without knowing what it has lost, and gets the log back: once, twice, in part."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import select, update

from coordinator.calls import Call
from coordinator.tables import log_items, nonces, orders, spends, wallets
from coordinator.wallets import FAILED, GENERATING
from oms_core.chains.intent import subject_digest
from oms_core.encoding import encode
from oms_core.errors import Reason, Refused
from oms_core.lifecycle import State, advance
from oms_core.log.entries import MADE, SIGNED, read_entry
from tests.integration.databases import Databases, recovered
from tests.integration.test_rebuilding import authorize, kept, make_wallet, raw_of, reserve, rows, sign, submit
from tests.people import EXECUTION, NOW, approve, create_request, intent, propose, sign_request, wish
from tests.unit.coordinator.desk import Desk


async def steps(desk: Desk, order_id: str = "txn_1") -> list[State]:
    """What the log says of an order, from step to step as the lifecycle has them."""
    names = {f"order.{state.lower()}": state for state in State}
    entries = [read_entry(one.entry) for one in await kept(desk)]
    found = [names[one.event] for one in entries if one.subject == order_id and one.event in names]
    for was, to in pairwise(found):
        advance(order_id, was, to)
    return found


async def test_an_order_that_was_withdrawn_holds_no_nonce_that_its_account_would_wait_for(databases: Databases) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    await reserve(lost)
    here = await databases.copied(lost, "backup")
    ended = (State.CANCELLED, Reason.CANCELLED, "by desk", Call("cancel", "CancelOrder", b""), None)
    await lost.store.withdraw("txn_1", State.APPROVED, *ended)
    await recovered(lost, here)
    assert (await here.store.order("txn_1"))["state"] == State.CANCELLED
    assert await rows(here, nonces) == []


@pytest.mark.parametrize("end", [State.DENIED, State.EXPIRED, State.CANCELLED, State.REJECTED])
@pytest.mark.parametrize("asked", [False, True])
async def test_what_ended_here_meanwhile_ends_in_the_log_by_steps_that_an_order_can_take(
    databases: Databases, end: State, asked: bool
) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost, to=State.PENDING_APPROVAL)
    here = await databases.copied(lost, "backup")
    await lost.store.move("txn_1", State.PENDING_APPROVAL, State.APPROVED)
    if asked:
        await authorize(lost)
        await lost.store.move("txn_1", State.APPROVED, State.SIGNING)
    await here.store.move("txn_1", State.PENDING_APPROVAL, end)
    await recovered(lost, here)
    last = State.QUARANTINED if asked else end
    assert (await steps(here))[-1] is last
    assert (await here.store.order("txn_1"))["state"] == last
    assert [read_entry(one.entry).event for one in await kept(here)].count("order.meanwhile") == 1


async def test_a_payment_is_a_payment_also_after_the_second_recovery(databases: Databases) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost, to=State.PENDING_APPROVAL)
    backup = await databases.copied(lost, "backup")
    await lost.store.move("txn_1", State.PENDING_APPROVAL, State.APPROVED)
    await authorize(lost)
    raw = await sign(lost)
    here = await databases.copied(backup, "first_time")
    await here.store.move("txn_1", State.PENDING_APPROVAL, State.DENIED)
    await recovered(lost, here)
    for desk in (here, backup):
        if desk is backup:
            await recovered(here, backup)
        row = await desk.store.order("txn_1")
        assert (row["state"], row["raw"]) == (State.SIGNED, raw)
        assert (await steps(desk))[-1] is State.SIGNED
    assert (await recovered(here, backup))[-1].endswith("entries")  # nothing more to be done


@pytest.mark.parametrize("signed", [False, True])
async def test_a_nonce_that_was_given_back_here_is_still_the_authorised_orders_after_the_second_recovery(
    databases: Databases, signed: bool
) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    await reserve(lost)
    backup = await databases.copied(lost, "backup")
    await authorize(lost)
    if signed:
        await sign(lost)
    here = await databases.copied(backup, "first_time")
    await here.store.release_nonce("txn_1")
    await recovered(lost, here)
    await recovered(here, backup)
    for desk in (here, backup):
        assert await rows(desk, nonces) == await rows(lost, nonces) != []


async def test_the_transaction_that_was_authorised_first_stands_also_after_the_second_recovery(
    databases: Databases,
) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    backup = await databases.copied(lost, "backup")
    await authorize(lost)
    here = await databases.copied(backup, "first_time")
    other = replace(EXECUTION, nonce=EXECUTION.nonce + 1)
    await here.store.note("txn_1", execution=encode(other))
    await here.authorizing.order("txn_1", sign_request(intent(), approve(intent(), "ravi"), execution=other))
    await recovered(lost, here)
    await recovered(here, backup)
    for desk in (here, backup):
        assert (await desk.store.order("txn_1"))["execution"] == encode(EXECUTION)
        assert await desk.store.nonce_of("txn_1") == EXECUTION.nonce


@pytest.mark.parametrize("end", [State.CANCELLED, State.REPLACED, State.DENIED])
async def test_an_order_that_had_ended_is_not_begun_again_by_the_second_recovery(
    databases: Databases, end: State
) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    backup = await databases.copied(lost, "backup")
    if end is State.DENIED:
        await lost.store.move("txn_1", State.APPROVED, State.PENDING_APPROVAL)
        await lost.store.move("txn_1", State.PENDING_APPROVAL, end)
    else:
        call = Call("end", "End", b"")
        await lost.store.withdraw("txn_1", State.APPROVED, end, Reason[end.name], "by desk", call, None)
    here = await databases.copied(backup, "first_time")
    await authorize(here)  # a standby that was behind, and did not know of it
    await recovered(lost, here)
    await recovered(here, backup)
    for desk in (here, backup):
        assert (await desk.store.order("txn_1"))["state"] == end
    assert await rows(backup, nonces) == []


async def test_a_key_in_use_stays_so_whatever_became_of_its_wallet_here(databases: Databases) -> None:
    lost = await databases.begun()
    backup = await databases.copied(lost, "backup")
    await make_wallet(lost)
    here = await databases.copied(backup, "first_time")
    other, call = wish(threshold=2, label="another"), Call("wallet", "CreateWallet", b"")
    await here.store.add_wallet("wal_1", GENERATING, encode(propose(other)), subject_digest(other), 2, call)
    await here.store.move_wallet("wal_1", GENERATING, FAILED, reason="EXPIRED", detail="not made in time")
    await recovered(lost, here)
    await recovered(here, backup)
    for desk in (here, backup):
        assert await desk.wallets.active("wal_1") == await lost.wallets.active("wal_1")
        assert await rows(desk, wallets) == await rows(lost, wallets)


async def test_a_wallet_that_was_denied_here_is_not_made(databases: Databases) -> None:
    lost = await databases.begun()
    wanted, call = wish(), Call("wallet", "CreateWallet", b"")
    await lost.store.add_wallet("wal_1", "PENDING_APPROVAL", encode(propose(wanted)), subject_digest(wanted), 3, call)
    here = await databases.copied(lost, "backup")
    await lost.store.move_wallet("wal_1", "PENDING_APPROVAL", GENERATING)
    await lost.authorizing.entry("wal_1", create_request(wanted, approve(wanted, "adam")))
    await here.store.move_wallet("wal_1", "PENDING_APPROVAL", "DENIED")
    await recovered(lost, here)
    assert (await here.store.wallet("wal_1"))["state"] == "DENIED"


@pytest.mark.parametrize("event", [SIGNED, MADE])
async def test_a_record_that_one_cosigner_keeps_back_another_one_has(databases: Databases, event: str) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    await authorize(lost)
    raw = await sign(lost)
    here = await databases.begun("here")
    await recovered(lost, here, at_1=event, at_2=event)
    row = await here.store.order("txn_1")
    assert (row["state"], row["raw"]) == (State.SIGNED, raw)
    assert await here.wallets.active("wal_1") == await lost.wallets.active("wal_1")


async def test_a_key_of_which_nobody_has_kept_anything_is_none_and_says_so(databases: Databases) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    await authorize(lost)
    here = await databases.begun("here")
    await recovered(lost, here, all=MADE)
    row = await here.store.wallet("wal_1")
    assert (row["state"], row["reason"]) == (FAILED, Reason.STORE_CORRUPT)
    for asked in (here.wallets.active("wal_1"), here.wallets.standing("wal_1"), here.wallets.account("wal_1")):
        with pytest.raises(Refused) as refused:
            await asked
        assert refused.value.reason is Reason.WRONG_STATE
    assert (await here.store.order("txn_1"))["state"] == State.APPROVED


async def test_an_order_still_says_in_whose_place_it_is(databases: Databases) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost, to=State.PENDING_APPROVAL)
    here = await databases.copied(lost, "backup")
    second = intent(intent_id="int_2")
    row = {"order_id": "txn_2", "wallet_id": "wal_1", "proposal": encode(propose(second)), "replaces": "txn_1"}
    following = {**row, "subject": subject_digest(second)}
    call = Call("amend", "AmendOrder", b"")
    was = (State.PENDING_APPROVAL, State.REPLACED, Reason.REPLACED)
    await lost.store.withdraw("txn_1", *was, "by txn_2", call, following)
    await lost.store.move("txn_2", State.SUBMITTED, State.APPROVED)
    await authorize(lost, "txn_2", second)
    await recovered(lost, here)
    assert (await here.store.order("txn_1"))["state"] == State.REPLACED
    assert (await here.store.order("txn_2"))["replaces"] == "txn_1"


@pytest.mark.parametrize("signed", [False, True])
async def test_what_was_put_in_the_place_of_an_order_that_may_be_paid_is_not_paid_as_well(
    databases: Databases, signed: bool
) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost, to=State.PENDING_APPROVAL)
    here = await databases.copied(lost, "backup")
    await lost.store.move("txn_1", State.PENDING_APPROVAL, State.APPROVED)
    await authorize(lost)
    if signed:
        await sign(lost)
    for old, new in (("txn_1", "txn_2"), ("txn_2", "txn_3")):
        subject = intent(intent_id=f"int_{new}")
        row = {"order_id": new, "wallet_id": "wal_1", "proposal": encode(propose(subject)), "replaces": old}
        was = State((await here.store.order(old))["state"])
        call = Call(f"amend {old}", "AmendOrder", b"")
        following = {**row, "subject": subject_digest(subject)}
        await here.store.withdraw(old, was, State.REPLACED, Reason.REPLACED, f"by {new}", call, following)
    await recovered(lost, here)
    stands = [(await here.store.order(name))["state"] for name in ("txn_1", "txn_2", "txn_3")]
    assert stands == [State.SIGNED if signed else State.QUARANTINED, State.REPLACED, State.REJECTED]
    assert "in whose place it was put" in (await here.store.order("txn_3"))["detail"]
    for name in ("txn_1", "txn_2", "txn_3"):
        assert (await steps(here, name))[-1] == (await here.store.order(name))["state"]


async def test_two_orders_under_one_name_stop_no_recovery(databases: Databases) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    await authorize(lost)
    other = sign_request(intent(intent_id="int_2"), execution=EXECUTION)
    for name in ("txn_1", ""):
        await Desk(lost.engine).authorizing.entry(name, other)
    here = await databases.begun("here")
    await recovered(lost, here)
    assert [row["order_id"] for row in await rows(here, orders)] == ["txn_1"]
    assert (await here.store.order("txn_1"))["subject"] == subject_digest(intent())


async def test_what_this_database_had_authorised_counts_as_of_its_new_place(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    here = await databases.copied(lost, "backup")
    await submit(here)
    await authorize(here)
    await submit(lost, "txn_2", intent(intent_id="int_2"))
    monkeypatch.setattr("time.time", lambda: float(NOW + 7200))
    await recovered(lost, here)
    async with here.engine.begin() as connection:
        assert (await connection.execute(select(orders.c.authorized_at))).scalars().all() == [NOW + 7200]
        assert set((await connection.execute(select(spends.c.at))).scalars()) == {NOW + 7200}
        last = select(log_items.c.at).order_by(log_items.c.index.desc()).limit(1)
        assert (await connection.execute(last)).scalar() == NOW + 7200


async def test_a_silly_note_stops_no_recovery(databases: Databases) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    await authorize(lost)
    await lost.store.move("txn_1", State.APPROVED, State.SIGNING)
    note = "by cosigners " + "9" * 5000 + ", 2, " + "1, " * 500
    await lost.store.move("txn_1", State.SIGNING, State.SIGNED, note, raw=raw_of(intent()))
    here = await databases.begun("here")
    await recovered(lost, here)
    row = await here.store.order("txn_1")
    assert (row["state"], row["signers"][:6], len(row["signers"]) < 256) == (State.SIGNED, "[2, 1,", True)


async def test_bytes_that_were_erased_here_before_anybody_saw_them_stop_no_recovery(databases: Databases) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    here = await databases.copied(lost, "backup")
    await submit(here)
    await authorize(here)
    await sign(here)
    signed = next(read_entry(one.entry) for one in await kept(here) if read_entry(one.entry).event == SIGNED)
    async with here.engine.begin() as connection:
        mine = update(log_items).where(log_items.c.index == signed.index)
        await connection.execute(mine.values(record=b"", salt=b""))
    await submit(lost, "txn_2", replace(intent(), intent_id="int_2"))
    await recovered(lost, here)
    assert (await here.store.order("txn_1"))["state"] == State.SIGNED
