"""Each hostile behaviour by itself: every cosigner refuses it, by itself, for its own reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.coordinator import nodes
from tests.attack.coordinator.lies import LIES, Lie
from tests.attack.coordinator.nodes import Five
from tests.attack.coordinator.scene import Scene
from tests.attack.coordinator.trying import Tally, every_honest_node_refuses, hostile

pytestmark = [pytest.mark.slow, pytest.mark.attack]
QUORUMS = ((1, 2, 3), (1, 4, 5))
"""Between them, all five."""


@pytest.fixture(scope="module")
def standing(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Five]:
    with nodes.fresh(prepared, tmp_path_factory.mktemp("standing") / "nodes") as made:
        yield made


@pytest.mark.parametrize("stolen", [False, True], ids=["as an outsider", "with the desk's key"])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_every_cosigner_refuses_a_lie_by_itself_for_its_own_reason(standing: Five, lie: Lie, stolen: bool) -> None:
    scene = Scene(standing.workspace, nodes.material(1), seed=len(lie.name))
    tally = Tally()
    for _ in range(4):
        attempt = hostile(scene, (1, 2, 3), [lie], stolen)
        every_honest_node_refuses(scene, standing, attempt, QUORUMS, (), tally)
    assert sum(tally.reasons.values()) == tally.decisions, "something was not refused"
    assert standing.blamed() == set()
