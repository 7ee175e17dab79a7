"""Anchors: that an older checkpoint was in a block of a public chain, and that this log is the one that it began."""

from __future__ import annotations

from auditor.heads import verify_head
from auditor.items import Told, of
from auditor.orders import CONFIRMED, MINED, SIGNED, block_in
from auditor.pack import Pack
from auditor.report import Claims, must, when
from auditor.versions import Versions
from oms_core.chains.evm import decode_signed, sender, to_checksum
from oms_core.chains.header import read_header
from oms_core.chains.trie import verify_transaction
from oms_core.errors import CountersealError, ProofInvalid, Reason
from oms_core.log.anchor import Anchored, AnchorReceipt, verify_anchor
from oms_core.log.note import Checkpoint
from oms_core.log.tree import verify_consistency


def check_receipt(receipt: AnchorReceipt, versions: Versions, block_hash: bytes | None) -> tuple[Anchored, bytes]:
    """What a receipt proves, and the raw transaction: a call of a contract that the registry has, of a real head.

    Raises `ProofInvalid` or `Malformed`.
    """
    raw = verify_transaction(read_header(receipt.header).transactions_root, receipt.index, receipt.proof)
    called = decode_signed(raw)[0].to
    listed = {(one.chain, one.address) for version in versions.by_digest.values() for one in version.contracts}
    text = f"{to_checksum(called) if len(called) == 20 else 'no contract'} is not in the registry of the workspace"
    must((receipt.chain, called) in listed, text, Reason.ANCHOR_MISMATCH)
    failed: CountersealError = ProofInvalid("no version of the workspace is known")
    for workspace in versions.by_digest.values():
        try:
            verify_head(receipt.checkpoint, workspace, versions.by_digest.values())
        except CountersealError as error:
            failed = error
        else:
            return verify_anchor(receipt, sender(raw), called, block_hash), raw
    raise failed


def verify_pack_anchor(
    claims: Claims, pack: Pack, told: list[Told], versions: Versions, head: Checkpoint, block_hash: bytes | None
) -> None:
    """The pack's anchor, if it has one. Raises `ProofInvalid`, also if a block is named and there is no anchor."""
    if pack.anchor is None:
        must(block_hash is None, "the pack has no anchor", Reason.ANCHOR_MISMATCH)
        claims.add("NOTE: the pack has no anchor: its age rests on the cosigners' clocks alone")
        return
    anchor, chain = pack.anchor, pack.anchor.receipt.chain
    with claims.claim(f"a checkpoint of this log was written into {chain} by order {anchor.order}"):
        shown, raw = check_receipt(anchor.receipt, versions, block_hash)
        verify_consistency(shown.size, shown.root, head.size, head.root, anchor.consistency)
        about = [one for one in told if one.entry.subject == anchor.order]
        signed = of(about, SIGNED)
        must(bool(signed) and raw in signed[-1].kept.documents, "the log names another transaction for that order")
        blocks = {block_in(one) for one in of(about, MINED, CONFIRMED)}
        must((shown.block, "0x" + shown.block_hash.hex()) in blocks, "the log names another block for that order")
    claims.add(f"so its first {shown.size} entries are older than block {shown.block}, {when(shown.timestamp)}")
    name = "0x" + shown.block_hash.hex()
    if block_hash is None:
        claims.add(f"NOTE: look for block {shown.block} at a source that you trust: its hash has to be {name}")
    else:
        claims.add(f"which is the block {name} that you named")
