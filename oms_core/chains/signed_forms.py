"""Typed data that moves tokens, or makes others call: recognised by the form that contracts hash, not by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oms_core.chains.address import parse_address
from oms_core.chains.eip712 import Typed
from oms_core.chains.money import Move, allowance, everything, transfer
from oms_core.chains.wrappers import DELEGATE, Inner
from oms_core.errors import Reason, Refused


@dataclass(frozen=True, slots=True)
class Reading:
    """What somebody can do with the signature. ``of_token``: the contract that verifies it is the token."""

    moves: tuple[Move, ...] = ()
    inside: tuple[Inner, ...] = ()
    of_token: bool = False


_Read = Callable[[Typed], Reading]
_SPENT = "uint256 value,uint256 nonce,uint256 deadline"
_AUTHORIZED = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
_DETAILS = "PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)"
_TOKENS = "TokenPermissions(address token,uint256 amount)"
_SAFE = (
    "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 {gas},uint256 gasPrice,"
    "address gasToken,address refundReceiver,uint256 nonce)"
)
_FORWARDED = "ForwardRequest(address from,address to,uint256 value,uint256 gas,uint256 nonce,{deadline}bytes data)"


def _address(typed: Typed, place: str) -> bytes:
    return parse_address(str(typed.value(place)))


def _number(typed: Typed, place: str) -> int:
    return int(typed.value(place))


def _data(typed: Typed, place: str) -> bytes:
    return bytes.fromhex(str(typed.value(place))[2:])


def _permit(typed: Typed) -> Reading:
    return Reading((allowance(typed.contract, _address(typed, "spender"), _number(typed, "value")),), of_token=True)


def _dai(typed: Typed) -> Reading:
    allowed = bool(_number(typed, "allowed"))
    return Reading((everything(typed.contract, _address(typed, "spender"), allowed),), of_token=True)


def _thing(typed: Typed) -> Reading:
    return Reading((allowance(typed.contract, _address(typed, "spender"), 1),), of_token=True)


def _authorization(typed: Typed) -> Reading:
    return Reading((transfer(typed.contract, _address(typed, "to"), _number(typed, "value")),), of_token=True)


def _granted(where: str) -> _Read:
    """Tokens and amounts at ``where``, or in the list there; whoever is the spender may take them."""

    def read(typed: Typed) -> Reading:
        spender, many = _address(typed, "spender"), {field.place for field in typed.fields}
        places = [where]
        if f"{where}.length" in many:
            places = [f"{where}[{i}]" for i in range(_number(typed, f"{where}.length"))]
        moves = (allowance(_address(typed, f"{p}.token"), spender, _number(typed, f"{p}.amount")) for p in places)
        return Reading(tuple(moves))

    return read


def _safe(typed: Typed) -> Reading:
    """A Safe's transaction: the same call that its ``execTransaction`` would make."""
    operation = _number(typed, "operation")
    if operation not in (0, DELEGATE) or _number(typed, "gasPrice"):
        raise Refused("a Safe's transaction that pays for its gas, or of an unknown kind", Reason.ACTION_MISMATCH)
    call = Inner(_address(typed, "to"), _number(typed, "value"), _data(typed, "data"), operation == DELEGATE)
    return Reading(inside=(call,))


def _forwarded(typed: Typed) -> Reading:
    return Reading(inside=(Inner(_address(typed, "to"), _number(typed, "value"), _data(typed, "data")),))


def _meta(typed: Typed) -> Reading:
    return Reading(inside=(Inner(typed.contract, 0, _data(typed, "functionSignature")),))


_FORMS: Mapping[str, _Read] = {
    f"Permit(address owner,address spender,{_SPENT})": _permit,
    "Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)": _dai,
    "Permit(address spender,uint256 tokenId,uint256 nonce,uint256 deadline)": _thing,
    f"TransferWithAuthorization({_AUTHORIZED})": _authorization,
    f"ReceiveWithAuthorization({_AUTHORIZED})": _authorization,
    f"PermitSingle(PermitDetails details,address spender,uint256 sigDeadline){_DETAILS}": _granted("details"),
    f"PermitBatch(PermitDetails[] details,address spender,uint256 sigDeadline){_DETAILS}": _granted("details"),
    f"PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline){_TOKENS}": _granted(
        "permitted"
    ),
    f"PermitBatchTransferFrom(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline){_TOKENS}": (
        _granted("permitted")
    ),
    _SAFE.format(gas="baseGas"): _safe,
    _SAFE.format(gas="dataGas"): _safe,
    _FORWARDED.format(deadline=""): _forwarded,
    _FORWARDED.format(deadline="uint48 deadline,"): _forwarded,
    "MetaTransaction(uint256 nonce,address from,bytes functionSignature)": _meta,
}
# What a trade's own terms are added to: they come after these members.
_WITNESSED = {
    "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,",
    "PermitBatchWitnessTransferFrom(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline,",
}


def read_form(typed: Typed) -> Reading | None:
    """What can be done with the signature; None for what is not known to move anything.

    Raises `Refused` (ACTION_MISMATCH) for what is called a permit or a Safe's transaction and has no form of one.
    """
    if typed.form in _FORMS:
        return _FORMS[typed.form](typed)
    if any(typed.form.startswith(start) for start in _WITNESSED) and _TOKENS in typed.form:
        return _granted("permitted")(typed)
    if typed.primary.lower().startswith(("permit", "safetx", "transferwith", "receivewith")):
        raise Refused(f"{typed.primary[:60]} is called a permit, and has no form of one", Reason.ACTION_MISMATCH)
    return None
