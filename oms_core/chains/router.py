"""Commands of Uniswap's Universal Router: a program of one byte per step, each with its own arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oms_core.chains.abi import Method, Value, decode, method
from oms_core.chains.money import Move, allowance, transfer
from oms_core.errors import Malformed, Reason

EXECUTE = tuple(method(f"execute(bytes,bytes[]{deadline})") for deadline in ("", ",uint256"))
_MAY_FAIL = 0x80
SENDER, ROUTER = (n.to_bytes(20, "big") for n in (1, 2))  # stand for who calls, and for the router itself
_DETAILS = "(address,uint160,uint48,uint48)"
COIN = bytes(20)  # stands for the chain's own coin


@dataclass(frozen=True, slots=True)
class Step:
    """What one command does. ``method`` is None if it is not known; ``inside`` is a program to be run in turn.

    ``recipient`` gets what comes out of it; it is empty if that is who calls, or the router.
    """

    command: int
    data: bytes
    method: Method | None = None
    values: tuple[Value, ...] = ()
    moves: tuple[Move, ...] = ()
    recipient: bytes = b""
    inside: tuple[bytes, tuple[bytes, ...]] | None = None


_Read = Callable[[tuple[Any, ...]], tuple[tuple[Move, ...], bytes]]


def _outside(address: bytes) -> bytes:
    return b"" if address in (SENDER, ROUTER) else address


def _sends(token: bytes, to: bytes, amount: int, least: bool = False) -> tuple[tuple[Move, ...], bytes]:
    """A transfer to a stranger; ``least``: it may be more than that, and nobody can tell how much."""
    if not _outside(to):
        return (), b""
    return (transfer(token, to, amount, b"?" if least else b""),), to


def _permits(details: tuple[Any, ...], spender: bytes) -> tuple[tuple[Move, ...], bytes]:
    return tuple(allowance(one[0], spender, one[1]) for one in details), b""


def _goes_to(at: int) -> _Read:
    return lambda v: ((), _outside(v[at]))


_COMMANDS: Mapping[int, tuple[str, _Read]] = {
    0x00: ("V3_SWAP_EXACT_IN(address,uint256,uint256,bytes,bool)", _goes_to(0)),
    0x01: ("V3_SWAP_EXACT_OUT(address,uint256,uint256,bytes,bool)", _goes_to(0)),
    # from the account itself, by its allowance: it leaves the account even towards the router
    0x02: ("PERMIT2_TRANSFER_FROM(address,address,uint160)", lambda v: _pulled(((b"", v[1], v[2], v[0]),))),
    0x03: (f"PERMIT2_PERMIT_BATCH(({_DETAILS}[],address,uint256),bytes)", lambda v: _permits(v[0][0], v[0][1])),
    0x04: ("SWEEP(address,address,uint256)", lambda v: _sends(v[0], v[1], v[2], least=True)),
    0x05: ("TRANSFER(address,address,uint256)", lambda v: _sends(v[0], v[1], v[2])),
    0x06: ("PAY_PORTION(address,address,uint256)", lambda v: _sends(v[0], v[1], 0, least=True)),
    0x08: ("V2_SWAP_EXACT_IN(address,uint256,uint256,address[],bool)", _goes_to(0)),
    0x09: ("V2_SWAP_EXACT_OUT(address,uint256,uint256,address[],bool)", _goes_to(0)),
    0x0A: (f"PERMIT2_PERMIT(({_DETAILS},address,uint256),bytes)", lambda v: _permits((v[0][0],), v[0][1])),
    0x0B: ("WRAP_ETH(address,uint256)", _goes_to(0)),
    0x0C: ("UNWRAP_WETH(address,uint256)", _goes_to(0)),
    0x0D: ("PERMIT2_TRANSFER_FROM_BATCH((address,address,uint160,address)[])", lambda v: _pulled(v[0])),
    0x0E: ("BALANCE_CHECK_ERC20(address,address,uint256)", lambda _: ((), b"")),
}
_SUB_PLAN = 0x21
_PROGRAM = method("EXECUTE_SUB_PLAN(bytes,bytes[])")
COMMANDS = frozenset({_PROGRAM.signature, *(text for text, _ in _COMMANDS.values())})
"""What commands are called where they are read, as methods are."""


def _pulled(transfers: tuple[Any, ...]) -> tuple[tuple[Move, ...], bytes]:
    """Permit2's (from, to, amount, token): what is pulled to the caller goes nowhere."""
    return tuple(transfer(one[3], one[1], one[2]) for one in transfers if one[1] != SENDER), b""


def steps(commands: bytes, inputs: tuple[bytes, ...]) -> tuple[Step, ...]:
    """The program. Raises `Malformed` if there is not one input for each command, or for TRAILING_BYTES in one."""
    if len(commands) != len(inputs):
        raise Malformed(f"{len(commands)} commands with {len(inputs)} inputs")
    return tuple(_step(command, data) for command, data in zip(commands, inputs, strict=True))


def _step(command: int, data: bytes) -> Step:
    kind = command & ~_MAY_FAIL
    known = _COMMANDS.get(kind)
    if kind != _SUB_PLAN and known is None:
        return Step(command, data)
    called = method(known[0]) if known else _PROGRAM
    try:
        values: tuple[Any, ...] = decode(called.inputs, data)
    except Malformed as error:
        if error.reason in (Reason.TRAILING_BYTES, Reason.TOO_LARGE):
            raise
        return Step(command, data)
    if not known:
        return Step(command, data, called, values, inside=(values[0], values[1]))
    moves, recipient = known[1](values)
    return Step(command, data, called, values, moves, recipient)
