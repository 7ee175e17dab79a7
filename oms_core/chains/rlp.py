"""Recursive length prefix (Ethereum yellow paper, appendix B), reading canonical forms only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from oms_core.errors import Malformed, Reason

Item = Union[bytes, Sequence["Item"]]  # noqa: UP007 - a recursive alias

_MAX_DEPTH = 8


def encode(item: Item) -> bytes:
    """Bytes and nested sequences of them. Integers go through `integer` first."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(len(item), 0x80) + item
    body = b"".join(encode(part) for part in item)
    return _prefix(len(body), 0xC0) + body


def integer(value: int) -> bytes:
    """Minimal big-endian form of a non-negative integer; empty for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def to_integer(data: Item, bits: int = 256) -> int:
    """The integer of a minimal form. Raises `Malformed` for leading zeros, lists, or more than ``bits`` bits."""
    if not isinstance(data, bytes) or data[:1] == b"\x00" or len(data) * 8 > bits:
        raise Malformed("not a minimal integer")
    return int.from_bytes(data, "big")


def decode(data: bytes) -> Item:
    """Read exactly one item. Raises `Malformed` for trailing bytes and any form that is not the shortest."""
    item, end = _read(data, 0, len(data), 0)
    if end != len(data):
        raise Malformed(f"{len(data) - end} bytes after an RLP item", Reason.TRAILING_BYTES)
    return item


def _prefix(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = integer(length)
    return bytes([offset + 55 + len(size)]) + size


def _read(data: bytes, at: int, end: int, depth: int) -> tuple[Item, int]:
    if at >= end or depth > _MAX_DEPTH:
        raise Malformed("truncated or too deeply nested RLP")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    offset = 0x80 if first < 0xC0 else 0xC0
    start, length = _length(data, at, end, first - offset)
    stop = start + length
    if stop > end:
        raise Malformed("truncated RLP")
    if offset == 0x80:
        if length == 1 and data[start] < 0x80:
            raise Malformed("RLP byte not in its shortest form")
        return data[start:stop], stop
    items = []
    while start < stop:
        item, start = _read(data, start, stop, depth + 1)
        items.append(item)
    return items, stop


def _length(data: bytes, at: int, end: int, short: int) -> tuple[int, int]:
    """(offset of the content, its length)."""
    if short < 56:
        return at + 1, short
    size = short - 55
    if at + 1 + size > end or data[at + 1] == 0:
        raise Malformed("RLP length truncated or with leading zero")
    length = int.from_bytes(data[at + 1 : at + 1 + size], "big")
    if length < 56:
        raise Malformed("RLP length not in its shortest form")
    return at + 1 + size, length
