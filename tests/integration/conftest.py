"""Databases of both kinds, empty, for whoever wants one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.database import open_database
from coordinator.tables import metadata
from tests.integration.databases import Databases
from tests.people import NOW as THEN
from tests.postgres import Postgres
from tests.unit.coordinator.witnesses import LogDesk


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database's URL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.sqlite'}"
    return str(request.getfixturevalue("shared_postgres").url)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """A database with all tables; emptied in the end."""
    opened = await open_database(database)
    yield opened
    async with opened.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    await opened.dispose()


@pytest.fixture
async def desk(engine: AsyncEngine) -> LogDesk:
    """A log that has begun, and its five witnesses."""
    made = LogDesk(engine, 10.0)
    await made.journal.begin(made.standing.current)
    return made


@pytest.fixture
async def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Databases]:
    """None yet; the tests' approvals and intents are good now."""
    monkeypatch.setattr("time.time", lambda: float(THEN))
    made = Databases(tmp_path)
    yield made
    for desk in made.desks.values():
        await desk.engine.dispose()
