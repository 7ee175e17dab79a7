"""What an order adds to what counts against limits: outflows, allowances, coins sent with calls, and its fee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oms_core.chains.address import native_asset
from oms_core.chains.intent import CreateWallet, Intent, Message, Subject, TypedData, subject_digest
from oms_core.chains.operations import Operation
from oms_core.keys import Change, ChangeKey
from oms_core.policy.facts import FEE, Spend
from oms_core.policy.index import index_of
from oms_core.policy.rules import Action
from oms_core.workspace import Asset, Workspace
from oms_core.workspace.check_registry import MAX_DECIMALS, MAX_USD_MICRO

UNPRICED = -1

Judged = Intent | CreateWallet | ChangeKey
"""What rules decide about. A change of the workspace is another matter: its governance's."""


@dataclass(frozen=True, slots=True)
class Outflow:
    """Base units of an asset that leave or may be taken, and their worth in micro-USD, or `UNPRICED`."""

    asset: str
    amount: int
    usd_micro: int


def worth(asset: Asset | None, amount: int) -> int:
    """Micro-USD, rounded up; nothing is worth nothing, and what has no price is `UNPRICED`.

    So is what has an impossible one: the log may hold versions of the workspace that nobody has checked.
    """
    if not amount:
        return 0
    if asset is None or not (0 < asset.usd_micro <= MAX_USD_MICRO and 0 <= asset.decimals <= MAX_DECIMALS):
        return UNPRICED
    return -(-amount * asset.usd_micro // int(10**asset.decimals))


def outflows(assets: Mapping[str, Asset], operation: Operation, value: int) -> tuple[Outflow, ...]:
    """What one operation lets out, ``value`` wei of the chain's own coin included; at most two assets."""
    amounts = {operation.asset: operation.amount} if operation.asset else {}
    if value:
        coin = native_asset(operation.chain)
        amounts[coin] = max(value, amounts.get(coin, 0))  # a transfer of coins says so in both places
    return tuple(Outflow(name, amount, worth(assets.get(name), amount)) for name, amount in sorted(amounts.items()))


def fee_of(assets: Mapping[str, Asset], subject: Judged) -> Outflow | None:
    """The most that an order may pay as fee, in its chain's own coin; None where there is nothing to be paid."""
    if not isinstance(subject, Intent) or isinstance(subject.action, Message | TypedData):
        return None
    if not (most := subject.bounds.max_fee_total):
        return None
    coin = native_asset(subject.chain)
    return Outflow(coin, most, worth(assets.get(coin), most))


def concerned(action: Action, target: bytes, counterparty: bytes) -> tuple[bytes, ...]:
    """The accounts whose entry in the registry counts, the first that has one.

    Who moves a token, or lets it be taken, deals with whom it goes to: that the token itself is listed says nothing.
    """
    return (counterparty,) if action in (Action.TRANSFER, Action.APPROVE) else (target, counterparty)


def unreadable(operation: Operation) -> bool:
    """Whether more may leave than it says: data that nobody can read, or terms that somebody else will carry out."""
    return operation.opaque or operation.action is Action.TYPED_MESSAGE


def operations_of(subject: Subject, workspace: Workspace) -> tuple[Operation, ...]:
    """What a subject does, as its bytes say; a wish about a key is one operation without a chain.

    Raises what `oms_core.chains.effects.operations` does, and TypeError for a change of the workspace.
    """
    match subject:
        case Intent():
            from oms_core.chains.effects import operations

            made: tuple[Operation, ...] = operations(subject, workspace)
            return made
        case CreateWallet():
            return (_about_keys(Action.KEY_CREATE),)
        case ChangeKey():
            return (_about_keys(Action.KEY_SUSPEND if subject.change is Change.SUSPEND else Action.KEY_CHANGE),)
    raise TypeError(f"rules do not decide about a {type(subject).__name__}")


def _about_keys(action: Action) -> Operation:
    return Operation(action, "", b"", b"", "", 0, False, 0, "", (), 0, False, False)


def spends(workspace: Workspace, subject: Judged, now: int) -> tuple[Spend, ...]:
    """What this subject adds, at Unix second ``now``: for each operation one for each asset, and at least one."""
    return spends_of(workspace, subject, operations_of(subject, workspace), now)


def spends_of(workspace: Workspace, subject: Judged, operations: Sequence[Operation], now: int) -> tuple[Spend, ...]:
    """The same of operations that are known already.

    A wrapper counts with all that is sent along with it: that it passes it on is its own word. What nobody can read
    counts as worth what is not known. The fee is the order's, and goes with the outermost operation: it has the
    action, destination and protocol of that.
    """
    this, index = subject_digest(subject), index_of(workspace)
    made: list[Spend] = []

    def add(place: int, operation: Operation, flows: Sequence[Outflow]) -> None:
        accounts = concerned(operation.action, operation.target, operation.counterparty)
        found = (index.contracts.get((operation.chain, account)) for account in accounts)
        entry = next((one for one in found if one is not None), None)
        made.extend(
            Spend(
                subject=this,
                operation=place,
                action=operation.action,
                wallet_id=subject.wallet_id,
                initiator=subject.initiator,
                chain=operation.chain,
                destination=operation.counterparty,
                protocol=entry.protocol if entry else "",
                asset=flow.asset,
                amount=flow.amount,
                usd_micro=flow.usd_micro,
                at=now,
            )
            for flow in flows
        )

    for place, operation in enumerate(operations):
        flows = outflows(index.assets, operation, operation.value)
        if unreadable(operation):
            flows = (*flows, Outflow("", 0, UNPRICED))
        add(place, operation, flows or (Outflow("", 0, 0),))
    if operations and (fee := fee_of(index.assets, subject)) is not None:
        add(FEE, operations[0], (fee,))
    return tuple(made)
