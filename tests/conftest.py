"""What all tests share: settings, and which of them stay together. Fixtures live beside the tests that use them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import folders

# Two busy cores make any deadline a coin toss, and pytest-timeout guards against what hangs. One run decides about a
# change, so all try the same examples; `--hypothesis-profile=search` looks for others, and remembers what it found.
LOADED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("search", **LOADED, print_blob=True)
settings.register_profile("counterseal", **LOADED, derandomize=True, database=None)
settings.load_profile("counterseal")

SEED = 4044078135
"""For the order of tests, and for `random`: of no meaning, but the same in each run; `--randomly-seed=7` is another."""

TOGETHER = {"tests/e2e/": "network", "tests/unit/test_vectors.py": "vectors"}
"""What shares something dear to make, by where it lies: one worker runs it in a row."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One run decides about a change: whether it passes is not to depend on an order that nobody has seen before."""
    if config.getoption("randomly_seed", None) == "default":
        config.option.randomly_seed = SEED


def pytest_unconfigure() -> None:
    """Nothing is left behind."""
    folders.remove()


def group(test_id: str) -> str:
    """Tests of one group run on one worker; a test that shares nothing is a group of its own."""
    return next((name for path, name in TOGETHER.items() if test_id.startswith(path)), test_id)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Groups by path. Those by marks are lost: xdist writes them where pytest 9.2 does not look for a test's id."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log) if config.getvalue("dist") == "loadgroup" else None
