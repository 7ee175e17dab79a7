"""What the log's texts are made of: decimal numbers, base64 and hashes, each in the one form that is read."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import TypeVar

from oms_core.errors import Malformed, Reason
from oms_core.log.tree import HASH, MAX_SIZE

T = TypeVar("T")

MAX_PATH = 63  # hashes: no tree is higher
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DECIMAL = re.compile("0|[1-9][0-9]{0,18}")


def read_text(data: str | bytes, limit: int) -> str:
    """UTF-8 without control characters but newlines, at most ``limit`` bytes. Raises `Malformed`, also `TOO_LARGE`."""
    if len(data) > limit:
        raise Malformed(f"more than {limit} bytes", Reason.TOO_LARGE)
    try:
        text = data if isinstance(data, str) else data.decode()
        size = len(text.encode())
    except UnicodeError:
        raise Malformed("not UTF-8") from None
    if size > limit:
        raise Malformed(f"{size} bytes where at most {limit} are allowed", Reason.TOO_LARGE)
    if has_controls(text.replace("\n", "")):
        raise Malformed("control characters in a text")
    return text


def has_controls(text: str) -> bool:
    """C0, DEL and C1: what terminals and logs may act upon."""
    return _CONTROL.search(text) is not None


def read_number(text: str, name: str) -> int:
    """A decimal number below 2**63 without leading zeroes. Raises `Malformed`."""
    if not _DECIMAL.fullmatch(text) or int(text) >= MAX_SIZE:
        raise Malformed(f"the {name} is not a decimal number in its one form below 2**63")
    return int(text)


def base64(data: bytes) -> str:
    """RFC 4648, section 4, with padding."""
    return b64encode(data).decode()


def read_base64(text: str, name: str) -> bytes:
    """Base64 that its bytes would be written as. Raises `Malformed`."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"the {name} is not base64") from None
    if base64(data) != text:
        raise Malformed(f"the {name} is not base64 in its one form")
    return data


def read_path(lines: Sequence[str], name: str) -> tuple[bytes, ...]:
    """The hashes of a proof, a line each, as many as any tree has. Raises `Malformed`, also `TOO_LARGE`."""
    if len(lines) > MAX_PATH:
        raise Malformed(f"more than {MAX_PATH} lines of {name}", Reason.TOO_LARGE)
    return tuple(read_hash(line, name) for line in lines)


def read_back(text: str, value: T, read: Callable[[str], T]) -> str:
    """The text, from which the value is read again. Raises `Malformed` where it is not."""
    if read(text) != value:
        raise Malformed(f"a {type(value).__name__} like this has no text of its own")
    return text


def read_hash(text: str, name: str) -> bytes:
    """A SHA-256 hash in base64. Raises `Malformed`."""
    data = read_base64(text, name)
    if len(data) != HASH:
        raise Malformed(f"the {name} has {len(data)} bytes instead of {HASH}")
    return data
