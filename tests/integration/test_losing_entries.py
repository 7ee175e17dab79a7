"""A coordinator whose database has lost entries of the log signs no head, and so has no second history."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from coordinator import meeting
from coordinator.recovering import Recovered
from coordinator.tables import log_checkpoints
from oms_core.errors import Reason, Unavailable
from oms_core.log.cover import Mode
from proto import cosigner_pb2 as pb
from tests.integration.put_back import again, back, grown, put_back
from tests.unit.coordinator.test_witnessing import PATIENT, comes
from tests.unit.coordinator.witnesses import LogDesk, WitnessNode, witnessed


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
        assert (await desk.witnessing.covered(0, 3, PATIENT)).count == 3


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
        assert (await desk.witnessing.covered(0, 5, PATIENT)).count == 5  # now all are asked, these two as well


async def test_what_one_node_alone_has_followed_is_heard_of_where_it_comes_after_three_others(
    desk: LogDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "GRACE", PATIENT)
    await desk.append()
    desk.nodes[5].head, desk.nodes[5].closed = await desk.journal.sign_at(2), True
    await put_back(desk, 1)
    index = await desk.append("order.denied", "txn_2")
    async with witnessed(desk):
        assert await comes(lambda: desk.witnessing._meeting.told() == 4)
        desk.attach(5)
        words = "cosigner 5 has followed 2 entries of this log, and not all"
        assert await comes(lambda: words in desk.witnessing.status()[-1])
        assert (await desk.witnessing.covered(index, 3, 1)).mode is Mode.STOPPED
    async with desk.engine.begin() as connection:
        sizes = (await connection.execute(select(log_checkpoints.c.size))).scalars().all()
    assert max(sizes, default=0) <= 1


async def test_a_database_that_loses_entries_under_a_coordinator_that_runs_stops_it(desk: LogDesk) -> None:
    await grown(desk, 9)
    async with witnessed(desk):
        assert (await desk.witnessing.covered(9, 5, PATIENT)).count == 5
        asked = {i: len(node.asked) for i, node in desk.nodes.items()}
        await put_back(desk, 4)
        for number in range(20):
            index = await desk.append("order.denied", f"txn_{number}")
        words = "this coordinator has signed a head of 10 entries"
        assert await comes(lambda: words in desk.witnessing.status()[-1])
        assert (await desk.witnessing.covered(index, 3, 1)).mode is Mode.STOPPED
    assert {i: len(node.asked) for i, node in desk.nodes.items()} == asked
    async with desk.engine.begin() as connection:
        sizes = (await connection.execute(select(log_checkpoints.c.size))).scalars().all()
    assert max(sizes, default=0) <= 4
