"""What rules see: an operation of an order, or a past spend, field by field, each value with where it is from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from oms_core.chains.address import to_checksum
from oms_core.chains.intent import CreateWallet, Intent
from oms_core.chains.keccak import keccak256
from oms_core.chains.operations import Operation
from oms_core.keys import ChangeKey
from oms_core.policy.facts import FEE, Observation, Provenance, Spend
from oms_core.policy.fields import Destination
from oms_core.policy.index import Index
from oms_core.policy.places import Places
from oms_core.policy.rules import Action
from oms_core.policy.spends import UNPRICED, Judged, Outflow, concerned, outflows
from oms_core.workspace import AddressEntry, ContractEntry, EntryState

Value = int | str
_MESSAGES = (Action.MESSAGE, Action.TYPED_MESSAGE)
OWN_ACCOUNT = "destination.own"  # observed: 1 if the counterparty is one of our accounts


class State(Enum):
    """Whether there is a value: it is known (perhaps to be none of a set), cannot be, or is not known."""

    KNOWN = 0
    NONE = 1
    UNKNOWN = 2


class Seen(NamedTuple):
    """What a field shows. ``values`` are a set, or, if ``each``, what several sources or members say one by one.

    ``claimed`` are values that may be, too: what somebody says whom nobody has to believe.
    """

    values: tuple[Value, ...]
    source: str
    state: State = State.KNOWN
    claimed: tuple[Value, ...] = ()
    each: bool = False


ORDER, BYTES, LISTED, ROSTER = "order", "bytes", "workspace", "users"
UNKNOWN = Seen((), "", State.UNKNOWN)


def _none(source: str) -> Seen:
    return Seen((), source, State.NONE)


def _unknown(source: str) -> Seen:
    return Seen((), source, State.UNKNOWN)


class View:
    """One operation of a subject, its fee, or one spend, as of ``now``. What is read is remembered."""

    __slots__ = (
        "action", "chain", "counterparty", "fee", "flows", "index", "initiator", "now", "number", "observed",
        "operation", "places", "results", "seen", "single", "subject", "target", "wallet_id",
    )  # fmt: skip

    def __init__(self, index: Index, now: int, wallet_id: str, initiator: str) -> None:
        self.index, self.now, self.wallet_id, self.initiator = index, now, wallet_id, initiator
        self.action: Action = Action.KEY_CREATE
        self.chain, self.counterparty, self.target = "", b"", b""
        self.flows: tuple[Outflow, ...] = ()
        self.number, self.fee = 0, False
        self.subject: Judged | None = None
        self.operation: Operation | None = None
        self.observed: Mapping[str, Sequence[Observation]] = {}
        self.seen: dict[str, Seen] = {}
        self.places: Places | None = None
        self.single: dict[str, Value] = {}  # of what was seen, that which is one known value and nothing else
        self.results: list[int] = []

    def see(self, name: str) -> Seen:
        """A field's value. What fails to be read is not known."""
        held = self.seen.get(name)
        if held is None:
            held = self.seen[name] = self._read(name)
            if held.state is State.KNOWN and len(held.values) == 1 and not held.claimed:
                self.single[name] = held.values[0]
        return held

    def _read(self, name: str) -> Seen:
        reader = READERS.get(name)
        try:
            if reader is not None:
                return reader(self)
            if self.operation is None:
                return UNKNOWN
            if not name.startswith("args."):
                return _observed(self, name)
            if self.places is None:
                self.places = Places(self.operation.arguments)
            held = self.places.find(name.removeprefix("args."))
            return Seen(held, BYTES, each=True) if held else _unknown(BYTES)
        except Exception as error:  # noqa: BLE001 - whatever a field's reading fails of, it is not known
            return _unknown(f"cannot be read: {type(error).__name__}")

    @property
    def entry(self) -> AddressEntry | None:
        """The counterparty's entry in the address book."""
        return self.index.book.get((self.chain, self.counterparty))

    @property
    def contract(self) -> ContractEntry | None:
        """The registry's entry of what is called; of tokens that move, of whom they go to: see `concerned`."""
        contracts = self.index.contracts
        found = (contracts.get((self.chain, one)) for one in concerned(self.action, self.target, self.counterparty))
        return next((entry for entry in found if entry is not None), None)

    @property
    def entries(self) -> tuple[AddressEntry | ContractEntry, ...]:
        """All entries of the counterparty."""
        both = (self.entry, self.index.contracts.get((self.chain, self.counterparty)))
        return tuple(entry for entry in both if entry is not None)


def view_of_operation(
    index: Index,
    now: int,
    subject: Judged,
    number: int,
    operation: Operation,
    observed: Mapping[str, Sequence[Observation]],
) -> View:
    """One operation of a subject."""
    view = View(index, now, subject.wallet_id, subject.initiator)
    view.action, view.chain = operation.action, operation.chain
    view.target, view.counterparty = operation.target, operation.counterparty
    view.flows = outflows(index.assets, operation, operation.value)
    view.number, view.subject, view.operation, view.observed = number, subject, operation, observed
    return view


