"""Block headers: the hash is the one that the chain's own software computes, and nothing else is read as a header."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_core.chains import rlp
from oms_core.chains.header import MAX_HEADER, header_of, read_header
from oms_core.chains.keccak import keccak256
from oms_core.errors import Malformed, Reason

BLOCK = json.loads((Path(__file__).parents[2] / "vectors" / "anvil_blocks.json").read_text())[1]["block"]
ADDED = (  # what each upgrade has added
    (),
    ("baseFeePerGas",),
    ("withdrawalsRoot",),
    ("blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot"),
    ("requestsHash",),
)


def refused(raw: bytes) -> Reason:
    with pytest.raises(Malformed) as caught:
        read_header(raw)
    return caught.value.reason


def not_a_header(**changes: object) -> Reason:
    with pytest.raises(Malformed) as caught:
        header_of({**BLOCK, **changes})
    return caught.value.reason


def items() -> list[rlp.Item]:
    decoded = rlp.decode(header_of(BLOCK))
    assert not isinstance(decoded, bytes)
    return list(decoded)


def test_a_header_written_from_json_has_the_hash_that_the_node_shows() -> None:
    header = read_header(header_of(BLOCK))
    assert "0x" + header.hash.hex() == BLOCK["hash"]
    assert "0x" + header.parent.hex() == BLOCK["parentHash"]
    assert "0x" + header.transactions_root.hex() == BLOCK["transactionsRoot"]
    assert (header.number, header.timestamp) == (int(BLOCK["number"], 16), int(BLOCK["timestamp"], 16))


@pytest.mark.parametrize("upgrades", range(len(ADDED)))
def test_headers_from_before_an_upgrade_are_read(upgrades: int) -> None:
    later = {name for names in ADDED[upgrades + 1 :] for name in names}
    block = {name: value for name, value in BLOCK.items() if name not in later}
    cut = rlp.encode(items()[: 21 - len(later)])
    assert header_of({**block, "hash": "0x" + keccak256(cut).hex()}) == cut
    assert read_header(cut).number == int(BLOCK["number"], 16)


def test_a_node_that_shows_another_hash_is_not_believed() -> None:
    assert not_a_header(hash="0x" + "00" * 32) == Reason.DIGEST_MISMATCH
    assert not_a_header(hash=None) == Reason.DIGEST_MISMATCH
    assert not_a_header(gasUsed="0x1") == Reason.DIGEST_MISMATCH


@pytest.mark.parametrize(
    "changes",
    [
        {"number": None},
        {"number": 7},
        {"number": "7"},
        {"number": "0xzz"},
        {"timestamp": "-0x1"},
        {"extraData": "0x0"},
        {"extraData": "0x" + "00" * MAX_HEADER},
        {"miner": "0x00"},
        {"logsBloom": "0x" + "00" * 255},
        {"withdrawalsRoot": None},
        {"requestsHash": ["0x"]},
    ],
    ids=str,
)
def test_json_that_is_no_header_is_refused(changes: dict[str, object]) -> None:
    assert not_a_header(**changes) in (Reason.MALFORMED, Reason.TOO_LARGE)


def test_fields_too_many_too_few_or_of_another_form_are_refused() -> None:
    whole = items()
    for count in (0, 14, 18, 19):
        assert refused(rlp.encode(whole[:count])) == Reason.MALFORMED
    assert refused(rlp.encode([*whole, b""])) == Reason.MALFORMED
    assert refused(rlp.encode(b"header")) == Reason.MALFORMED
    assert refused(rlp.encode(whole) + b"\0") == Reason.TRAILING_BYTES
    assert refused(bytes(MAX_HEADER + 1)) == Reason.TOO_LARGE
    for place in range(21):
        assert refused(rlp.encode([*whole[:place], [], *whole[place + 1 :]])) == Reason.MALFORMED
    for place in (8, 11):  # number and time: not minimal, and too large
        for wrong in (b"\0\1", b"\1" * 9):
            assert refused(rlp.encode([*whole[:place], wrong, *whole[place + 1 :]])) == Reason.MALFORMED


@given(st.binary(max_size=700))
def test_any_bytes_are_malformed_or_a_header(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_header(raw)


@given(st.integers(0, 8 * 615 - 1))
def test_one_changed_bit_is_another_header_or_none(at: int) -> None:
    raw = header_of(BLOCK)
    at %= 8 * len(raw)
    changed = bytes(b ^ (1 << at % 8 if i == at // 8 else 0) for i, b in enumerate(raw))
    with contextlib.suppress(Malformed):
        assert read_header(changed).hash != read_header(raw).hash
