"""Anchors as OpenTimestamps proofs, which other people's tools read: from a checkpoint's text to a block's header.

Such a proof shows less than an anchor's receipt: not who sent the transaction, nor what else it did. OpenTimestamps
names no chain either: "Ethereum" is whichever chain the verifier takes ``transactionsRoot`` from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oms_core.chains.header import read_header
from oms_core.chains.trie import verify_transaction
from oms_core.errors import ProofInvalid, Reason
from oms_core.log.anchor import AnchorReceipt, checkpoint_digest, checkpoint_of
from oms_core.log.ots_file import (
    ETHEREUM,
    Attestation,
    Detached,
    Op,
    Step,
    Timestamp,
    attested,
    in_block,
    read_ots,
    write_ots,
)


@dataclass(frozen=True, slots=True)
class Stamped:
    """What a proof shows: numbers of Ethereum blocks that were checked, and (message, attestation) that were not."""

    blocks: tuple[int, ...]
    others: tuple[tuple[bytes, Attestation], ...]


def ots_of(receipt: AnchorReceipt) -> bytes:
    """The proof file of an anchor, for the file that holds the checkpoint's text without signatures.

    Raises `ProofInvalid` or `Malformed` for a receipt that is not consistent in itself.
    """
    digest = checkpoint_digest(checkpoint_of(receipt.checkpoint))
    header = read_header(receipt.header)
    raw = verify_transaction(header.transactions_root, receipt.index, receipt.proof)
    steps = list(_around(digest, raw))
    inner = raw
    for node in reversed(receipt.proof):
        steps += [*_around(inner, node), Step(Op.KECCAK256)]
        inner = Step(Op.KECCAK256).done(node)
    stamp = Timestamp((in_block(header.number),))
    for step in reversed(steps):
        stamp = Timestamp(((step, stamp),))
    return write_ots(Detached(digest, stamp))


def verify_ots(data: bytes, body: str, transactions_root_of: Callable[[int], bytes]) -> Stamped:
    """Check a proof file about a checkpoint's text against headers of a chain that is known.

    ``transactions_root_of`` gives the 32 bytes for a block's number; what it raises comes out. Raises `Malformed`, and
    `ProofInvalid` (ANCHOR_MISMATCH) for a proof of something else, with a wrong block, or that names none of the chain.
    """
    proof = read_ots(data)
    if proof.digest != hashlib.sha256(body.encode()).digest():
        raise ProofInvalid("the proof file is about another checkpoint", Reason.ANCHOR_MISMATCH)
    blocks, others = list[int](), list[tuple[bytes, Attestation]]()
    for message, attestation in attested(proof):
        if attestation.tag != ETHEREUM:
            others.append((message, attestation))
            continue
        number = attestation.height
        if message != transactions_root_of(number):
            raise ProofInvalid(f"the proof does not lead to block {number}", Reason.ANCHOR_MISMATCH)
        blocks.append(number)
    if not blocks:
        raise ProofInvalid("the proof file names no block of the chain", Reason.ANCHOR_MISMATCH)
    return Stamped(tuple(blocks), tuple(others))


def _around(inner: bytes, whole: bytes) -> Iterator[Step]:
    """What is put around some bytes to make the whole."""
    at = whole.find(inner)
    if at < 0:
        raise ProofInvalid("the transaction does not hold the checkpoint's digest", Reason.ANCHOR_MISMATCH)
    if before := whole[:at]:
        yield Step(Op.PREPEND, before)
    if after := whole[at + len(inner) :]:
        yield Step(Op.APPEND, after)