def view_of_fee(index: Index, now: int, subject: Judged, outermost: View, fee: Outflow) -> View:
    """The most that a subject may pay as fee: it moves that, and else shows what the outermost operation does."""
    operation = outermost.operation
    assert operation is not None
    view = view_of_operation(index, now, subject, outermost.number, operation, outermost.observed)
    view.flows, view.fee = (fee,), True
    return view


def view_of_spend(index: Index, now: int, spend: Spend) -> View:
    """A spend, as far as it shows what rules speak of; all else is unknown."""
    view = View(index, now, spend.wallet_id, spend.initiator)
    view.action, view.chain, view.counterparty = spend.action, spend.chain, spend.destination
    view.flows = (Outflow(spend.asset, spend.amount, spend.usd_micro),) if spend.asset else ()
    view.fee = spend.operation == FEE
    view.seen["protocol"] = Seen((spend.protocol,) if spend.protocol else (), LISTED)
    return view


def _user(view: View, values: Callable[[Index, str], tuple[str, ...]]) -> Seen:
    if view.initiator not in view.index.users:
        return _unknown(ROSTER)
    return Seen(values(view.index, view.initiator), ROSTER)


def _wallet(view: View, tier: bool) -> Seen:
    entry = view.index.wallets.get(view.wallet_id)
    if entry is None:
        return _unknown(LISTED)
    return Seen((entry.tier,) if tier else entry.tags, LISTED)


def _path(view: View) -> Seen:
    if isinstance(view.subject, Intent):
        return Seen(("m/" + "".join(f"{step}/" for step in view.subject.path),), ORDER)
    return _none(ORDER) if view.operation else UNKNOWN


def _counterparty(view: View, seen: Callable[[View], Seen]) -> Seen:
    return seen(view) if view.counterparty else _none(BYTES)


def _types(view: View) -> Seen:
    values = []
    if view.entry is not None and view.entry.state is EntryState.ACTIVE:
        values.append(Destination.WHITELISTED)
    if (view.chain, view.counterparty) in view.index.contracts:
        values.append(Destination.CONTRACT)
    if not view.entries:
        values.append(Destination.ONE_TIME)
    own = _observed(view, OWN_ACCOUNT)
    if own.values and all(one == 1 for one in own.values):
        values.append(Destination.OWN)
    may_be = not own.values or 1 in (*own.values, *own.claimed)
    maybe = (Destination.OWN,) if may_be and Destination.OWN not in values else ()
    return Seen(tuple(sorted(values)), LISTED, claimed=maybe)


def _age(view: View) -> Seen:
    added = [entry.added_at for entry in view.entries]
    return Seen((view.now - max(added),), LISTED) if added and view.operation else _none(LISTED)


def _moves_more(view: View) -> bool:
    """Whether something may leave that the bytes do not show."""
    return view.operation is not None and view.operation.opaque and not view.fee


def _asset(view: View) -> Seen:
    if _moves_more(view) and view.action is Action.CALL:
        return _unknown(BYTES)
    if len(view.flows) == 1:
        return Seen((view.flows[0].asset,), BYTES)
    return _unknown(BYTES) if view.flows else _none(BYTES)


def _classes(view: View) -> Seen:
    shown = _asset(view)
    if shown.state is not State.KNOWN:
        return shown
    asset = view.index.assets.get(view.flows[0].asset)
    return Seen(asset.classes, LISTED) if asset else _unknown(LISTED)


def _amount(view: View) -> Seen:
    if view.action in _MESSAGES and not view.flows:
        return _none(BYTES)
    if len(view.flows) > 1 or _moves_more(view):
        return _unknown(BYTES)
    return Seen((view.flows[0].amount if view.flows else 0,), BYTES)


def _usd(view: View) -> Seen:
    if view.action in _MESSAGES and not view.flows:
        return _none(BYTES)
    worths = [flow.usd_micro for flow in view.flows]
    return _unknown(LISTED) if UNPRICED in worths or _moves_more(view) else Seen((sum(worths),), LISTED)


def _of_operation(view: View, seen: Callable[[Operation], Seen]) -> Seen:
    return seen(view.operation) if view.operation else UNKNOWN


def _value(operation: Operation) -> Seen:
    return _none(BYTES) if operation.action in _MESSAGES else Seen((operation.value,), BYTES)


def _method(operation: Operation) -> Seen:
    if operation.opaque:
        return _unknown(BYTES)
    return Seen((operation.method,), BYTES) if operation.method else _none(BYTES)


def _selector(operation: Operation) -> Seen:
    method = _method(operation)
    if method.state is not State.KNOWN:
        return method
    if "(" not in operation.method:
        return _none(BYTES)  # the type of signed data
    return Seen(("0x" + keccak256(operation.method.encode())[:4].hex(),), BYTES)


