"""Contract calls byte for byte: canonical signatures, and the one canonical encoding of arguments (Solidity's ABI).

Values are integers, booleans, 20-byte addresses, bytes, texts, and tuples of them for arrays and tuples. Contracts read
offsets that point anywhere; here every part stands where an encoder puts it, so that one meaning has one form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Union

from oms_core.chains.address import parse_address
from oms_core.chains.keccak import keccak256
from oms_core.errors import Malformed, Reason

MAX_CALLDATA = 128 * 1024  # bytes
MAX_ELEMENTS = 4096  # leaves and members of arrays in one call
MAX_NESTING = 8  # of tuples and arrays in a type
MAX_SIGNATURE = 1024  # characters
WORD = 32
Value = Union[int, bytes, str, tuple["Value", ...]]  # noqa: UP007 - a recursive alias

_ATOM = re.compile(r"(?:(uint|int)([1-9][0-9]{0,2})|(bytes)([1-9][0-9]?)?|(address|bool|string))")
_SUFFIX = re.compile(r"\[([1-9][0-9]{0,3})?\]")
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,63}(?=\()")


class Base(StrEnum):
    """What a type is made of."""

    UINT = "uint"
    INT = "int"
    FIXED = "bytesN"
    ADDRESS = "address"
    BOOL = "bool"
    BYTES = "bytes"
    STRING = "string"
    TUPLE = "tuple"
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class Type:
    """A type: ``size`` is bits of an integer, bytes of a bytesN, length of an array (-1: as given with the data).

    ``parts`` are a tuple's members or an array's element; ``width`` is how many bytes it takes in its place.
    """

    text: str
    base: Base
    size: int
    parts: tuple[Type, ...]
    dynamic: bool
    width: int


@dataclass(frozen=True, slots=True)
class Method:
    """A method by its canonical signature, with the 4-byte selector that calls it."""

    signature: str
    name: str
    inputs: tuple[Type, ...]
    selector: bytes

    def encode(self, *values: Value) -> bytes:
        """Call data. Raises `Malformed` for values that do not fit."""
        return self.selector + encode(self.inputs, values)

    def decode(self, data: bytes) -> tuple[Value, ...]:
        """The arguments of call data. Raises `Malformed`: TRAILING_BYTES, TOO_LARGE, MALFORMED."""
        if data[:4] != self.selector:
            raise Malformed(f"not a call of {self.signature}")
        return decode(self.inputs, data[4:])


@lru_cache(maxsize=4096)
def method(signature: str) -> Method:
    """Read a canonical signature: no blanks, no argument names, no aliases. Raises `Malformed`."""
    match = _NAME.match(signature)
    if not match or len(signature) > MAX_SIGNATURE:
        raise Malformed(f"{signature[:80]!r} is not a method's signature")
    inputs, end = _members(signature, match.end() + 1, 0)
    if end != len(signature):
        raise Malformed(f"{signature[:80]!r} goes on after its arguments")
    return Method(signature, match.group(), inputs, keccak256(signature.encode())[:4])


def parse_type(text: str) -> Type:
    """Read one canonical type, such as ``(address,uint256[2])[]``. Raises `Malformed`."""
    kind, end = _type(text, 0, 0)
    if end != len(text):
        raise Malformed(f"{text[:80]!r} is not a type")
    return kind


def _members(text: str, at: int, depth: int) -> tuple[tuple[Type, ...], int]:
    """Types up to the closing bracket, and the offset after it."""
    if text[at : at + 1] == ")":
        return (), at + 1
    members: list[Type] = []
    while True:
        kind, at = _type(text, at, depth)
        members.append(kind)
        if text[at : at + 1] == ")":
            return tuple(members), at + 1
        if text[at : at + 1] != ",":
            raise Malformed(f"{text[:80]!r} is not a list of types")
        at += 1


def _type(text: str, at: int, depth: int) -> tuple[Type, int]:
    if depth > MAX_NESTING or len(text) > MAX_SIGNATURE:
        raise Malformed("a type is nested too deeply, or too long")
    start = at
    if text[at : at + 1] == "(":
        parts, at = _members(text, at + 1, depth + 1)
        if not parts:
            raise Malformed("a tuple has members")
        dynamic = any(part.dynamic for part in parts)
        kind = Type(text[start:at], Base.TUPLE, len(parts), parts, dynamic, WORD if dynamic else _width(parts))
    else:
        kind, at = _atom(text, at)
    while match := _SUFFIX.match(text, at):
        depth, at = depth + 1, match.end()
        if depth > MAX_NESTING:
            raise Malformed("a type is nested too deeply")
        size = int(match.group(1) or -1)
        dynamic = size < 0 or kind.dynamic
        kind = Type(text[start:at], Base.ARRAY, size, (kind,), dynamic, WORD if dynamic else size * kind.width)
    return kind, at


def _atom(text: str, at: int) -> tuple[Type, int]:
    match = _ATOM.match(text, at)
    if not match:
        raise Malformed(f"{text[at : at + 40]!r} is not a type")
    number, bits, plain, size, other = match.groups()
    if number:
        if int(bits) % 8 or int(bits) > 256:
            raise Malformed(f"there is no {match.group()}")
        return Type(match.group(), Base(number), int(bits), (), False, WORD), match.end()
    if size:
        if int(size) > WORD:
            raise Malformed(f"there is no {match.group()}")
        return Type(match.group(), Base.FIXED, int(size), (), False, WORD), match.end()
    base = Base(plain or other)
    return Type(base.value, base, 0, (), base in (Base.BYTES, Base.STRING), WORD), match.end()


def _width(kinds: Sequence[Type]) -> int:
    return sum(kind.width for kind in kinds)


def encode(kinds: Sequence[Type], values: Sequence[Value]) -> bytes:
    """The canonical encoding. Raises `Malformed` for values that do not fit their types."""
    if len(kinds) != len(values):
        raise Malformed(f"{len(values)} values for {len(kinds)} types")
    heads, tails, end = [], [], _width(kinds)
    for kind, value in zip(kinds, values, strict=True):
        data = _encode(kind, value)
        if kind.dynamic:
            heads.append(end.to_bytes(WORD, "big"))
            tails.append(data)
            end += len(data)
        else:
            heads.append(data)
    return b"".join(heads + tails)


def _encode(kind: Type, value: Value) -> bytes:
    match kind.base:
        case Base.TUPLE | Base.ARRAY:
            if not isinstance(value, tuple) or (kind.size >= 0 and len(value) != kind.size):
                raise Malformed(f"not a {kind.text}")
            parts = kind.parts * len(value) if kind.base is Base.ARRAY else kind.parts
            count = len(value).to_bytes(WORD, "big") if kind.size < 0 else b""
            return count + encode(parts, value)
        case Base.BYTES | Base.STRING:
            data = _plain(kind, value)
            return len(data).to_bytes(WORD, "big") + data + bytes(-len(data) % WORD)
        case Base.FIXED | Base.ADDRESS:
            data = _plain(kind, value)
            return data.ljust(WORD, b"\0") if kind.base is Base.FIXED else data.rjust(WORD, b"\0")
    low, high = _range(kind)
    if not isinstance(value, int) or not low <= value < high:
        raise Malformed(f"not a {kind.text}")
    return (value % (1 << 256)).to_bytes(WORD, "big")


def _plain(kind: Type, value: Value) -> bytes:
    if kind.base is Base.STRING and isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise Malformed("a text with half a character") from None
    size = {Base.FIXED: kind.size, Base.ADDRESS: 20}.get(kind.base)
    if not isinstance(value, bytes) or kind.base is Base.STRING or (size is not None and len(value) != size):
        raise Malformed(f"not a {kind.text}")
    return value


def _range(kind: Type) -> tuple[int, int]:
    """[least, one above the greatest]"""
    if kind.base is Base.BOOL:
        return 0, 2
    return (0, 1 << kind.size) if kind.base is Base.UINT else (-(1 << (kind.size - 1)), 1 << (kind.size - 1))


def decode(kinds: Sequence[Type], data: bytes) -> tuple[Value, ...]:
    """Read exactly these values, in their canonical form.

    Raises `Malformed`: TRAILING_BYTES for more than they need, TOO_LARGE, MALFORMED for anything else.
    """
    if len(data) > MAX_CALLDATA:
        raise Malformed(f"{len(data)} bytes of call data where at most {MAX_CALLDATA} are allowed", Reason.TOO_LARGE)
    values, end = _Reader(data).sequence(kinds, 0)
    if end != len(data):
        raise Malformed(f"{len(data) - end} bytes after the arguments", Reason.TRAILING_BYTES)
    if encode(kinds, values) != data:
        raise Malformed("not the canonical encoding of its arguments")
    return values


class _Reader:
    """One pass over the data. Each tail begins where the one before ends, so nothing can be pointed at twice."""

    def __init__(self, data: bytes) -> None:
        self._data, self._left = data, MAX_ELEMENTS

    def sequence(self, kinds: Sequence[Type], start: int) -> tuple[tuple[Value, ...], int]:
        """The members and where they end; offsets count from ``start``."""
        at, tail = start, start + _width(kinds)
        if tail > len(self._data):
            raise Malformed("truncated arguments")
        values: list[Value] = []
        for kind in kinds:
            if not kind.dynamic:
                value, at = self._value(kind, at)
            elif start + self._number(at) != tail:
                raise Malformed("an offset does not point to where its part has to stand")
            else:
                at += WORD
                value, tail = self._value(kind, tail)
            values.append(value)
        return tuple(values), tail

    def _value(self, kind: Type, at: int) -> tuple[Value, int]:
        self._left -= 1
        if self._left < 0:
            raise Malformed(f"more than {MAX_ELEMENTS} elements", Reason.TOO_LARGE)
        match kind.base:
            case Base.TUPLE:
                return self.sequence(kind.parts, at)
            case Base.ARRAY:
                return self._array(kind, at)
            case Base.BYTES | Base.STRING:
                return self._blob(kind, at)
        return _leaf(kind, self._word(at)), at + WORD

    def _array(self, kind: Type, at: int) -> tuple[Value, int]:
        count = kind.size
        if count < 0:
            count, at = self._number(at), at + WORD
        if count * kind.parts[0].width > len(self._data) - at:
            raise Malformed("truncated array")
        if count > self._left:
            raise Malformed(f"more than {MAX_ELEMENTS} elements", Reason.TOO_LARGE)
        return self.sequence(kind.parts * count, at)

    def _blob(self, kind: Type, at: int) -> tuple[Value, int]:
        size, at = self._number(at), at + WORD
        end = at + size + -size % WORD
        if end > len(self._data):
            raise Malformed("truncated bytes")
        data = self._data[at : at + size]
        if any(self._data[at + size : end]):
            raise Malformed("bytes are not padded with zeros")
        if kind.base is Base.BYTES:
            return data, end
        try:
            return data.decode(), end
        except UnicodeDecodeError:
            raise Malformed("a text that is not UTF-8") from None

    def _number(self, at: int) -> int:
        return int.from_bytes(self._word(at), "big")

    def _word(self, at: int) -> bytes:
        word = self._data[at : at + WORD]
        if len(word) != WORD:
            raise Malformed("truncated arguments")
        return word


def _leaf(kind: Type, word: bytes) -> Value:
    match kind.base:
        case Base.FIXED:
            if any(word[kind.size :]):
                raise Malformed(f"a {kind.text} is not padded with zeros")
            return word[: kind.size]
        case Base.ADDRESS:
            if any(word[:12]):
                raise Malformed("an address is not padded with zeros")
            return word[12:]
    low, high = _range(kind)
    number = int.from_bytes(word, "big", signed=kind.base is Base.INT)
    if not low <= number < high:
        raise Malformed(f"{number} is not a {kind.text}")
    return bool(number) if kind.base is Base.BOOL else number


def encode_texts(signature: str, texts: Sequence[str]) -> bytes:
    """Call data from arguments as people write them: decimal integers, true or false, EIP-55 addresses, 0x hex, texts.

    Arrays and tuples are JSON lists of such texts: ``["1", "2"]``. Raises `Malformed` for anything else.
    """
    called = method(signature)
    if len(texts) != len(called.inputs):
        raise Malformed(f"{called.signature} takes {len(called.inputs)} arguments, not {len(texts)}")
    return called.encode(*(_from_text(kind, text) for kind, text in zip(called.inputs, texts, strict=True)))


def _from_text(kind: Type, text: object) -> Value:
    if kind.base in (Base.TUPLE, Base.ARRAY):
        return _from_list(kind, text)
    if isinstance(text, str):
        match kind.base:
            case Base.STRING:
                return text
            case Base.ADDRESS:
                return parse_address(text, allow_lower=False)
            case Base.BOOL if text in ("true", "false"):
                return text == "true"
            case Base.UINT | Base.INT if re.fullmatch(r"-?(?:0|[1-9][0-9]{0,77})", text, re.ASCII):
                return int(text)
            case Base.BYTES | Base.FIXED if re.fullmatch(r"0x(?:[0-9a-fA-F]{2})*", text):
                return bytes.fromhex(text[2:])
    raise Malformed(f"{str(text)[:40]!r} cannot be written as a {kind.text}")


def _from_list(kind: Type, text: object) -> Value:
    try:
        items = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        items = None
    parts = kind.parts * len(items) if isinstance(items, list) and kind.base is Base.ARRAY else kind.parts
    if not isinstance(items, list) or len(items) != len(parts):
        raise Malformed(f"{str(text)[:40]!r} is not a JSON list that can be a {kind.text}")
    return tuple(_from_text(part, one) for part, one in zip(parts, items, strict=True))
