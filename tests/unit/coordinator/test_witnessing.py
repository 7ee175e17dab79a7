"""The log is witnessed as it grows and while it does not, each node from where it stands; what counts is verified."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from coordinator import rounds as module_of_rounds
from coordinator import witnessing as module
from coordinator.conflicts import Conflicts
from coordinator.journal import Journal
from coordinator.rounds import Round, Rounds
from coordinator.witnessing import CosignedCheckpoint, Witnessing
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.encoding import encode
from oms_core.log.conflict import LogConflict
from oms_core.log.cover import Mode
from oms_core.log.note import (
    Checkpoint,
    Note,
    Signature,
    cosignatures,
    log_message,
    log_signature,
    read_note,
    write_note,
)
from oms_core.log.roster import log_verifier, witness_verifiers
from proto import cosigner_pb2 as pb
from tests.parties import witness_key
from tests.people import workspace
from tests.unit.coordinator.witnesses import ALL, LogDesk, answered, log_desk


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[LogDesk]:
    async with log_desk(tmp_path) as desk:
        stop = asyncio.Event()
        running = asyncio.create_task(desk.witnessing.run(stop))
        yield desk
        stop.set()
        await running


PATIENT = 120.0
"""Seconds for what is to come; nobody waits for them but a test that fails, on however busy a machine."""


async def comes(what: object, seconds: float = PATIENT) -> bool:
    """Whether something that is asked again and again comes true."""
    assert callable(what)
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    return bool(what())


def cosigners(cover: CosignedCheckpoint) -> set[int]:
    """Who has truly cosigned the note."""
    found = cosignatures(read_note(cover.note), tuple(witness_verifiers(workspace()).values()))
    return {int(name.rpartition("-")[2]) for name in found}


def checkpoint(root: bytes, size: int) -> str:
    """A head under the log's key."""
    body = Checkpoint(workspace().log.origin, size, root).body()
    line = log_signature(log_verifier(workspace()), witness_key(0).sign(log_message(body)))
    return write_note(Note(body, (line,)))


async def test_an_entry_is_cosigned_by_all_and_the_note_with_all_cosignatures_goes_back_to_all(log: LogDesk) -> None:
    index = await log.append()
    cover = await log.witnessing.covered(index, 5, PATIENT)
    assert (cover.count, cover.mode, cosigners(cover)) == (5, Mode.FULL, set(ALL))
    assert cover.size > index
    body, noted = read_note(cover.note).body, [node.notes for node in log.nodes.values()]

    def shown_to_all() -> bool:
        newest = [read_note(notes[-1]) for notes in noted if notes]
        return [(note.body, len(note.signatures)) for note in newest] == [(body, 6)] * 5

    assert await comes(shown_to_all)
    kept, size, count = await log.journal.newest(5)
    assert (size, count) == (cover.size, 5)
    assert read_note(kept).body == read_note(cover.note).body


async def test_many_entries_at_once_take_few_rounds(log: LogDesk) -> None:
    await log.witnessing.covered(0, 5, PATIENT)
    before = len(log.nodes[1].asked)
    indices = [await log.append(subject=f"txn_{n}") for n in range(40)]
    cover = await log.witnessing.covered(indices[-1], 5, PATIENT)
    assert cover.count == 5
    assert len(log.nodes[1].asked) - before <= 41


async def test_while_nothing_happens_nodes_cosign_the_same_head_again(tmp_path: Path) -> None:
    async with log_desk(tmp_path, heartbeat=0.2) as desk:
        stop = asyncio.Event()
        running = asyncio.create_task(desk.witnessing.run(stop))
        assert await comes(lambda: len(desk.nodes[3].asked) >= 4)
        stop.set()
        await running
        assert set(desk.nodes[3].asked[1:]) == {(1, 1, 0)}


