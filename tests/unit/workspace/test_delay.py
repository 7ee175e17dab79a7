"""When an approved change counts: after its delay, from a moment that no two liars can move."""

from __future__ import annotations

import pytest

from oms_core.chains.intent import subject_digest
from oms_core.encoding import encode
from oms_core.evidence import Scheduling, SignedScheduling
from oms_core.workspace.change import honest_among, ready
from tests.parties import identity
from tests.people import DELAY, NOW, following, reform, workspace

PLAIN = workspace()
CHANGE = subject_digest(reform(following(name="other")))


def scheduled(index: int, at: int, change: bytes = CHANGE, signer: int = 0) -> SignedScheduling:
    said = Scheduling(index, change, at)
    return SignedScheduling(said, identity(signer or index).sign("scheduling", encode(said)))


def is_ready(seen_at: int | None, *others: SignedScheduling, delay: int = DELAY, now: int = NOW) -> bool:
    return ready(CHANGE, seen_at, others, PLAIN.roster, delay, now)


def test_a_delay_counts_from_when_this_node_has_seen_the_change_approved() -> None:
    assert is_ready(NOW - DELAY)
    assert not is_ready(NOW - DELAY + 1)
    assert is_ready(NOW, delay=0)
    assert not is_ready(None)
    assert not is_ready(None, delay=0)


def test_three_of_five_others_count_from_the_third_oldest_so_that_two_liars_hurry_nothing() -> None:
    assert honest_among(5) == 3
    long_ago = NOW - 10 * DELAY
    liars = (scheduled(1, long_ago), scheduled(2, long_ago))
    assert not is_ready(NOW, *liars)
    assert not is_ready(NOW, *liars, scheduled(3, NOW - DELAY + 1))
    assert is_ready(NOW, *liars, scheduled(3, NOW - DELAY))
    assert is_ready(None, *liars, scheduled(3, NOW - DELAY))


def test_nobody_is_made_to_wait_longer_by_the_word_of_others() -> None:
    assert is_ready(NOW - DELAY, *(scheduled(index, NOW) for index in (1, 2, 3)))


@pytest.mark.parametrize(
    "third",
    [
        scheduled(2, NOW - DELAY),
        scheduled(3, NOW - DELAY, change=bytes(32)),
        scheduled(3, NOW - DELAY, signer=4),
        scheduled(6, NOW - DELAY),
        scheduled(3, NOW + 1),
        scheduled(3, -1),
    ],
)
def test_words_of_the_same_node_of_strangers_forged_or_about_something_else_are_not_a_third(
    third: SignedScheduling,
) -> None:
    early = (scheduled(1, NOW - DELAY), scheduled(2, NOW - DELAY))
    assert is_ready(None, *early, scheduled(3, NOW - DELAY))
    assert not is_ready(None, *early, third)


def test_of_two_words_of_one_node_the_later_counts() -> None:
    early = (scheduled(1, NOW - DELAY), scheduled(2, NOW - DELAY))
    assert not is_ready(None, *early, scheduled(3, NOW - DELAY), scheduled(3, NOW))


@pytest.mark.parametrize(("count", "enough"), [(2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_more_than_half_of_all_cosigners_hold_an_honest_one_while_a_minority_lies(count: int, enough: int) -> None:
    assert honest_among(count) == enough
