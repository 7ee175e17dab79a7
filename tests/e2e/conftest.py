"""One network for all end-to-end tests of a run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oms.devnet.network import Network
from oms_core.errors import Unavailable
from tests import cluster


@pytest.fixture(scope="session")
def _alone() -> Iterator[None]:
    """One network a run: two starve each other, and which tests meet on which is left to chance."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    if not run:
        yield
        return
    mark = Path(tempfile.gettempdir()) / f"cs-test-run-{run}"
    mark.touch(exist_ok=False)  # fails: another worker of this run has a network already, so tests are not grouped
    yield
    mark.unlink()


@pytest.fixture(scope="session")
def _network(_alone: None) -> Iterator[Network]:
    network = cluster.start()
    yield network
    network.remove()


@pytest.fixture
async def network(_network: Network) -> AsyncIterator[Network]:
    """The network with everything running, whatever a test before has killed; nothing may have ended by itself."""
    _network.start_missing()
    try:
        await cluster.ready(_network)
    except Unavailable as error:
        pytest.fail(f"{error.message} {dict(error.details)}\n{_network.account()}", pytrace=False)
    yield _network
    if ended := _network.ended():
        pytest.fail(f"ended by themselves: {ended}\n{_network.account()}", pytrace=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They need many processes, which take their time on a busy machine, the first test most of all."""
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(1800))
