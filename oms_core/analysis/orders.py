"""Orders that nobody has proposed: made to ask what the rules would say of them. They reach `judge` as real ones do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from oms_core.chains.abi import method
from oms_core.chains.evm import parse_address, to_checksum
from oms_core.chains.intent import (
    Allow,
    Bounds,
    Call,
    CreateWallet,
    Deploy,
    Intent,
    Message,
    Transfer,
    TypedData,
    What,
)
from oms_core.chains.known import contract_on, entry_on
from oms_core.keys import Change, ChangeKey
from oms_core.policy.facts import Facts, Observation
from oms_core.policy.rules import Action
from oms_core.policy.spends import Judged
from oms_core.policy.units import in_units
from oms_core.workspace import Workspace, asset_named

LIFE = 3_600  # seconds that a made-up order is valid
UNLIMITED = (1 << 256) - 1
_TRANSFER = method("transfer(address,uint256)")  # of nothing: an order that says TRANSFER moves something
KEYS = frozenset({Action.KEY_CREATE, Action.KEY_CHANGE, Action.KEY_SUSPEND})
SILENT = frozenset({Action.MESSAGE, Action.TYPED_MESSAGE})
WITHOUT_DESTINATION = KEYS | {Action.MESSAGE, Action.DEPLOY}


@dataclass(frozen=True, slots=True)
class Deed:
    """What an order does, besides to whom. ``amount`` is in base units of ``asset``, ``value`` in wei.

    ``method`` is only for people; ``data`` is what a CALL carries, or a MESSAGE says. ``inside`` is the contract to
    which a call goes that does this besides others; it is empty where the order is nothing but this.
    """

    action: Action
    chain: str
    asset: str = ""
    amount: int = 0
    value: int = 0
    method: str = ""
    data: bytes = b""
    inside: bytes = b""


@dataclass(frozen=True, slots=True)
class Order:
    """A whole order as people think of it. ``to`` is empty where there is no counterparty."""

    initiator: str
    wallet_id: str
    deed: Deed
    to: bytes
    now: int
    path: tuple[int, ...] = ()
    max_fee_total: int = 0
    gas_limit_cap: int = 21_000
    purpose: str = ""
    observed: tuple[Observation, ...] = ()

    @property
    def subject(self) -> Judged:
        """What would be proposed."""
        return subject(self)

    @property
    def facts(self) -> Facts:
        """The time and what was observed; nothing has been spent."""
        return Facts(self.now, (), self.observed)

    @property
    def words(self) -> str:
        """One line, as exact as the order."""
        return words(self)


def subject(order: Order) -> Judged:
    """The intent or wish; it names itself as made up."""
    deed, ends = order.deed, order.now + LIFE
    who = (order.initiator, order.purpose, order.now, ends)
    match deed.action:
        case Action.KEY_CREATE:
            return CreateWallet(order.wallet_id, "hypothetical", 2, (1, 2, 3), "L128", *who)
        case Action.KEY_CHANGE | Action.KEY_SUSPEND:
            change = Change.SUSPEND if deed.action is Action.KEY_SUSPEND else Change.REFRESH
            return ChangeKey(order.wallet_id, bytes(32), bytes(33), bytes(32), change, 0, 0, (), *who)
    bounds = Bounds(0, 0) if deed.action in SILENT else Bounds(order.max_fee_total, order.gas_limit_cap)
    return Intent("int_hypothetical", order.wallet_id, order.path, deed.chain, _what(deed, order.to), bounds, *who)


def _what(deed: Deed, to: bytes) -> What:
    match deed.action:
        case Action.TRANSFER if not deed.amount and "/erc20:" in deed.asset:
            return Call(parse_address(deed.asset.rpartition(":")[2]), 0, _TRANSFER.encode(to, 0))
        case Action.TRANSFER:
            return Transfer(deed.asset, to, deed.amount)
        case Action.APPROVE:
            return Allow(deed.asset, to, deed.amount)
        case Action.CALL:
            return Call(to, deed.value, deed.data)
        case Action.DEPLOY:
            return Deploy(deed.value, deed.data or b"\x00")
        case Action.MESSAGE:
            return Message(deed.data.decode(errors="replace") or "hypothetical")
    return TypedData(_typed(deed.chain, to))


def _typed(chain: str, to: bytes) -> str:
    """Typed data that moves nothing, to be verified by ``to``."""
    domain = {"chainId": int(chain.removeprefix("eip155:")), "verifyingContract": to_checksum(to)}
    kinds = [{"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"}]
    made = {
        "types": {"EIP712Domain": kinds, "Hypothetical": [{"name": "number", "type": "uint256"}]},
        "primaryType": "Hypothetical",
        "domain": domain,
        "message": {"number": "0"},
    }
    return json.dumps(made)


def words(order: Order, workspace: Workspace | None = None) -> str:
    """One line; with a workspace in its names and units."""
    deed = order.deed
    said = [f"{order.initiator}: {deed.action} from {order.wallet_id}"]
    if order.path:
        said.append(f"path {'/'.join(map(str, order.path))}")
    if deed.asset:
        said.append(_amount(deed, workspace))
    if deed.value:
        said.append(f"{deed.value:,} wei")
    if deed.method or deed.data:
        said.append(deed.method or f"0x{deed.data[:4].hex()}…")
    if order.to:
        entry = workspace and (
            entry_on(workspace, deed.chain, order.to) or contract_on(workspace, deed.chain, order.to)
        )
        said.append(f"to {to_checksum(order.to)} on {deed.chain}" + (f" ({entry.entry_id})" if entry else ""))
    said.append(f"at {_time(order.now)}")
    if order.max_fee_total:
        said.append(f"fee up to {order.max_fee_total:,} wei")
    if order.purpose:
        said.append("with a purpose")
    said += [f"{one.name} {one.value} ({one.provenance})" for one in order.observed]
    return ", ".join(said)


def _time(at: int) -> str:
    """A time beyond the calendar, up to which zones are known, by its number."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError):
        return f"second {at}"


def _amount(deed: Deed, workspace: Workspace | None) -> str:
    asset = asset_named(workspace, deed.asset) if workspace else None
    if deed.amount == UNLIMITED:
        return f"all {asset.symbol if asset else deed.asset} without a bound"
    return in_units(deed.amount, (asset,)) if asset else f"{deed.amount:,} of {deed.asset}"
