"""What a node counts, kept in memory, is what its store says: whatever was asked before, and in whichever order."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, inspect, update

from cosigner import counted
from cosigner.counted import COUNTED, Counted, spends_of
from cosigner.store import log_authorized, log_spends, open_store
from oms_core.chains.intent import Intent, subject_digest
from oms_core.policy.facts import Spend
from oms_core.policy.rules import DAY
from tests.people import NOW, following, reform, workspace, workspace_request
from tests.unit.cosigner.replicas import Replica, asked, order
from tests.witnessed import Logbook

HOUR = 3600
DEARER = following(assets=tuple(replace(one, usd_micro=2 * one.usd_micro) for one in workspace().assets))


@pytest.fixture
def log() -> Logbook:
    log = Logbook()
    log.approve(workspace_request(reform(DEARER)), at=NOW - 20 * DAY)
    return log


def plainly(connection: Connection, since: int, subject: bytes, before: int | None) -> Counter[Spend]:
    """What is counted, as one query."""
    query = COUNTED.where(log_authorized.c.at > since, log_authorized.c.subject != subject)
    if before is not None:
        query = query.where(log_authorized.c.first < before)
    return Counter(spends_of(connection.execute(query)))


def check(replica: Replica, now: int, back: int, subject: Intent | None) -> int:
    """Facts are what the store says; how many there are."""
    named = subject_digest(subject) if subject else b"nobody's"
    with replica.store.begin() as connection:
        facts = replica.history.facts(connection, named, now, back)
        mine = replica.history.authorized(connection, named)
        since = min(now, mine.at if mine else now) - back
        assert Counter(facts.spent) == plainly(connection, since, named, mine.last if mine else None)
    return len(facts.spent)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_logged_and_asked_facts_are_what_the_store_says(replica: Replica, seed: int) -> None:
    draw, now, found = random.Random(seed), NOW - 15 * DAY, 0
    orders = [order(10 + number, number) for number in range(12)]
    for _ in range(60):
        now += draw.choice([0, 1, 30, HOUR, 5 * HOUR, DAY])
        for subject in draw.sample(orders, draw.choice([0, 1, 1, 3])):
            under = draw.choice([None, None, DEARER])
            replica.log.authorize(asked(subject, nonce=draw.choice([7, 7, 7, 8]), under=under), at=now)
        replica.follow()
        for _ in range(draw.choice([0, 1, 2])):
            back = draw.choice([60, HOUR, DAY, DAY, 3 * DAY, 30 * DAY])
            found += check(replica, now - draw.choice([0, 0, 60, HOUR]), back, draw.choice([None, *orders]))
    assert found > 100


def test_a_longer_look_back_finds_what_a_shorter_one_had_no_use_for(replica: Replica) -> None:
    for number, at in enumerate((NOW - 10 * DAY, NOW - 5 * DAY, NOW - 60)):
        replica.log.authorize(asked(order(10, number)), at=at)
    replica.follow()
    found = [len([one for one in replica.facts(back=back).spent if one.operation == 0]) for back in
             (HOUR, 6 * DAY, 30 * DAY, HOUR)]  # fmt: skip
    assert found == [1, 2, 3, 1]


def test_what_nobody_asks_for_any_more_is_not_kept(replica: Replica) -> None:
    for number in range(20):
        replica.log.authorize(asked(order(10, number)), at=NOW + number * HOUR)
        replica.follow()
        replica.facts(now=NOW + number * HOUR, back=HOUR)
    assert len(replica.history._counted._subjects) <= 5


def test_an_order_that_is_worth_more_under_a_newer_version_counts_so(replica: Replica) -> None:
    replica.log.authorize(asked(order(10**18)))
    replica.follow()
    before = replica.facts().spent
    replica.log.authorize(asked(order(10**18), under=DEARER))
    replica.follow()
    after = replica.facts().spent
    assert [one.usd_micro for one in after] == [2 * one.usd_micro for one in before]


def test_a_store_that_was_put_back_under_this_process_is_read_anew(replica: Replica) -> None:
    for number in (1, 2):
        replica.log.authorize(asked(order(10, number)))
    replica.follow()
    assert replica.counted() == [10, 10]
    gone = subject_digest(order(10, 2))
    with replica.store.begin() as connection:
        for table in (log_authorized, log_spends):
            connection.execute(delete(table).where(table.c.subject == gone))
    assert replica.counted() == [10]


def test_the_store_of_another_log_is_read_anew(replica: Replica, tmp_path: Path) -> None:
    """Also where what was newest then was authorised there, and later."""
    replica.log.authorize(asked(order(10, 1)))
    fork = replica.log.fork()
    for log, numbers in ((replica.log, (2, 1)), (fork, (3, 4, 1))):
        for number in numbers:
            log.authorize(asked(order(10 * number, number)))
    assert replica.follow().counted() == [10, 20]
    other = Replica(open_store(tmp_path / "other.sqlite"), fork).follow()
    other.history = replica.history
    assert other.counted() == [10, 30, 40]
    other.store.dispose()


@pytest.mark.parametrize("fails", [1, 2, 3])
def test_memory_that_ends_in_the_middle_leaves_nothing_out(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    def made(*values: Any) -> Any:
        calls.append(values)
        if len(calls) == fails:
            raise MemoryError
        return real(*values)

    calls, real = list[Any](), counted._Subject
    replica.log.authorize(asked(order(10, 1)))
    assert replica.follow().counted() == [10]
    for number in (2, 3, 1):
        replica.log.authorize(asked(order(10, number)))
    replica.follow()
    monkeypatch.setattr(counted, "_Subject", made)
    with pytest.raises(MemoryError):
        replica.counted()
    assert replica.counted() == [10, 10, 10]


def test_a_store_of_an_earlier_version_gets_the_indexes_that_it_lacks(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.sqlite")
    with store.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_log_authorized_last")
    store.dispose()
    store = open_store(tmp_path / "store.sqlite")
    assert "ix_log_authorized_last" in {one["name"] for one in inspect(store).get_indexes("log_authorized")}
    store.dispose()


def test_what_cannot_be_read_is_not_half_taken_in(replica: Replica) -> None:
    memory = Counted()
    replica.log.authorize(asked(order(10, 1)))
    replica.follow()
    with replica.store.begin() as connection:
        assert len(memory.spent(connection, 0, b"", None)) == 2
    for number in (2, 3):
        replica.log.authorize(asked(order(10, number)))
    replica.follow()
    bad = log_spends.c.subject == subject_digest(order(10, 2))
    with replica.store.begin() as connection:
        held = connection.execute(COUNTED.where(bad)).first()
        assert held is not None
        connection.execute(update(log_spends).where(bad).values(action="STEAL"))
        for _ in range(2):
            with pytest.raises(KeyError):
                memory.spent(connection, 0, b"", None)
        connection.execute(update(log_spends).where(bad).values(action=held.action))
        assert Counter(memory.spent(connection, 0, b"", None)) == plainly(connection, 0, b"", None)
