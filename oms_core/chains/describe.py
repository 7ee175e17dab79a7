"""An order in plain sentences: warnings first, then what it does, every operation and every argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from oms_core.chains.address import to_checksum
from oms_core.chains.effects import operations
from oms_core.chains.eip712 import read_typed
from oms_core.chains.intent import Allow, Bounds, Call, Deploy, Intent, Message, Transfer, TypedData
from oms_core.chains.keccak import keccak256
from oms_core.chains.money import MONEY
from oms_core.chains.names import Names
from oms_core.chains.operations import Argument, Operation
from oms_core.chains.wrappers import WRAPPERS
from oms_core.errors import Malformed
from oms_core.policy.rules import Action
from oms_core.workspace import Workspace

MAX_SHOWN = 260  # characters of one value; what is longer is shown by its ends, its length and its hash
_GUESSES = {
    **{f"0x{selector.hex()}": one.method.signature for selector, one in MONEY.items()},
    **{f"0x{selector.hex()}": one.method.signature for selector, one in WRAPPERS.items()},
}


def describe(intent: Intent, workspace: Workspace) -> tuple[str, ...]:
    """What an order does and may cost. Raises as `operations` does, and `Malformed` for what cannot be shown."""
    names, made = Names(workspace, intent.chain), operations(intent, workspace)
    return (
        *(f"WARNING: {warning}" for warning in dict.fromkeys(_warnings(names, made))),
        *_headline(intent, names),
        *_steps(intent, names, made),
        *_allowances(names, made),
        f"This is order {intent.intent_id}.",
    )


def _headline(intent: Intent, names: Names) -> Iterator[str]:
    if isinstance(intent.action, Message | TypedData) and intent.bounds != Bounds(0, 0):
        raise Malformed("a message costs nothing, and bounds of its cost would not be shown")
    source = f"wallet {intent.wallet_id}{''.join(f'/{step}' for step in intent.path)} on {intent.chain}"
    bounds = intent.bounds
    cost = f"network fee at most {names.coin(bounds.max_fee_total)}, gas {bounds.gas_limit_cap}."
    match intent.action:
        case Transfer(asset, to, amount):
            yield f"Send {names.amount(asset, amount)} from {source}."
            yield f"To {names.account(to)}."
            yield f"Exactly {amount} base units of {asset}; {cost}"
        case Allow(asset, spender, amount):
            yield f"Allow {names.amount(asset, amount)} to be taken from {source}."
            yield f"By {names.account(spender)}."
            yield f"Exactly {amount} base units of {asset}; {cost}"
        case Call(to, value, data):
            yield f"Call a contract from {source}, sending {names.coin(value)}."
            yield f"The contract is {names.account(to)}."
            yield f"Exactly {value} wei, and {_bytes(data)}; {cost}"
        case Deploy(value, code):
            yield f"Create a contract from {source}, giving it {names.coin(value)}."
            yield f"Exactly {value} wei, and {_bytes(code)}; {cost}"
        case Message(text):
            yield f"Sign this text (EIP-191) with {source}:"
            yield from _lines(text)
        case TypedData():
            typed = read_typed(intent.action.json, intent.chain)
            yield f"Sign structured data (EIP-712) of the type {typed.primary} with {source}."
            yield f"It is for {names.account(typed.contract)}."
            yield f"Its form is {typed.form}."
            for field in typed.domain:
                yield from _argument("domain ", field, names)


def _steps(intent: Intent, names: Names, made: tuple[Operation, ...]) -> Iterator[str]:
    """Every operation, numbered, with all its arguments, unless the headline has said it all."""
    if isinstance(intent.action, Transfer | Allow | Deploy | Message):
        return
    for number, operation in enumerate(made, 1):
        inside = f"inside {operation.depth} other call{'s' * (operation.depth > 1)}, " if operation.depth else ""
        yield f"{number}. {inside}{_sentence(operation, names)}"
        for argument in operation.arguments:
            yield from _argument("", argument, names)


def _sentence(operation: Operation, names: Names) -> str:
    manner = " AS ITS OWN CODE" if operation.delegate else ""
    method = operation.method or ("something that nobody can read" if operation.opaque else "no method")
    match operation.action:
        case Action.TRANSFER:
            return f"send {names.amount(operation.asset, operation.amount)} to {names.account(operation.counterparty)}"
        case Action.APPROVE:
            return f"let {names.account(operation.counterparty)} take {_bound(operation, names)} by {method}"
        case Action.TYPED_MESSAGE:
            return f"sign {operation.method} for {names.account(operation.target)}"
    sending = f", sending {names.coin(operation.value)}" if operation.value else ""
    by = f" for {names.account(operation.counterparty)}" if operation.counterparty != operation.target else ""
    return f"call {method} of {names.account(operation.target)}{by}{manner}{sending}"


def _bound(operation: Operation, names: Names) -> str:
    """How much an allowance is."""
    symbol = names.symbol(operation.asset)
    name = operation.method.partition("(")[0]
    if operation.unlimited:
        return f"ALL {symbol}, without limit"
    if name.startswith("decrease"):
        lower = next(int(argument.value) for argument in operation.arguments if argument.place == "1")
        return f"{names.amount(operation.asset, lower)} less than until now"
    if not operation.amount:
        return f"no {symbol} any more"
    more = " more than until now" if name.startswith("increase") else ""
    return f"up to {names.amount(operation.asset, operation.amount)}{more}"


def _allowances(names: Names, made: Iterable[Operation]) -> Iterator[str]:
    for operation in made:
        if operation.action is Action.APPROVE:
            exactly = f"{operation.amount} base units of {operation.asset}"
            who = to_checksum(operation.counterparty)
            yield f"Left behind: {who} may take {_bound(operation, names)} ({exactly}), until it is taken back."


def _warnings(names: Names, made: Iterable[Operation]) -> Iterator[str]:
    for operation in made:
        touched = [address for address in (operation.target, operation.counterparty) if len(address) == 20]
        if operation.unlimited:
            who = names.account(operation.counterparty)
            yield f"{who} could take ALL {names.symbol(operation.asset)} of the account, at any time."
        if operation.action is Action.DEPLOY:
            yield "this creates a contract, and nobody can read here what its code does."
        if operation.delegate:
            yield f"code of {names.account(operation.target)} would run as if it were the account's own."
        if operation.opaque:
            yield f"nobody can tell what {names.account(operation.target)} does with this{_guess(operation)}."
        yield from (f"{to_checksum(one)} is NOT in the book." for one in touched if not names.known(one))
        yield from (f"{entry}." for one in touched for entry in names.out_of_use(one))


def _guess(operation: Operation) -> str:
    selector = next((str(one.value) for one in operation.arguments if one.place == "selector"), "")
    guess = _GUESSES.get(selector)
    return f" (a GUESS from {selector}: {guess})" if guess else f" ({selector})" if selector else ""


def _argument(kind: str, argument: Argument, names: Names) -> Iterator[str]:
    where = f"   {kind}{argument.place} ({argument.type})"
    if argument.type == "string":
        yield f"{where}:"
        yield from (f"   {line}" for line in _lines(str(argument.value)))
    elif argument.type == "address":
        yield f"{where} = {names.account(bytes.fromhex(str(argument.value)[2:]))}"
    else:
        yield f"{where} = {_short(str(argument.value))}"


def _lines(text: str) -> Iterator[str]:
    """Each line of somebody's text behind a bar, so that none can pass for one of ours."""
    return (f"| {line}" for line in text.split("\n"))


def _short(value: str) -> str:
    if len(value) <= MAX_SHOWN:
        return value
    return f"{value[:66]}...{value[-64:]}, {_bytes(bytes.fromhex(value[2:]))}"


def _bytes(data: bytes) -> str:
    return f"{len(data)} bytes with the keccak256 0x{keccak256(data).hex()}"
