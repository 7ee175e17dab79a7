"""Ten thousand attempts of a hostile coordinator, alone and with two corrupt cosigners: not one unauthorised yes.

Each is a legal order with legal approvals in which one to three things are not as they should be. Whether what is left
is authorised says an oracle that knows the rules in its own words; every honest node has to agree with it, alone. With
two corrupt cosigners every quorum has one honest node, so its no is what stands between them and a signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from tests.attack.coordinator import nodes
from tests.attack.coordinator.lies import LIES
from tests.attack.coordinator.nodes import ALL, Five
from tests.attack.coordinator.scene import Scene
from tests.attack.coordinator.trying import (
    Tally,
    every_honest_node_refuses,
    hostile,
    some_lies,
    the_legal_order_is_signed,
)

pytestmark = [pytest.mark.slow, pytest.mark.attack, pytest.mark.timeout(900)]
ATTEMPTS, CHUNKS = 1000, 5  # of each kind


@pytest.fixture(scope="module")
def standing(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Five]:
    with nodes.fresh(prepared, tmp_path_factory.mktemp("standing") / "nodes") as made:
        yield made


def besiege(five: Five, seed: int, pairs: list[tuple[int, ...]]) -> Tally:
    """So many attempts; ``pairs`` are the cosigners that may be corrupt together."""
    scene, tally = Scene(five.workspace, nodes.material(1), seed), Tally()
    for number in range(ATTEMPTS):
        corrupt = scene.random.choice(pairs)
        honest = [index for index in ALL if index not in corrupt]
        if corrupt:
            quorums = [tuple(sorted((*corrupt, index))) for index in honest]
        else:
            first = tuple(sorted(scene.random.sample(ALL, 3)))
            quorums = [first, tuple(sorted({*ALL} - {*first[:2]}))]
        attempt = hostile(scene, quorums[0], some_lies(scene), stolen=scene.random.random() < 0.5)
        every_honest_node_refuses(scene, five, attempt, quorums, corrupt, tally)
        if number % 25 == 0:
            the_legal_order_is_signed(scene, five, quorums[-1], corrupt)
            tally.signed += 1
    return tally


@pytest.mark.covers("C01", "C04")
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_thousands_of_attempts_of_a_hostile_coordinator_are_refused_by_every_node(standing: Five, chunk: int) -> None:
    tally = besiege(standing, 1000 + chunk, [()])
    assert tally.decisions >= ATTEMPTS * 5
    assert len(tally.told) > len(LIES) * 9 // 10
    assert standing.blamed() == set()


@pytest.mark.covers("C01", "C04")
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_thousands_of_attempts_with_two_corrupt_cosigners_are_refused_by_each_of_the_others(
    standing: Five, chunk: int
) -> None:
    tally = besiege(standing, 2000 + chunk, list(combinations(ALL, 2)))
    assert tally.decisions == ATTEMPTS * 3
    assert standing.blamed() == set()
