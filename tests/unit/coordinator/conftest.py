"""A coordinator on version 0 with five nodes, and everybody's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from coordinator import bringing, workspaces
from tests.unit.coordinator.chainnodes import ChainDesk, Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Everybody's time, and no long pauses."""
    made = Clock()
    for module in (workspaces, bringing):
        monkeypatch.setattr(module, "time", made, raising=False)
    monkeypatch.setattr("coordinator.store.time", SimpleNamespace(time=made.time))
    monkeypatch.setattr(workspaces, "RETRY", 0.01)
    return made


@pytest.fixture
async def desk(tmp_path: Path, clock: Clock) -> AsyncIterator[ChainDesk]:
    """Five nodes and a coordinator on version 0."""
    made = await ChainDesk.start(tmp_path, clock)
    yield made
    await made.engine.dispose()
