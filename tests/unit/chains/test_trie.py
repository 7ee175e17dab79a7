"""The trie of a block's transactions, against blocks of another implementation and against whoever forges a proof."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oms_core.chains import rlp
from oms_core.chains.header import header_of, read_header
from oms_core.chains.keccak import keccak256
from oms_core.chains.trie import EMPTY_ROOT, MAX_INDEX, prove_transaction, transactions_root, verify_transaction
from oms_core.errors import ProofInvalid, Reason

BLOCKS = json.loads((Path(__file__).parents[2] / "vectors" / "anvil_blocks.json").read_text())
SIZES = [1, 2, 3, 16, 17, 127, 128, 129, 255, 256, 257, 300]
short = st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=40)


def raws(block: dict[str, list[str]]) -> list[bytes]:
    return [bytes.fromhex(raw[2:]) for raw in block["transactions"]]


def refused(root: bytes, index: int, proof: Sequence[bytes]) -> Reason:
    with pytest.raises(ProofInvalid) as caught:
        verify_transaction(root, index, proof)
    return caught.value.reason


def test_the_empty_trie_has_the_root_that_everybody_knows() -> None:
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert transactions_root([]) == EMPTY_ROOT


@pytest.mark.parametrize("block", BLOCKS, ids=["one", "all-types", "three-hundred"])
def test_roots_are_those_of_another_implementations_blocks(block: dict[str, list[str]]) -> None:
    header = read_header(header_of(block["block"]))
    assert transactions_root(raws(block)) == header.transactions_root


def test_the_recorded_blocks_hold_every_type_of_transaction_that_pays_no_blobs() -> None:
    assert {raw[0] if raw[0] < 0xC0 else 0 for raw in raws(BLOCKS[1])} == {0, 1, 2, 4}
    assert len(raws(BLOCKS[2])) == 300


@pytest.mark.parametrize("block", BLOCKS, ids=["one", "all-types", "three-hundred"])
def test_every_transaction_of_a_recorded_block_is_proved_by_its_path(block: dict[str, list[str]]) -> None:
    transactions, root = raws(block), bytes.fromhex(block["block"]["transactionsRoot"][2:])
    for index in {*range(0, len(transactions), 37), len(transactions) - 1, *range(min(3, len(transactions)))}:
        proof = prove_transaction(transactions, index)
        assert verify_transaction(root, index, proof) == transactions[index]
        assert [keccak256(proof[0])] == [root]


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("length", [1, 3, 20, 200])
def test_whatever_stands_in_a_trie_is_proved_also_by_nodes_that_stand_in_others(count: int, length: int) -> None:
    transactions = [number.to_bytes(2, "big").rjust(length, b"\1")[-length:] or b"\1" for number in range(1, count + 1)]
    transactions = [raw if any(raw) else b"\7" for raw in transactions]
    root = transactions_root(transactions)
    for index in {0, 1, count // 2, count - 1, 127, 128} & set(range(count)):
        assert verify_transaction(root, index, prove_transaction(transactions, index)) == transactions[index]


@given(short, st.integers(0, 39))
@example([b"\1"] * 18, 17)
def test_short_values_and_their_neighbours_are_told_apart(transactions: list[bytes], index: int) -> None:
    index %= len(transactions)
    root, proof = transactions_root(transactions), prove_transaction(transactions, index)
    assert verify_transaction(root, index, proof) == transactions[index]
    assert refused(root, len(transactions), proof) in (Reason.MALFORMED, Reason.DIGEST_MISMATCH)


@given(st.integers(0, 299), st.data())
def test_one_changed_bit_of_a_proof_is_noticed(index: int, data: st.DataObject) -> None:
    transactions = raws(BLOCKS[2])
    root, proof = transactions_root(transactions[:20]), list(prove_transaction(transactions[:20], index % 20))
    place = data.draw(st.integers(0, len(proof) - 1))
    at = data.draw(st.integers(0, 8 * len(proof[place]) - 1))
    proof[place] = bytes(b ^ (1 << at % 8 if i == at // 8 else 0) for i, b in enumerate(proof[place]))
    assert refused(root, index % 20, proof) == Reason.DIGEST_MISMATCH


def test_a_proof_is_of_one_index_under_one_root() -> None:
    transactions = raws(BLOCKS[1])
    root, proof = transactions_root(transactions), prove_transaction(transactions, 2)
    assert refused(transactions_root(transactions[:3]), 2, proof) == Reason.DIGEST_MISMATCH
    assert refused(root, 1, proof) == Reason.DIGEST_MISMATCH
    for index in (-1, 4, 77, MAX_INDEX):
        assert refused(root, index, proof) == Reason.MALFORMED


def test_nodes_too_many_or_too_few_are_refused() -> None:
    transactions = raws(BLOCKS[2])[:140]
    root, proof = transactions_root(transactions), prove_transaction(transactions, 130)
    assert len(proof) > 2
    assert refused(root, 130, ()) == Reason.MALFORMED
    assert refused(root, 130, proof[:-1]) == Reason.MALFORMED
    assert refused(root, 130, (*proof, proof[-1])) == Reason.MALFORMED
    assert refused(root, 130, proof * 20) == Reason.MALFORMED
    assert refused(root, 130, tuple(reversed(proof))) == Reason.DIGEST_MISMATCH


@pytest.mark.parametrize(
    "node",
    [
        b"",  # no RLP
        b"\x01",  # no list
        rlp.encode([b"\x20"]),  # one item
        rlp.encode([b"\x20\x80", b"tx", b""]),  # three
        rlp.encode([b"\x20\x80", b""]),  # nothing in the leaf
        rlp.encode([b"\x20\x80", [b"tx"]]),  # a node in the leaf
        rlp.encode([b"\x40\x80", b"tx"]),  # a flag that is none
        rlp.encode([b"\x2f\x80", b"tx"]),  # padding that says something
        rlp.encode([b"", b"tx"]),  # no path
        rlp.encode([[b"\x20"], b"tx"]),  # a path of lists
        rlp.encode([b"\x00", b"h" * 32]),  # an extension by nothing
        rlp.encode([b"\x00\x80", b"h" * 31]),  # a hash that is too short
        rlp.encode([b"\x00\x80", b"h" * 33]),
        rlp.encode([b"\x18", [b"\x30", b"t" * 40]]),  # a child inside that is too long for it
        rlp.encode([*[b""] * 8, b"h" * 32, *[b""] * 7, b"value"]),  # a branch with a value
        rlp.encode([b""] * 17),
        rlp.encode([b"\x00\x80", [*[b""] * 16, b"v"]]),  # a path that ends in a branch
        rlp.encode([b"\x20\x80", b"tx"]) + b"\0",  # bytes behind
        b"\xc5\x81\x20\x82tx",  # not the shortest form
    ],
    ids=range(19),
)
def test_what_no_trie_has_is_refused_though_its_hash_is_right(node: bytes) -> None:
    assert refused(keccak256(node), 0, (node,)) == Reason.MALFORMED


def test_only_what_is_there_can_be_proved() -> None:
    for index in (-1, 3):
        with pytest.raises(ValueError, match="no transaction"):
            prove_transaction([b"a", b"b", b"c"], index)
    with pytest.raises(ValueError, match="empty"):
        transactions_root([b"a", b""])
