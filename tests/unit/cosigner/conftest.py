"""A real SoftHSM2 token for each test, copied from one that is made once, and what stands on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine

from cosigner.boots import Boots
from cosigner.config import Config
from cosigner.convictions import Convictions
from cosigner.guard import Guard
from cosigner.hsm import Token
from cosigner.keys import Keys
from cosigner.ledger import Ledger
from cosigner.pool import Pool
from cosigner.store import open_store
from cosigner.vault import Vault
from tests.people import NOW
from tests.unit.cosigner.node import Node, activate, make_node
from tests.unit.cosigner.replicas import Replica
from tests.witnessed import Logbook


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A node with a fresh token, made by what the operator's command calls; never started itself."""
    return make_node(tmp_path_factory.mktemp("blank"))


@pytest.fixture
def stopped(blank: Node, tmp_path: Path) -> Node:
    """A fresh node that has never started."""
    return blank.copy(tmp_path / "node")


@pytest.fixture
def node(stopped: Node) -> Iterator[Node]:
    """A fresh node, started once."""
    yield stopped.boot()
    stopped.stop()


@pytest.fixture
def config(node: Node) -> Config:
    """The node's configuration."""
    return node.config


@pytest.fixture
def token(node: Node) -> Token:
    """The open token."""
    return node.token


@pytest.fixture
def store(node: Node) -> Engine:
    """An empty store."""
    return node.store


@pytest.fixture
def vault(node: Node) -> Vault:
    """A vault on the store."""
    return node.vault


@pytest.fixture
def ledger(node: Node) -> Ledger:
    """A ledger on the store."""
    return node.ledger


@pytest.fixture
def boots(node: Node) -> Boots:
    """The node's boots: one."""
    return node.boots


@pytest.fixture
def pool(node: Node) -> Pool:
    """An empty pool."""
    return node.pool


@pytest.fixture
def convictions(node: Node) -> Convictions:
    """No convictions."""
    return node.convictions


@pytest.fixture
def keys(node: Node) -> Keys:
    """What changes the node's keys."""
    return node.keys


@pytest.fixture
def guard(node: Node) -> Guard:
    """A node with the tests' workspace and an active wallet wal_1, 3 of 5."""
    activate(node)
    return node.guard


@pytest.fixture
def at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are changed at NOW, around which the tests' documents are valid."""
    monkeypatch.setattr("cosigner.keys.time", SimpleNamespace(time=lambda: NOW))


@pytest.fixture
def log() -> Logbook:
    """A log that nobody follows yet."""
    return Logbook()


@pytest.fixture
def replica(log: Logbook, tmp_path: Path) -> Iterator[Replica]:
    """What a node counts by, following that log."""
    store = open_store(tmp_path / "store.sqlite")
    yield Replica(store, log)
    store.dispose()
