"""A coordinator whose database was lost, or put back, gets the log back from its cosigners, and never forks it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.recovering import Recovered, recover
from coordinator.tables import log_checkpoints, log_items, log_tiles
from coordinator.tiling import extend, truncate
from oms_core.encoding import encode
from oms_core.errors import Conflict, CountersealError, LocalError, ProofInvalid, Reason
from oms_core.log.cover import Mode
from oms_core.log.entries import GENESIS, Item, read_entry, read_record
from oms_core.log.note import read_note
from tests.unit.coordinator.test_witnessing import comes
from tests.unit.coordinator.witnesses import ALL, LogDesk, witnessed


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


async def back(desk: LogDesk, *indices: int) -> Recovered:
    links = {index: desk.nodes[index] for index in indices or ALL}
    return await recover(desk.journal, links, lambda _: None)  # type: ignore[arg-type]


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
    with pytest.raises(ProofInvalid):
        await back(desk)


async def test_a_record_that_was_erased_before_anybody_saw_its_entry_is_not_made_up(desk: LogDesk) -> None:
    await grown(desk, 9)
    await put_back(desk, 4)
    await desk.append("order.denied", "txn_2")
    async with desk.engine.begin() as connection:
        await connection.execute(log_items.update().where(log_items.c.index == 4).values(record=b"", salt=b""))
    with pytest.raises(Conflict, match="entry 4"):
        await back(desk)


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
