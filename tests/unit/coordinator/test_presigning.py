"""The coordinator's book of presignatures: each is taken once, by who can use it, and what nobody holds is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.outcomes import Outcomes
from coordinator.presigning import Presigning
from proto import cosigner_pb2 as pb
from tests.unit.coordinator.desk import ALL, Answer, Desk

QUORUM = (1, 2, 3)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """An active wallet, nobody attached."""
    made = await Desk.open(tmp_path)
    yield made
    await made.engine.dispose()


def presigning(desk: Desk, target: int = 0) -> Presigning:
    outcomes = Outcomes(desk.book, desk.cosigners)
    return Presigning(desk.book, desk.store, desk.standing, desk.cosigners, desk.wallets, outcomes, target)


def holds(*ids: bytes) -> Answer:
    """A cosigner whose pool has these; it does what it is told."""

    def answer(request: pb.ToCosigner) -> pb.FromCosigner:
        if request.WhichOneof("body") == "get_status":
            return pb.FromCosigner(status=pb.Status(presignatures=ids))
        return pb.FromCosigner(acknowledged=pb.Acknowledged())

    return answer


async def taken(
    desk: Desk, made: Presigning, path: tuple[int, ...] = (), without: frozenset[int] = frozenset()
) -> bytes:
    wallet = await desk.wallets.active("wal_1")
    found = await made.take("wal_1", wallet, path, set(without))
    return found.presignature_id if found else b""


async def test_the_oldest_is_taken_first_and_each_only_once(desk: Desk) -> None:
    desk.attach({i: holds() for i in ALL})
    made = presigning(desk)
    for name in (b"one", b"two"):
        await desk.book.add_presignature(name, "wal_1", 0, (), QUORUM)
    assert [await taken(desk, made) for _ in range(3)] == [b"one", b"two", b""]


async def test_of_many_orders_at_once_one_gets_a_presignature(desk: Desk) -> None:
    desk.attach({i: holds() for i in ALL})
    made = presigning(desk)
    await desk.book.add_presignature(b"one", "wal_1", 0, (), QUORUM)
    found = await asyncio.gather(*(taken(desk, made) for _ in range(20)))
    assert sorted(found) == [b""] * 19 + [b"one"]


@pytest.mark.parametrize("why", ["path", "epoch", "absent", "refused", "quarantined"])
async def test_a_presignature_that_cannot_be_used_is_left_alone(desk: Desk, why: str) -> None:
    desk.attach({i: holds() for i in ALL if (i, why) != (2, "absent")})
    epoch, path = int(why == "epoch"), (7,) if why == "path" else ()
    await desk.book.add_presignature(b"one", "wal_1", epoch, path, QUORUM)
    desk.cosigners.quarantined = {3} if why == "quarantined" else set()
    assert await taken(desk, presigning(desk), without=frozenset({1} if why == "refused" else ())) == b""
    assert len(await desk.book.presignatures()) == 1


async def test_what_one_of_its_quorum_has_lost_is_dropped(desk: Desk) -> None:
    desk.attach({1: holds(b"one", b"two"), 2: holds(b"one"), 3: holds(b"one", b"two")})
    for name in (b"one", b"two"):
        await desk.book.add_presignature(name, "wal_1", 0, (), QUORUM)
    await presigning(desk)._clean()
    assert [row["presignature_id"] for row in await desk.book.presignatures()] == [b"one"]


@pytest.mark.parametrize("why", ["old epoch", "stopped", "quarantined"])
async def test_what_will_never_sign_is_dropped(desk: Desk, why: str) -> None:
    desk.attach({i: holds(b"one") for i in ALL})
    await desk.book.add_presignature(b"one", "wal_1", 7 if why == "old epoch" else 0, (), QUORUM)
    if why == "stopped":
        await desk.store.note_wallet("wal_1", state="SUSPENDED")
    desk.cosigners.quarantined = {3} if why == "quarantined" else set()
    await presigning(desk)._clean()
    assert await desk.book.presignatures() == []


async def test_what_an_absent_node_holds_is_kept_for_a_while_and_then_given_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.attach({1: holds(b"one"), 2: holds(b"one")})
    await desk.book.add_presignature(b"one", "wal_1", 0, (), QUORUM)
    made = presigning(desk)
    await made._clean()
    assert len(await desk.book.presignatures()) == 1
    monkeypatch.setattr("coordinator.presigning.ABSENCE", -1.0)
    await made._clean()
    assert await desk.book.presignatures() == []


async def test_what_a_node_holds_and_nobody_knows_of_is_dropped_there_when_it_is_seen_again(desk: Desk) -> None:
    links = desk.attach({1: holds(b"stray")})
    made = presigning(desk)
    await made._clean()
    assert [request.WhichOneof("body") for request in links[1].told] == ["get_status"]
    await made._clean()
    assert list(links[1].told[-1].drop_presignatures.ids) == [b"stray"]


async def test_only_paths_in_heavy_use_get_a_pool_beside_the_wallets_own_key(desk: Desk) -> None:
    desk.attach({i: holds() for i in ALL})
    made = presigning(desk)
    for _ in range(3):
        await taken(desk, made, (0, 1))
    await taken(desk, made, (0, 2))
    assert made._busy_paths("wal_1") == [(), (0, 1)]
    assert made._busy_paths("wal_2") == [()]


async def test_nothing_is_made_if_none_are_wanted(desk: Desk) -> None:
    desk.attach({i: holds() for i in ALL})
    assert not await presigning(desk, target=0)._refill()


@pytest.mark.parametrize("signing", [True, False])
async def test_signing_comes_first(desk: Desk, signing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    links = desk.attach({i: holds() for i in ALL})
    monkeypatch.setattr("coordinator.presigning.PAUSE", 0.0)

    async def orders_in(*_: object) -> list[str]:
        return ["an order"] if signing else []

    monkeypatch.setattr(desk.store, "orders_in", orders_in)
    assert await presigning(desk, target=1)._refill() is not signing
    begun = [link for link in links.values() if any(one.WhichOneof("body") == "begin" for one in link.told)]
    assert len(begun) == (0 if signing else 3)


async def test_the_loop_that_refills_ends_when_it_is_told_to_and_not_in_the_middle_of_a_query(desk: Desk) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(presigning(desk).run(stop))
    await asyncio.sleep(0)
    assert not task.done()
    stop.set()
    await asyncio.wait_for(task, 120)
    async with asyncio.timeout(120):
        await desk.engine.dispose()
