"""Entries are dated by a clock that witnesses agree with, and questions to them say when they were asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from coordinator import clock as module_of_clock
from coordinator import witnessing as module
from coordinator.clock import AWAY, LogClock, _clocks
from coordinator.witnessing import Witnessing
from oms_core.errors import Reason, Unavailable
from oms_core.log.cover import Mode
from oms_core.log.entries import read_entry
from tests.unit.coordinator.test_witnessing import PATIENT, comes, log
from tests.unit.coordinator.witnesses import ALL, LogDesk, log_desk

__all__ = ["log"]


def set_clock(monkeypatch: pytest.MonkeyPatch, now: Callable[[], float]) -> None:
    """The coordinator's machine is said to be at this time."""
    for at in (module_of_clock, module):
        monkeypatch.setattr(at, "time", SimpleNamespace(**vars(time) | {"time": now}))


async def test_while_the_clock_is_ahead_of_the_witnesses_nothing_is_written_and_then_all_goes_on(
    log: LogDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would follow the log no further until that time has come."""
    await log.witnessing.covered(index := await log.append(), 5, PATIENT)
    with monkeypatch.context() as patch:
        set_clock(patch, lambda: time.time() + 3 * 86_400)
        for _ in range(2):
            with pytest.raises(Unavailable, match="ahead") as caught:
                await log.append()
            assert caught.value.reason == Reason.LOG_STALE
            assert "ahead of its cosigners'" in log.witnessing.status()[-1]
            asked = len(log.nodes[1].asked)
            log.witnessing._wanted.set()
            assert await comes(lambda asked=asked: len(log.nodes[1].asked) > asked)
    after = await log.append()
    assert after == index + 1
    assert (await log.witnessing.covered(after, 5, PATIENT)).count == 5


def test_a_machine_whose_counter_runs_fast_does_not_date_ahead_of_its_witnesses_after_months(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time of day is put right over the network; the counter of a machine that nobody sets is not."""
    clock, true = LogClock(), 1_800_000_000
    for passed in range(0, 100 * 86_400, 300):
        set_clock(monkeypatch, lambda passed=passed: true + passed)
        monkeypatch.setattr(module_of_clock, "_running", lambda passed=passed: 1000 + passed * 1.0001)
        clock.vouched(true + passed)
        assert true + passed <= clock.now() <= true + passed + 2
    set_clock(monkeypatch, lambda: true)  # set back by months: what witnesses said is what counts
    assert clock.now() >= true + passed


async def test_while_the_clock_is_behind_cosignatures_are_counted_all_the_same(
    log: LogDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.witnessing.covered(await log.append(), 5, PATIENT)
    set_clock(monkeypatch, lambda: time.time() - 1000)
    index = await log.append()
    cover = await log.witnessing.covered(index, 5, PATIENT)
    assert (cover.count, log.witnessing.troubles) == (5, {})


@asynccontextmanager
async def witnessed(desk: LogDesk) -> AsyncIterator[Witnessing]:
    """A coordinator's process, anew on its database; what it knew in memory is gone at the end."""
    stop, made = asyncio.Event(), Witnessing(desk.journal, desk.conflicts, desk.standing, desk.cosigners, 10.0)
    await made.recall()
    running = asyncio.create_task(made.run(stop))
    yield made
    stop.set()
    await running
    _clocks.pop(desk.engine.sync_engine)


async def dated(desk: LogDesk) -> int:
    """When a new entry is said to be made."""
    index = await desk.append()
    (made,) = await desk.journal.items(index, index + 1, 1 << 20)
    return read_entry(made.entry).at


async def once_witnessed(desk: LogDesk) -> None:
    """Its entries are cosigned, and that is in the database."""
    async with witnessed(desk) as before:
        await before.covered(await desk.append(), 5, PATIENT)
        assert await comes(lambda: all(node.notes for node in desk.nodes.values()))


async def test_a_restart_dates_nothing_before_what_witnesses_had_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with log_desk(tmp_path) as desk:
        for node in desk.nodes.values():
            node.ahead = 20
        await once_witnessed(desk)
        await Witnessing(desk.journal, desk.conflicts, desk.standing, desk.cosigners, 10.0).recall()
        before = int(time.time())
        set_clock(monkeypatch, lambda: before - 5000)
        assert before + 10 <= await dated(desk) <= before + 20


async def test_after_a_long_absence_nothing_is_written_before_witnesses_say_what_time_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may have started with any time."""
    async with log_desk(tmp_path) as desk:
        await once_witnessed(desk)
        desk.detach(*ALL)
        async with witnessed(desk):
            said = desk.journal.clock._said()
            set_clock(monkeypatch, lambda: said + AWAY)
            await desk.append()
            set_clock(monkeypatch, lambda: time.time() + AWAY + 5)
            with pytest.raises(Unavailable, match="say what time it is"):
                await desk.append()
            for node in desk.nodes.values():
                node.ahead = AWAY + 5
            desk.attach(*ALL)
            assert await comes(lambda: not desk.journal.clock.trouble())
            assert abs(await dated(desk) - time.time() - AWAY - 5) < 60


async def test_nodes_are_told_when_a_head_was_the_newest_so_that_what_comes_late_says_nothing(log: LogDesk) -> None:
    await log.witnessing.covered(await log.append(), 5, PATIENT)
    log.witnessing._wanted.set()
    before = len(log.nodes[1].asked_at)
    assert await comes(lambda: len(log.nodes[1].asked_at) > before)
    assert log.nodes[1].asked_at[0] == 0
    assert abs(log.nodes[1].asked_at[-1] - time.time()) < 60


async def test_if_nodes_find_all_questions_late_they_are_asked_without_a_time(log: LogDesk) -> None:
    """The coordinator may have stood still, and its clocks with it."""
    await log.witnessing.covered(await log.append(), 5, PATIENT)
    for node in log.nodes.values():
        node.late = True
    log.witnessing._wanted.set()
    assert await comes(lambda: log.witnessing.mode() is Mode.STOPPED)
    log.witnessing._wanted.set()
    assert await comes(lambda: log.witnessing.mode() is Mode.FULL)


async def test_an_entry_is_not_dated_before_what_witnesses_said_though_the_clock_is_set_back(
    log: LogDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would refuse it for ever, and the log with it."""
    await log.witnessing.covered(await log.append(), 5, PATIENT)
    assert await comes(lambda: all(node.notes for node in log.nodes.values()))
    before = time.time()
    set_clock(monkeypatch, lambda: before - 1000)
    index = await log.append()
    (made,) = await log.journal.items(index, index + 1, 1 << 20)
    assert before - 30 < read_entry(made.entry).at <= time.time()
