"""OpenTimestamps proofs: bytes as the reference library has them, and nothing but Malformed for any others."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oms_core.chains.header import read_header
from oms_core.chains.keccak import keccak256
from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.log.anchor import checkpoint_of
from oms_core.log.ots import ots_of, verify_ots
from oms_core.log.ots_file import (
    BITCOIN,
    ETHEREUM,
    MAGIC,
    MAX_DEPTH,
    MAX_FILE,
    MAX_MESSAGE,
    MAX_URI,
    PENDING,
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
from tests.unit.log.anchors import note, receipt, signed

GOOD = receipt()
BODY = checkpoint_of(note()).body()
HEADER = read_header(GOOD.header)
START = MAGIC + b"\x01\x08" + bytes(32)
IN_BLOCK = b"\x00" + ETHEREUM + b"\x01\x07"
CALENDAR = b"https://a.example"
PROMISED = b"\x00" + PENDING + bytes([len(CALENDAR) + 1, len(CALENDAR)]) + CALENDAR


def root_of(number: int) -> bytes:
    assert number == HEADER.number
    return HEADER.transactions_root


def refused(data: bytes) -> Reason:
    with pytest.raises(Malformed) as caught:
        read_ots(data)
    return caught.value.reason


def no_proof(data: bytes, body: str = BODY) -> str:
    with pytest.raises(ProofInvalid) as caught:
        verify_ots(data, body, root_of)
    assert caught.value.reason == Reason.ANCHOR_MISMATCH
    return caught.value.message


@pytest.mark.parametrize(("others", "place"), [(0, 0), (2, 1), (20, 7), (299, 200)])
def test_an_anchors_proof_leads_from_the_checkpoint_to_the_blocks_header(others: int, place: int) -> None:
    found = receipt(others=others, place=place)
    root = read_header(found.header).transactions_root
    assert verify_ots(ots_of(found), BODY, lambda _: root).blocks == (HEADER.number,)


def test_a_proof_has_the_bytes_that_the_format_asks_for() -> None:
    digest = hashlib.sha256(BODY.encode()).digest()
    data = ots_of(receipt(others=0, place=0))
    assert data.startswith(MAGIC + b"\x01\x08" + digest + b"\xf1")
    assert data.endswith(b"\x67\x00" + ETHEREUM + bytes([1, HEADER.number]))
    assert write_ots(read_ots(data)) == data


def test_two_attestations_and_two_branches_stand_as_the_format_has_them() -> None:
    data = START + b"\xff" + PROMISED + b"\xff\x08\xff" + PROMISED + IN_BLOCK + b"\xf0\x01a\x67" + IN_BLOCK
    proof = read_ots(data)
    promised, in_seven = Attestation(PENDING, PROMISED[10:]), in_block(7)
    assert dict(attested(proof))[bytes(32)] == promised
    assert {(m, a) for m, a in attested(proof) if a == in_seven} == {
        (hashlib.sha256(bytes(32)).digest(), in_seven),
        (keccak256(bytes(32) + b"a"), in_seven),
    }
    assert promised.uri == CALENDAR.decode()
    assert in_seven.height == 7
    assert write_ots(proof) == data


def test_unknown_attestations_are_kept_and_say_nothing() -> None:
    data = START + b"\x00" + b"\x01\x02\x03\x04\x05\x06\x07\x08" + b"\x03abc"
    proof = read_ots(data)
    [(_, kept)] = attested(proof)
    assert kept == Attestation(bytes(range(1, 9)), b"abc")
    assert write_ots(proof) == data
    for name in ("height", "uri"):
        with pytest.raises(Malformed):
            getattr(kept, name)


def test_a_proof_about_another_text_another_block_or_none_is_refused() -> None:
    data = ots_of(GOOD)
    assert "another checkpoint" in no_proof(data, BODY.replace("1234", "1235"))
    with pytest.raises(ProofInvalid, match="does not lead to block"):
        verify_ots(data, BODY, lambda _: bytes(32))
    digest = hashlib.sha256(BODY.encode()).digest()
    assert "no block" in no_proof(MAGIC + b"\x01\x08" + digest + PROMISED)


def test_what_other_chains_and_calendars_say_is_handed_on_unchecked() -> None:
    proof = read_ots(ots_of(GOOD))
    bitcoin = Attestation(BITCOIN, b"\x9a\x9f\x1b")
    both = Detached(proof.digest, Timestamp((bitcoin, *proof.timestamp.branches)))
    stamped = verify_ots(write_ots(both), BODY, root_of)
    assert stamped.others == ((proof.digest, bitcoin),)
    assert stamped.blocks == (HEADER.number,)


def test_no_proof_is_made_of_a_receipt_whose_transaction_does_not_name_the_checkpoint() -> None:
    with pytest.raises(ProofInvalid, match="does not hold"):
        ots_of(receipt(signed(bytes(68))))
    with pytest.raises(ProofInvalid):
        ots_of(replace(GOOD, index=6))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.MALFORMED),
        (MAGIC[:-1] + b"\x00\x01\x08" + bytes(32) + IN_BLOCK, Reason.MALFORMED),
        (MAGIC + b"\x02\x08" + bytes(32) + IN_BLOCK, Reason.UNSUPPORTED_TYPE),
        (MAGIC + b"\x01\x02" + bytes(20) + IN_BLOCK, Reason.UNSUPPORTED_TYPE),  # SHA-1 of the file
        (START, Reason.MALFORMED),
        (START + IN_BLOCK + b"\0", Reason.TRAILING_BYTES),
        (START + b"\xff" + IN_BLOCK, Reason.MALFORMED),  # a fork that leads nowhere
        (START + b"\xff\xff" + IN_BLOCK, Reason.UNSUPPORTED_TYPE),
        (START + b"\xf3" + IN_BLOCK, Reason.UNSUPPORTED_TYPE),  # hexlify
        (START + b"\xf0\x00" + IN_BLOCK, Reason.MALFORMED),  # nothing is appended
        (START + b"\xf0\x81\x00a" + IN_BLOCK, Reason.MALFORMED),  # a length that is not in its shortest form
        (START + b"\xf0" + b"\xff" * 9 + b"\x01", Reason.MALFORMED),  # and one of 70 bits
        (START + b"\xf0\x81\x20" + bytes(MAX_MESSAGE + 1) + IN_BLOCK, Reason.TOO_LARGE),
        (START + b"\xf0\xe1\x1f" + bytes(MAX_MESSAGE - 31) + IN_BLOCK, Reason.MALFORMED),  # the message is too long
        (START + b"\x00" + ETHEREUM + b"\x02\x07\x07", Reason.TRAILING_BYTES),  # more than a height
        (START + b"\x00" + ETHEREUM + b"\x00", Reason.MALFORMED),
        (START + b"\x00" + BITCOIN + b"\x02\x87\x00", Reason.MALFORMED),
        (START + b"\x00" + PENDING + b"\x03\x02a?", Reason.MALFORMED),
        (START + b"\x00" + PENDING + b"\xeb\x07\xe9\x07" + b"a" * (MAX_URI + 1), Reason.TOO_LARGE),
        (START + b"\x00" + bytes(8) + b"\x81\x40" + bytes(8193), Reason.TOO_LARGE),
        (START + b"\x08" * MAX_DEPTH + IN_BLOCK, Reason.TOO_LARGE),
        (START + bytes(MAX_FILE), Reason.TOO_LARGE),
    ],
    ids=range(22),
)
def test_files_that_are_no_proofs_are_refused(data: bytes, reason: Reason) -> None:
    assert refused(data) == reason


def test_the_longest_row_of_operations_is_read_and_written() -> None:
    data = START + b"\x08" * (MAX_DEPTH - 1) + IN_BLOCK
    assert write_ots(read_ots(data)) == data


def test_what_could_not_be_read_is_not_written() -> None:
    for timestamp in (
        Timestamp(()),
        Timestamp(((Step(Op.APPEND), Timestamp((in_block(1),))),)),
        Timestamp((Attestation(b"short", b""),)),
        Timestamp((Attestation(ETHEREUM, b""),)),
    ):
        with pytest.raises(Malformed):
            write_ots(Detached(bytes(32), timestamp))
    with pytest.raises(Malformed):
        write_ots(Detached(bytes(31), Timestamp((in_block(1),))))


calendars = st.text("abcXYZ019-._/:", max_size=30).map(
    lambda uri: Attestation(PENDING, bytes([len(uri)]) + uri.encode())
)
heights = st.integers(0, (1 << 63) - 1).map(in_block)
unknown = st.builds(
    Attestation, st.binary(min_size=8, max_size=8).filter(lambda t: t not in (PENDING, BITCOIN, ETHEREUM)), st.binary()
)
steps = st.sampled_from([Step(Op.SHA256), Step(Op.KECCAK256)]) | st.builds(
    Step, st.sampled_from([Op.APPEND, Op.PREPEND]), st.binary(min_size=1, max_size=40)
)
ends = st.lists(calendars | heights | unknown, min_size=1, max_size=3).map(lambda found: Timestamp(tuple(found)))
trees = st.recursive(
    ends, lambda below: st.lists(st.tuples(steps, below), min_size=1, max_size=3).map(lambda b: Timestamp(tuple(b)))
)


@given(st.binary(min_size=32, max_size=32), trees)
def test_whatever_is_written_is_read_back(digest: bytes, timestamp: Timestamp) -> None:
    proof = Detached(digest, timestamp)
    assert read_ots(write_ots(proof)) == proof


@given(st.binary(max_size=300))
@example(b"\xff" * 300)
@example(b"\xff\x08" * 150)
def test_any_bytes_are_malformed_or_a_proof_of_the_same_bytes(data: bytes) -> None:
    for whole in (data, START + data):
        try:
            proof = read_ots(whole)
        except Malformed:
            continue
        assert write_ots(proof) == whole


@given(st.data())
def test_one_changed_bit_of_a_proof_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(ots_of(GOOD))
    at = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[at // 8] ^= 1 << at % 8
    known = {HEADER.number: HEADER.transactions_root}
    with pytest.raises((Malformed, ProofInvalid)):
        verify_ots(bytes(whole), BODY, lambda number: known.get(number, bytes(32)))
