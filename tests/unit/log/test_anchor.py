"""Anchors: what a receipt proves, and in which words everything else is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from oms_core.chains.header import read_header
from oms_core.chains.keccak import keccak256
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, ProofInvalid, Reason
from oms_core.log.anchor import ANCHOR, AnchorReceipt, anchor_call, checkpoint_of, verify_anchor
from tests.unit.log.anchors import ACCOUNT, CONTRACT, OTHERS, ROOT, SIZE, note, receipt, signed

GOOD = receipt()
HASH = read_header(GOOD.header).hash
OTHER_KEY = "0x" + "43" * 32


def refused(found: AnchorReceipt, block_hash: bytes | None = None) -> tuple[Reason, str]:
    with pytest.raises(CountersealError) as caught:
        verify_anchor(found, ACCOUNT, CONTRACT, block_hash)
    return caught.value.reason, caught.value.message


def test_a_receipt_proves_the_size_and_root_at_the_blocks_time() -> None:
    anchored = verify_anchor(GOOD, ACCOUNT, CONTRACT, HASH)
    header = read_header(GOOD.header)
    assert (anchored.size, anchored.root) == (SIZE, ROOT)
    assert (anchored.block, anchored.block_hash, anchored.timestamp) == (header.number, HASH, header.timestamp)
    assert anchored.txid == keccak256(signed(anchor_call(note())))
    assert verify_anchor(GOOD, ACCOUNT, CONTRACT, None) == anchored


def test_a_receipt_is_read_back_from_its_canonical_form() -> None:
    assert decode(AnchorReceipt, encode(GOOD)) == GOOD


@pytest.mark.parametrize(("others", "place"), [(0, 0), (1, 1), (130, 127), (130, 128), (299, 299)])
def test_an_anchor_is_found_wherever_it_stands_in_its_block(others: int, place: int) -> None:
    assert verify_anchor(receipt(others=others, place=place), ACCOUNT, CONTRACT, None).size == SIZE


def test_the_type_of_the_transaction_does_not_matter() -> None:
    legacy = signed(anchor_call(note()), gasPrice=10**10)
    assert verify_anchor(receipt(legacy), ACCOUNT, CONTRACT, None).txid == keccak256(legacy)


def test_signatures_that_are_added_to_a_checkpoint_leave_its_anchor_as_it_is() -> None:
    more = replace(GOOD, checkpoint=note() + "— witness bW9yZSE=\n")
    assert verify_anchor(more, ACCOUNT, CONTRACT, HASH) == verify_anchor(GOOD, ACCOUNT, CONTRACT, HASH)


CALL = anchor_call(note())
WRONG = {
    "sent by": signed(CALL, key=OTHER_KEY),
    "does not call the anchor contract": signed(CALL, to=b"\xad" * 20),
    "another method": signed(keccak256(b"other(bytes32,uint64)")[:4] + CALL[4:]),
    "another method ": signed(b""),
    "exactly the arguments": signed(CALL + bytes(32)),
    "exactly the arguments ": signed(CALL[:-1]),
    "anchors another checkpoint": signed(anchor_call(note(root=bytes(32)))),
    "under another size": signed(ANCHOR.encode(CALL[4:36], SIZE + 1)),
    "does more than to anchor": signed(CALL, value=1),
    "does more than to anchor ": signed(CALL, accessList=[{"address": CONTRACT, "storageKeys": []}]),
    "another chain": signed(CALL, chainId=1),
}


@pytest.mark.covers("L12")
@pytest.mark.parametrize(("words", "raw"), WRONG.items(), ids=WRONG)
def test_a_transaction_that_is_not_the_anchors_is_refused_in_its_own_words(words: str, raw: bytes) -> None:
    reason, text = refused(receipt(raw))
    assert reason == Reason.ANCHOR_MISMATCH
    assert words.strip() in text


@pytest.mark.covers("L12")
def test_every_refusal_of_a_transaction_has_words_that_no_other_one_has() -> None:
    texts = {words.strip(): refused(receipt(raw))[1] for words, raw in WRONG.items()}
    assert len(set(texts.values())) == len(texts)


@pytest.mark.covers("L12")
def test_another_block_than_the_one_that_is_known_is_refused() -> None:
    reason, text = refused(GOOD, bytes(32))
    assert (reason, "the block that is known" in text) == (Reason.ANCHOR_MISMATCH, True)


@pytest.mark.covers("L12")
def test_a_checkpoint_that_is_put_into_another_ones_receipt_is_refused() -> None:
    other = replace(GOOD, checkpoint=note(size=SIZE + 1))
    assert refused(other, HASH)[0] == Reason.ANCHOR_MISMATCH


@pytest.mark.covers("L12")
def test_a_proof_of_another_transaction_of_the_block_is_refused() -> None:
    other = receipt(others=8)
    assert refused(replace(GOOD, index=6))[0] == Reason.DIGEST_MISMATCH
    assert refused(replace(GOOD, proof=other.proof))[0] == Reason.DIGEST_MISMATCH
    assert refused(replace(GOOD, header=other.header))[0] == Reason.DIGEST_MISMATCH
    assert refused(receipt(OTHERS[30]))[0] == Reason.ANCHOR_MISMATCH


def test_a_transaction_that_is_good_on_every_chain_is_no_anchor() -> None:
    tx = {"to": CONTRACT, "value": 0, "gas": 60_000, "nonce": 7, "data": CALL, "gasPrice": 10**10}
    raw = bytes(Account.sign_transaction(tx, "0x" + "42" * 32).raw_transaction)
    assert refused(receipt(raw))[0] == Reason.CHAIN_MISMATCH


@given(st.data())
def test_one_changed_bit_of_a_receipt_proves_nothing(data: st.DataObject) -> None:
    whole = bytearray(encode(GOOD))
    at = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[at // 8] ^= 1 << at % 8
    try:
        found = decode(AnchorReceipt, bytes(whole))
        anchored = verify_anchor(found, ACCOUNT, CONTRACT, HASH)
    except (Malformed, ProofInvalid):
        return
    # What is not under the block's hash are the note's signatures, which others check.
    assert checkpoint_of(found.checkpoint) == checkpoint_of(GOOD.checkpoint)
    assert anchored == verify_anchor(GOOD, ACCOUNT, CONTRACT, HASH)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "log\n5\n",
        note().replace("\n\n", "\n"),  # no empty line
        note().split("—")[0],  # no signature
        note().replace("1234", "01234"),
        note().replace("1234", "-1"),
        note().replace("1234", "1" * 20),
        note().replace("=\n", "\n"),  # a root that is too short
        note(root=bytes(31)),
        note(root=bytes(33)),
        note(root=bytes(32)).replace("AAA=", "AAB="),  # bits that say nothing
        note(origin=""),
        note(origin="two words"),  # so its key has no name
        note().replace("\n\n", "\nextension\n\n"),
        note() + "x" * 70_000,
    ],
    ids=range(15),
)
def test_what_is_no_checkpoint_has_no_anchor(wrong: str) -> None:
    with pytest.raises(Malformed):
        anchor_call(wrong)
    assert refused(replace(GOOD, checkpoint=wrong))[0] in (Reason.MALFORMED, Reason.TOO_LARGE)