async def test_of_a_log_that_grows_in_every_round_cosignatures_are_kept_and_shown_to_all_the_same(log: LogDesk) -> None:
    node = log.nodes[5]
    ask = node.ask

    async def growing(request: pb.ToCosigner, seconds: float) -> pb.FromCosigner:
        if request.WhichOneof("body") == "witness":
            await log.append()
        return await ask(request, seconds)

    node.ask = growing  # type: ignore[method-assign]
    first = await log.append()
    assert await comes(lambda: all(len(one.notes) > 3 for one in log.nodes.values()))
    assert (await log.journal.newest(5))[1] > first + 3


async def test_degraded_mode_lasts_from_when_as_many_are_there_as_it_takes_not_from_before(tmp_path: Path) -> None:
    async with log_desk(tmp_path) as desk:
        desk.detach(2, 3, 4)  # as while nodes attach one by one
        stop, began = asyncio.Event(), time.monotonic()
        running = asyncio.create_task(desk.witnessing.run(stop))
        assert await comes(lambda: desk.witnessing._degraded_since > began + 0.5)
        assert desk.witnessing.degraded_for() == 0
        desk.attach(3)
        assert (await desk.witnessing.covered(0, 3, PATIENT)).mode is Mode.DEGRADED
        assert 0 < desk.witnessing.degraded_for() < time.monotonic() - began - 0.4
        desk.attach(2)
        assert (await desk.witnessing.covered(0, 4, PATIENT)).mode is Mode.FULL
        assert desk.witnessing.degraded_for() == 0
        stop.set()
        await running


async def test_nodes_that_want_the_logs_second_key_cosign_as_well(tmp_path: Path) -> None:
    async with log_desk(tmp_path) as desk:
        both = Journal(desk.engine, witness_key(9), desk.journal.origin, witness_key(0))
        witnessing = Witnessing(both, desk.conflicts, desk.standing, desk.cosigners, 10.0)
        stop = asyncio.Event()
        running = asyncio.create_task(witnessing.run(stop))
        assert cosigners(await witnessing.covered(0, 5, PATIENT)) == set(ALL)
        stop.set()
        await running


async def test_with_two_away_three_vouch_in_degraded_mode_and_full_cover_comes_back(log: LogDesk) -> None:
    log.detach(2, 4)
    index = await log.append()
    await log.witnessing.covered(index, 3, PATIENT)
    cover = await log.witnessing.covered(index, 4, 0.3)
    assert (cover.mode, cosigners(cover)) == (Mode.DEGRADED, {1, 3, 5})
    assert log.witnessing.mode() is Mode.DEGRADED
    assert "3 of 5 cosigners vouch for the log" in log.witnessing.status().words
    log.attach(2, 4)
    cover = await log.witnessing.covered(index, 5, PATIENT)
    assert (cover.mode, cosigners(cover)) == (Mode.FULL, set(ALL))


async def test_with_three_away_nothing_is_covered(log: LogDesk) -> None:
    await log.witnessing.covered(0, 5, PATIENT)
    log.detach(1, 2, 4)
    index = await log.append()
    assert await comes(lambda: log.witnessing.witnesses() == (3, 5))
    cover = await log.witnessing.covered(index, 4, 0.3)
    assert (cover.mode, log.witnessing.mode()) == (Mode.STOPPED, Mode.STOPPED)
    assert "nothing is signed" in log.witnessing.status().words


