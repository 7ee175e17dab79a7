"""Five nodes: prepared once for a run, and copied for whoever needs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.coordinator import nodes
from tests.attack.coordinator.nodes import Five
from tests.attack.coordinator.scene import Scene


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens made, workspace pinned, keys active."""
    return nodes.prepare(tmp_path_factory.mktemp("five"))


@pytest.fixture
def five(prepared: Path, tmp_path: Path) -> Iterator[Five]:
    """Nodes without a past."""
    with nodes.fresh(prepared, tmp_path / "nodes") as made:
        yield made


@pytest.fixture
def scene(five: Five) -> Scene:
    """Honest people about them."""
    return Scene(five.workspace, nodes.material(1), seed=0)
