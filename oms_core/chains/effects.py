"""What an order does, derived from the bytes that would be signed, never from what it claims to be.

Calls inside calls are looked into wherever their shape is known, whether or not the contract is registered; the wrapper
itself counts as known only if the registry lists its method. What looks like a movement of tokens but goes to
something that is not registered as one is refused: that was the shape of the Bybit theft.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from oms_core.chains import router
from oms_core.chains.abi import Method, Value
from oms_core.chains.address import native_asset, to_checksum, token_of
from oms_core.chains.arguments import arguments, of_opaque
from oms_core.chains.eip712 import Typed, read_typed
from oms_core.chains.evm import what_is_called
from oms_core.chains.intent import Deploy, Intent, Message, TypedData
from oms_core.chains.known import contract_on, methods_of, token_on
from oms_core.chains.messages import check_text
from oms_core.chains.money import MONEY, Money, Move
from oms_core.chains.operations import Argument, Operation
from oms_core.chains.signed_forms import Reading, read_form
from oms_core.chains.wrappers import WRAPPERS, Inner, calls_inside
from oms_core.errors import Malformed, Reason, Refused
from oms_core.policy.rules import Action
from oms_core.workspace import Workspace

MAX_DEPTH = 4
_NUMBERED = ("transfer", "transferFrom", "approve", "permit", "Permit")  # of an ERC-721 token: the number is a name
MAX_CALLS = 64  # inside the outermost one


@dataclass(frozen=True, slots=True)
class _Call:
    """A call at some depth."""

    target: bytes
    value: int
    data: bytes
    depth: int = 0
    delegate: bool = False


def operations(intent: Intent, workspace: Workspace) -> tuple[Operation, ...]:
    """Everything that an order does, wrappers before what they contain; at least one operation.

    Raises `Refused`: ACTION_MISMATCH for what has the shape of a token's movement and goes to no registered token, for
    coins sent along with one, and for a permit of an unknown form; TOO_LARGE for more than 64 calls or a depth above 4.
    Raises `Malformed`: TRAILING_BYTES after the arguments of a known method, arguments of a token's method that are not
    canonical, and whatever is wrong with the intent itself.
    """
    found = _Effects(intent.chain, workspace)
    match intent.action:
        case Message():
            check_text(intent.action.text)
            said = (Argument("0", "string", intent.action.text),)
            found.add(_Call(b"", 0, b""), Action.MESSAGE, args=said)
        case TypedData():
            found.typed(read_typed(intent.action.json, intent.chain))
        case Deploy():
            _, value, code = what_is_called(intent)
            found.add(_Call(b"", value, code), Action.DEPLOY, args=of_opaque(code)[-1:])
        case _:
            found.call(_Call(*what_is_called(intent)))
    return tuple(found.made)


class _Effects:
    """The operations found so far, on one chain, read with one workspace."""

    def __init__(self, chain: str, workspace: Workspace) -> None:
        self._chain, self._workspace, self.made = chain, workspace, list[Operation]()

    def add(
        self,
        call: _Call,
        action: Action,
        counterparty: bytes | None = None,
        method: str = "",
        args: tuple[Argument, ...] = (),
        opaque: bool = False,
        **moved: Any,
    ) -> None:
        """One more operation. Raises `Refused` (TOO_LARGE)."""
        if len(self.made) > MAX_CALLS:
            raise Refused(f"more than {MAX_CALLS} calls in one order", Reason.TOO_LARGE)
        moved = {"asset": "", "amount": 0, "unlimited": False, **moved}
        self.made.append(
            Operation(
                action=action,
                chain=self._chain,
                target=call.target,
                counterparty=call.target if counterparty is None else counterparty,
                value=call.value,
                method=method,
                arguments=args,
                depth=call.depth,
                opaque=opaque,
                delegate=call.delegate,
                **moved,
            )
        )

    def call(self, call: _Call) -> None:
        """A call, and what is inside it."""
        if call.depth > MAX_DEPTH:
            raise Refused(f"calls are wrapped more than {MAX_DEPTH} times", Reason.TOO_LARGE)
        selector = call.data[:4]
        if not call.data and not call.delegate:
            self.add(call, Action.TRANSFER, asset=native_asset(self._chain), amount=call.value)
        elif selector in MONEY and len(selector) == 4:
            self._money(call, MONEY[selector])
        else:
            self._contract(call)

    def _money(self, call: _Call, money: Money) -> None:
        """A movement of tokens: the contract has to be one that is known to do just that."""
        if money.of_token:
            if token_on(self._workspace, self._chain, call.target) is None:
                raise _mismatch(money.method.signature, call.target, "no registered token")
        elif money.method.signature not in methods_of(contract_on(self._workspace, self._chain, call.target)):
            raise _mismatch(money.method.signature, call.target, "no contract that is registered with it")
        if call.value:
            raise Refused(f"{call.value} wei sent along with a movement of tokens", Reason.ACTION_MISMATCH)
        values = money.method.decode(call.data)
        moves = money.read(call.target, values)
        self._moves(call, money.method.signature, arguments(money.method.inputs, values), moves)

    def _moves(self, call: _Call, method: str, args: tuple[Argument, ...], moves: tuple[Move, ...]) -> None:
        """Each movement as an operation; a batch of none is a call that does nothing."""
        for move in moves:
            self._move(call, method, args, move)
        if not moves:
            self.add(call, Action.CALL, method=method, args=args)

    def _move(self, call: _Call, method: str, args: tuple[Argument, ...], move: Move) -> None:
        asset, amount, unlimited = native_asset(self._chain), move.amount, move.unlimited
        if move.token != router.COIN:
            token = token_on(self._workspace, self._chain, move.token)
            if token is None:
                raise _mismatch(method, move.token, "no registered token")
            asset = token.asset
            if token_of(asset)[1] == "erc721" and method.partition("(")[0] in _NUMBERED:
                # the number names a thing; nobody is approved by naming nobody
                amount, unlimited = int(move.action is Action.TRANSFER or any(move.counterparty)), False
        to = call.target if move.counterparty == router.ROUTER else move.counterparty
        self.add(call, move.action, to, method, args, move.opaque, asset=asset, amount=amount, unlimited=unlimited)

    def _contract(self, call: _Call) -> None:
        """A call that is known only if the registry lists its method; shapes of wrappers are looked into anyway."""
        selector, entry = call.data[:4], contract_on(self._workspace, self._chain, call.target)
        listed = [one for one in methods_of(entry).values() if one.selector == selector]
        if selector in (one.selector for one in router.EXECUTE):
            self._router(call, next(one for one in router.EXECUTE if one.selector == selector), listed)
            return
        wrapper = WRAPPERS.get(selector)
        known = listed[0] if len(listed) == 1 else None
        if wrapper and (not listed or known == wrapper.method):
            values = _decoded(wrapper.method, call.data)
            inside = None if values is None else calls_inside(wrapper, call.target, values)
            self._called(call, known, None if inside is None else values)
            self._inside(call, inside or ())
        elif known and entry and known.signature in entry.unwraps:
            self._called(call, None, None)  # there are calls inside, in a shape that is not known here
        else:
            self._called(call, known, _decoded(known, call.data) if known else None)

    def _called(self, call: _Call, method: Method | None, values: tuple[Value, ...] | None) -> None:
        if method is None or values is None:
            self.add(call, Action.CALL, args=of_opaque(call.data), opaque=True)
        else:
            self.add(call, Action.CALL, method=method.signature, args=arguments(method.inputs, values))

    def _inside(self, call: _Call, inside: tuple[Inner, ...]) -> None:
        for one in inside:
            self.call(_Call(one.target, one.value, one.data, call.depth + 1, one.delegate))

    def _router(self, call: _Call, method: Method, listed: list[Method]) -> None:
        values = _decoded(method, call.data)
        self._called(call, method if listed == [method] else None, values)
        if values is not None:
            self._program(replace(call, value=0), values)

    def _program(self, call: _Call, values: tuple[Any, ...]) -> None:
        """The commands of a router's program, one level below the call that carries it."""
        inner = replace(call, depth=call.depth + 1)
        if inner.depth > MAX_DEPTH:
            raise Refused(f"calls are wrapped more than {MAX_DEPTH} times", Reason.TOO_LARGE)
        for step in router.steps(values[0], values[1]):
            if step.method is None:
                unknown = (Argument("command", "bytes1", f"0x{step.command:02x}"), *of_opaque(step.data)[-1:])
                self.add(inner, Action.CALL, args=unknown, opaque=True)
                continue
            args = arguments(step.method.inputs, step.values)
            if step.moves:
                self._moves(inner, step.method.signature, args, step.moves)
            else:
                self.add(inner, Action.CALL, step.recipient or None, step.method.signature, args)
            if step.inside:
                self._program(inner, step.inside)

    def typed(self, typed: Typed) -> None:
        """Typed data: movements of tokens that somebody else will carry out, calls to be made, or anything else."""
        call = _Call(typed.contract, 0, b"")
        form = read_form(typed)
        entry = contract_on(self._workspace, self._chain, typed.contract)
        if form and not form.inside:
            self._check_verifier(typed, form)
        if form is None or not form.moves:
            listed = typed.signature in methods_of(entry)
            self.add(call, Action.TYPED_MESSAGE, method=typed.primary, args=typed.fields, opaque=not listed)
            self._inside(call, form.inside if form else ())
        else:
            self._moves(call, typed.primary, typed.fields, form.moves)

    def _check_verifier(self, typed: Typed, form: Reading) -> None:
        """Who will verify it is a token, or a registered contract that deals with tokens."""
        if form.of_token and token_on(self._workspace, self._chain, typed.contract) is None:
            raise _mismatch(typed.primary, typed.contract, "no registered token")
        if not form.of_token and contract_on(self._workspace, self._chain, typed.contract) is None:
            raise _mismatch(typed.primary, typed.contract, "no registered contract")


def _decoded(method: Method, data: bytes) -> tuple[Value, ...] | None:
    """The arguments, or None if this is no call of the method: another one may have its selector."""
    try:
        return method.decode(data)
    except Malformed as error:
        if error.reason in (Reason.TRAILING_BYTES, Reason.TOO_LARGE):
            raise
        return None


def _mismatch(method: str, target: bytes, why: str) -> Refused:
    return Refused(f"{method[:80]} goes to {to_checksum(target)}, which is {why}", Reason.ACTION_MISMATCH)
