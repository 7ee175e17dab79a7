"""From intent to what is signed: transactions of types 0 (EIP-155), 1 (EIP-2930) and 2 (EIP-1559), and messages.

Everything here is pure; what a coordinator chose is an `Execution`, and one intent and one execution mean one
transaction. Amounts are in wei.
"""

from __future__ import annotations

from oms_core.chains.abi import method
from oms_core.chains.address import NATIVE_DECIMALS as NATIVE_DECIMALS
from oms_core.chains.address import chain_id as chain_id
from oms_core.chains.address import native_asset as native_asset
from oms_core.chains.address import parse_address as parse_address
from oms_core.chains.address import to_checksum as to_checksum
from oms_core.chains.address import token_of
from oms_core.chains.eip712 import read_typed
from oms_core.chains.intent import (
    Access,
    Allow,
    Call,
    Deploy,
    Execution,
    Intent,
    Message,
    Transfer,
    TypedData,
    check_action,
)
from oms_core.chains.messages import text_digest
from oms_core.chains.transaction import UnsignedTransaction as UnsignedTransaction
from oms_core.chains.transaction import address_of as address_of
from oms_core.chains.transaction import assemble as assemble
from oms_core.chains.transaction import check_execution, execution_of
from oms_core.chains.transaction import decode_signed as decode_signed
from oms_core.chains.transaction import read_unsigned as read_unsigned
from oms_core.chains.transaction import sender as sender
from oms_core.chains.transaction import signing_bytes as signing_bytes
from oms_core.chains.transaction import signing_digest as signing_digest
from oms_core.chains.transaction import transaction_hash as transaction_hash
from oms_core.crypto.ecdsa import Signature
from oms_core.errors import Malformed, Reason, Refused

TRANSFER_GAS = 21_000
TRANSFER = method("transfer(address,uint256)")
APPROVE = method("approve(address,uint256)")


def is_message(intent: Intent) -> bool:
    """Whether what is signed is a message, which no chain takes as a transaction."""
    return isinstance(intent.action, Message | TypedData)


def what_is_called(intent: Intent) -> tuple[bytes, int, bytes]:
    """(20-byte account or empty for a creation, wei, data) of the transaction that an intent means.

    Raises `Malformed`: CHAIN_MISMATCH, BAD_ADDRESS, UNSUPPORTED_TYPE, NEGATIVE_AMOUNT, TOO_LARGE, MALFORMED.
    """
    check_action(intent)
    action = intent.action
    match action:
        case Transfer() if action.asset == native_asset(intent.chain):
            return action.to, action.amount, b""
        case Transfer():
            return token_of(action.asset)[2], 0, TRANSFER.encode(action.to, action.amount)
        case Allow():
            return token_of(action.asset)[2], 0, APPROVE.encode(action.spender, action.amount)
        case Call():
            return action.to, action.value, action.data
        case Deploy():
            return b"", action.value, action.code
    raise Malformed("a message is no transaction", Reason.UNSUPPORTED_TYPE)


def least_gas(to: bytes, data: bytes, access_list: tuple[Access, ...]) -> int:
    """What the chain takes before any code runs (yellow paper, appendix G; EIP-2028, 2930, 3860)."""
    gas = TRANSFER_GAS + sum(16 if byte else 4 for byte in data)
    gas += sum(2400 + 1900 * len(entry.slots) for entry in access_list)
    return gas if to else gas + 32_000 + 2 * ((len(data) + 31) // 32)


def conforms(intent: Intent, chosen: Execution | UnsignedTransaction) -> None:
    """What the coordinator chose, or the whole transaction, is within what people approved.

    Raises `Refused` (FEE_EXCEEDED; INTENT_TX_MISMATCH for a transaction that says anything else), or `Malformed`.
    """
    if isinstance(chosen, UnsignedTransaction):
        if derive(intent, execution_of(chosen)) != chosen:
            raise Refused("the transaction is not the intent's", Reason.INTENT_TX_MISMATCH)
        return
    check_execution(chosen)
    to, _, data = what_is_called(intent)
    if not least_gas(to, data, chosen.access_list) <= chosen.gas_limit <= intent.bounds.gas_limit_cap:
        raise Refused(f"gas limit {chosen.gas_limit} is not within the intent's bounds", Reason.FEE_EXCEEDED)
    fee = chosen.gas_limit * chosen.max_fee_per_gas
    if fee > intent.bounds.max_fee_total:
        raise Refused(f"fee of up to {fee} wei is above {intent.bounds.max_fee_total}", Reason.FEE_EXCEEDED)


def derive(intent: Intent, execution: Execution) -> UnsignedTransaction:
    """The one transaction that this intent and execution mean. Pure. Raises `Refused` or `Malformed`."""
    conforms(intent, execution)
    to, value, data = what_is_called(intent)
    return UnsignedTransaction(
        chain_id=chain_id(intent.chain),
        nonce=execution.nonce,
        max_priority_fee_per_gas=execution.max_priority_fee_per_gas,
        max_fee_per_gas=execution.max_fee_per_gas,
        gas_limit=execution.gas_limit,
        to=to,
        value=value,
        data=data,
        type=execution.type,
        access_list=execution.access_list,
    )


def message_digest(intent: Intent) -> bytes:
    """The 32 bytes that are signed for a message (EIP-191, EIP-712). Raises `Malformed`."""
    match intent.action:
        case Message():
            return text_digest(intent.action.text)
        case TypedData():
            return read_typed(intent.action.json, intent.chain).digest
    raise Malformed("not a message")


def message_signature(signature: Signature) -> bytes:
    """65 bytes as wallets give a message's signature: r ‖ s ‖ 27 or 28. Raises `Malformed`."""
    if signature.v not in (0, 1):
        raise Malformed("the recovery id of a message's signature is 0 or 1")
    return signature.compact() + bytes([27 + signature.v])


def what_is_signed(intent: Intent, execution: Execution | None) -> tuple[UnsignedTransaction | None, bytes]:
    """The transaction, None for a message, and the 32 bytes that are signed.

    Raises `Refused` (FEE_EXCEEDED; INTENT_TX_MISMATCH for a message with an execution, and the reverse), `Malformed`.
    """
    if is_message(intent) != (execution is None):
        raise Refused("a transaction has an execution, and a message none", Reason.INTENT_TX_MISMATCH)
    if execution is None:
        return None, message_digest(intent)
    transaction = derive(intent, execution)
    return transaction, signing_digest(transaction)
