"""Presignatures in memory: at most 64 of a key, each for one path of one epoch of one key, each taken once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from cosigner import pool as module
from cosigner.pool import LIFETIME, LIMIT, Pool, Stock
from oms_core.crypto.curve import G
from oms_core.errors import CountersealError, NotFound, Reason, Refused
from oms_core.protocol.shares import Presignature, PublicPresignature
from tests.unit.cosigner.node import KEY_ID

OTHER = b"o" * 32
PATH = (44, 7)


def presignature(
    number: int, key_id: bytes = KEY_ID, epoch: int = 0, path: tuple[int, ...] = PATH, quorum: tuple[int, ...] = (1, 2)
) -> Presignature:
    ssid, points = number.to_bytes(64, "big"), tuple((j, G) for j in quorum)
    return Presignature(PublicPresignature(ssid, key_id, epoch, path, G, G, points, points), [(number, number)])


class Clock:
    """Time as the pool sees it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def filled(count: int = 3) -> tuple[Pool, list[Presignature]]:
    pool, made = Pool(), [presignature(i) for i in range(count)]
    for one in made:
        pool.put("wal_1", one)
    return pool, made


def take(pool: Pool, one: Presignature, **other: object) -> Presignature:
    public = one.public
    return pool.take(**{"presignature_id": public.id, "key_id": KEY_ID, "epoch": 0, "path": PATH, **other})  # type: ignore[arg-type]


def test_what_was_put_is_taken_once() -> None:
    pool, (first, second, third) = filled()
    assert take(pool, second) is second
    assert pool.ids() == (first.public.id, third.public.id)
    for _ in range(2):
        with pytest.raises(NotFound) as caught:
            take(pool, second)
        assert caught.value.reason == Reason.PRESIGNATURE_UNKNOWN


@pytest.mark.covers("R18", "P31")
def test_of_a_hundred_threads_that_take_one_presignature_exactly_one_has_it() -> None:
    pool, (one,) = filled(1)
    gate = Barrier(100)

    def attempt(_: int) -> Presignature | None:
        gate.wait()
        try:
            return take(pool, one)
        except NotFound:
            return None

    with ThreadPoolExecutor(100) as threads:
        got = [found for found in threads.map(attempt, range(100)) if found]
    assert got == [one]
    assert pool.ids() == ()


@pytest.mark.parametrize(
    "other",
    [
        {"path": ()},
        {"path": (44,)},
        {"path": (44, 7, 0)},
        {"epoch": 1},
        {"epoch": -1},
        {"key_id": OTHER},
        {"presignature_id": bytes(32)},
        {"presignature_id": b""},
    ],
)
@pytest.mark.covers("R20", "P35", "K15")
def test_a_presignature_serves_only_its_own_path_epoch_and_key(other: dict[str, object]) -> None:
    pool, (one,) = filled(1)
    with pytest.raises(NotFound) as caught:
        take(pool, one, **other)
    assert caught.value.reason == Reason.PRESIGNATURE_UNKNOWN
    assert take(pool, one) is one


def test_a_key_has_at_most_64_and_another_key_has_its_own_64() -> None:
    pool, made = filled(LIMIT)
    assert LIMIT == 64
    for attempt in (lambda: pool.check_room(KEY_ID), lambda: pool.put("wal_1", presignature(LIMIT))):
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.reason == Reason.OVERLOADED
    pool.put("wal_2", presignature(1000, OTHER))
    take(pool, made[0])
    pool.put("wal_1", presignature(LIMIT))
    assert len(pool.ids()) == LIMIT + 1


@pytest.mark.covers("R20")
def test_a_hundred_threads_that_put_leave_64() -> None:
    pool, gate = Pool(), Barrier(100)

    def attempt(number: int) -> bool:
        gate.wait()
        try:
            pool.put("wal_1", presignature(number))
        except CountersealError:
            return False
        return True

    with ThreadPoolExecutor(100) as threads:
        assert sum(threads.map(attempt, range(100))) == LIMIT
    assert len(pool.ids()) == LIMIT


def test_a_presignature_is_gone_after_its_lifetime(clock: Clock) -> None:
    pool, (old,) = filled(1)
    clock.now += LIFETIME - 1
    pool.put("wal_1", new := presignature(1))
    assert len(pool.ids()) == 2
    clock.now += 2
    assert pool.ids() == (new.public.id,)
    with pytest.raises(NotFound):
        take(pool, old)


def test_what_has_expired_leaves_room(clock: Clock) -> None:
    pool, _ = filled(LIMIT)
    clock.now += LIFETIME + 1
    pool.check_room(KEY_ID)


def test_dropped_ids_are_gone_and_unknown_ones_do_nothing() -> None:
    pool, (first, second, third) = filled()
    pool.drop((first.public.id, third.public.id, bytes(32), b""))
    assert pool.ids() == (second.public.id,)


def test_dropping_a_key_leaves_other_keys() -> None:
    pool, _ = filled()
    pool.put("wal_2", other := presignature(9, OTHER))
    pool.drop_key(KEY_ID)
    assert pool.ids() == (other.public.id,)


def test_dropping_older_epochs_leaves_the_new_one() -> None:
    pool, _ = filled()
    pool.put("wal_1", new := presignature(9, epoch=2))
    pool.put("wal_1", presignature(10, epoch=1))
    pool.drop_key(KEY_ID, 2)
    assert pool.ids() == (new.public.id,)


def test_the_stock_is_told_by_wallet_path_and_quorum_with_the_age_of_the_oldest(clock: Clock) -> None:
    pool, _ = filled(2)
    clock.now += 10
    pool.put("wal_1", presignature(5))
    pool.put("wal_1", presignature(6, quorum=(1, 3)))
    pool.put("wal_1", presignature(7, path=()))
    clock.now += 5
    pool.put("wal_0", presignature(8, OTHER))
    assert pool.stock() == [
        Stock("wal_0", PATH, (1, 2), 1, 0),
        Stock("wal_1", (), (1, 2), 1, 5),
        Stock("wal_1", PATH, (1, 2), 3, 15),
        Stock("wal_1", PATH, (1, 3), 1, 5),
    ]


def test_what_a_pool_holds_is_not_shown() -> None:
    pool, (one,) = filled(1)
    assert "Presignature(…)" in repr(one)
    assert "secret" not in repr(list(pool._held.values()))
