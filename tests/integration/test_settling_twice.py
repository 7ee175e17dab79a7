"""One order that two databases know by two ids, and one nonce that two orders were given, when the log is back."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from coordinator.calls import Call
from coordinator.journal import Journal
from coordinator.tables import log_checkpoints, nonces, orders
from oms_core.approvals import Verdict
from oms_core.errors import Reason
from oms_core.lifecycle import State
from oms_core.log.entries import AUTHORIZED, read_entry
from tests.integration.databases import Databases, recovered
from tests.integration.test_journal import KEY
from tests.integration.test_rebuilding import authorize, kept, make_wallet, raw_of, rows, submit
from tests.logs import ORIGIN
from tests.people import EXECUTION, NOW, approve, intent
from tests.unit.coordinator.desk import Desk


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_was_proposed_anew_and_denied_is_not_gone_on_with_under_its_first_id(
    databases: Databases, when: str
) -> None:
    """The first id is all that a database from before both of them gets to know by what was authorised."""
    lost = await databases.begun()
    await make_wallet(lost)
    backup = await databases.copied(lost, "backup")
    await submit(lost)
    await authorize(lost)
    here = await databases.copied(backup, "first_time")
    await submit(here, "txn_2", to=State.PENDING_APPROVAL)
    if when == "before":
        await deny(here, "txn_2")
    await recovered(lost, here)
    if when == "after":
        assert (await here.store.order("txn_2"))["state"] == State.APPROVED
        await here.store.move("txn_2", State.APPROVED, State.PENDING_APPROVAL)
        await deny(here, "txn_2")
    third = await databases.copied(backup, "third")
    await submit(third, "txn_3", to=State.PENDING_APPROVAL)
    for desk, name in ((backup, "txn_1"), (third, "txn_3")):
        await recovered(here, desk)
        assert [row["order_id"] for row in await rows(desk, orders)] == [name]
        assert (await desk.store.order(name))["state"] == (await here.store.order("txn_2"))["state"]
        assert await rows(desk, nonces) == []
    fourth = await databases.copied(lost, "fourth")
    await recovered(third, fourth)  # three ids by now
    assert (await fourth.store.order("txn_1"))["state"] == (await here.store.order("txn_2"))["state"]


async def deny(desk: Desk, name: str) -> None:
    await desk.store.move(name, State.PENDING_APPROVAL, State.DENIED)


@pytest.mark.parametrize("known", ["txn_1", "txn_2"])
async def test_a_database_that_knows_an_order_by_another_id_than_what_follows_ends_it_as_well(
    databases: Databases, known: str
) -> None:
    """What both ids are of stands in its log already, in a part of it that cosigners have signed."""
    lost = await databases.begun()
    await make_wallet(lost)
    backup = await databases.copied(lost, "backup")
    await submit(lost)
    await authorize(lost)
    here = await databases.copied(backup, "first_time")
    await submit(here, "txn_2", to=State.PENDING_APPROVAL)
    await recovered(lost, here)
    await recovered(here, backup)
    desks = {"txn_1": backup, "txn_2": here}
    [other] = set(desks) - {known}
    put_back = await databases.copied(desks[known], "put_back")
    await cosigned(put_back)
    await recovered(desks[known], desks[other])
    await desks[other].store.move(other, State.APPROVED, State.PENDING_APPROVAL)
    await deny(desks[other], other)
    await recovered(desks[other], put_back)
    assert [row["order_id"] for row in await rows(put_back, orders)] == [known]
    assert (await put_back.store.order(known))["state"] == State.DENIED
    assert await rows(put_back, nonces) == []


async def cosigned(desk: Desk) -> None:
    """Witnesses have signed all that there is."""
    await Journal(desk.engine, KEY, ORIGIN).checkpoint()
    async with desk.engine.begin() as connection:
        await connection.execute(update(log_checkpoints).values(count=5))


@pytest.mark.parametrize("here_is", [State.APPROVED, State.SIGNING, State.EXPIRED])
async def test_an_order_that_took_the_nonce_of_one_that_is_back_is_chosen_anew_and_never_asked_for_with_it(
    databases: Databases, here_is: State
) -> None:
    """A standby that was behind gave it another order: no cosigner has seen that, and none will."""
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    backup = await databases.copied(lost, "backup")
    await authorize(lost)
    here = await databases.copied(backup, "first_time")
    await ask_for_another(here)
    if here_is is not State.APPROVED:
        await here.store.move("txn_2", State.APPROVED, here_is)
    await recovered(lost, here)
    row = await here.store.order("txn_2")
    assert (row["state"], row["authorized_at"]) == (here_is, 0)
    asked = [entry.subject for one in await kept(here) if (entry := read_entry(one.entry)).event == AUTHORIZED]
    assert asked == ["wal_1", "txn_1"]
    assert await rows(here, nonces) == await rows(lost, nonces)
    if here_is is not State.EXPIRED:
        account = (await rows(here, nonces))[0]["account"]
        await here.store.move("txn_1", State.APPROVED, State.SIGNING)
        await here.store.move("txn_1", State.SIGNING, State.SIGNED, raw=raw_of(intent()))
        await here.store.move("txn_1", State.SIGNED, State.BROADCAST)
        assert await here.store.reserve_nonce(intent().chain, account, "txn_2", EXECUTION.nonce) == EXECUTION.nonce + 1
    else:
        await recovered(here, backup)
        assert await rows(backup, nonces) == await rows(lost, nonces)


async def test_of_two_orders_that_cosigners_were_asked_to_sign_with_one_nonce_one_is_for_people_to_look_at(
    databases: Databases,
) -> None:
    """No coordinator writes that down any more; logs have it."""
    lost = await databases.begun()
    await make_wallet(lost)
    backup = await databases.copied(lost, "backup")
    await submit(lost)
    await authorize(lost)
    async with lost.engine.begin() as connection:
        await connection.execute(nonces.delete())
    await ask_for_another(lost)
    await recovered(lost, backup)
    first, second = [await backup.store.order(name) for name in ("txn_1", "txn_2")]
    assert (first["state"], first["reason"]) == (State.QUARANTINED, Reason.NONCE_CONFLICT)
    assert first["detail"].startswith("txn_2 has its nonce")
    assert (second["state"], second["authorized_at"]) == (State.APPROVED, NOW)
    assert await rows(backup, nonces) == await rows(lost, nonces)


@pytest.mark.parametrize("end", [State.DENIED, State.EXPIRED])
async def test_what_had_ended_counts_no_more_than_it_did_because_a_database_asked_for_it_that_did_not_know(
    databases: Databases, end: State
) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost)
    backup = await databases.copied(lost, "backup")
    if end is State.DENIED:
        await lost.store.move("txn_1", State.APPROVED, State.PENDING_APPROVAL)
    was = State((await lost.store.order("txn_1"))["state"])
    await lost.store.move("txn_1", was, end)
    await authorize(backup)
    await recovered(lost, backup)
    row = await backup.store.order("txn_1")
    assert (row["state"], row["authorized_at"]) == (end, 0)
    assert (await backup.store.facts(NOW)).spent == (await lost.store.facts(NOW)).spent == ()
    asked = [entry.subject for one in await kept(backup) if (entry := read_entry(one.entry)).event == AUTHORIZED]
    assert asked == ["wal_1"]


async def ask_for_another(desk: Desk) -> None:
    """A second order, with the nonce that is free here."""
    await submit(desk, "txn_2", intent(intent_id="int_2"), State.PENDING_APPROVAL)
    await desk.store.move("txn_2", State.PENDING_APPROVAL, State.APPROVED)
    await authorize(desk, "txn_2", intent(intent_id="int_2"))


@pytest.mark.parametrize("asked", [False, True])
async def test_a_denial_that_had_no_time_to_end_an_order_here_ends_it_when_the_log_is_back(
    databases: Databases, asked: bool
) -> None:
    lost = await databases.begun()
    await make_wallet(lost)
    await submit(lost, to=State.PENDING_APPROVAL)
    here = await databases.copied(lost, "backup")
    await lost.store.move("txn_1", State.PENDING_APPROVAL, State.APPROVED)
    if asked:
        await authorize(lost)
    said = approve(intent(), "olga", Verdict.DENY)
    await here.store.decide("txn_1", said, "person-olga", 1, "no", Call("no", "Decide", b""))
    await recovered(lost, here)
    assert (await here.store.order("txn_1"))["state"] == (State.QUARANTINED if asked else State.DENIED)
    assert await rows(here, nonces) == []
