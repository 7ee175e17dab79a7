"""Each hostile behaviour by itself: every cosigner refuses it, by itself, for its own reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oms_core.errors import Reason
from tests.attack.coordinator import nodes
from tests.attack.coordinator.lies import LIES, Lie
from tests.attack.coordinator.nodes import Five
from tests.attack.coordinator.scene import Scene
from tests.attack.coordinator.trying import Tally, every_honest_node_refuses, hostile, mixed_up

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


@pytest.mark.parametrize(
    "names",
    [
        ("the initiators own", "a proposal signed by another key"),
        ("the initiators own", "a longer life", "a proposal signed by another key"),
    ],
    ids=len,
)
def test_a_key_that_one_lie_leaves_to_the_initiator_of_another_is_refused_as_not_that_persons(
    standing: Five, names: tuple[str, ...]
) -> None:
    """What no lie is refused for by itself follows from the proposal that they have made between them."""
    scene, tally = Scene(standing.workspace, nodes.material(1), seed=1), Tally()
    attempt = hostile(scene, (1, 2, 3), [LIES[name] for name in names], stolen=False)
    every_honest_node_refuses(scene, standing, attempt, QUORUMS, (), tally)
    assert set(tally.reasons) == {Reason.CREDENTIAL_UNKNOWN} == mixed_up(attempt)
    assert mixed_up(hostile(scene, (1, 2, 3), [LIES[names[0]]], stolen=False)) == frozenset()
