"""What people propose and approve: small, typed, canonical documents. The unsigned transaction is derived from them.

Amounts are integers in base units (wei). Times are Unix seconds. Addresses are 20 raw bytes; people see EIP-55.
"""

from __future__ import annotations

from oms_core.encoding import digest, document

PURPOSE_LIMIT = 280  # characters


@document("transfer/1")
class Transfer:
    """Move ``amount`` base units of ``asset`` (CAIP-19, e.g. ``eip155:1/slip44:60``) to the account ``to`` (20 bytes)."""

    asset: str
    to: bytes
    amount: int


@document("bounds/1")
class Bounds:
    """What the execution may not exceed, whoever chooses it: the total fee in wei, and the gas."""

    max_fee_total: int
    gas_limit_cap: int


@document("intent/1")
class Intent:
    """An order: who wants what from which wallet, within which bounds, until when, and why."""

    intent_id: str
    wallet_id: str
    path: tuple[int, ...]
    chain: str
    action: Transfer
    bounds: Bounds
    initiator: str
    purpose: str
    valid_from: int
    valid_until: int


@document("create-wallet/1")
class CreateWallet:
    """A wish for a new key, shared ``threshold`` of ``parties`` (roster indices), at a security level (L112 or L128)."""

    wallet_id: str
    label: str
    threshold: int
    parties: tuple[int, ...]
    level: str
    initiator: str
    purpose: str
    valid_from: int
    valid_until: int


Subject = Intent | CreateWallet


@document("execution/1")
class Execution:
    """What the coordinator adds to turn an intent into an EIP-1559 transaction; cosigners hold it against the bounds."""

    nonce: int
    gas_limit: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int


@document("proposal/1")
class Proposal:
    """A subject signed by its initiator's registered P-256 key: raw ``r || s`` (64 bytes) over `subject_digest`."""

    subject: Intent | CreateWallet
    key_id: str
    signature: bytes


def subject_digest(subject: Subject) -> bytes:
    """The 32 bytes that stand for an intent or a wish for a wallet everywhere: in approvals, sessions and the log."""
    return digest("subject", subject)
