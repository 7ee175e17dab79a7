"""What holds without any rule, and no rule can switch off."""

from __future__ import annotations

from collections.abc import Sequence

from oms_core.chains.address import TOKENS, to_checksum, token_of
from oms_core.chains.intent import Intent
from oms_core.chains.operations import Operation
from oms_core.errors import Malformed, Reason
from oms_core.policy.decision import Objection
from oms_core.policy.index import Index
from oms_core.policy.spends import Judged
from oms_core.workspace import AddressEntry, ContractEntry, EntryState, Privilege, User, privileges


def broken(
    index: Index, subject: Judged, initiator: User, operations: Sequence[Operation], now: int
) -> list[Objection]:
    """All that a subject does against them, at Unix second ``now``."""
    found = []
    needed = Privilege.PROPOSE_ORDERS if isinstance(subject, Intent) else Privilege.PROPOSE_KEYS
    if needed not in privileges(index.workspace, initiator, subject.wallet_id):
        what = f"may not {needed.lower().replace('_', ' ')}" if initiator.enabled else "is disabled"
        found.append(Objection("", Reason.NOT_ELIGIBLE, -1, f"{initiator.user_id} {what}"))
    for place, operation in enumerate(operations):
        if operation.delegate:
            text = "foreign code would run in our account's name"
            found.append(Objection("", Reason.ACTION_MISMATCH, place, text))
        if operation.unlimited:
            text = "an allowance without a bound"
            found.append(Objection("", Reason.UNLIMITED_ALLOWANCE, place, text))
        for address in sorted({operation.target, operation.counterparty, _token(operation)} - {b""}):
            found += [
                Objection("", Reason.ENTRY_SUSPENDED, place, f"{entry.entry_id} at {to_checksum(address)} {why}")
                for entry in (
                    index.book.get((operation.chain, address)),
                    index.contracts.get((operation.chain, address)),
                )
                if entry is not None and (why := _unusable(entry, now))
            ]
    return found


def _token(operation: Operation) -> bytes:
    """The contract of the token that moves: another one that was allowed to may be what is called, or signed for."""
    if operation.asset.partition("/")[2].partition(":")[0] not in TOKENS:
        return b""
    try:
        return token_of(operation.asset)[2]
    except Malformed:  # no call can be about it
        return b""


def _unusable(entry: AddressEntry | ContractEntry, now: int) -> str:
    if entry.state is not EntryState.ACTIVE:
        return f"is {entry.state.lower()}"
    return "has expired" if isinstance(entry, ContractEntry) and entry.expires_at and now >= entry.expires_at else ""
