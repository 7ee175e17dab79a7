"""How many witnesses it takes, by counting sets of them."""

from __future__ import annotations

from itertools import combinations

import pytest

from oms_core.log.quorum import degraded, faults, full, share, vouched_at


def test_of_five_two_may_lie_four_are_full_and_three_are_degraded() -> None:
    assert [(faults(n), full(n), degraded(n), share(n)) for n in (1, 3, 4, 5, 7)] == [
        (0, 1, 1, 1),
        (1, 3, 2, 2),
        (1, 3, 2, 3),
        (2, 4, 3, 3),
        (3, 6, 4, 4),
    ]


@pytest.mark.parametrize("n", range(1, 9))
def test_two_full_sets_meet_in_an_honest_witness_and_one_fewer_need_not(n: int) -> None:
    def least_overlap(size: int) -> int:
        return min(
            len({*one} & {*other}) for one in combinations(range(n), size) for other in combinations(range(n), size)
        )

    assert least_overlap(full(n)) > faults(n)
    if full(n) > 1:
        assert least_overlap(full(n) - 1) <= faults(n)


@pytest.mark.parametrize("n", range(1, 9))
def test_a_degraded_set_has_an_honest_witness_and_one_fewer_need_not(n: int) -> None:
    assert degraded(n) > faults(n) >= degraded(n) - 1
    # each view below full needs one honest witness of its own, and there are no more of those
    assert share(n) == n - faults(n)


def test_liars_who_date_ahead_do_not_make_a_head_look_fresher() -> None:
    honest = [100, 110, 120]
    assert vouched_at([*honest, 10**9, 10**9], 5) == 120
    assert vouched_at([*honest, 0, 0], 5) == 100
    assert vouched_at([100, 10**9, 10**9], 5) == 100


def test_fewer_cosigners_than_contain_an_honest_one_vouch_for_no_time() -> None:
    assert vouched_at([], 5) == vouched_at([10**9, 10**9], 5) == 0
    assert vouched_at([7], 1) == 7
