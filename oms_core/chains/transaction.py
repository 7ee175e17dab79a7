"""Transactions byte for byte: types 0 (EIP-155), 1 (EIP-2930) and 2 (EIP-1559), written and strictly read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oms_core.chains import rlp
from oms_core.chains.abi import MAX_CALLDATA
from oms_core.chains.address import native_asset
from oms_core.chains.intent import Access, Call, Deploy, Execution, Transfer
from oms_core.chains.keccak import keccak256
from oms_core.crypto.curve import Point
from oms_core.crypto.ecdsa import Signature, recover
from oms_core.errors import Malformed, Reason

MAX_ACCESS = 64  # entries of an access list
MAX_SLOTS = 256  # in a whole access list
MAX_RAW = MAX_CALLDATA + 32 * 1024  # bytes
_UNSIGNED = {0: 9, 1: 8, 2: 9}  # fields, those in which EIP-155 names the chain among them


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """A transaction of ``type`` 0, 1 or 2. Amounts in wei; ``to`` has 20 bytes, or none in a contract creation.

    Types 0 and 1 have one gas price, which is both fees; type 0 has no access list.
    """

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas_limit: int
    to: bytes
    value: int
    data: bytes = b""
    type: int = 2
    access_list: tuple[Access, ...] = ()


def _fields(tx: UnsignedTransaction) -> list[rlp.Item]:
    """What types have in common, and in their own order."""
    fees = (tx.max_priority_fee_per_gas, tx.max_fee_per_gas) if tx.type == 2 else (tx.max_fee_per_gas,)
    numbers = [rlp.integer(n) for n in (tx.nonce, *fees, tx.gas_limit)]
    plain: list[rlp.Item] = [*numbers, tx.to, rlp.integer(tx.value), tx.data]
    if tx.type == 0:
        return plain
    return [rlp.integer(tx.chain_id), *plain, [[entry.address, list(entry.slots)] for entry in tx.access_list]]


def _prefix(tx: UnsignedTransaction) -> bytes:
    return bytes([tx.type]) if tx.type else b""


def signing_bytes(tx: UnsignedTransaction) -> bytes:
    """The unsigned transaction, whose hash is signed: type ‖ rlp([...]), or rlp([..., chain, 0, 0]) (EIP-155)."""
    chain: list[rlp.Item] = [] if tx.type else [rlp.integer(tx.chain_id), b"", b""]
    return _prefix(tx) + rlp.encode([*_fields(tx), *chain])


def signing_digest(tx: UnsignedTransaction) -> bytes:
    """The 32 bytes that are signed."""
    return keccak256(signing_bytes(tx))


def assemble(tx: UnsignedTransaction, signature: Signature) -> bytes:
    """The signed transaction. Raises `Malformed` for a recovery id that a transaction cannot carry."""
    if signature.v not in (0, 1):
        raise Malformed("the recovery id of a transaction is 0 or 1")
    v = signature.v if tx.type else 35 + 2 * tx.chain_id + signature.v
    return _prefix(tx) + rlp.encode([*_fields(tx), *(rlp.integer(n) for n in (v, signature.r, signature.s))])


def decode_signed(raw: bytes) -> tuple[UnsignedTransaction, Signature]:
    """Read a signed transaction strictly. Raises `Malformed` unless it re-encodes to the same bytes."""
    kind, items = _items(raw)
    count = 6 if kind == 0 else _UNSIGNED[kind]
    if len(items) != count + 3:
        raise Malformed(f"not the {count + 3} fields of a signed transaction of type {kind}")
    v, r, s = (rlp.to_integer(item) for item in items[count:])
    chain = 0
    if kind == 0:
        if v < 37:
            raise Malformed("a signature that is good on every chain (EIP-155)", Reason.CHAIN_MISMATCH)
        chain, v = divmod(v - 35, 2)
    tx = _transaction(kind, items[:count], chain)
    signature = Signature(r, s, v)
    recover(signature, signing_digest(tx))
    if assemble(tx, signature) != raw:
        raise Malformed("not the canonical form of a transaction")
    return tx, signature


def decode_unsigned(raw: bytes) -> UnsignedTransaction:
    """Read an unsigned transaction strictly: exactly the bytes whose hash would be signed.

    Raises `Malformed`: UNSUPPORTED_TYPE for all other types, CHAIN_MISMATCH for one without a chain, TRAILING_BYTES,
    MALFORMED.
    """
    kind, items = _items(raw)
    if kind == 0 and len(items) == 6:
        raise Malformed("a transaction that is good on every chain (EIP-155)", Reason.CHAIN_MISMATCH)
    if len(items) != _UNSIGNED[kind]:
        raise Malformed(f"not the {_UNSIGNED[kind]} fields of an unsigned transaction of type {kind}")
    chain = 0
    if kind == 0:
        items, (number, *empty) = items[:6], items[6:]
        chain = rlp.to_integer(number, 64)
        if empty != [b"", b""]:
            raise Malformed("an unsigned transaction has no signature")
    tx = _transaction(kind, items, chain)
    if signing_bytes(tx) != raw:
        raise Malformed("not the canonical form of a transaction")
    return tx


def _items(raw: bytes) -> tuple[int, Sequence[rlp.Item]]:
    """The type, and the fields of the list that follows."""
    if len(raw) > MAX_RAW:
        raise Malformed(f"a transaction has at most {MAX_RAW} bytes", Reason.TOO_LARGE)
    kind = 0 if raw[:1] >= b"\xc0" else raw[0] if raw else -1
    if kind not in _UNSIGNED or raw[:1] == b"\0":
        what = {3: "with blobs", 4: "that hands the account to a contract (EIP-7702)"}.get(kind, "of an unknown type")
        raise Malformed(f"transactions {what} are not signed here", Reason.UNSUPPORTED_TYPE)
    items = rlp.decode(raw[1:] if kind else raw)
    if isinstance(items, bytes):
        raise Malformed("a transaction is a list of fields")
    return kind, items


def _transaction(kind: int, items: Sequence[rlp.Item], chain: int) -> UnsignedTransaction:
    """From the fields without a signature; ``chain`` counts where they do not name one."""
    access: tuple[Access, ...] = ()
    if kind:
        chain, *items, listed = (rlp.to_integer(items[0], 64), *items[1:])
        access = _access_list(listed)
    nonce, *fees, gas, to, value, data = items
    if not isinstance(to, bytes) or len(to) not in (0, 20) or not isinstance(data, bytes):
        raise Malformed("neither a call of an account nor a creation of a contract")
    if not 0 < chain < 1 << 63:
        raise Malformed("the transaction names no chain", Reason.CHAIN_MISMATCH)
    prices = [rlp.to_integer(fee, 64) for fee in fees]
    return UnsignedTransaction(
        chain_id=chain,
        nonce=rlp.to_integer(nonce, 64),
        max_priority_fee_per_gas=prices[0],
        max_fee_per_gas=prices[-1],
        gas_limit=rlp.to_integer(gas, 64),
        to=to,
        value=rlp.to_integer(value),
        data=data,
        type=kind,
        access_list=access,
    )


def _access_list(listed: rlp.Item) -> tuple[Access, ...]:
    if isinstance(listed, bytes):
        raise Malformed("an access list is a list")
    made = []
    for entry in listed:
        if isinstance(entry, bytes) or len(entry) != 2:
            raise Malformed("an entry of an access list is an account and its slots")
        address, slots = entry
        if not isinstance(address, bytes) or len(address) != 20 or isinstance(slots, bytes):
            raise Malformed("an entry of an access list is an account and its slots")
        kept = tuple(slot for slot in slots if isinstance(slot, bytes) and len(slot) == 32)
        if len(kept) != len(slots):
            raise Malformed("a slot has 32 bytes")
        made.append(Access(address, kept))
    return tuple(made)


def check_execution(execution: Execution) -> None:
    """The shape of an execution. Raises `Malformed`."""
    if execution.type not in (0, 1, 2):
        raise Malformed(f"transaction type {execution.type} is not signed here", Reason.UNSUPPORTED_TYPE)
    numbers = (execution.nonce, execution.gas_limit, execution.max_fee_per_gas, execution.max_priority_fee_per_gas)
    if any(number < 0 or number >= 1 << 64 for number in numbers):
        raise Malformed("execution numbers are between 0 and 2^64")
    if execution.max_priority_fee_per_gas > execution.max_fee_per_gas:
        raise Malformed("the priority fee is above the maximum fee")
    if execution.type < 2 and execution.max_priority_fee_per_gas != execution.max_fee_per_gas:
        raise Malformed("transactions of types 0 and 1 have one gas price")
    if execution.type == 0 and execution.access_list:
        raise Malformed("a transaction of type 0 has no access list")
    slots = [slot for entry in execution.access_list for slot in entry.slots]
    if len(execution.access_list) > MAX_ACCESS or len(slots) > MAX_SLOTS:
        raise Malformed(f"more than {MAX_ACCESS} accounts or {MAX_SLOTS} slots in an access list", Reason.TOO_LARGE)
    if any(len(entry.address) != 20 for entry in execution.access_list) or any(len(slot) != 32 for slot in slots):
        raise Malformed("an access list has accounts of 20 bytes and slots of 32")


def execution_of(tx: UnsignedTransaction) -> Execution:
    """The part of a transaction that a coordinator chooses."""
    return Execution(tx.type, tx.nonce, tx.gas_limit, tx.max_fee_per_gas, tx.max_priority_fee_per_gas, tx.access_list)


def read_unsigned(raw: bytes, chain: str = "") -> tuple[Transfer | Call | Deploy, Execution, str]:
    """What an unsigned transaction does, what was chosen with it, and its chain (CAIP-2), which is ``chain`` if given.

    Raises `Malformed`: UNSUPPORTED_TYPE for types 3, 4 and all others, CHAIN_MISMATCH for another chain or none (type 0
    without EIP-155), TRAILING_BYTES, OPAQUE_CALL for data that is shorter than a selector, BAD_ADDRESS, MALFORMED.
    """
    tx = decode_unsigned(raw)
    name = f"eip155:{tx.chain_id}"
    if chain not in ("", name):
        raise Malformed(f"a transaction for {name} and not for {chain}", Reason.CHAIN_MISMATCH)
    execution = execution_of(tx)
    check_execution(execution)
    if not tx.to and not tx.data:
        raise Malformed("a creation of a contract without code")
    if not tx.to:
        return Deploy(tx.value, tx.data), execution, name
    if not any(tx.to):
        raise Malformed("the zero address is nobody's", Reason.BAD_ADDRESS)
    if not tx.data and not tx.value:
        raise Malformed("a transaction that does nothing")
    if 0 < len(tx.data) < 4:
        raise Malformed("data that is shorter than a selector", Reason.OPAQUE_CALL)
    return (
        (Call(tx.to, tx.value, tx.data) if tx.data else Transfer(native_asset(name), tx.to, tx.value)),
        execution,
        name,
    )


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
