"""From intent to transaction bytes: EIP-1559 (type 2) derivation, signing digest, assembly, and strict reading back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oms_core.chains import rlp
from oms_core.chains.intent import Execution, Intent
from oms_core.chains.keccak import keccak256
from oms_core.crypto.curve import Point
from oms_core.crypto.ecdsa import Signature, recover
from oms_core.errors import Malformed, Reason, Refused

NATIVE_DECIMALS = 18
TRANSFER_GAS = 21_000
_TYPE = b"\x02"
_CHAIN = re.compile(r"eip155:([1-9][0-9]{0,18})\Z")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """An EIP-1559 transaction without access list. Amounts in wei, ``to`` 20 bytes."""

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas_limit: int
    to: bytes
    value: int
    data: bytes = b""


def chain_id(chain: str) -> int:
    """The number in a CAIP-2 ``eip155`` name. Raises `Malformed` (UNSUPPORTED_TYPE)."""
    match = _CHAIN.match(chain)
    if not match:
        raise Malformed(f"{chain[:40]!r} is not an eip155 chain", Reason.UNSUPPORTED_TYPE)
    return int(match.group(1))


def native_asset(chain: str) -> str:
    """CAIP-19 name of the chain's own coin."""
    chain_id(chain)
    return f"{chain}/slip44:60"


def conforms(intent: Intent, execution: Execution) -> None:
    """What the coordinator chose is within what people approved. Raises `Refused` or `Malformed`."""
    numbers = (execution.nonce, execution.gas_limit, execution.max_fee_per_gas, execution.max_priority_fee_per_gas)
    if any(number < 0 or number >= 1 << 64 for number in numbers):
        raise Malformed("execution numbers are between 0 and 2^64")
    if execution.max_priority_fee_per_gas > execution.max_fee_per_gas:
        raise Malformed("the priority fee is above the maximum fee")
    if not TRANSFER_GAS <= execution.gas_limit <= intent.bounds.gas_limit_cap:
        raise Refused(f"gas limit {execution.gas_limit} is not within the intent's bounds", Reason.FEE_EXCEEDED)
    fee = execution.gas_limit * execution.max_fee_per_gas
    if fee > intent.bounds.max_fee_total:
        raise Refused(f"fee of up to {fee} wei is above {intent.bounds.max_fee_total}", Reason.FEE_EXCEEDED)


def derive(intent: Intent, execution: Execution) -> UnsignedTransaction:
    """The one transaction that this intent and execution mean. Pure. Raises `Refused` or `Malformed`."""
    conforms(intent, execution)
    if intent.action.asset != native_asset(intent.chain):
        raise Malformed(f"asset {intent.action.asset[:60]!r} is not the coin of {intent.chain}", Reason.CHAIN_MISMATCH)
    if len(intent.action.to) != 20 or not 0 < intent.action.amount < 1 << 256:
        raise Malformed("a transfer goes to 20 bytes and moves between 1 and 2^256 - 1 wei")
    return UnsignedTransaction(
        chain_id=chain_id(intent.chain),
        nonce=execution.nonce,
        max_priority_fee_per_gas=execution.max_priority_fee_per_gas,
        max_fee_per_gas=execution.max_fee_per_gas,
        gas_limit=execution.gas_limit,
        to=intent.action.to,
        value=intent.action.amount,
    )


def _fields(tx: UnsignedTransaction) -> list[rlp.Item]:
    numbers = (tx.chain_id, tx.nonce, tx.max_priority_fee_per_gas, tx.max_fee_per_gas, tx.gas_limit)
    return [*(rlp.integer(n) for n in numbers), tx.to, rlp.integer(tx.value), tx.data, []]


def signing_digest(tx: UnsignedTransaction) -> bytes:
    """The 32 bytes that are signed: keccak256(0x02 ‖ rlp([...])) (EIP-1559)."""
    return keccak256(_TYPE + rlp.encode(_fields(tx)))


def assemble(tx: UnsignedTransaction, signature: Signature) -> bytes:
    """The signed transaction. Raises `Malformed` for a recovery id that EIP-1559 cannot carry."""
    if signature.v not in (0, 1):
        raise Malformed("the recovery id of a transaction is 0 or 1")
    parity = [rlp.integer(n) for n in (signature.v, signature.r, signature.s)]
    return _TYPE + rlp.encode([*_fields(tx), *parity])


def decode_signed(raw: bytes) -> tuple[UnsignedTransaction, Signature]:
    """Read a signed type-2 transaction strictly. Raises `Malformed` unless it re-encodes to the same bytes."""
    if raw[:1] != _TYPE:
        raise Malformed("not a type-2 transaction", Reason.UNSUPPORTED_TYPE)
    items = rlp.decode(raw[1:])
    if isinstance(items, bytes) or len(items) != 12 or items[8] != []:
        raise Malformed("not the twelve fields of a type-2 transaction with an empty access list")
    to, data = items[5], items[7]
    if not isinstance(to, bytes) or len(to) != 20 or not isinstance(data, bytes):
        raise Malformed("not a call of an account")
    chain, nonce, priority, fee, gas = (rlp.to_integer(item, 64) for item in items[:5])
    tx = UnsignedTransaction(chain, nonce, priority, fee, gas, to, rlp.to_integer(items[6]), data)
    parity, r, s = (rlp.to_integer(item) for item in items[9:])
    signature = Signature(r, s, parity)
    recover(signature, signing_digest(tx))
    if assemble(tx, signature) != raw:
        raise Malformed("not the canonical form of a transaction")
    return tx, signature


def transaction_hash(raw: bytes) -> bytes:
    """32 bytes: what the chain calls the transaction."""
    return keccak256(raw)


def sender(raw: bytes) -> bytes:
    """The 20-byte account that signed. Raises `Malformed`."""
    tx, signature = decode_signed(raw)
    return address_of(recover(signature, signing_digest(tx)))


def address_of(public_key: Point) -> bytes:
    """The 20-byte account of a key."""
    return keccak256(public_key.uncompressed()[1:])[12:]


def to_checksum(address: bytes) -> str:
    """EIP-55 form. Raises `Malformed` unless there are 20 bytes."""
    if len(address) != 20:
        raise Malformed("an address has 20 bytes", Reason.BAD_ADDRESS)
    text = address.hex()
    nibbles = keccak256(text.encode()).hex()
    return "0x" + "".join(c.upper() if int(n, 16) >= 8 else c for c, n in zip(text, nibbles, strict=False))


def parse_address(text: str, allow_lower: bool = True) -> bytes:
    """20 bytes of an EIP-55 address; all-lower-case passes only where machines write it.

    Raises `Malformed`: BAD_ADDRESS for a wrong shape, BAD_CHECKSUM for a wrong mix of cases.
    """
    if not _ADDRESS.match(text):
        raise Malformed(f"{text[:60]!r} is not an address", Reason.BAD_ADDRESS)
    address = bytes.fromhex(text[2:])
    if text != to_checksum(address) and not (allow_lower and text == text.lower()):
        raise Malformed(f"{text} fails its EIP-55 checksum", Reason.BAD_CHECKSUM)
    return address
