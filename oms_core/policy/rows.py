"""Spends as rows of a table: how whoever counts them keeps them, the coordinator and each cosigner alike."""

from __future__ import annotations

from collections.abc import Iterable
from sys import intern

from oms_core.policy.facts import Spend
from oms_core.policy.rules import Action

_NAMES = ("subject", "operation", "action", "wallet_id", "initiator", "chain", "destination", "protocol", "asset")
COLUMNS = (*_NAMES, "amount", "usd_micro", "at")
"""What `spend_of` reads, in its order."""
_ACTIONS = {action.value: action for action in Action}


def rows_of(spends: Iterable[Spend]) -> list[dict[str, object]]:
    """By `COLUMNS`, and numbered. Amounts are text: no database has integers as large."""
    return [
        {name: getattr(spend, name) for name in _NAMES}
        | {"number": number, "amount": str(spend.amount), "usd_micro": str(spend.usd_micro), "at": spend.at}
        for number, spend in enumerate(spends)
    ]


def spend_of(
    subject: bytes,
    operation: int,
    action: str,
    wallet_id: str,
    initiator: str,
    chain: str,
    destination: bytes,
    protocol: str,
    asset: str,
    amount: str,
    usd_micro: str,
    at: int,
) -> Spend:
    """From the columns of one row. Names are the same few in very many spends. Raises KeyError for no action."""
    return Spend(
        subject, operation, _ACTIONS[action], intern(wallet_id), intern(initiator), intern(chain), destination,
        intern(protocol), intern(asset), int(amount), int(usd_micro), at,
    )  # fmt: skip
