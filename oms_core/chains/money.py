"""Calls that move tokens or let others move them: the same few methods everywhere, read wherever they occur.

Such a call says in its bytes what it is; what it does depends on the contract that it goes to. So it counts only if
that contract is a registered token (or, for Permit2, a registered contract): see `oms_core.chains.effects`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oms_core.chains.abi import Method, method
from oms_core.policy.rules import Action

ALL = (1 << 256) - 1
_UNBOUNDED = 1 << 159  # no token has so many units: half of what Permit2 can hold
_UINT96 = (1 << 96) - 1  # without bound in tokens with 96-bit amounts


@dataclass(frozen=True, slots=True)
class Move:
    """What leaves or may leave: ``amount`` of the token at ``token`` (20 bytes), for ``counterparty``.

    ``opaque``: something else happens with it that the bytes do not say, such as what a recipient's hook does.
    """

    action: Action
    token: bytes
    counterparty: bytes
    amount: int
    unlimited: bool = False
    opaque: bool = False


Read = Callable[[bytes, tuple[Any, ...]], tuple[Move, ...]]
"""From the called contract and the decoded arguments to what moves."""


@dataclass(frozen=True, slots=True)
class Money:
    """A method that moves. ``of_token``: the called contract is the token; else its arguments name tokens."""

    method: Method
    of_token: bool
    read: Read


def unbounded(amount: int) -> bool:
    """Whether an allowance of so many base units has no bound in practice."""
    return amount >= _UNBOUNDED or amount == _UINT96


def transfer(token: bytes, to: bytes, amount: int, hook: bytes = b"") -> Move:
    """Out of the account, now; ``hook`` is data that the recipient's code gets."""
    return Move(Action.TRANSFER, token, to, amount, opaque=bool(hook))


def allowance(token: bytes, spender: bytes, amount: int, hook: bytes = b"") -> Move:
    """Out of the account, whenever the spender wants."""
    return Move(Action.APPROVE, token, spender, amount, unbounded(amount), bool(hook))


def everything(token: bytes, spender: bytes, allowed: bool) -> Move:
    """All of it, or nothing any more."""
    return Move(Action.APPROVE, token, spender, ALL if allowed else 0, bool(allowed))


def _sends(to: int, amount: int, hook: int = -1) -> Read:
    return lambda token, v: (transfer(token, v[to], v[amount], v[hook] if hook >= 0 else b""),)


def _allows(spender: int, amount: int, hook: int = -1) -> Read:
    return lambda token, v: (allowance(token, v[spender], v[amount], v[hook] if hook >= 0 else b""),)


def _allows_all(spender: int, allowed: int) -> Read:
    return lambda token, v: (everything(token, v[spender], v[allowed]),)


def _takes_back(spender: int) -> Read:
    """The allowance shrinks: nothing more may leave than before."""
    return lambda token, v: (allowance(token, v[spender], 0),)


_SIGNED = "uint8,bytes32,bytes32"
_AUTHORIZED = "address,address,uint256,uint256,uint256,bytes32"
_DETAILS = "(address,uint160,uint48,uint48)"
_NEW = "(((address,uint256){many},uint256,uint256),(address,uint256){many},address{witness},bytes)"

