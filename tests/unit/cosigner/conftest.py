"""A real SoftHSM2 token for each test module, and what stands on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cosigner.config import Config, load
from cosigner.hsm import Token
from cosigner.ledger import Ledger
from cosigner.store import open_store
from cosigner.vault import Vault
from oms.devnet import ceremony


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A node's configuration with a fresh token, made by the operator's command."""
    root = tmp_path_factory.mktemp("node")
    path: Path = ceremony.cosigner_files(root, 1, "localhost:1", "L112")
    ceremony.init_token(path)
    return load(path)


@pytest.fixture(scope="session")
def token(config: Config) -> Iterator[Token]:
    """The open token."""
    os.environ["SOFTHSM2_CONF"] = str(config.hsm.softhsm_conf)
    opened = Token(config.hsm, 1)
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    """An empty store."""
    return open_store(tmp_path / "store.sqlite")


@pytest.fixture
def vault(store: Engine, token: Token) -> Vault:
    """A vault on the store."""
    return Vault(store, token)


@pytest.fixture
def ledger(store: Engine) -> Ledger:
    """A ledger on the store."""
    return Ledger(store)
