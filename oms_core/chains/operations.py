"""What an order does, operation by operation, as read from the bytes that would be signed: what the rules speak of."""

from __future__ import annotations

from oms_core.encoding import document
from oms_core.policy.rules import Action


@document("argument/1")
class Argument:
    """A decoded argument: where it stands (``0``, ``1[2]``, ``2.0`` for a tuple's member), its ABI type and value.

    Integers and booleans are integers, addresses EIP-55 text, bytes lower-case hex with 0x, texts themselves. How long
    an array is stands at ``1.length``. Members of typed data have names (``permitted[0].token``). An opaque call has
    ``selector`` and ``keccak256`` of all its data, so that it still is this call and no other.
    """

    place: str
    type: str
    value: int | str


@document("operation/1")
class Operation:
    """One thing that happens. Amounts are in base units, addresses 20 bytes or empty where there is none.

    ``target`` is the account or contract that is called; ``counterparty`` is whom it concerns: the recipient of a
    transfer, the spender of an allowance, the contract otherwise. ``asset`` (CAIP-19) and ``amount`` say what leaves or
    may leave in a TRANSFER or an APPROVE; ``unlimited`` marks an allowance without a bound. ``value`` is the wei that
    go along; where the chain's coin itself is transferred, it is the amount as well. ``method`` is a canonical
    signature (the primary type of typed data), empty where there is none or it is not known, which ``opaque`` says.
    ``depth`` is how many calls it is wrapped into; ``delegate`` that foreign code would run in our account's name.
    """

    action: Action
    chain: str
    target: bytes
    counterparty: bytes
    asset: str
    amount: int
    unlimited: bool
    value: int
    method: str
    arguments: tuple[Argument, ...]
    depth: int
    opaque: bool
    delegate: bool
