"""Anchors: a transaction of a public chain that names a checkpoint of the log, and the proof that it is in a block.

Whoever knows a block's hash (from a node, an archive, a newspaper) can tell by this, offline, that the log had this
root when the block was made. It does not say who cosigned the checkpoint: that is read from the note's signatures.
"""

from __future__ import annotations

import hashlib

from oms_core.chains.abi import method
from oms_core.chains.header import read_header
from oms_core.chains.transaction import UnsignedTransaction, decode_signed, sender, transaction_hash
from oms_core.chains.trie import verify_transaction
from oms_core.encoding import document
from oms_core.errors import ProofInvalid, Reason
from oms_core.log.note import Checkpoint, read_checkpoint, read_note

ANCHOR = method("anchor(bytes32,uint64)")


@document("anchor-receipt/1")
class AnchorReceipt:
    """A checkpoint (a signed note), and where it is anchored: chain (CAIP-2), header (RLP), index and trie nodes."""

    checkpoint: str
    chain: str
    header: bytes
    index: int
    proof: tuple[bytes, ...]


@document("anchored/1")
class Anchored:
    """What an anchor proves: the log's size and root (32 bytes) at a block's time (Unix seconds), and by what."""

    size: int
    root: bytes
    block: int
    block_hash: bytes
    timestamp: int
    txid: bytes


def checkpoint_of(note: str) -> Checkpoint:
    """The checkpoint of a note whose signatures nobody has looked at. Raises `Malformed`."""
    return read_checkpoint(read_note(note).body)


def anchor_call(note: str) -> bytes:
    """The call data by which a checkpoint is anchored: the SHA-256 of its text, and its size. Raises `Malformed`."""
    checkpoint = checkpoint_of(note)
    return ANCHOR.encode(checkpoint_digest(checkpoint), checkpoint.size)


def checkpoint_digest(checkpoint: Checkpoint) -> bytes:
    """The 32 bytes that are anchored: SHA-256 of the text that is signed."""
    return hashlib.sha256(checkpoint.body().encode()).digest()


def verify_anchor(receipt: AnchorReceipt, account: bytes, contract: bytes, block_hash: bytes | None) -> Anchored:
    """What a receipt proves. ``account`` (the anchor wallet's) and ``contract`` have 20 bytes.

    Without ``block_hash`` (32 bytes) the receipt is consistent in itself, and proves something to whoever finds the
    block of the result to be in the chain. Raises `ProofInvalid` (ANCHOR_MISMATCH, and as `verify_transaction`), or
    `Malformed`.
    """
    checkpoint = checkpoint_of(receipt.checkpoint)
    header = read_header(receipt.header)
    if block_hash not in (None, header.hash):
        raise _mismatch("the header is not that of the block that is known")
    raw = verify_transaction(header.transactions_root, receipt.index, receipt.proof)
    tx, _ = decode_signed(raw)
    if receipt.chain != f"eip155:{tx.chain_id}":
        raise _mismatch("the transaction is for another chain than the receipt names")
    if sender(raw) != account:
        raise _mismatch("the transaction was not sent by the anchor wallet's account")
    if tx.to != contract:
        raise _mismatch("the transaction does not call the anchor contract")
    _check_call(tx, anchor_call(receipt.checkpoint))
    block = (header.number, header.hash, header.timestamp)
    return Anchored(checkpoint.size, checkpoint.root, *block, transaction_hash(raw))


def _check_call(tx: UnsignedTransaction, wanted: bytes) -> None:
    """The call is the one, and nothing more is done with it."""
    if tx.data[:4] != ANCHOR.selector:
        raise _mismatch("the transaction calls another method than anchor(bytes32,uint64)")
    if len(tx.data) != len(wanted):
        raise _mismatch("the call has not exactly the arguments of anchor(bytes32,uint64)")
    if tx.data[4:36] != wanted[4:36]:
        raise _mismatch("the transaction anchors another checkpoint")
    if tx.data != wanted:
        raise _mismatch("the transaction anchors the checkpoint under another size")
    if tx.value or tx.access_list:
        raise _mismatch("the transaction does more than to anchor")


def _mismatch(text: str) -> ProofInvalid:
    return ProofInvalid(text, Reason.ANCHOR_MISMATCH)
