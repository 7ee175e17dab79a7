"""Whom the coordinator chooses to sign: no halted node, no two of one operator, and those whom a rule names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from oms_core.workspace import Workspace
from proto import cosigner_pb2 as pb
from tests.people import workspace
from tests.unit.coordinator.desk import Answer, Desk

ALL = (1, 2, 3, 4, 5)


def pongs(halted: str = "") -> Answer:
    return lambda _: pb.FromCosigner(pong=pb.Pong(halted=halted))


def run_by(*operators: str) -> Workspace:
    """The tests' workspace with these operators, of whom none signs twice."""
    roster = tuple(replace(one, operator=by) for one, by in zip(workspace().roster, operators, strict=True))
    return replace(workspace(), roster=roster, distinct_operators=True)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = await Desk.open(tmp_path)
    made.attach({i: pongs() for i in ALL})
    yield made
    await made.engine.dispose()


async def test_a_halted_node_is_not_chosen_until_it_goes_on(desk: Desk) -> None:
    desk.cosigners.stands_still(1, "an audit")
    assert desk.cosigners.quorum(ALL, 3, set()) == (2, 3, 4)
    assert desk.cosigners.quorum((1, 2, 3), 3, set()) is None
    desk.cosigners.stands_still(1, "")
    assert desk.cosigners.quorum((1, 2, 3), 3, set()) == (1, 2, 3)


async def test_no_two_of_one_operator_are_chosen(tmp_path: Path) -> None:
    desk = await Desk.open(tmp_path, run_by("a", "a", "b", "b", "c"))
    desk.attach({i: pongs() for i in ALL})
    assert desk.cosigners.quorum(ALL, 3, set()) == (1, 3, 5)
    assert desk.cosigners.quorum(ALL, 3, {1, 4}) == (2, 3, 5)
    assert desk.cosigners.quorum(ALL, 4, set()) is None
    assert desk.cosigners.quorum(ALL, 3, set(), (1, 2)) is None
    await desk.engine.dispose()


async def test_a_better_node_stands_for_its_operator(tmp_path: Path) -> None:
    desk = await Desk.open(tmp_path, run_by("a", "a", "b", "b", "c"))
    desk.attach({i: pongs() for i in ALL})
    desk.cosigners.strike(1)
    assert desk.cosigners.quorum(ALL, 3, set()) == (2, 3, 5)
    await desk.engine.dispose()


async def test_where_the_workspace_does_not_mind_operators_do_not_matter(tmp_path: Path) -> None:
    desk = await Desk.open(tmp_path, replace(run_by("a", "a", "a", "a", "a"), distinct_operators=False))
    desk.attach({i: pongs() for i in ALL})
    assert desk.cosigners.quorum(ALL, 3, set()) == (1, 2, 3)
    await desk.engine.dispose()


@pytest.mark.parametrize(
    ("among", "without", "chosen"),
    [((5,), set(), (1, 2, 5)), ((4, 5), {1}, (2, 4, 5)), ((5,), {5}, None), ((1, 2, 3, 4), set(), None)],
)
async def test_those_whom_a_rule_names_are_in_it_or_there_is_none(
    desk: Desk, among: tuple[int, ...], without: set[int], chosen: tuple[int, ...] | None
) -> None:
    assert desk.cosigners.quorum(ALL, 3, without, among) == chosen


async def test_a_rule_cannot_choose_a_node_that_is_away_or_in_quarantine(desk: Desk) -> None:
    desk.cosigners.quarantined = {5}
    assert desk.cosigners.quorum(ALL, 3, set(), (5,)) is None
