"""What a node takes for proof that it is shown the one log, as it is now: how many witnesses, and how fresh."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.intent import CLOCK_SKEW
from oms_core.errors import Reason, Refused
from oms_core.log.cover import Cover, Mode
from oms_core.log.note import Note, read_note, write_note
from tests.people import NOW
from tests.unit.cosigner.following import Follower, bare_note
from tests.unit.cosigner.node import Node
from tests.witnessed import Logbook

FRESH, WINDOW = 60, 86_400
FOUR, THREE, TWO = (2, 3, 4, 5), (2, 3, 4), (2, 3)


@pytest.fixture
def follower(node: Node) -> Follower:
    """A node that has cosigned eight entries, and seen that four others have, just now."""
    made = Follower(node)
    for number in range(7):
        made.log.add("order.reading", f"txn_{number}")
    made.cosigned()
    made.witness.gossip([made.covered()], NOW)
    return made


def covers(follower: Follower, note: bytes, index: int = 7) -> Cover:
    return follower.witness.check_cover(note, index, follower.workspace, follower.now)


def refused(follower: Follower, note: bytes, index: int = 7) -> Reason:
    with pytest.raises(Refused) as caught:
        covers(follower, note, index)
    return caught.value.reason


@pytest.mark.parametrize(
    ("by", "share", "mode"),
    [((1, 2, 3, 4, 5), 1, Mode.FULL), (FOUR, 1, Mode.FULL), (THREE, 3, Mode.DEGRADED), ((1, 4, 5), 3, Mode.DEGRADED)],
)
def test_four_of_five_are_full_and_with_three_limits_are_divided_by_three(
    follower: Follower, by: tuple[int, ...], share: int, mode: Mode
) -> None:
    found = covers(follower, with_own(follower, by))
    assert (found.size, found.count, found.share, found.mode) == (8, len(by), share, mode)
    assert found.vouched_at == NOW


def with_own(follower: Follower, by: tuple[int, ...]) -> bytes:
    """A note with this node's own cosignature, if it is among them."""
    note = read_note(follower.covered(by=[i for i in by if i != 1]))
    if 1 not in by:
        return write_note(note).encode()
    line = follower.cosigned().line
    return (write_note(note) + line).encode()


@pytest.mark.parametrize("by", [TWO, (5,), ()])
def test_so_few_that_all_may_lie_cover_nothing(follower: Follower, by: tuple[int, ...]) -> None:
    assert refused(follower, follower.covered(by=by)) == Reason.NOT_LOGGED


def test_one_witness_in_several_lines_counts_once(follower: Follower) -> None:
    note = read_note(follower.covered(by=TWO))
    more = [follower.log.witnesses[2].cosign(note.body, NOW - number) for number in range(1, 6)]
    assert refused(follower, write_note(replace(note, signatures=(*note.signatures, *more))).encode()) == (
        Reason.NOT_LOGGED
    )


def test_who_is_not_in_the_roster_does_not_count(follower: Follower) -> None:
    note = read_note(follower.covered(by=TWO))
    stranger = Logbook(replace(follower.workspace, log=replace(follower.workspace.log, origin="example.org/x")))
    lines = [stranger.witnesses[i].cosign(note.body, NOW) for i in (3, 4, 5)]
    assert refused(follower, write_note(replace(note, signatures=(*note.signatures, *lines))).encode()) == (
        Reason.NOT_LOGGED
    )


def test_a_note_that_the_log_has_not_signed_covers_nothing_and_stops_nobody(follower: Follower) -> None:
    note = read_note(follower.covered())
    without = Note(note.body, note.signatures[1:])
    forged = replace(note.signatures[0], data=bytes(64))
    for bad in (write_note(without).encode(), write_note(Note(note.body, (forged, *note.signatures[1:]))).encode()):
        assert refused(follower, bad) == Reason.NOT_LOGGED
    for bad in (b"", b"\xff", b"not a note", follower.covered()[:-10], bytes(100_000)):
        assert refused(follower, bad) == Reason.NOT_LOGGED
    assert covers(follower, follower.covered()).full


def test_an_entry_is_covered_by_a_tree_that_it_is_in(follower: Follower) -> None:
    note = follower.covered(6)
    for index in range(6):
        assert covers(follower, note, index).size == 6
    for index in (6, 7, 100):
        assert refused(follower, note, index) == Reason.NOT_LOGGED


def test_what_this_node_has_not_itself_cosigned_covers_nothing(follower: Follower) -> None:
    for _ in range(3):
        follower.log.add("order.reading", "")
    note = follower.covered()
    assert refused(follower, note) == Reason.NOT_LOGGED
    follower.cosigned()
    assert covers(follower, note, 10).size == 11


@pytest.mark.parametrize("age", [0, FRESH, FRESH + 1, 500])
def test_a_note_is_fresh_for_as_long_as_the_workspace_says(follower: Follower, age: int) -> None:
    note, follower.now = follower.covered(), NOW + age
    if age <= FRESH:
        assert covers(follower, note).vouched_at == NOW
    else:
        assert refused(follower, note) == Reason.LOG_STALE