_OF_TOKEN: Mapping[str, Read] = {
    # ERC-20, its older and newer relatives
    "transfer(address,uint256)": _sends(0, 1),
    "transferFrom(address,address,uint256)": _sends(1, 2),
    "approve(address,uint256)": _allows(0, 1),
    "increaseAllowance(address,uint256)": _allows(0, 1),
    "increaseApproval(address,uint256)": _allows(0, 1),
    "decreaseAllowance(address,uint256)": _takes_back(0),
    "decreaseApproval(address,uint256)": _takes_back(0),
    # ERC-677, ERC-1363, ERC-777: with a call of the other side
    "transferAndCall(address,uint256)": _sends(0, 1),
    "transferAndCall(address,uint256,bytes)": _sends(0, 1, 2),
    "transferFromAndCall(address,address,uint256)": _sends(1, 2),
    "transferFromAndCall(address,address,uint256,bytes)": _sends(1, 2, 3),
    "approveAndCall(address,uint256)": _allows(0, 1),
    "approveAndCall(address,uint256,bytes)": _allows(0, 1, 2),
    "send(address,uint256,bytes)": _sends(0, 1, 2),
    "operatorSend(address,address,uint256,bytes,bytes)": _sends(1, 2, 3),
    "authorizeOperator(address)": lambda token, v: (everything(token, v[0], True),),
    "revokeOperator(address)": lambda token, v: (everything(token, v[0], False),),
    # ERC-2612, DAI, ERC-4494, ERC-3009
    f"permit(address,address,uint256,uint256,{_SIGNED})": _allows(1, 2),
    "permit(address,address,uint256,uint256,bytes)": _allows(1, 2),
    f"permit(address,address,uint256,uint256,bool,{_SIGNED})": _allows_all(1, 4),
    "permit(address,uint256,uint256,bytes)": lambda token, v: (allowance(token, v[0], 1),),
    f"transferWithAuthorization({_AUTHORIZED},{_SIGNED})": _sends(1, 2),
    f"transferWithAuthorization({_AUTHORIZED},bytes)": _sends(1, 2),
    f"receiveWithAuthorization({_AUTHORIZED},{_SIGNED})": _sends(1, 2),
    f"receiveWithAuthorization({_AUTHORIZED},bytes)": _sends(1, 2),
    # ERC-721, ERC-1155
    "setApprovalForAll(address,bool)": _allows_all(0, 1),
    "safeTransferFrom(address,address,uint256)": lambda token, v: (transfer(token, v[1], 1),),
    "safeTransferFrom(address,address,uint256,bytes)": lambda token, v: (transfer(token, v[1], 1, v[3]),),
    "safeTransferFrom(address,address,uint256,uint256,bytes)": _sends(1, 3, 4),
    "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)": lambda token, v: tuple(
        transfer(token, v[1], amount, v[4]) for amount in v[3]
    ),
}

_NAMES_TOKENS: Mapping[str, Read] = {
    # Permit2
    "approve(address,address,uint160,uint48)": lambda _, v: (allowance(v[0], v[1], v[2]),),
    f"permit(address,({_DETAILS},address,uint256),bytes)": lambda _, v: _granted((v[1][0],), v[1][1]),
    f"permit(address,({_DETAILS}[],address,uint256),bytes)": lambda _, v: _granted(v[1][0], v[1][1]),
    "transferFrom(address,address,uint160,address)": lambda _, v: (transfer(v[3], v[1], v[2]),),
    "transferFrom((address,address,uint160,address)[])": lambda _, v: tuple(transfer(m[3], m[1], m[2]) for m in v[0]),
    "permitTransferFrom" + _NEW.format(many="", witness=""): lambda _, v: _taken((v[0][0],), (v[1],)),
    "permitTransferFrom" + _NEW.format(many="[]", witness=""): lambda _, v: _taken(v[0][0], v[1]),
    "permitWitnessTransferFrom" + _NEW.format(many="", witness=",bytes32,string"): lambda _, v: _taken(
        (v[0][0],), (v[1],)
    ),
    "permitWitnessTransferFrom" + _NEW.format(many="[]", witness=",bytes32,string"): lambda _, v: _taken(v[0][0], v[1]),
    "lockdown((address,address)[])": lambda _, v: tuple(allowance(token, spender, 0) for token, spender in v[0]),
}


def _granted(details: tuple[Any, ...], spender: bytes) -> tuple[Move, ...]:
    """Permit2's PermitDetails: (token, amount, ...)."""
    return tuple(allowance(one[0], spender, one[1]) for one in details)


def _taken(permitted: tuple[Any, ...], details: tuple[Any, ...]) -> tuple[Move, ...]:
    """Permit2's (token, amount) with (to, requested amount): what was permitted counts, the larger of both."""
    if len(permitted) != len(details):
        return tuple(transfer(token, bytes(20), amount, b"?") for token, amount in permitted)
    return tuple(
        transfer(token, to, max(amount, asked)) for (token, amount), (to, asked) in zip(permitted, details, strict=True)
    )


def _table() -> Mapping[bytes, Money]:
    made: dict[bytes, Money] = {}
    for table, of_token in ((_OF_TOKEN, True), (_NAMES_TOKENS, False)):
        for signature, read in table.items():
            called = method(signature)
            assert called.selector not in made, signature
            made[called.selector] = Money(called, of_token, read)
    return made


MONEY = _table()
"""By selector."""
