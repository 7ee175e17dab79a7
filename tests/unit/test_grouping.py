"""Which tests stay together on one worker, and in which order they come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import SEED, TOGETHER, group, pytest_configure


def test_all_end_to_end_tests_are_one_group_and_others_are_on_their_own(request: pytest.FixtureRequest) -> None:
    ids = [item.nodeid for item in request.session.items]
    assert {group(one) for one in ids if one.startswith("tests/e2e/")} <= {"network"}
    assert group("tests/e2e/test_orders.py::test_a[x]") == group("tests/e2e/test_keys.py::test_b") == "network"
    assert group(request.node.nodeid) == request.node.nodeid


def test_the_paths_of_all_groups_exist(request: pytest.FixtureRequest) -> None:
    assert all((request.config.rootpath / path).exists() for path in TOGETHER)


@pytest.mark.parametrize(("told", "taken"), [("default", SEED), ("last", "last"), (7, 7), (None, None)])
def test_all_runs_take_one_order_unless_they_are_told_another(told: object, taken: object) -> None:
    config: Any = SimpleNamespace(option=SimpleNamespace(randomly_seed=told), getoption=lambda *_: told)
    pytest_configure(config)
    assert config.option.randomly_seed == taken
