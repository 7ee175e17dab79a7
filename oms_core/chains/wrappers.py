"""Calls that contain calls: what is inside, for the shapes that many contracts share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oms_core.chains.abi import Method, Value, decode, method, parse_type
from oms_core.errors import Malformed

DELEGATE = 1  # the Safe's operation for running foreign code as its own
_BATCH = "execute(address[],uint256[],bytes[])"


@dataclass(frozen=True, slots=True)
class Inner:
    """A call inside another: 20-byte target, wei, data, and whether foreign code would run in the caller's name."""

    target: bytes
    value: int
    data: bytes
    delegate: bool = False


Read = Callable[[bytes, tuple[Any, ...]], tuple[Inner, ...] | None]
"""From the called contract and its decoded arguments to the calls inside; None if they cannot all be read."""


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A method whose arguments are calls."""

    method: Method
    read: Read


def _to_itself(at: int) -> Read:
    """A contract that runs its own methods, with the value of the whole call, which counts there."""
    return lambda target, v: tuple(Inner(target, 0, data) for data in v[at])


def _each(at: int, to: int, data: int, value: int = -1) -> Read:
    """A list of tuples."""
    return lambda _, v: tuple(Inner(one[to], one[value] if value >= 0 else 0, one[data]) for one in v[at])


def _columns(to: int, data: int, value: int = -1) -> Read:
    """Parallel lists."""

    def read(_: bytes, v: tuple[Any, ...]) -> tuple[Inner, ...] | None:
        values = v[value] if value >= 0 else (0,) * len(v[to])
        if value >= 0 and not values:
            values = (0,) * len(v[to])  # as some accounts allow
        if not len(v[to]) == len(values) == len(v[data]):
            return None
        return tuple(Inner(*one) for one in zip(v[to], values, v[data], strict=True))

    return read


def _single(to: int, value: int, data: int, operation: int = -1) -> Read:
    def read(_: bytes, v: tuple[Any, ...]) -> tuple[Inner, ...] | None:
        kind = v[operation] if operation >= 0 else 0
        return (Inner(v[to], v[value], v[data], kind == DELEGATE),) if kind in (0, DELEGATE) else None

    return read


def _exec_transaction(target: bytes, v: tuple[Any, ...]) -> tuple[Inner, ...] | None:
    """A Safe's; one that pays somebody for the gas gives away what nobody can tell beforehand."""
    return _single(0, 1, 2, 3)(target, v) if v[6] == 0 else None


def _multi_send(_: bytes, v: tuple[Any, ...]) -> tuple[Inner, ...] | None:
    """Packed: operation (1 byte), account (20), wei (32), length (32), data."""
    data, at, found = v[0], 0, []
    while at < len(data):
        if len(data) < at + 85 or data[at] > DELEGATE:
            return None
        size = int.from_bytes(data[at + 53 : at + 85], "big")
        if size > len(data) - at - 85:
            return None
        value = int.from_bytes(data[at + 21 : at + 53], "big")
        found.append(Inner(data[at + 1 : at + 21], value, data[at + 85 : at + 85 + size], data[at] == DELEGATE))
        at += 85 + size
    return tuple(found)


def _mode(_: bytes, v: tuple[Any, ...]) -> tuple[Inner, ...] | None:
    """ERC-7579: the first byte of the mode says whether one call follows, a batch, or a delegated one."""
    kind, data = v[0][0], v[1]
    if any(v[0][2:]):
        return None
    if kind == 0x01:
        try:
            (calls,) = decode([parse_type("(address,uint256,bytes)[]")], data)
        except Malformed:
            return None
        return _each(0, 0, 2, 1)(b"", (calls,))
    if kind == 0x00 and len(data) >= 52:
        return (Inner(data[:20], int.from_bytes(data[20:52], "big"), data[52:]),)
    if kind == 0xFF and len(data) >= 20:
        return (Inner(data[:20], 0, data[20:], True),)
    return None


def _user_operations(_: bytes, v: tuple[Any, ...]) -> tuple[Inner, ...] | None:
    """ERC-4337: each account is called with its data; one that is created first, or paid for, is more than a call."""
    factories = any(one[2] for one in v[0])
    paymasters = any(one[-2] for one in v[0])
    return None if factories or paymasters else tuple(Inner(one[0], 0, one[3]) for one in v[0])


_KNOWN: Mapping[str, Read] = {
    "multicall(bytes[])": _to_itself(0),
    "multicall(uint256,bytes[])": _to_itself(1),
    "multicall(bytes32,bytes[])": _to_itself(1),
    "aggregate((address,bytes)[])": _each(0, 0, 1),
    "blockAndAggregate((address,bytes)[])": _each(0, 0, 1),
    "tryAggregate(bool,(address,bytes)[])": _each(1, 0, 1),
    "tryBlockAndAggregate(bool,(address,bytes)[])": _each(1, 0, 1),
    "aggregate3((address,bool,bytes)[])": _each(0, 0, 2),
    "aggregate3Value((address,bool,uint256,bytes)[])": _each(0, 0, 3, 2),
    "multiSend(bytes)": _multi_send,
    "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)": _exec_transaction,
    "execTransactionFromModule(address,uint256,bytes,uint8)": _single(0, 1, 2, 3),
    "execTransactionFromModuleReturnData(address,uint256,bytes,uint8)": _single(0, 1, 2, 3),
    "execute(address,uint256,bytes)": _single(0, 1, 2),
    "execute(address,uint256,bytes,uint8)": _single(0, 1, 2, 3),
    "execute(address,bytes)": lambda _, v: (Inner(v[0], 0, v[1], True),),  # a DSProxy delegates
    "execute((address,uint256,bytes)[])": _each(0, 0, 2, 1),
    "execute(bytes32,bytes)": _mode,
    _BATCH: _columns(0, 2, 1),
    "executeBatch(address[],bytes[])": _columns(0, 1),
    "executeBatch(address[],uint256[],bytes[])": _columns(0, 2, 1),
    "executeBatch((address,uint256,bytes)[])": _each(0, 0, 2, 1),
    "handleOps((address,uint256,bytes,bytes,uint256,uint256,uint256,uint256,uint256,bytes,bytes)[],address)": (
        _user_operations
    ),
    "handleOps((address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes)[],address)": _user_operations,
}


def _table() -> Mapping[bytes, Wrapper]:
    made = {method(signature).selector: Wrapper(method(signature), read) for signature, read in _KNOWN.items()}
    assert len(made) == len(_KNOWN)
    return made


WRAPPERS = _table()
"""By selector."""


def calls_inside(wrapper: Wrapper, target: bytes, values: tuple[Value, ...]) -> tuple[Inner, ...] | None:
    """The calls in a wrapper's arguments; None if they cannot all be read."""
    return wrapper.read(target, values)
