"""The sentences an operator may write. Four kinds, order-independent: DENY, LIMIT, REQUIRE, PERMIT.

``ANY`` ("*") must be written out: an empty tuple matches nothing, so a forgotten field never opens a door.
Adding a DENY, LIMIT or REQUIRE can only tighten; adding a PERMIT can only loosen.
"""

from __future__ import annotations

from enum import StrEnum

from oms_core.encoding import document

ANY = "*"


class Action(StrEnum):
    """What a rule may speak of."""

    TRANSFER = "TRANSFER"
    KEY_CREATE = "KEY_CREATE"
    KEY_CHANGE = "KEY_CHANGE"
    KEY_SUSPEND = "KEY_SUSPEND"


class Destination(StrEnum):
    """Where a permitted transfer may go."""

    ADDRESS_BOOK = "ADDRESS_BOOK"
    ANY = "ANY"


@document("permit/1")
class Permit:
    """PERMIT these actions from these wallets by initiators with one of these roles, to destinations of this class."""

    rule_id: str
    actions: tuple[Action, ...]
    wallets: tuple[str, ...]
    initiator_roles: tuple[str, ...]
    destination: Destination


@document("limit/1")
class Limit:
    """LIMIT an asset's outflow per transaction and per rolling day (86 400 s), in base units; over all ``wallets``."""

    rule_id: str
    wallets: tuple[str, ...]
    asset: str
    per_transaction: int
    per_day: int


@document("require/1")
class Require:
    """REQUIRE ``approvals`` distinct people with ``role`` for these actions; transfers only when ``amount > above``."""

    rule_id: str
    actions: tuple[Action, ...]
    wallets: tuple[str, ...]
    asset: str
    above: int
    approvals: int
    role: str


@document("deny/1")
class Deny:
    """DENY transfers from these wallets to these 20-byte accounts, or by these initiators (user ids)."""

    rule_id: str
    wallets: tuple[str, ...]
    addresses: tuple[bytes, ...]
    initiators: tuple[str, ...]


Rule = Permit | Limit | Require | Deny
