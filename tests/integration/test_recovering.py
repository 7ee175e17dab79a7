"""A coordinator whose database was lost, or put back, gets the log back from its cosigners, and never forks it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.recovering import Recovered, recover
from coordinator.tables import log_checkpoints, log_items, log_tiles
from coordinator.tiling import extend, truncate
from oms_core.encoding import encode
from oms_core.errors import Conflict, CountersealError, LocalError, ProofInvalid, Reason, Unavailable
from oms_core.log.cover import Mode
from oms_core.log.entries import GENESIS, Item, read_entry, read_record
from oms_core.log.note import read_note
from proto import cosigner_pb2 as pb
from tests.people import workspace
from tests.unit.coordinator.test_witnessing import comes
from tests.unit.coordinator.witnesses import ALL, LogDesk, WitnessNode, witnessed


@pytest.fixture
async def desk(engine: AsyncEngine) -> LogDesk:
    made = LogDesk(engine, 10.0)
    await made.journal.begin(made.standing.current)
    return made


async def put_back(desk: LogDesk, size: int) -> None:
    """The database as it was with so many entries."""
    async with desk.engine.begin() as connection:
        await connection.execute(delete(log_items).where(log_items.c.index >= size))
        await connection.execute(delete(log_checkpoints).where(log_checkpoints.c.size > size))
        await connection.execute(delete(log_tiles))
        while await connection.run_sync(extend) < size:
            pass


async def items(desk: LogDesk) -> list[Item]:
    async with desk.engine.begin() as connection:
        query = select(log_items.c.entry, log_items.c.record, log_items.c.salt).order_by(log_items.c.index)
        return [Item(*map(bytes, row)) for row in await connection.execute(query)]


async def grown(desk: LogDesk, count: int) -> list[Item]:
    """So many entries more, followed and cosigned by all that are there; the whole log."""
    last = [await desk.append(subject=f"txn_{number}") for number in range(count)][-1]
    async with witnessed(desk):
        assert (await desk.witnessing.covered(last, 4, 120)).count >= 4
        while (newest := await desk.journal.newest())[1] <= last or not newest[2]:  # its cosignatures are kept
            await asyncio.sleep(0.02)
    return await items(desk)


async def back(desk: LogDesk, *indices: int, told: list[str] | None = None) -> Recovered:
    links, say = {index: desk.nodes[index] for index in indices or ALL}, [] if told is None else told
    return await recover(desk.journal, links, workspace(), say.append)  # type: ignore[arg-type]


def again(desk: LogDesk) -> LogDesk:
    """The coordinator after a restart, with the same nodes and database."""
    fresh = LogDesk(desk.engine, 10.0)
    fresh.nodes = desk.nodes
    fresh.cosigners._links = dict(desk.nodes)  # type: ignore[arg-type]
    return fresh


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


async def test_a_put_back_database_signs_no_head_and_says_what_to_do(desk: LogDesk) -> None:
    await grown(desk, 9)
    await put_back(desk, 4)
    fresh, index = again(desk), await desk.append("order.denied", "txn_2")
    asked = {i: len(node.asked) for i, node in fresh.nodes.items()}
    async with witnessed(fresh):
        words = "here are 5: stop this coordinator, and run `coordinator recover`"
        assert await comes(lambda: words in fresh.witnessing.status()[-1])
        cover = await fresh.witnessing.covered(index, 3, 1)
        assert (cover.mode, fresh.witnessing.mode()) == (Mode.STOPPED, Mode.STOPPED)
    assert {i: len(node.asked) for i, node in fresh.nodes.items()} == asked
    async with desk.engine.begin() as connection:
        sizes = (await connection.execute(select(log_checkpoints.c.size))).scalars().all()
    assert max(sizes, default=0) <= 4


async def test_a_put_back_database_that_has_grown_beyond_what_was_followed_signs_no_head_either(desk: LogDesk) -> None:
    await grown(desk, 5)
    await put_back(desk, 4)
    for number in range(20):
        await desk.append("order.denied", f"txn_{number}")
    fresh = again(desk)
    async with witnessed(fresh):
        assert await comes(lambda: "not all of them are here" in fresh.witnessing.status()[-1])
        assert (await fresh.witnessing.covered(23, 3, 1)).mode is Mode.STOPPED
    assert await back(fresh) == Recovered(4, 6, 20)


async def test_while_too_few_have_shown_how_far_the_log_went_no_head_is_signed(desk: LogDesk) -> None:
    desk.detach(1, 2, 3)
    async with witnessed(desk):
        assert (await desk.witnessing.covered(0, 2, 1.5)).count == 0
        assert all(not node.asked for node in desk.nodes.values())
        desk.attach(3)
        assert (await desk.witnessing.covered(0, 3, 120)).count == 3


async def test_a_lost_database_signs_no_head_of_a_new_beginning_for_anybody(desk: LogDesk) -> None:
    await grown(desk, 9)
    await put_back(desk, 0)
    fresh = again(desk)
    await fresh.journal.begin(fresh.standing.current)
    await fresh.witnessing.recall()
    with pytest.raises(Unavailable, match="no head of this log has been signed"):
        await fresh.journal.newest(0)
    assert not await fresh.witnessing.abreast(1, 0.1)
    async with desk.engine.begin() as connection:
        assert (await connection.execute(select(log_checkpoints))).all() == []


async def test_who_answers_and_shows_nothing_has_not_shown_how_far_the_log_went(desk: LogDesk) -> None:
    def refuses(answer: pb.FromCosigner) -> pb.FromCosigner:
        if answer.WhichOneof("body") != "gossiped":
            return answer
        return pb.FromCosigner(failed=pb.Failed(reason=Reason.ROLLBACK_DETECTED))

    def strange(answer: pb.FromCosigner) -> pb.FromCosigner:
        return pb.FromCosigner(gossiped=pb.Gossiped(head=b"strange")) if answer.HasField("gossiped") else answer

    for index, bend in ((1, refuses), (2, refuses), (3, strange)):
        desk.nodes[index].bend = bend
    async with witnessed(desk):
        assert (await desk.witnessing.covered(0, 2, 1.5)).count == 0
        assert all(not node.asked for node in desk.nodes.values())
        desk.nodes[3].bend = None
        desk.cosigners._links[3] = desk.nodes[3] = WitnessNode(3)  # type: ignore[assignment]
        assert (await desk.witnessing.covered(0, 5, 8)).count == 5  # now all are asked, these two as well


async def test_what_one_node_alone_has_followed_is_heard_of_where_it_comes_after_three_others(desk: LogDesk) -> None:
    await desk.append()
    desk.nodes[5].head, desk.nodes[5].closed = await desk.journal.sign_at(2), True
    await put_back(desk, 1)
    index = await desk.append("order.denied", "txn_2")
    async with witnessed(desk):
        await asyncio.sleep(1)
        desk.attach(5)
        assert (await desk.witnessing.covered(index, 3, 6)).mode is Mode.STOPPED
        assert "cosigner 5 has followed 2 entries of this log, and not all" in desk.witnessing.status()[-1]
    async with desk.engine.begin() as connection:
        sizes = (await connection.execute(select(log_checkpoints.c.size))).scalars().all()
    assert max(sizes, default=0) <= 1


async def test_a_database_that_loses_entries_under_a_coordinator_that_runs_stops_it(desk: LogDesk) -> None:
    await grown(desk, 9)
    async with witnessed(desk):
        assert (await desk.witnessing.covered(9, 5, 8)).count == 5
        asked = {i: len(node.asked) for i, node in desk.nodes.items()}
        await put_back(desk, 4)
        for number in range(20):
            index = await desk.append("order.denied", f"txn_{number}")
        assert (await desk.witnessing.covered(index, 3, 2)).mode is Mode.STOPPED
        assert "this coordinator has signed a head of 10 entries" in desk.witnessing.status()[-1]
    assert {i: len(node.asked) for i, node in desk.nodes.items()} == asked
    async with desk.engine.begin() as connection:
        sizes = (await connection.execute(select(log_checkpoints.c.size))).scalars().all()
    assert max(sizes, default=0) <= 4


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


async def test_what_was_authorised_meanwhile_is_named_each_once(desk: LogDesk) -> None:
    for subject in ("txn_1", "txn_2", "txn_3", "txn_2"):
        await desk.append("authorized", subject)
    await grown(desk, 3)
    await put_back(desk, 2)
    await back(desk, told=(told := list[str]()))
    assert "2 that this database may not know of were authorised: txn_2, txn_3" in told


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
        with pytest.raises(Conflict, match="entry 4, by which cosigners count"):
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
