"""The named attacks on the log against a node as it runs: a real token, a real store, and a coordinator that lies."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from cosigner.witness import Witnessed
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.errors import Reason, Refused
from oms_core.log.note import read_note, write_note
from oms_core.log.witness import Answer
from tests.people import NOW
from tests.unit.cosigner.following import Follower, bare_note, request
from tests.unit.cosigner.node import Node, make_node
from tests.witnessed import Logbook

pytestmark = pytest.mark.attack


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    """A node that has cosigned ten entries."""
    node = make_node(tmp_path / "node").boot()
    made = Follower(node)
    for number in range(9):
        made.log.add("order.reading", f"txn_{number}")
    made.cosigned()
    yield made
    node.stop()


def more(log: Logbook, count: int, at: int = NOW, event: str = "order.decision") -> Logbook:
    for _ in range(count):
        log.add(event, "", at=at)
    return log


def forked(log: Logbook, common: int, size: int) -> Logbook:
    """Another history with this beginning."""
    return more(log.fork(common), size - common, event="order.refusal")


def refused(follower: Follower, note: bytes, index: int = 0) -> Reason:
    with pytest.raises(Refused) as caught:
        follower.witness.check_cover(note, index, follower.workspace, follower.now)
    return caught.value.reason


@pytest.mark.covers("L03", "C15")
@pytest.mark.parametrize("common", [0, 1, 5, 9])
def test_a_node_that_is_shown_another_history_cosigns_none_of_it_and_stops(follower: Follower, common: int) -> None:
    fork = forked(follower.log, common, 25)
    for old in (10, 0, common, 25):
        for new in (common + 1, 10, 25):
            if old <= new:
                said = _ask(follower, fork, old, new)
                assert said is None or (said.answer != Answer.OK and said.line == "")
    assert follower.root(10) == follower.log.tree.root(10)
    with pytest.raises(Refused) as caught:
        follower.ask()
    assert caught.value.reason == Reason.LOG_FORKED


def _ask(follower: Follower, log: Logbook, old: int, new: int) -> Witnessed | None:
    """A node that has seen the fork by now does not answer."""
    with suppress(Refused):
        return follower.witness.follow(request(log, old, new), log.items[old:new], NOW)
    return None


@pytest.mark.covers("L03")
def test_of_two_histories_no_two_nodes_sign_under_both_while_four_of_five_are_wanted(follower: Follower) -> None:
    """Whichever history this node stands on, the other one covers nothing here, whoever has cosigned it."""
    fork = forked(follower.log, 9, 14)
    everyone = fork.note(None, (1, 2, 3, 4, 5), NOW)
    assert refused(follower, everyone) == Reason.NOT_LOGGED
    assert refused(follower, fork.note(10, (2, 3, 4, 5), NOW)) == Reason.LOG_FORKED


@pytest.mark.covers("L04")
@pytest.mark.parametrize("smaller", [0, 1, 9])
def test_a_smaller_tree_after_a_larger_one_is_answered_with_the_larger_ones_size(
    follower: Follower, smaller: int
) -> None:
    for _ in range(2):
        for old in (0, smaller):
            said = follower.ask(smaller, old=old)
            assert (said.answer, said.size, said.line) == (Answer.CONFLICT, 10, "")
        said = follower.ask(smaller, old=10, items=follower.log.items[:1])
        assert (said.answer, said.line) == (Answer.BAD, "")
        follower.restart()
    assert follower.cosigned().size == 10


@pytest.mark.covers("L06")
def test_forged_cosignatures_cover_nothing_and_begin_no_window_anew(follower: Follower) -> None:
    honest = read_note(follower.covered(by=(2, 3)))
    body, (log, two, three) = honest.body, honest.signatures
    others = follower.log.witnesses
    another = read_note(follower.log.note(9, (4, 5), NOW)).signatures[1:]
    forgeries = {
        "zeroes": [replace(one, data=two.data[:8] + bytes(64)) for one in another],
        "of another head": list(another),
        "another witness's, under their names": [
            replace(two, name=others[i].verifier.name, key_id=others[i].verifier.key_id) for i in (4, 5)
        ],
        "of another time": [
            replace(
                others[i].cosign(body, NOW), data=(NOW + 1).to_bytes(8, "big") + others[i].cosign(body, NOW).data[8:]
            )
            for i in (4, 5)
        ],
        "the log's own": [replace(log, name=others[i].verifier.name, key_id=others[i].verifier.key_id) for i in (4, 5)],
        "twice the same": [two, three, two, three],
        "by strangers": [replace(others[i].cosign(body, NOW), name=f"stranger-{i}") for i in (4, 5)],
        "cut off": [replace(others[i].cosign(body, NOW), data=others[i].cosign(body, NOW).data[:-1]) for i in (4, 5)],
    }
    for name, lines in forgeries.items():
        note = write_note(replace(honest, signatures=(log, two, three, *lines))).encode()
        assert refused(follower, note) == Reason.NOT_LOGGED, name
        follower.witness.gossip([note], NOW)
        assert follower.head.full_at == 0, name
    follower.node.boots.check()
    assert follower.witness.check_cover(follower.covered(), 0, follower.workspace, NOW).full


@pytest.mark.covers("L08")
def test_of_two_requests_at_once_no_smaller_head_is_stored_or_cosigned_after_a_larger_one(follower: Follower) -> None:
    """What the witness protocol warns of: N and N+K are both checked, N+K is stored and answered, then N."""
    with ThreadPoolExecutor(4) as threads:
        for _ in range(25):
            size = follower.head.size
            more(follower.log, 7)
            asked = [(size, size + 7), (size, size + 1), (size, size + 3), (size, size)]
            start = Barrier(len(asked))

            def ask(old: int, new: int, start: Barrier = start) -> Witnessed:
                start.wait()
                return follower.witness.follow(request(follower.log, old, new), follower.log.items[old:new], NOW)

            answers = list(threads.map(lambda one: ask(*one), asked))
            grown = [said.size for said in answers if said.answer is Answer.OK and said.size > size]
            assert len(grown) == 1, answers
            assert follower.head.size == follower.node.token.counters().size == grown[0]
            for said in answers:
                assert said.answer in (Answer.OK, Answer.CONFLICT)
                if said.answer is Answer.OK:
                    follower.time(said)
                else:
                    assert (said.size, said.line) == (grown[0], "")
            follower.cosigned()


@pytest.mark.covers("L10")
def test_a_node_counts_no_cosignature_from_the_future_and_makes_none(follower: Follower) -> None:
    ahead = NOW + CLOCK_SKEW + 1
    assert refused(follower, follower.covered(at=ahead)) == Reason.NOT_LOGGED
    follower.witness.gossip([follower.covered(at=ahead)], NOW)
    assert follower.head.full_at == 0
    assert follower.time(follower.cosigned()) == NOW
    more(follower.log, 1, at=ahead)
    assert follower.ask().answer == Answer.UNPROCESSABLE


@pytest.mark.covers("L10")
def test_two_liars_that_date_ahead_make_an_old_head_fresh_at_no_node(follower: Follower) -> None:
    follower.now = NOW + 500
    for liars in ((2, 3), (4, 5)):
        note = follower.log.note(None, (2, 3, 4, 5), NOW, dict.fromkeys(liars, follower.now + CLOCK_SKEW))
        assert refused(follower, note) == Reason.LOG_STALE


def rolled_back(follower: Follower, tmp_path: Path, entries: int, *, tokens: bool = False) -> Node:
    """The node's disk is put back to before it cosigned so many entries more."""
    node = follower.node
    node.stop()
    old = node.copy(tmp_path / "old")
    node.boot()
    follower.opened()
    more(follower.log, entries)
    follower.cosigned()
    node.stop()
    node.take(old, store=True, tokens=tokens)
    node.boot()
    follower.opened()
    return node


