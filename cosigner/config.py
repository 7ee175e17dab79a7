"""Configuration of a cosigner: one TOML file, unknown keys refused, relative paths taken from the file's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from oms_core.settings import invalid, parse, unreadable


@dataclass(frozen=True, slots=True)
class Hsm:
    """A PKCS#11 token. The PIN is in a file of mode 0600: never in an argument, never in the environment."""

    module: Path
    token_label: str
    pin_file: Path
    softhsm_conf: Path | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the private CA, this node's client certificate and its key."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a cosigner's two processes need. ``level`` is the least security level it takes part in.

    ``local_rules`` is a file with this team's own rules, which can only refuse.
    """

    index: int
    socket: Path
    store: Path
    coordinators: tuple[str, ...]
    hsm: Hsm
    tls: Tls
    level: str = "L128"
    server_name: str = "coordinator.counterseal"
    max_message_bytes: int = 16 * 1024 * 1024
    max_sessions: int = 64
    session_seconds: int = 900
    local_rules: Path | None = None


def load(path: Path) -> Config:
    """Read a configuration. Raises `LocalError` (CONFIG_INVALID) that names the file and the key."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path.name, error, "name another file by --config") from error
    config = parse(Config, text, path.name, lambda written: path.parent / Path(written).expanduser())
    if config.index < 1 or config.level not in ("L112", "L128"):
        raise invalid(path.name, "index is at least 1, level is L112 or L128")
    if any(":" not in target for target in config.coordinators):
        raise invalid(path.name, "coordinators are host:port")
    return config
