"""The development network's workspace: its people, its rules, and that they do what its readers are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from oms.devnet import cast
from oms.devnet.contracts import NAMES, Deployed, address_of
from oms_core.workspace import Direction, LogSettings, Workspace, governed, privileges, user
from oms_core.workspace.check import check_workspace
from oms_core.workspace.quorums import unsatisfiable
from oms_core.workspace.text import workspace_from_mapping, workspace_to_mapping
from tests.parties import identity
from tests.people import CHAIN, witness


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    contracts = {name: Deployed(address_of(name), bytes(32)) for name in NAMES}
    cards = {index: (identity(index).public, witness(index)) for index in range(1, 6)}
    log = LogSettings("example.org/log", witness(0), 60, 86_400)
    return cast.workspace(tmp_path_factory.mktemp("devnet"), cards, CHAIN, contracts, 5, log)


def test_it_passes_its_check_and_can_be_written_by_hand(made: Workspace) -> None:
    check_workspace(made)
    assert workspace_from_mapping(workspace_to_mapping(made)) == made
    assert unsatisfiable(made) == ()


def test_everybody_has_what_she_needs_and_the_desk_approves_nothing(made: Workspace) -> None:
    desk = privileges(made, user(made, "desk"), "")
    assert desk == {"READ", "PROPOSE_ORDERS", "PROPOSE_KEYS"}
    for name, may in {"ravi": "APPROVE_ORDERS", "carol": "APPROVE_ORDERS", "sam": "APPROVE_KEYS"}.items():
        assert may in privileges(made, user(made, name), "")
    for name in ("adam", "alice", "dora"):
        assert "APPROVE_CHANGES" in privileges(made, user(made, name), "")


def test_loosening_takes_two_of_the_committee_and_the_delay_that_was_asked_for(made: Workspace) -> None:
    loosen, tighten = (governed(made, way).approvals for way in (Direction.LOOSEN, Direction.TIGHTEN))
    assert (loosen.all_of[0].threshold, loosen.delay) == (2, 5)
    assert (tighten.all_of[0].threshold, tighten.delay) == (1, 0)


def test_its_rules_are_shipped_with_the_package() -> None:
    assert Path(cast.__file__).with_name("rules.yaml").exists()
