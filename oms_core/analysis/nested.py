"""Calls inside of others: on which chains such can pass, and what may be among them that no order does by itself.

What is inside is looked into by its shape alone, so that it may stand in a call that nobody can read otherwise; such a
call passes only where a PERMIT opens it, or the registry lists it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from oms_core.analysis.strangers import unnamed
from oms_core.chains import router
from oms_core.chains.known import methods_of
from oms_core.chains.wrappers import WRAPPERS
from oms_core.policy.rules import Action, Kind, opens_unreadable
from oms_core.workspace import ContractEntry, Workspace

_PROGRAMS = frozenset(one.selector for one in router.EXECUTE)
NOBODY = bytes(20)  # of calls of which it does not matter what they are inside of
_TYPED = ("SafeTx(", "ForwardRequest(", "MetaTransaction(")  # data that makes others call


def nests(workspaces: Sequence[Workspace], chain: str, action: Action = Action.CALL) -> bool:
    """Whether calls inside of others may pass on a chain; of an APPROVE of coins, whether data may grant one.

    Such data names the coin as a token, and any registered contract may be who verifies it.
    """
    contracts = [entry for one in workspaces for entry in _contracts(one, chain)]
    if _opens(workspaces) or (action is Action.APPROVE and contracts):
        return True
    carry = _PROGRAMS | WRAPPERS.keys()
    return any(
        text.startswith(_TYPED) or (text in methods_of(entry) and methods_of(entry)[text].selector in carry)
        for entry in contracts
        for text in (*entry.methods, *entry.unwraps)
    )


def commands(workspaces: Sequence[Workspace], chain: str) -> Iterator[bytes]:
    """Contracts that may be given a router's program: its commands can be read, and may concern any counterparty."""
    contracts = [entry for one in workspaces for entry in _contracts(one, chain)]
    found = {one.address for one in contracts if _PROGRAMS & {held.selector for held in methods_of(one).values()}}
    if _opens(workspaces):
        found |= {unnamed({entry.address for entry in contracts}), *(one.address for one in contracts)}
    yield from sorted(found)


def _contracts(workspace: Workspace, chain: str) -> list[ContractEntry]:
    return [entry for entry in workspace.contracts if entry.chain == chain]


def _opens(workspaces: Sequence[Workspace]) -> bool:
    rules = (rule for one in workspaces for rule in one.rules)
    return any(rule.kind is Kind.PERMIT and rule.enabled and opens_unreadable(rule) for rule in rules)
