"""A coordinator whose database was lost, or put back, gets the log back from its cosigners."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sqlalchemy import select

from coordinator.recovering import Recovered
from coordinator.tables import log_items, log_tiles
from coordinator.tiling import extend, truncate
from oms_core.encoding import encode
from oms_core.errors import Conflict, CountersealError, LocalError, ProofInvalid, Reason, Unavailable
from oms_core.log.cover import Mode
from oms_core.log.entries import GENESIS, read_entry, read_record
from oms_core.log.note import read_note
from proto import cosigner_pb2 as pb
from tests.integration.put_back import again, back, grown, items, put_back
from tests.unit.coordinator.witnesses import LogDesk, WitnessNode, witnessed


async def test_what_cosigners_have_followed_comes_back_and_what_nobody_has_seen_follows_anew(desk: LogDesk) -> None:
    whole = await grown(desk, 9)
    await put_back(desk, 4)
    await desk.append("order.denied", "txn_2", 3)
    await desk.append("order.submitted", "txn_new", 3)
    lost = await items(desk)
    assert await back(desk) == Recovered(4, 10, 2)
    here = await items(desk)
    assert [one.entry for one in here[:10]] == [one.entry for one in whole]
    assert here[:10] == whole  # these nodes keep all records
    denied, submitted, said = map(read_entry, (one.entry for one in here[10:]))
    assert (denied.index, denied.event, denied.subject, denied.previous) == (10, "order.denied", "txn_2", 3)
    assert (submitted.subject, submitted.previous) == ("txn_new", -1)
    assert read_record(denied, here[10]) == read_record(read_entry(lost[4].entry), lost[4])
    assert said.event == "log.recovered"
    fresh = again(desk)
    async with witnessed(fresh):
        cover = await fresh.witnessing.covered(12, 5, 120)
    assert (cover.mode, cover.count, cover.size) == (Mode.FULL, 5, 13)


async def test_a_database_that_is_lost_altogether_gets_all_of_the_log_back(desk: LogDesk) -> None:
    whole = await grown(desk, 9)
    await put_back(desk, 0)
    await desk.journal.begin(desk.standing.current)
    (other,) = await items(desk)
    assert read_entry(other.entry).event == GENESIS
    assert other != whole[0]
    assert await back(desk) == Recovered(0, 10, 0)
    assert (await items(desk))[:10] == whole
    fresh = again(desk)
    await fresh.journal.begin(fresh.standing.current)
    async with witnessed(fresh):
        assert (await fresh.witnessing.covered(10, 5, 120)).count == 5


async def test_where_nothing_is_missing_nothing_changes(desk: LogDesk) -> None:
    await grown(desk, 9)
    await desk.append("order.denied", "txn_2")
    before = await items(desk)
    assert await back(desk) == Recovered(10, 10, 0)
    assert await items(desk) == before


async def test_a_cosigner_that_was_away_does_not_shorten_the_log(desk: LogDesk) -> None:
    desk.detach(5)
    whole = await grown(desk, 9)
    desk.attach(5)
    await put_back(desk, 2)
    assert await back(desk) == Recovered(2, 10, 0)
    assert (await items(desk))[:10] == whole


async def test_a_second_history_that_was_cosigned_is_no_loss_and_nothing_is_taken_over(desk: LogDesk) -> None:
    await grown(desk, 9)
    await put_back(desk, 4)
    other = LogDesk(desk.engine, 10.0)
    await grown(other, 3)
    before, other.nodes[4] = await items(desk), desk.nodes[4]
    with pytest.raises(LocalError, match="cosigner 4 has followed another history") as refused:
        await back(other)
    assert refused.value.reason == Reason.LOG_FORKED
    assert await items(desk) == before


async def test_two_cosigners_with_different_histories_are_told_apart_before_anything_is_taken_over(
    desk: LogDesk,
) -> None:
    await grown(desk, 9)
    await put_back(desk, 4)
    other = LogDesk(desk.engine, 10.0)
    await grown(other, 3)
    await put_back(desk, 4)
    before, other.nodes[4] = await items(desk), desk.nodes[4]
    with pytest.raises(LocalError, match="cosigner 1 has followed another history"):
        await back(other)
    assert await items(desk) == before


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("another entry", Reason.DIGEST_MISMATCH),
        ("another record", Reason.DIGEST_MISMATCH),
        ("a swap", Reason.MALFORMED),
        ("less", Reason.NOT_LOGGED),
    ],
)
async def test_a_cosigner_that_hands_back_something_else_changes_nothing(
    desk: LogDesk, what: str, reason: Reason
) -> None:
    await grown(desk, 9)
    await put_back(desk, 4)
    before = await items(desk)
    for node in desk.nodes.values():
        one = node.items[7]
        if what == "another entry":
            one.entry = encode(replace(read_entry(one.entry), subject="txn_other"))
        elif what == "another record":
            one.record += b"x"
        elif what == "a swap":
            node.items[7], node.items[8] = node.items[8], node.items[7]
        else:
            del node.items[7:]
    with pytest.raises(CountersealError) as refused:
        await back(desk)
    assert refused.value.reason == reason
    assert await items(desk) == before


async def test_a_head_under_another_key_is_none_to_go_by(desk: LogDesk) -> None:
    await grown(desk, 9)
    note = desk.nodes[2].note
    desk.nodes[2].note = note.replace(read_note(note).signatures[0].line().encode()[-20:-3], b"A" * 17)
    with pytest.raises(ProofInvalid, match="cosigner 2"):
        await back(desk)


def keeps_from(node: WitnessNode, first: int) -> None:
    """It followed the entries before this one when it did not keep any yet."""

    def bend(answer: pb.FromCosigner) -> pb.FromCosigner:
        if answer.recalled.items and read_entry(answer.recalled.items[0].entry).index < first:
            later = node.items[first : first + 3]
            answer = pb.FromCosigner(recalled=pb.Recalled(head=answer.recalled.head, items=later))
        return answer

    node.bend = bend


def bent(node: WitnessNode, what: str) -> None:
    """It hands back something else than it has followed."""
    if what == "another entry":
        node.items[7].entry = encode(replace(read_entry(node.items[7].entry), subject="txn_other"))
    elif what == "without the record of the beginning":
        node.items[0] = pb.LogItem(entry=node.items[0].entry)
    elif what == "nothing":
        node.items.clear()
    else:
        keeps_from(node, 6)


@pytest.mark.parametrize(
    "what", ["another entry", "without the record of the beginning", "nothing", "only what came later"]
)
async def test_what_one_cosigner_does_not_hand_back_another_does(desk: LogDesk, what: str) -> None:
    whole, told = await grown(desk, 9), list[str]()
    await put_back(desk, 0)
    bent(desk.nodes[1], what)
    assert await back(desk, told=told) == Recovered(0, 10, 0)
    assert (await items(desk))[:10] == whole
    assert any(one.startswith(("cosigner 1 hands", "what cosigner 1 hands")) for one in told)


async def test_nobody_takes_over_a_log_without_the_records_that_cosigners_count_by(desk: LogDesk) -> None:
    await grown(desk, 9)
    await put_back(desk, 0)
    for node in desk.nodes.values():
        bent(node, "without the record of the beginning")
    with pytest.raises(ProofInvalid, match=r"cosigner 5 .* the record of entry 0 is missing") as refused:
        await back(desk)
    assert refused.value.reason == Reason.NOT_LOGGED
    assert await items(desk) == []


@pytest.mark.parametrize("size", [0, 4])
async def test_cosigners_that_followed_before_they_kept_entries_say_so_and_nobody_speaks_of_a_fork(
    desk: LogDesk, size: int
) -> None:
    await grown(desk, 3)
    await grown(desk, 6)
    await put_back(desk, size)
    before = await items(desk)
    for node in desk.nodes.values():
        keeps_from(node, 7)
    with pytest.raises(ProofInvalid, match="keeps entries from 7 on") as refused:
        await back(desk)
    assert (refused.value.reason, await items(desk)) == (Reason.NOT_LOGGED, before)


async def test_a_cosigner_that_only_says_another_history_shows_no_fork(desk: LogDesk) -> None:
    await grown(desk, 3)
    whole = await grown(desk, 6)
    await put_back(desk, 4)
    desk.nodes[1].items[3].entry = encode(replace(read_entry(whole[3].entry), subject="txn_other"))
    desk.nodes[1].items[3].ClearField("record")
    desk.nodes[1].items[3].ClearField("salt")
    assert await back(desk) == Recovered(4, 10, 0)
    assert (await items(desk))[:10] == whole


async def test_after_a_recovery_the_newest_head_is_the_cosigned_one(desk: LogDesk) -> None:
    await grown(desk, 9)
    note, size, count = await desk.journal.newest(4)
    await put_back(desk, 0)
    for node in desk.nodes.values():
        node.head = note
    forged = next(one for one in read_note(note).signatures if one.name.endswith("cosigner-3"))
    desk.nodes[3].head = note.replace(forged.line().encode()[-40:-3], b"A" * 37)
    await back(desk)
    kept = await desk.journal.newest(4)
    assert (read_note(kept[0]).body, *kept[1:]) == (read_note(note).body, size, count)
    assert set(read_note(kept[0]).signatures) == set(read_note(note).signatures)


async def test_a_machine_whose_clock_is_behind_what_was_cosigned_recovers_nothing(
    desk: LogDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grown(desk, 9)
    note, _, _ = await desk.journal.newest(4)
    await put_back(desk, 4)
    before, desk.nodes[1].head = await items(desk), note
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    with pytest.raises(Unavailable, match="seconds behind its cosigners") as refused:
        await back(desk)
    assert (refused.value.reason, await items(desk)) == (Reason.LOG_STALE, before)


@pytest.mark.parametrize("event", ["order.denied", "authorized"])
async def test_a_record_that_was_erased_before_anybody_saw_its_entry_is_erased_in_its_new_place(
    desk: LogDesk, event: str
) -> None:
    await grown(desk, 9)
    await put_back(desk, 4)
    await desk.append(event, "txn_2")
    await desk.append("order.denied", "txn_3")
    async with desk.engine.begin() as connection:
        await connection.execute(log_items.update().where(log_items.c.index == 4).values(record=b"", salt=b""))
    if event == "authorized":
        with pytest.raises(Conflict, match="entry 4, which cosigners keep, is gone"):
            await back(desk)
        return
    assert await back(desk) == Recovered(4, 10, 2)
    erased, kept = (await items(desk))[10:12]
    assert (read_entry(erased.entry).subject, read_record(read_entry(erased.entry), erased)) == ("txn_2", None)
    assert read_record(read_entry(kept.entry), kept) is not None


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 512, 600])
async def test_tiles_that_are_cut_are_those_of_the_shorter_log(desk: LogDesk, size: int) -> None:
    blank = {"record": b"", "salt": b"", "subject": "", "at": 0}
    rows = [{"index": at, "entry": b"e%d" % at, "leaf": bytes([at % 251]) * 32, **blank} for at in range(1, 600)]

    async def tiles() -> list[tuple[int, int, bytes]]:
        async with desk.engine.begin() as connection:
            found = await connection.execute(select(log_tiles).order_by(log_tiles.c.level, log_tiles.c.number))
            return [(row.level, row.number, bytes(row.data)) for row in found]

    async with desk.engine.begin() as connection:
        await connection.execute(log_items.insert(), rows)
        await connection.run_sync(extend)
        await connection.run_sync(truncate, size)
    cut = await tiles()
    await put_back(desk, size)
    assert cut == await tiles()