def test_two_that_date_ahead_make_nothing_fresh(follower: Follower) -> None:
    """At most two lie: of three latest times one is honest."""
    old = NOW - FRESH - 1
    note = follower.log.note(None, (1, 2, 3, 4, 5)[1:], old, {2: NOW, 3: NOW + CLOCK_SKEW})
    assert refused(follower, note) == Reason.LOG_STALE
    note = follower.log.note(None, FOUR, old, {2: NOW, 3: NOW, 4: NOW - 5})
    assert covers(follower, note).vouched_at == NOW - 5


@pytest.mark.parametrize(("ahead", "count"), [(CLOCK_SKEW, 4), (CLOCK_SKEW + 1, 3), (10**6, 3)])
def test_a_cosignature_from_the_future_does_not_count_and_spoils_nothing(
    follower: Follower, ahead: int, count: int
) -> None:
    found = covers(follower, follower.log.note(None, FOUR, NOW, {2: NOW + ahead}))
    assert (found.count, found.share) == (count, 1 if count == 4 else 3)


def test_with_three_for_longer_than_the_window_nothing_is_signed_until_four_are_seen(follower: Follower) -> None:
    for later in (100, WINDOW):
        follower.now = NOW + later
        assert not covers(follower, follower.covered(by=THREE)).full
    follower.now = NOW + WINDOW + 1
    for _ in range(2):
        assert refused(follower, follower.covered(by=THREE)) == Reason.LOG_STALE
        follower.restart()
    assert covers(follower, follower.covered()).full
    follower.now += WINDOW
    assert not covers(follower, follower.covered(by=THREE)).full


def test_a_node_that_has_never_seen_four_takes_three_for_nothing_until_its_operator_says_so(node: Node) -> None:
    follower = Follower(node)
    follower.cosigned()
    assert refused(follower, follower.covered(by=THREE), 0) == Reason.LOG_STALE
    follower.trust()
    follower.restart()
    assert covers(follower, follower.covered(by=THREE), 0).share == 3
    follower.now = NOW + WINDOW + 1
    assert refused(follower, follower.covered(by=THREE), 0) == Reason.LOG_STALE


def test_what_gossip_shows_with_full_cosignatures_begins_the_window_anew(follower: Follower) -> None:
    follower.now = NOW + WINDOW
    follower.witness.gossip([follower.covered(5)], follower.now)
    follower.now += WINDOW
    assert covers(follower, follower.covered(by=THREE)).share == 3
    for useless in (follower.covered(by=THREE), follower.covered(by=()), b"", follower.covered(at=NOW)):
        follower.witness.gossip([useless], follower.now)
    follower.now += 1
    assert refused(follower, follower.covered(by=THREE)) == Reason.LOG_STALE


def test_what_full_cosignatures_vouch_for_outlives_a_restart_and_never_gets_older(follower: Follower) -> None:
    for at in (NOW - 50, NOW + 30, NOW + 10):
        follower.now = NOW + 40
        follower.witness.gossip([follower.covered(at=at)], follower.now)
        follower.restart()
    assert follower.head.full_at == NOW + 30


@pytest.mark.parametrize("by", [FOUR, THREE])
def test_a_clock_that_was_put_back_makes_no_old_note_fresh(follower: Follower, by: tuple[int, ...]) -> None:
    old = follower.covered(by=by)
    follower.now = NOW + 5000
    follower.cosigned()
    follower.now = NOW
    assert refused(follower, old) == Reason.LOG_STALE
    follower.restart()
    assert refused(follower, old) == Reason.LOG_STALE


@pytest.mark.parametrize(
    ("by", "later", "mode"),
    [
        (FOUR, 0, Mode.FULL),
        (FOUR, FRESH, Mode.FULL),
        (FOUR, FRESH + 1, Mode.STOPPED),
        (THREE, 0, Mode.DEGRADED),
        (THREE, FRESH + 1, Mode.STOPPED),
        (TWO, 0, Mode.STOPPED),
    ],
)
def test_a_node_says_what_it_would_do_now(follower: Follower, by: tuple[int, ...], later: int, mode: Mode) -> None:
    follower.log.add("order.reading", "")
    follower.cosigned()
    follower.witness.gossip([follower.covered(by=by)], NOW)
    found = follower.witness.standing(NOW + later)
    assert found.mode is mode
    assert bool(found.detail) == (mode is not Mode.FULL)
    assert (found.head.size, found.head.root) == (9, follower.log.tree.root())


def test_a_node_that_follows_nothing_says_so(node: Node) -> None:
    found = Follower(node).witness.standing(NOW)
    assert (found.mode, found.head.size, found.full_at) == (Mode.STOPPED, 0, 0)


def test_a_node_that_follows_nothing_hears_that_others_have_cosigned_nothing(node: Node) -> None:
    follower = Follower(node)
    head, conflict = follower.witness.gossip([follower.covered(0), b"", follower.covered(0)], NOW)
    assert conflict == b""
    assert read_note(head).body == read_note(follower.covered(0)).body
    assert follower.head.full_at == NOW


def test_the_newest_note_is_kept_with_all_cosignatures_that_are_known(follower: Follower) -> None:
    for by in ((2, 3, 4), (3, 4, 5)):
        head, conflict = follower.witness.gossip([follower.covered(by=by)], NOW)
    assert conflict == b""
    assert {line.name[-1] for line in read_note(head).signatures[1:]} == {"2", "3", "4", "5"}
    assert read_note(head).body == read_note(bare_note(follower.log)).body
