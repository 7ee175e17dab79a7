"""One network for all end-to-end tests of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oms.devnet.network import Network
from tests import cluster


@pytest.fixture(scope="session")
def _network() -> Iterator[Network]:
    network = cluster.start()
    yield network
    network.remove()


@pytest.fixture
async def network(_network: Network) -> Network:
    """The network with everything running, whatever a test before has killed."""
    running = _network.processes
    for name, start in (("anvil", _network.start_chain), ("coordinator", _network.start_coordinator)):
        if not running.running(name):
            start()
    for index in cluster.ALL:
        if not running.running(f"enclave-{index}"):
            _network.start_cosigner(index)
    await _network.attached(cluster.ALL, 60)
    return _network


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these share one network, so they run on one worker, in a row."""
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group("network"))
