"""Configuration of a coordinator: one TOML file, unknown keys refused, relative paths taken from the file's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from oms_core.chains.evm import chain_id
from oms_core.settings import invalid, parse, unreadable

LEAST_ENTRIES = 100  # between anchors: each leaves some entries itself


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the private CA, this server's certificate and its key."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Chain:
    """An EVM chain: its CAIP-2 name, JSON-RPC addresses in order of preference, and the depth that counts as final."""

    id: str
    rpc: tuple[str, ...]
    confirmations: int = 2


@dataclass(frozen=True, slots=True)
class Log:
    """The witnessed log: the file (PEM, 0600) of its Ed25519 key, and how often at least witnesses are asked.

    ``other`` is a second key that signs as well, while the workspace goes over from the one to the other.
    """

    key: Path
    other: Path | None = None
    heartbeat_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Anchoring:
    """How the log's checkpoints get into the chain: a service proposes calls of a contract from a wallet of its own.

    ``contract`` is the contract's entry in the registry; ``key`` is the PEM file of ``user``'s proposal key ``key_id``.
    A checkpoint is anchored when the one before is ``minutes`` old, or when there are ``entries`` more.
    """

    wallet: str
    contract: str
    user: str
    key: Path
    key_id: str
    minutes: int = 60
    entries: int = 1000


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a coordinator needs. ``database`` is sqlite:///FILE or postgresql://…

    ``presignatures`` is how many unused ones are kept for each wallet (and each busy path); 0 makes none beforehand.
    Without ``anchoring`` nothing is anchored.
    """

    listen_oms: str
    listen_cosigners: str
    database: str
    workspace: Path
    tls: Tls
    chain: Chain
    log: Log
    executor_id: str = "coordinator-1"
    approval_seconds: int = 86_400
    presignatures: int = 4
    max_message_bytes: int = 16 * 1024 * 1024
    anchoring: Anchoring | None = None


def load(path: Path) -> Config:
    """Read a configuration. Raises `LocalError` (CONFIG_INVALID) that names the file and the key."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path.name, error, "name another file by --config") from error
    config = parse(Config, text, path.name, lambda written: path.parent / Path(written).expanduser())
    chain_id(config.chain.id)
    if not config.chain.rpc or config.chain.confirmations < 1:
        raise invalid(path.name, "chain.rpc names at least one address, chain.confirmations is at least 1")
    if not config.database.startswith(("sqlite:///", "postgresql://")):
        raise invalid(path.name, "database is sqlite:///FILE or postgresql://…")
    if config.anchoring and (config.anchoring.minutes < 1 or config.anchoring.entries < LEAST_ENTRIES):
        raise invalid(path.name, f"anchoring.minutes is at least 1, anchoring.entries at least {LEAST_ENTRIES}")
    return config
