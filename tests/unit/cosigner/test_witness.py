"""A node cosigns a log that only grows, entry by entry, and remembers what it has cosigned whatever happens to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosigner import counters
from cosigner.boots import Boots
from cosigner.hsm import Token
from cosigner.logbook import Followed
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.errors import Reason, Refused
from oms_core.log.entries import Item, item, read_entry, read_record
from oms_core.log.witness import Answer
from tests.people import NOW
from tests.unit.cosigner.following import Follower, request
from tests.unit.cosigner.node import Node
from tests.witnessed import Logbook


@pytest.fixture
def follower(node: Node) -> Follower:
    """A node that has followed nothing yet, and a log with its first entry."""
    return Follower(node)


def grown(log: Logbook, count: int, at: int = NOW, event: str = "order.reading") -> Logbook:
    for number in range(count):
        log.add(event, f"txn_{number % 7}", b"%d" % number, at=at)
    return log


def same(log: Logbook, place: int, **changes: object) -> Item:
    """The item at this place with something else in its entry, in a form that an entry has."""
    entry, one = read_entry(log.items[place].entry), log.items[place]
    record = read_record(entry, one)
    assert record is not None
    plain = (entry.index, entry.at, entry.event, entry.subject, entry.previous)
    names = ("index", "at", "event", "subject", "previous")
    values = dict(zip(names, plain, strict=True)) | changes
    return item(**values, record=record, salt=one.salt)  # type: ignore[arg-type]


def test_a_node_follows_entry_by_entry_and_cosigns_under_the_key_that_the_roster_names(follower: Follower) -> None:
    grown(follower.log, 3)
    for size in (4, 9, 9, 300, 700):
        grown(follower.log, size - follower.log.size)
        said = follower.cosigned()
        assert (said.size, follower.time(said)) == (size, NOW)
        assert follower.node.token.counters()[2:] == (size, follower.log.tree.root())
        assert follower.root(size) == follower.log.tree.root()
    for size in range(0, 701, 50):
        assert follower.root(size) == follower.log.tree.root(size)
    assert follower.root(701) is None


def test_a_heartbeat_is_cosigned_anew_and_writes_nothing_into_the_token(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(follower.log, 5)
    follower.cosigned()
    before = follower.node.token.counters()
    monkeypatch.setattr(counters, "write", lambda *_: pytest.fail("the token is written"))
    for later in (10, 20, 1000):
        follower.now = NOW + later
        assert follower.time(follower.cosigned()) == NOW + later
    assert follower.node.token.counters() == before
    assert follower.head.cosigned_at == NOW + 1000


def test_one_request_is_one_write_of_the_token(follower: Follower) -> None:
    writes = follower.node.token.counters().writes
    for step in range(1, 4):
        grown(follower.log, 50)
        follower.cosigned()
        assert follower.node.token.counters().writes == writes + step


@pytest.mark.parametrize("old", [0, 3, 5, 7])
def test_from_another_size_than_its_own_a_node_says_which_is_its_own(follower: Follower, old: int) -> None:
    grown(follower.log, 3)
    follower.cosigned()
    grown(follower.log, 5)
    said = follower.ask(old=old) if old != 4 else None
    assert said is not None
    assert (said.answer, said.size, said.line) == (Answer.CONFLICT, 4, "")
    assert follower.cosigned().size == 9


def bends(log: Logbook) -> dict[str, list[Item]]:
    """What is not the entries 4 to 8 of the log."""
    items = log.items[4:9]
    return {
        "one is missing": items[:-1],
        "the first is missing": items[1:],
        "one more": [*items, items[-1]],
        "none": [],
        "two are exchanged": [items[1], items[0], *items[2:]],
        "one twice": [items[0], items[0], *items[2:]],
        "a byte of one": [replace(items[0], entry=items[0].entry[:-1] + bytes([items[0].entry[-1] ^ 1])), *items[1:]],
        "no entry": [replace(items[0], entry=b"\xff"), *items[1:]],
        "another event": [same(log, 4, event="order.refusal"), *items[1:]],
        "another time": [*items[:-1], same(log, 8, at=NOW + 1)],
        "another subject": [same(log, 4, subject="txn_9"), *items[1:]],
        "another predecessor": [same(log, 4, previous=0), *items[1:]],
    }


@pytest.mark.parametrize("bent", list(bends(grown(Logbook(), 8))))
def test_other_entries_than_those_that_lead_to_the_checkpoint_change_nothing(follower: Follower, bent: str) -> None:
    grown(follower.log, 3)
    follower.cosigned()
    head, token = follower.head, follower.node.token.counters()
    grown(follower.log, 5)
    items = bends(follower.log)[bent]
    said = follower.witness.follow(request(follower.log, 4), items, NOW)
    assert said.answer in (Answer.BAD, Answer.UNPROCESSABLE)
    assert (said.size, said.line) == (4, "")
    assert (follower.head, follower.node.token.counters()) == (head, token)
    assert follower.cosigned().size == 9


@pytest.mark.parametrize(
    ("name", "changes"),
    [("earlier than the one before", {"at": NOW - 1}), ("in another place", {"index": 5}), ("gone", {"index": 3})],
)
def test_a_log_that_signs_an_entry_that_cannot_come_next_is_not_followed(
    follower: Follower, name: str, changes: dict[str, int]
) -> None:
    grown(follower.log, 3)
    bad = follower.log.fork()
    grown(bad, 1)
    bent = same(bad, 4, **{"previous": -1, **changes})
    bad.items[4] = bent
    bad.tree = follower.log.fork().tree
    bad.tree.append(bent.entry)
    follower.cosigned()
    said = follower.ask(log=bad)
    assert (said.answer, said.line) == (Answer.UNPROCESSABLE, ""), name
    assert follower.head.size == 4


def test_an_entry_may_be_as_much_ahead_as_clocks_differ_and_no_more(follower: Follower) -> None:
    grown(follower.log, 1, at=NOW + CLOCK_SKEW)
    follower.cosigned()
    grown(follower.log, 1, at=NOW + CLOCK_SKEW + 1)
    said = follower.ask()
    assert (said.answer, "is to come" in said.detail) == (Answer.UNPROCESSABLE, True)
    follower.now += 1
    follower.cosigned()


def test_nobody_dates_an_entry_back_behind_what_was_cosigned_without_it(follower: Follower) -> None:
    follower.cosigned()
    follower.now = NOW + 1000
    follower.cosigned()
    grown(follower.log, 1, at=follower.now - CLOCK_SKEW)
    follower.cosigned()
    follower.now += 1
    follower.cosigned()
    grown(follower.log, 1)
    for _ in range(3):
        said = follower.ask()
        assert (said.answer, "without it" in said.detail) == (Answer.UNPROCESSABLE, True)
        follower.now += 1000


def test_a_node_that_hears_a_question_late_does_not_refuse_for_ever_what_was_written_down_meanwhile(
    follower: Follower,
) -> None:
    """It was stopped with the question in its buffers: what it cosigned then would say that nothing happened since."""
    follower.cosigned()
    asked, follower.now = NOW + 100, NOW + 100 + 3600
    with pytest.raises(Refused) as caught:
        follower.ask(asked_at=asked)
    assert caught.value.reason == Reason.LOG_STALE
    grown(follower.log, 2, at=asked + 5)
    follower.cosigned()
    follower.now += CLOCK_SKEW
    assert follower.ask(asked_at=follower.now - CLOCK_SKEW).answer == Answer.OK
    grown(follower.log, 1, at=follower.now - CLOCK_SKEW)
    follower.cosigned()


def test_what_leads_on_is_followed_however_late_it_comes(follower: Follower) -> None:
    follower.cosigned()
    grown(follower.log, 2, at=NOW + 5)
    follower.now = NOW + 5 + 3600
    assert follower.ask(asked_at=NOW + 5).answer == Answer.OK
    grown(follower.log, 1, at=NOW + 6)
    follower.cosigned()


def test_growth_moves_the_bound_as_heartbeats_do(follower: Follower) -> None:
    """Else a log that never rests could stay in the past for ever."""
    follower.cosigned()
    for later in (100, 200, 300):
        follower.now = NOW + later
        grown(follower.log, 1, at=follower.now - CLOCK_SKEW)
        follower.cosigned()
    grown(follower.log, 1, at=NOW + 240)
    follower.now = NOW + 301
    follower.cosigned()
    grown(follower.log, 1, at=NOW + 240)
    follower.cosigned()
    follower.cosigned()
    grown(follower.log, 1, at=NOW + 240)
    assert follower.ask().answer == Answer.UNPROCESSABLE


def test_a_node_that_was_away_is_shown_the_past_piece_by_piece_and_is_not_deceived_after_it(follower: Follower) -> None:
    grown(follower.log, 3)
    follower.cosigned()
    for hour in range(1, 6):
        grown(follower.log, 2, at=NOW + hour * 3600)
    follower.now = NOW + 30 * 3600
    for size in (6, 8, 10, 12, 14):
        said = follower.cosigned(size)
        assert (said.size, follower.time(said)) == (size, follower.now)
        assert follower.head.since == NOW
        follower.restart()
    follower.cosigned()
    assert follower.head.since == follower.now
    grown(follower.log, 1, at=NOW + 6 * 3600)
    assert follower.ask().answer == Answer.UNPROCESSABLE


@pytest.mark.parametrize("size", [1, 4, 255, 256, 257, 1000])
def test_a_restart_changes_nothing(follower: Follower, size: int) -> None:
    grown(follower.log, size - 1)
    follower.cosigned()
    head = follower.head
    assert follower.restart().head == head
    follower.cosigned()
    grown(follower.log, 3)
    assert follower.cosigned().size == size + 3


def test_the_log_has_one_origin_and_one_key(follower: Follower) -> None:
    follower.cosigned()
    other, stranger = follower.log.fork(), follower.log.fork()
    other.origin = "example.org/another"
    stranger.log = stranger.witnesses[2]
    for log, answer in ((other, Answer.UNKNOWN), (stranger, Answer.FORBIDDEN)):
        if log is stranger:
            log.log.log_line = lambda body, key=stranger.witnesses[2]: key.cosign(body, NOW)  # type: ignore[method-assign, misc]
        said = follower.ask(log=grown(log, 1))
        assert (said.answer, said.line, said.size) == (answer, "", 1)
    assert follower.witness.follow(b"old 1\n", [], NOW).answer == Answer.BAD
    assert follower.cosigned().size == 1


def test_a_node_whose_witness_key_is_not_in_the_roster_cosigns_nothing(follower: Follower) -> None:
    follower.workspace = replace(follower.workspace, roster=follower.workspace.roster[1:])
    with pytest.raises(Refused) as caught:
        follower.ask()
    assert caught.value.reason == Reason.PEER_IDENTITY


class Crash(BaseException):
    """The machine stops."""


@pytest.mark.parametrize("where", ["before the token", "before the cosignature"])
def test_a_crash_after_the_store_has_grown_blocks_nothing_and_hides_nothing(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    grown(follower.log, 3)
    follower.cosigned()
    grown(follower.log, 3)

    def crash(*_: object) -> None:
        raise Crash

    place = (Boots, "settle") if where == "before the token" else (Token, "cosign")
    with monkeypatch.context() as patched:
        patched.setattr(*place, crash)
        with pytest.raises(Crash):
            follower.ask()
    assert follower.node.token.counters().size == (4 if where == "before the token" else 7)
    follower.restart()
    assert follower.node.boots.rolled_back == ""
    said = follower.ask(old=4)
    assert (said.answer, said.size) == (Answer.CONFLICT, 7)
    assert follower.cosigned().size == 7
    assert follower.node.token.counters()[2:] == (7, follower.log.tree.root())


def test_a_crash_before_the_store_has_grown_leaves_the_same_request_as_good_as_before(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.cosigned()
    grown(follower.log, 3)

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Boots, "count", crash)
        with pytest.raises(Crash):
            follower.ask(old=1)
    assert follower.restart().head.size == 1
    assert follower.ask(old=1).answer == Answer.OK


def test_a_clock_that_goes_back_cosigns_nothing_and_a_little_of_it_no_earlier_time(follower: Follower) -> None:
    follower.now = NOW + 500
    follower.cosigned()
    follower.now -= CLOCK_SKEW
    assert follower.time(follower.cosigned()) == NOW + 500
    follower.now -= 1
    with pytest.raises(Refused, match="clock is 61 seconds behind") as caught:
        follower.ask()
    assert caught.value.reason == Reason.LOG_STALE
    follower.restart()
    with pytest.raises(Refused):
        follower.ask()
    follower.now = NOW + 501
    assert follower.time(follower.cosigned()) == NOW + 501


def test_a_node_that_was_rolled_back_cosigns_nothing(follower: Follower, tmp_path: Path) -> None:
    node = follower.node
    follower.cosigned()
    node.stop()
    old = node.copy(tmp_path / "old")
    node.boot()
    grown(follower.opened().log, 3)
    follower.cosigned()
    node.stop()
    node.take(old, store=True)
    node.boot()
    follower.opened()
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            follower.ask()
        assert caught.value.reason == Reason.ROLLBACK_DETECTED
        follower.restart()


def test_a_store_whose_tree_is_not_the_tokens_is_noticed_at_the_next_start(follower: Follower) -> None:
    grown(follower.log, 5)
    follower.cosigned()
    generation, writes, *_ = follower.node.token.counters()
    follower.node.token.set_counters(counters.Counters(generation, writes, 5, b"x" * 32))
    follower.restart()
    assert "is another one than the token's" in follower.node.boots.rolled_back
    follower.node.boots.reconcile(NOW)
    follower.restart()
    assert "is another one than the token's" in follower.node.boots.rolled_back


def test_a_node_that_follows_nothing_has_the_empty_tree(follower: Follower) -> None:
    assert follower.head == Followed()
    assert follower.witness.head().size == 0
    assert follower.cosigned().size == 1
