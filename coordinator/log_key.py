"""The log's own key: what it signs is that the coordinator has said so, and witnesses hold it to that."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from coordinator.config import Log
from oms_core.errors import LocalError, Reason


def read_log_key(path: Path) -> Ed25519PrivateKey:
    """A PEM file (PKCS #8, Ed25519, unencrypted) that nobody else can read. Raises `LocalError` (CONFIG_INVALID)."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise LocalError(f"{path.name} can be read by others; chmod 600 it", Reason.CONFIG_INVALID)
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError:
        raise LocalError(f"the log's key {path.name} cannot be read", Reason.CONFIG_INVALID) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise LocalError(f"{path.name} is no unencrypted PEM key", Reason.CONFIG_INVALID) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise LocalError(f"{path.name} is no Ed25519 key", Reason.CONFIG_INVALID)
    return key


def log_keys(settings: Log) -> tuple[Ed25519PrivateKey, ...]:
    """The log's key, and the other one that signs as well, if there is one. Raises as `read_log_key`."""
    paths = (settings.key, settings.other)
    return tuple(read_log_key(path) for path in paths if path is not None)
