"""Anchors: proposed as any order is, when they are due, once at a time, and proved when they are confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator import anchoring
from coordinator.anchoring import Anchoring
from oms_core.chains import intent as intents
from oms_core.chains.header import read_header
from oms_core.chains.intent import Intent, check_subject
from oms_core.encoding import decode
from oms_core.errors import Conflict, LocalError, NotFound, ProofInvalid, Reason, Unavailable
from oms_core.log.anchor import AnchorReceipt, anchor_call, checkpoint_of, verify_anchor
from oms_core.log.ots import verify_ots
from oms_core.proposals import verify_proposal
from oms_core.workspace import User
from tests.unit.coordinator.anchorage import NO, Anchorage, checkpoint, later
from tests.unit.log.anchors import ACCOUNT, CONTRACT, signed


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Anchorage]:
    made = await Anchorage.start(tmp_path, minutes=10, entries=100)
    yield made
    await made.engine.dispose()


async def anchored(place: Anchorage, work: Anchoring) -> None:
    await work.step()
    await place.confirmed()
    await work.step()
    assert await place.state() == ("ANCHORED", "")


async def test_the_first_checkpoint_is_proposed_at_once_by_the_service_as_any_order_is(place: Anchorage) -> None:
    await place.anchoring().step()
    [proposal] = place.submitted
    intent = proposal.subject
    assert isinstance(intent, Intent)
    assert (intent.wallet_id, intent.initiator) == ("wal_anchor", "anchor")
    assert intent.action == intents.Call(CONTRACT, 0, anchor_call(place.note.decode()))
    check_subject(intent, intent.valid_from)
    service = User("anchor", "s", "Anchor", "log", "", ("trader",), (), (place.signer.public,), enabled=True)
    users = (*place.standing.current.users, service)
    verify_proposal(proposal, replace(place.standing.current, users=users))
    assert place.begun == [await place.order()]
    assert await place.state() == ("PROPOSED", "")


async def test_a_confirmed_anchor_has_a_receipt_and_a_proof_file_that_verify_offline(place: Anchorage) -> None:
    await anchored(place, place.anchoring())
    row = await place.book.newest()
    assert row is not None
    receipt = decode(AnchorReceipt, row["receipt"])
    header = read_header(receipt.header)
    shown = verify_anchor(receipt, ACCOUNT, CONTRACT, header.hash)
    assert (shown.size, shown.block, shown.timestamp) == (7, row["block_number"], row["block_time"])
    body = checkpoint_of(place.note.decode()).body()
    assert verify_ots(row["ots"], body, lambda _: header.transactions_root).blocks == (row["block_number"],)


async def test_one_anchor_at_a_time_also_over_replicas_and_restarts(place: Anchorage) -> None:
    for work in (place.anchoring(), place.anchoring(), place.anchoring()):
        await work.step()
    assert len(place.submitted) == 1
    assert not await place.book.add("txn_2", 9, "note", b"proposal")


async def test_a_crash_before_the_order_was_taken_on_is_made_good(place: Anchorage) -> None:
    place.refusal = Unavailable("the database is away", Reason.CHAIN_UNAVAILABLE)
    with pytest.raises(Unavailable):
        await place.anchoring().step()
    assert (place.submitted, await place.state()) == ([], ("PROPOSED", ""))
    place.refusal = None
    await place.anchoring().step()
    assert len(place.submitted) == 1
    assert place.begun == [await place.order()]


async def test_a_crash_after_the_order_was_taken_on_begins_it_again_and_submits_it_once(place: Anchorage) -> None:
    await place.anchoring().step()
    place.begun.clear()
    await place.anchoring().step()
    assert place.begun == [await place.order()]
    assert len(place.submitted) == 1


async def test_a_replica_that_was_slower_takes_nothing_for_a_failure(place: Anchorage) -> None:
    place.refusal = Unavailable("not yet", Reason.CHAIN_UNAVAILABLE)
    with pytest.raises(Unavailable):
        await place.anchoring().step()
    place.refusal = Conflict("this intent was submitted before")
    await place.anchoring().step()
    assert await place.state() == ("PROPOSED", "")
    assert place.begun == [await place.order()]


async def test_a_log_that_is_smaller_than_what_is_anchored_is_told_and_not_anchored(
    place: Anchorage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = place.anchoring()
    await anchored(place, work)
    monkeypatch.setattr(anchoring, "time", later(11))
    place.note, place.size = checkpoint(6, 1, 2, 3), 6
    await work.step()
    assert len(place.submitted) == 1
    assert "7 are anchored" in capsys.readouterr().out


async def test_the_next_anchor_waits_for_the_time_or_for_enough_entries(
    place: Anchorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = place.anchoring()
    await anchored(place, work)
    for size in (7, 8, 106):
        place.note, place.size = checkpoint(size, 1, 2, 3), size
        await work.step()
        assert len(place.submitted) == 1
    place.note, place.size = checkpoint(107, 1, 2, 3), 107
    await anchored(place, work)
    assert len(place.submitted) == 2

    monkeypatch.setattr(anchoring, "time", later(11))
    await work.step()
    assert len(place.submitted) == 2  # nothing is new
    place.note, place.size = checkpoint(108, 1, 2, 3), 108
    await work.step()
    assert len(place.submitted) == 3


async def test_a_checkpoint_that_no_honest_witness_need_have_seen_is_not_anchored(place: Anchorage) -> None:
    for note in (checkpoint(7), checkpoint(7, 1, 2), checkpoint(7, 1, 2, 3, forged=3), checkpoint(0, 1, 2, 3)):
        place.note, place.size = note, checkpoint_of(note.decode()).size
        await place.anchoring().step()
    assert place.submitted == []


async def test_a_checkpoint_that_the_log_has_not_signed_is_not_anchored(place: Anchorage) -> None:
    log = replace(place.standing.current.log, public=place.standing.current.roster[0].witness)
    place.standing.current = replace(place.standing.current, log=log)
    await place.anchoring().step()
    assert place.submitted == []


async def test_without_a_wallet_or_coins_nothing_is_proposed(place: Anchorage) -> None:
    place.wallet = False
    await place.anchoring().step()
    place.wallet, place.coins = True, 10**15
    await place.anchoring().step()
    assert (place.submitted, await place.book.newest()) == ([], None)
    place.coins = 10**17
    await place.anchoring().step()
    assert len(place.submitted) == 1


async def test_a_contract_that_is_not_in_the_registry_gets_nothing(place: Anchorage) -> None:
    place.standing.current = replace(place.standing.current, contracts=())
    with pytest.raises(NotFound):
        await place.anchoring().step()
    assert await place.book.newest() is None


async def test_an_anchor_that_fails_is_told_and_tried_again_later(
    place: Anchorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = place.anchoring()
    await work.step()
    await place.rejected()
    for _ in range(3):
        await work.step()
    assert await place.state() == ("FAILED", Reason.LIMIT_EXCEEDED)
    assert len(place.submitted) == 1
    monkeypatch.setattr(anchoring, "time", later(11))
    await work.step()
    assert len(place.submitted) == 2


async def test_an_anchor_that_is_refused_at_once_is_told(place: Anchorage) -> None:
    place.refusal = NO
    await place.anchoring().step()
    assert await place.state() == ("FAILED", Reason.NO_PERMIT)
    assert place.begun == []


async def test_a_receipt_waits_for_a_block_and_is_never_made_of_another_transaction(
    place: Anchorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = place.anchoring()
    await work.step()
    await place.confirmed(signed(anchor_call(checkpoint(6).decode())))
    with pytest.raises(ProofInvalid, match="another checkpoint"):
        await work.step()
    place.blocks.clear()
    with pytest.raises(Unavailable):
        await work.step()
    assert await place.state() == ("PROPOSED", "")
    monkeypatch.setattr(anchoring, "time", later(121))
    await work.step()
    assert await place.state() == ("FAILED", Reason.CHAIN_UNAVAILABLE)


async def test_the_background_loop_outlives_whatever_goes_wrong_and_ends_when_it_is_told(
    place: Anchorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchoring, "PAUSE", 0.01)
    place.note = b"no note"
    stop = asyncio.Event()
    running = asyncio.create_task(place.anchoring().run(stop))
    async with asyncio.timeout(120):
        while place.asked < 2:
            await asyncio.sleep(0.01)
        assert not running.done()
        place.note = checkpoint(7, 1, 2, 3)
        while not place.begun:
            await asyncio.sleep(0.01)
        stop.set()
        await running


async def test_a_key_that_cannot_be_read_is_an_error_of_the_configuration(place: Anchorage, tmp_path: Path) -> None:
    for text in (None, b"-----BEGIN PRIVATE KEY-----\n"):
        file = tmp_path / "none.pem"
        if text:
            file.write_bytes(text)
        place.settings = replace(place.settings, key=file)
        with pytest.raises(LocalError) as caught:
            place.anchoring()
        assert caught.value.reason == Reason.CONFIG_INVALID
