"""How the vectors are written: values as JSON, hash inputs as they were hashed (docs/vectors.md, "Reading a file")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any
from unittest.mock import patch

import cbor2

from oms_core import encoding
from oms_core.crypto import transcript
from oms_core.crypto.params import Level
from oms_core.encoding import encode

_EXACT = 1 << 53  # what every reader of JSON takes for the same integer

Json = Any


def shown(value: object) -> Json:
    """What a value's canonical bytes hold: bytes and points as hex, large integers as 0x…, documents as objects."""
    return _shown(cbor2.loads(encode(value)))


def _shown(value: Any) -> Json:
    match value:
        case bool() | None | str():
            return value
        case int():
            return value if abs(value) < _EXACT else hex(value)
        case bytes():
            return value.hex()
        case list():
            return [_shown(item) for item in value]
        case dict():
            return {str(key): _shown(item) for key, item in value.items()}
    raise TypeError(type(value).__name__)


def document(value: object) -> Json:
    """A document's fields and its canonical bytes."""
    return {"value": shown(value), "bytes": encode(value).hex()}


def secret(witness: Any) -> Json:
    """A witness, which is no document: its fields."""
    return {field.name: shown(getattr(witness, field.name)) for field in fields(witness)}


def sizes(level: Level) -> Json:
    """The numbers behind a level's name."""
    return {field.name: getattr(level, field.name) for field in fields(level)}


@dataclass
class Hashed:
    """One SHAKE256 input: its context, its items, all of it as canonical bytes."""

    context: str
    items: tuple[Any, ...]
    input: bytes = field(repr=False)


@contextmanager
def hashing() -> Iterator[list[Hashed]]:
    """Everything that is hashed in the block through `oms_core.encoding`, in order."""
    seen: list[Hashed] = []
    real = encoding.xof

    def recorded(context: str, *items: object) -> Any:
        state = real(context, *items)
        made = encode(["counterseal", 1, context, list(items)])
        assert hashlib.shake_256(made).digest(64) == state.digest(64), "the hash input is as the page says"
        seen.append(Hashed(context, items, made))
        return state

    with patch.object(encoding, "xof", recorded), patch.object(transcript, "xof", recorded):
        yield seen


def text(content: Json) -> str:
    """The file."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
