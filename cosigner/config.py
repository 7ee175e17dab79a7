"""Configuration of a cosigner: one TOML file, unknown keys refused, relative paths taken from the file's folder."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from oms_core.errors import LocalError, Reason


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
    """Everything a cosigner's two processes need. ``level`` is the least security level it takes part in."""

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


def load(path: Path) -> Config:
    """Read a configuration. Raises `LocalError` (CONFIG_INVALID) that names the file and the key."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _invalid(path, f"cannot be read: {error}") from error
    table["hsm"] = _section(path, Hsm, table.get("hsm"), "hsm.")
    table["tls"] = _section(path, Tls, table.get("tls"), "tls.")
    if isinstance(table.get("coordinators"), list):
        table["coordinators"] = tuple(table["coordinators"])
    config: Config = _section(path, Config, table, "")
    if config.index < 1 or config.level not in ("L112", "L128"):
        raise _invalid(path, "index is at least 1, level is L112 or L128")
    if any(not isinstance(target, str) or ":" not in target for target in config.coordinators):
        raise _invalid(path, "coordinators are host:port")
    return config


def _section(path: Path, kind: type[Any], table: object, prefix: str) -> Any:
    if not isinstance(table, dict):
        raise _invalid(path, f"section {prefix or 'top level'} is missing")
    known = {field.name: field for field in fields(kind)}
    if unknown := set(table) - set(known):
        raise _invalid(path, f"unknown key {prefix}{min(unknown)}")
    values = {}
    for name, field in known.items():
        if name not in table:
            if field.default is field.default_factory:
                raise _invalid(path, f"{prefix}{name} is missing")
            continue
        values[name] = _value(path, str(field.type), table[name], prefix + name)
    return kind(**values)


def _value(path: Path, annotation: str, value: Any, name: str) -> Any:
    if annotation.startswith("Path"):
        if not isinstance(value, str):
            raise _invalid(path, f"{name} is not a path")
        return path.parent / Path(value).expanduser()
    expected = {"int": int, "str": str}.get(annotation)
    if expected and type(value) is not expected:
        raise _invalid(path, f"{name} is not of type {annotation}")
    return value


def _invalid(path: Path, text: str) -> LocalError:
    return LocalError(f"{path.name}: {text}", Reason.CONFIG_INVALID)