async def test_a_note_of_long_ago_vouches_for_nothing_until_it_is_cosigned_anew(
    log: LogDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await log.append()
    assert (await log.witnessing.covered(index, 5, PATIENT)).count == 5
    later = time.time() + 50
    monkeypatch.setattr(module.time, "time", lambda: later)
    for node in log.nodes.values():
        node.silent = True
    assert (await log.witnessing.covered(index, 4, 0.3)).mode is Mode.STOPPED
    for node in log.nodes.values():
        node.silent = False
    assert (await log.witnessing.covered(index, 5, PATIENT)).count == 5


async def test_a_witness_that_once_cosigned_more_is_brought_there_in_one_go_though_it_cosigns_nothing_before(
    log: LogDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node with an older disk does, whose token remembers the tree."""
    monkeypatch.setattr(module, "BATCH", 7)
    log.detach(4)
    node, indices = log.nodes[4], [await log.append() for _ in range(40)]
    await log.witnessing.covered(indices[-1], 4, PATIENT)

    def silent(answer: pb.FromCosigner) -> pb.FromCosigner:
        if answer.WhichOneof("body") == "witnessed" and answer.witnessed.size < 40:
            answer.witnessed.status, answer.witnessed.cosignature = 409, b""
        return answer

    node.bend = silent
    log.attach(4)
    assert (await log.witnessing.covered(await log.append(), 5, PATIENT)).count == 5
    assert max(items for _, _, items in node.asked) == 7
    assert log.witnessing.troubles == {}


async def test_a_node_that_was_away_is_brought_on_in_batches_and_holds_up_nobody(
    log: LogDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 7)
    log.detach(5)
    for number in range(30):
        index = await log.append(subject=f"txn_{number}")
    assert cosigners(await log.witnessing.covered(index, 4, PATIENT)) == {1, 2, 3, 4}
    log.attach(5)
    cover = await log.witnessing.covered(index, 5, PATIENT, among=(5,))
    assert cosigners(cover) == set(ALL)
    sizes = [items for _, _, items in log.nodes[5].asked if items]
    assert max(sizes) == 7
    assert sum(sizes) == log.nodes[5].tree.size
    assert log.witnessing.sizes[5] == cover.size


async def test_a_batch_is_as_long_as_a_message_may_be(log: LogDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 3000)
    log.detach(5)
    for number in range(6):
        index = await log.append(subject=f"txn_{number}", size=1500)
    log.attach(5)
    assert (await log.witnessing.covered(index, 5, PATIENT, among=(5,))).count == 5
    assert max(items for _, _, items in log.nodes[5].asked) <= 2


async def test_a_silent_node_is_waited_for_by_nobody(log: LogDesk) -> None:
    log.nodes[3].silent = True
    index = await log.append()
    assert cosigners(await log.witnessing.covered(index, 4, PATIENT)) == {1, 2, 4, 5}


async def test_no_cosignature_counts_that_is_anothers_or_of_another_time_or_of_another_head(log: LogDesk) -> None:
    index = await log.append()
    cover = await log.witnessing.covered(index, 5, PATIENT)
    first = read_note(cover.note)
    theirs = next(one for one in first.signatures if one.name.endswith("-1")).line().encode()
    log.nodes[2].bend = answered(cosignature=theirs)  # another node's
    log.nodes[3].ahead = 3600  # of the future
    log.nodes[4].bend = answered(cosignature=b"not a line")
    index = await log.append()
    assert await comes(lambda: set(log.witnessing.troubles) == {2, 3, 4})
    assert (await log.witnessing.covered(index, 3, 0.3)).mode is Mode.STOPPED
    assert log.witnessing.witnesses() == (1, 5)
    assert set(log.witnessing.troubles) == {2, 3, 4}
    assert log.witnessing.mode() is Mode.STOPPED
    log.nodes[3].ahead, log.nodes[4].bend = 0, None
    cover = await log.witnessing.covered(await log.append(), 4, PATIENT)
    assert cosigners(cover) == {1, 3, 4, 5}
    assert set(log.witnessing.troubles) == {2}


async def test_a_node_that_says_to_have_more_than_there_is_does_not_count(log: LogDesk) -> None:
    log.nodes[2].bend = answered(status=409, size=10**9)
    assert cosigners(await log.witnessing.covered(await log.append(), 4, PATIENT)) == {1, 3, 4, 5}
    assert await comes(lambda: "it has cosigned 1000000000 entries" in log.witnessing.troubles.get(2, ""))


async def test_two_histories_of_the_log_are_kept_shown_and_end_all_signing(log: LogDesk) -> None:
    index = await log.append()
    await log.witnessing.covered(index, 5, PATIENT)
    ours = checkpoint(log.nodes[1].tree.root(1), 1)
    shown = encode(LogConflict(ours, checkpoint(b"\x07" * 32, 1), ()))
    log.nodes[2].conflict = encode(LogConflict(ours, ours, ()))  # shows nothing
    log.nodes[2].notes.clear()
    await log.witnessing.covered(await log.append(), 5, PATIENT)
    assert await comes(lambda: log.nodes[2].notes)
    assert log.witnessing.mode() is Mode.FULL
    log.nodes[3].conflict = shown
    await log.append()
    assert await comes(lambda: log.conflicts.open)
    assert log.witnessing.mode() is Mode.STOPPED
    assert "two heads of 1 entries" in log.witnessing.status().words
    assert await log.conflicts.documents() == [shown]
    assert (await log.witnessing.covered(await log.append(), 3, 0.2)).mode is Mode.STOPPED
    elsewhere = Conflicts(log.engine)  # the operator's command is another process
    assert await elsewhere.lift("the teams agree on this one") == 1
    assert await comes(lambda: not log.conflicts.open)
    assert (await log.witnessing.covered(await log.append(), 5, PATIENT)).mode is Mode.FULL


async def test_what_another_replica_was_shown_first_ends_all_signing_here_too(log: LogDesk) -> None:
    await log.witnessing.covered(await log.append(), 5, PATIENT)
    ours = checkpoint(log.nodes[1].tree.root(1), 1)
    shown = encode(LogConflict(ours, checkpoint(b"\x07" * 32, 1), ()))
    await Conflicts(log.engine).found(3, shown, log_verifier(workspace()))
    log.nodes[3].conflict = shown
    await log.append()
    assert await comes(lambda: log.witnessing.mode() is Mode.STOPPED)
    assert len(log.conflicts.open) == 1


async def test_a_node_that_another_replica_has_brought_further_is_not_taken_for_a_liar(log: LogDesk) -> None:
    await log.witnessing.covered(before := await log.append(), 5, PATIENT)
    stale = Round(10**6, log.witnessing._rounds.heads(before)[0], time.monotonic(), 0)
    await log.witnessing.covered(await log.append(), 5, PATIENT)
    log.witnessing.sizes.clear()
    await log.witnessing._bring(log.nodes[2], stale)  # type: ignore[arg-type]
    assert log.witnessing.troubles == {}
    assert log.witnessing.sizes[2] == log.nodes[2].tree.size


async def test_a_head_of_another_history_that_one_node_knows_is_shown_to_all_others(log: LogDesk) -> None:
    foreign = checkpoint(b"\x07" * 32, 1).encode()
    log.nodes[4].head = foreign
    await log.append()
    assert await comes(lambda: log.conflicts.foreign)
    await log.append()
    assert await comes(lambda: all(foreign in node.notes for node in log.nodes.values()))


async def test_a_cosignature_that_slower_clocks_would_not_count_yet_is_not_counted(log: LogDesk) -> None:
    log.nodes[2].ahead = CLOCK_SKEW
    index = await log.append()
    await log.witnessing.covered(index, 4, PATIENT)
    assert await comes(lambda: set(log.witnessing.troubles) == {2})
    assert cosigners(await log.witnessing.covered(index, 5, 0.3)) == {1, 3, 4, 5}


def test_who_always_cosigns_late_is_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two such would keep the mode FULL, while no head ever had enough cosignatures in time."""
    rounds, line = Rounds(), Signature("w", b"four", bytes(72))
    rounds.begin(read_note(checkpoint(bytes(32), 1)), 1)
    rounds.add(1, rounds.current, line, 1, 15.0)
    began = rounds.current.began
    monkeypatch.setattr(module_of_rounds, "time", SimpleNamespace(monotonic=lambda: began + 16))
    rounds.add(2, rounds.current, line, 1, 15.0)
    assert set(rounds.cosigned) == {1}
    assert set(rounds.current.head.lines) == {1, 2}