@pytest.mark.covers("L11")
def test_a_witness_whose_store_was_put_back_cosigns_nothing_until_its_operator_has_spoken(
    follower: Follower, tmp_path: Path
) -> None:
    node = rolled_back(follower, tmp_path, 5)
    assert node.boots.rolled_back
    for _ in range(2):
        for new in (10, 12, 15):
            with pytest.raises(Refused) as caught:
                follower.ask(new)
            assert caught.value.reason == Reason.ROLLBACK_DETECTED
        follower.restart()


@pytest.mark.covers("L11")
def test_after_its_operator_has_spoken_it_follows_in_silence_up_to_what_it_had_cosigned(
    follower: Follower, tmp_path: Path
) -> None:
    rolled_back(follower, tmp_path, 5).boots.reconcile(NOW)
    follower.restart()
    assert (follower.head.size, follower.node.boots.rolled_back) == (10, "")
    said = follower.ask(10)
    assert (said.answer, said.line) == (Answer.UNPROCESSABLE, "")
    for new in (11, 14):
        said = follower.ask(new)
        assert (said.answer, said.size, said.line) == (Answer.CONFLICT, new, "")
        assert follower.node.token.counters().size == 15
        assert refused(follower, follower.covered(new)) == Reason.NOT_LOGGED
        follower.restart()
        assert follower.node.boots.rolled_back == ""
    assert follower.cosigned().size == 15
    more(follower.log, 3)
    assert follower.cosigned().size == 18
    assert follower.restart().node.boots.rolled_back == ""


@pytest.mark.covers("L11", "L03")
@pytest.mark.parametrize("batch", [1, 2, 5, 9])
def test_a_log_that_has_another_past_than_the_one_it_had_cosigned_gets_nowhere_with_it(
    follower: Follower, tmp_path: Path, batch: int
) -> None:
    rolled_back(follower, tmp_path, 5).boots.reconcile(NOW)
    follower.restart()
    fork = forked(follower.log, 10, 22)
    answers = list[Answer]()
    while len(answers) < 20 and follower.head.size < 15:
        answers.append(follower.ask(min(fork.size, follower.head.size + batch), log=fork).answer)
    assert Answer.OK not in answers
    assert answers[-1] == Answer.UNPROCESSABLE
    assert follower.head.size < 15
    assert follower.node.token.counters()[2:] == (15, follower.log.tree.root(15))


@pytest.mark.covers("L11")
def test_a_witness_with_an_empty_disk_follows_from_the_first_entry_and_cosigns_from_where_it_was(
    follower: Follower, tmp_path: Path
) -> None:
    node = follower.node
    node.stop()
    for path in node.home.glob("store.sqlite*"):
        path.unlink()
    node.boot()
    follower.opened()
    with pytest.raises(Refused):
        follower.ask(10)
    node.boots.reconcile(NOW)
    follower.restart()
    assert follower.catch_up(batch=4) == [Answer.CONFLICT, Answer.CONFLICT, Answer.OK]
    assert follower.head.cosigned == 10


@pytest.mark.covers("L11")
def test_store_and_token_that_are_put_back_together_are_noticed_by_the_newer_notes_that_others_have(
    follower: Follower, tmp_path: Path
) -> None:
    """By itself such a node cannot know. It cosigns nothing but this log, and takes nothing older for fresh."""
    node = rolled_back(follower, tmp_path, 5, tokens=True)
    assert node.boots.rolled_back == ""
    fork = forked(follower.log, 10, 16)
    follower.witness.gossip([bare_note(follower.log)], NOW)
    with pytest.raises(Refused) as caught:
        follower.ask(log=fork)
    assert caught.value.reason == Reason.LOG_FORKED
