"""Ids: of orders, wallets, and changes of keys and of the workspace. Each begins with what it stands for."""

from __future__ import annotations

import secrets
import time

ORDER, WALLET, KEY, WORKSPACE = "order", "wallet", "key", "workspace"
"""As events of the log begin."""

_PREFIXES = {ORDER: "txn_", WALLET: "wal_", KEY: "chg_", WORKSPACE: "wsc_"}
_KINDS = {prefix: kind for kind, prefix in _PREFIXES.items()}


def new_id(kind: str) -> str:
    """Ascending with time, and nobody's guess."""
    return f"{_PREFIXES[kind]}{int(time.time() * 1000):012x}{secrets.token_hex(8)}"


def kind_of(subject_id: str) -> str:
    """What an id stands for; "other" if it is none of ours."""
    return _KINDS.get(subject_id[:4], "other")