def _observed(view: View, name: str) -> Seen:
    trusted: list[Value] = []
    claimed: list[Value] = []
    sources: set[str] = set()
    for one in view.observed.get(name, ()):
        if one.operation in (-1, view.number):
            (claimed if one.provenance is Provenance.CLAIMED else trusted).append(one.value)
            sources.add(one.provenance)
    state = State.KNOWN if sources else State.UNKNOWN
    return Seen(_in_order(trusted), " ".join(sorted(sources)), state, _in_order(claimed), each=True)


def _in_order(values: list[Value]) -> tuple[Value, ...]:
    return tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))


def _registry(view: View, seen: Callable[[ContractEntry], Seen], without: Seen) -> Seen:
    if view.operation is None:
        return UNKNOWN
    return seen(view.contract) if view.contract is not None else without


def _audit_age(view: View) -> Seen:
    def age(entry: ContractEntry) -> Seen:
        return Seen((view.now - entry.audited_at,), LISTED) if entry.audit else _none(LISTED)

    return _registry(view, age, _none(LISTED))


def _fee(view: View, total: bool) -> Seen:
    match view.subject:
        case Intent() if view.action not in _MESSAGES:
            bounds = view.subject.bounds
            return Seen((bounds.max_fee_total if total else bounds.gas_limit_cap,), ORDER)
        case Intent() | CreateWallet() | ChangeKey():
            return Seen((0,), ORDER)
    return UNKNOWN


def _purpose(view: View) -> Seen:
    if view.subject is None:
        return UNKNOWN
    return Seen(("given" if view.subject.purpose.strip() else "empty",), ORDER)


_EMPTY = Seen((), LISTED)
READERS: dict[str, Callable[[View], Seen]] = {
    "action": lambda view: Seen((view.action.value,), BYTES),
    "initiator.user": lambda view: Seen((view.initiator,), ORDER),
    "initiator.role": lambda view: _user(view, lambda index, name: index.users[name].roles),
    "initiator.group": lambda view: _user(view, lambda index, name: index.groups_of[name]),
    "initiator.team": lambda view: _user(view, lambda index, name: (index.users[name].team,)),
    "source.wallet": lambda view: Seen((view.wallet_id,), ORDER),
    "source.tag": lambda view: _wallet(view, tier=False),
    "source.tier": lambda view: _wallet(view, tier=True),
    "source.path": _path,
    "chain": lambda view: Seen((view.chain,), ORDER) if view.chain else _none(ORDER),
    "destination.address": lambda v: _counterparty(v, lambda view: Seen((to_checksum(view.counterparty),), BYTES)),
    "destination.entry": lambda v: _counterparty(v, lambda view: Seen(tuple(e.entry_id for e in view.entries), LISTED)),
    "destination.tag": lambda v: _counterparty(
        v, lambda view: Seen(tuple(sorted({tag for entry in view.entries for tag in entry.tags})), LISTED)
    ),
    "destination.type": lambda v: _counterparty(v, _types),
    "destination.age": lambda v: _counterparty(v, _age),
    "destination.lookalike": lambda v: _counterparty(
        v, lambda view: Seen((view.index.nearest(view.counterparty),), LISTED)
    ),
    "asset": _asset,
    "asset.class": _classes,
    "amount": _amount,
    "amount.usd": _usd,
    "value": lambda view: _of_operation(view, _value),
    "method": lambda view: _of_operation(view, _method),
    "selector": lambda view: _of_operation(view, _selector),
    "unlimited": lambda view: _of_operation(view, lambda operation: Seen((int(operation.unlimited),), BYTES)),
    "opaque": lambda view: _of_operation(view, lambda operation: Seen((int(operation.opaque),), BYTES)),
    "delegate": lambda view: _of_operation(view, lambda operation: Seen((int(operation.delegate),), BYTES)),
    "depth": lambda view: _of_operation(view, lambda operation: Seen((operation.depth,), BYTES)),
    "protocol": lambda v: _registry(v, lambda entry: Seen((entry.protocol,) if entry.protocol else (), LISTED), _EMPTY),
    "registry.state": lambda v: _registry(v, lambda entry: Seen((entry.state.value,), LISTED), _EMPTY),
    "registry.age": lambda v: _registry(v, lambda entry: Seen((v.now - entry.added_at,), LISTED), _none(LISTED)),
    "registry.audit_age": _audit_age,
    "registry.severity": lambda v: _registry(
        v, lambda entry: Seen((entry.max_open_severity,), LISTED) if entry.audit else _none(LISTED), _none(LISTED)
    ),
    "fee": lambda view: Seen((int(view.fee),), ORDER),
    "fee.total": lambda view: _fee(view, total=True),
    "fee.gas": lambda view: _fee(view, total=False),
    "purpose": _purpose,
}
