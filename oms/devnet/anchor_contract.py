"""The anchor contract, assembled by hand: it logs what it is called with, and holds nothing.

    event Anchored(bytes32 checkpoint, uint64 size, address indexed by);
    function anchor(bytes32 checkpoint, uint64 size) external { emit Anchored(checkpoint, size, msg.sender); }

Anything else is reverted: coins, other methods, other lengths. Whoever calls is in the event, so it needs no owner.
"""

from __future__ import annotations

from oms_core.chains.keccak import keccak256
from oms_core.log.anchor import ANCHOR

EVENT = keccak256(b"Anchored(bytes32,uint64,address)")
_ARGUMENTS = 64  # bytes, behind the selector
_OPS = {
    "STOP": 0x00, "OR": 0x17, "XOR": 0x18, "SHR": 0x1C, "CALLER": 0x33, "CALLVALUE": 0x34, "CALLDATALOAD": 0x35,
    "CALLDATASIZE": 0x36, "CALLDATACOPY": 0x37, "CODECOPY": 0x39, "JUMPI": 0x57, "JUMPDEST": 0x5B, "DUP1": 0x80,
    "LOG2": 0xA2, "RETURN": 0xF3, "REVERT": 0xFD,
}  # fmt: skip
_PUSH1 = 0x60


def _push(data: bytes) -> bytes:
    return bytes([_PUSH1 + len(data) - 1]) + data


def _assembled(*parts: str | int | bytes) -> bytes:
    """Names of operations, and what is pushed: a number below 256, or bytes."""
    made = bytearray()
    for part in parts:
        match part:
            case str():
                made.append(_OPS[part])
            case int():
                made += _push(bytes([part]))
            case bytes():
                made += _push(part)
    return bytes(made)


def runtime() -> bytes:
    """The contract's code."""
    wrong = ("CALLVALUE", "CALLDATASIZE", 4 + _ARGUMENTS, "XOR", "OR")  # not 0 if coins come, or another length
    other = (0, "CALLDATALOAD", 0xE0, "SHR", ANCHOR.selector, "XOR", "OR")  # or another method
    logged = (_ARGUMENTS, 4, 0, "CALLDATACOPY", "CALLER", EVENT, _ARGUMENTS, 0, "LOG2", "STOP")
    before = len(_assembled(*wrong, *other, 0, "JUMPI", *logged))
    return _assembled(*wrong, *other, before, "JUMPI", *logged, "JUMPDEST", 0, 0, "REVERT")


def creation() -> bytes:
    """What creates it: returns the code that follows."""
    code = runtime()
    parts = (len(code), "DUP1", 0, 0, "CODECOPY", 0, "RETURN")
    return _assembled(len(code), "DUP1", len(_assembled(*parts)), *parts[3:]) + code
