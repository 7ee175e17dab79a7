"""The anchor of a pack: a block of a public chain that is younger than what the pack shows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from auditor.pack import Pack, PackAnchor, write_pack
from auditor.verify import verify_pack
from oms_core.chains.header import read_header
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason
from oms_core.log.anchor import AnchorReceipt, anchor_call
from oms_core.workspace import ContractEntry, EntryState, workspace_digest
from tests.evidence import Story
from tests.people import CHAIN, NOW, workspace
from tests.unit.log import anchors
from tests.unit.log.anchors import CONTRACT

ORDER = "txn_anchor"
ENTRY = ContractEntry(
    entry_id="anchor",
    label="Anchor",
    chain=CHAIN,
    address=CONTRACT,
    protocol="",
    tags=(),
    code_hash=b"c" * 32,
    methods=("anchor(bytes32,uint64)",),
    unwraps=(),
    audit=b"",
    audited_at=0,
    max_open_severity=0,
    state=EntryState.ACTIVE,
    added_at=NOW,
    expires_at=0,
)
LISTED = replace(workspace(), contracts=(ENTRY,))
PINNED = workspace_digest(LISTED)


def anchored(listed: bool = True, raw: bytes = b"", block: str = "", by: tuple[int, ...] = (1, 2, 3, 4)) -> Pack:
    """The pack of an order, and an anchor that came after it."""
    made = Story(LISTED if listed else workspace())
    made.wallet()
    made.order()
    size, note = made.size, made.note(by=by, at=NOW + 120).decode()
    sent = anchors.signed(anchor_call(note))
    receipt = anchors.receipt(sent, note)
    header = read_header(receipt.header)
    made.tell("order.submitted", ORDER)
    places = [
        made.tell("order.signed", ORDER, raw or sent),
        made.tell("order.mined", ORDER, note=block or f"in block {header.number} 0x{header.hash.hex()}"),
    ]
    anchor = PackAnchor(ORDER, receipt, made.tree.consistency(size))
    return made.pack(also=places, anchor=anchor)


@cache
def good() -> Pack:
    return anchored()


def block_hash() -> bytes:
    assert good().anchor is not None
    return read_header(good().anchor.receipt.header).hash


def refused(pack: Pack, words: str, pinned: bytes = PINNED, block: bytes | None = None) -> Reason:
    with pytest.raises(ProofInvalid) as caught:
        verify_pack(write_pack(pack), pinned, block)
    assert "a checkpoint of this log was written into eip155:31337 by order txn_anchor" in caught.value.message
    assert words in caught.value.message
    return caught.value.reason


def test_an_anchor_shows_that_the_order_is_older_than_a_block() -> None:
    said = verify_pack(write_pack(good()), PINNED, block_hash()).claims
    assert any("so its first" in one and "are older than block" in one for one in said)
    assert said[-1] == f"which is the block 0x{block_hash().hex()} that you named"
    said = verify_pack(write_pack(good()), PINNED).claims
    assert said[-1].startswith("NOTE: look for block")


@pytest.mark.covers("L12")
def test_another_block_than_the_one_that_is_known() -> None:
    assert refused(good(), "not that of the block that is known", block=bytes(32)) == Reason.ANCHOR_MISMATCH


def test_a_contract_that_is_not_in_the_registry() -> None:
    pack = anchored(listed=False)
    refused(pack, "is not in the registry", workspace_digest(workspace()))


def test_a_transaction_or_a_block_that_the_log_does_not_name() -> None:
    refused(anchored(raw=b"another"), "the log names another transaction for that order")
    refused(anchored(block="in block 3 0x" + "11" * 32), "the log names another block for that order")


def test_a_checkpoint_that_too_few_had_cosigned() -> None:
    assert refused(anchored(by=(1, 2)), "cosigners have cosigned it") == Reason.QUORUM_UNAVAILABLE


def test_a_checkpoint_of_another_past() -> None:
    pack = good()
    assert pack.anchor is not None
    other = replace(pack.anchor, consistency=tuple(reversed(pack.anchor.consistency)))
    refused(replace(pack, anchor=other), "")


def test_no_byte_of_the_receipt_may_be_another() -> None:
    pack = good()
    assert pack.anchor is not None
    receipt = pack.anchor.receipt
    for place in range(0, len(receipt.header), 7):
        header = bytearray(receipt.header)
        header[place] ^= 1
        with pytest.raises((ProofInvalid, Malformed)):
            verify_pack(write_pack(with_receipt(pack, replace(receipt, header=bytes(header)))), PINNED)
    for place in range(0, len(receipt.checkpoint), 11):
        text = receipt.checkpoint[:place] + "x" + receipt.checkpoint[place + 1 :]
        if text != receipt.checkpoint:
            with pytest.raises(CountersealError):
                verify_pack(write_pack(with_receipt(pack, replace(receipt, checkpoint=text))), PINNED)
    for changed in (replace(receipt, index=receipt.index + 1), replace(receipt, chain="eip155:1")):
        with pytest.raises((ProofInvalid, Malformed)):
            verify_pack(write_pack(with_receipt(pack, changed)), PINNED)


def with_receipt(pack: Pack, receipt: AnchorReceipt) -> Pack:
    assert pack.anchor is not None
    return replace(pack, anchor=replace(pack.anchor, receipt=receipt))
