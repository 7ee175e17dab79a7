"""The CBOR that is read at all, in the one form of each value (RFC 8949, section 4.2.1), before anything is made of it.

Only the shortest form of each head, sorted map keys, no floats, no tags but the bignums; depth, number of items and
length of integers are bounded.
"""

from __future__ import annotations

from oms_core.errors import Malformed, Reason

MAX_DEPTH = 16
MAX_INTEGER = 1785  # bytes: such a number can be said in decimal, as errors do (Python writes 4300 digits at the most)
MAX_ITEMS = 1 << 20  # in lists and maps: each that is read takes much more memory than the one byte that it may have


def check_form(data: bytes) -> None:
    """One item in its one form, and nothing after it. Raises `Malformed`."""
    end = scan(data, [MAX_ITEMS])
    if end != len(data):
        raise Malformed(f"{len(data) - end} trailing bytes")


def scan(data: bytes, left: list[int], at: int = 0, depth: int = 0) -> int:
    """Check one item's heads from ``at`` on and return where it ends; ``left``: how many items there may be yet."""
    if depth > MAX_DEPTH:
        raise Malformed("nested too deeply")
    major, argument, at = _head(data, at)
    match major:
        case 0 | 1:
            return at
        case 2 | 3:
            if argument > len(data) - at:
                raise Malformed("truncated")
            return at + argument
        case 4:
            for _ in range(_count(argument, data, at, left)):
                at = scan(data, left, at, depth + 1)
            return at
        case 5:
            previous = b""
            for _ in range(_count(argument, data, at, left)):
                start, at = at, scan(data, left, at, depth + 1)
                key = data[start:at]
                if previous and key <= previous:
                    raise Malformed("map keys not sorted or repeated")
                previous = key
                at = scan(data, left, at, depth + 1)
            return at
        case 6 if argument in (2, 3):
            inner, length, body = _head(data, at)
            if inner != 2 or length > len(data) - body or length < 9 or data[body] == 0:
                raise Malformed("not a shortest bignum")
            if length > MAX_INTEGER:
                raise Malformed(f"an integer of {length} bytes")
            return body + length
        case 7 if argument in (20, 21, 22):
            return at
    raise Malformed(f"major type {major} with argument {argument} is not allowed")


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Read an item's head: (major type, argument, offset after it). Only the shortest form passes."""
    if at >= len(data):
        raise Malformed("truncated")
    major, short = data[at] >> 5, data[at] & 31
    at += 1
    if short < 24:
        return major, short, at
    if short > 27 or major == 7:
        raise Malformed("indefinite length, float or reserved head")
    size = 1 << (short - 24)
    if at + size > len(data):
        raise Malformed("truncated")
    argument = int.from_bytes(data[at : at + size], "big")
    if argument < (24 if size == 1 else 1 << (4 * size)):
        raise Malformed("length or integer not in its shortest form")
    return major, argument, at + size


def _count(argument: int, data: bytes, at: int, left: list[int]) -> int:
    if argument > len(data) - at:
        raise Malformed("truncated")
    left[0] -= argument
    if left[0] < 0:
        raise Malformed(f"more than {MAX_ITEMS} items", Reason.TOO_LARGE)
    return argument
