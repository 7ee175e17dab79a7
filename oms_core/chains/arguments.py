"""Decoded values one by one, each with the place where it stands: what rules test and people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from oms_core.chains.abi import Base, Type, Value
from oms_core.chains.address import to_checksum
from oms_core.chains.keccak import keccak256
from oms_core.chains.operations import Argument


def arguments(kinds: Sequence[Type], values: Sequence[Value]) -> tuple[Argument, ...]:
    """All of a call's arguments in order, tuples and arrays taken apart."""
    places = (_flat(str(i), kind, value) for i, (kind, value) in enumerate(zip(kinds, values, strict=True)))
    return tuple(argument for place in places for argument in place)


def of_opaque(data: bytes) -> tuple[Argument, ...]:
    """What stands for data that cannot be read: its selector if there is one, and its keccak256."""
    digest = Argument("keccak256", "bytes32", f"0x{keccak256(data).hex()}")
    return (Argument("selector", "bytes4", f"0x{data[:4].hex()}"), digest) if len(data) >= 4 else (digest,)


def _flat(place: str, kind: Type, value: Value) -> Iterator[Argument]:
    if isinstance(value, tuple) and kind.base is Base.ARRAY:
        if kind.size < 0:
            yield Argument(f"{place}.length", "uint256", len(value))
        for i, one in enumerate(value):
            yield from _flat(f"{place}[{i}]", kind.parts[0], one)
    elif isinstance(value, tuple):
        for i, (part, one) in enumerate(zip(kind.parts, value, strict=True)):
            yield from _flat(f"{place}.{i}", part, one)
    elif isinstance(value, bytes):
        yield Argument(place, kind.text, to_checksum(value) if kind.base is Base.ADDRESS else f"0x{value.hex()}")
    else:
        yield Argument(place, kind.text, value if isinstance(value, str) else int(value))
