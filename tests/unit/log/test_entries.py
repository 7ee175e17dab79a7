"""Entries, records and the salted commitment between them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, Reason
from oms_core.log import entries
from oms_core.log.entries import Entry, Item, Record, item, read_entry, read_record

SALT = bytes(range(16))
RECORD = Record("ravi", b"", "looks right", (b"document",))


def made(**changes: object) -> Item:
    plain = {"index": 7, "at": 1_800_000_000, "event": "order.approved", "subject": "txn_1", "previous": 3}
    return item(**{**plain, "record": RECORD, "salt": SALT, **changes})  # type: ignore[arg-type]


def test_an_item_reads_back_as_what_it_was_made_of() -> None:
    one = made()
    entry = read_entry(one.entry)
    assert entry == Entry(7, 1_800_000_000, "order.approved", "txn_1", 3, entries.commitment(SALT, encode(RECORD)))
    assert read_record(entry, one) == RECORD


def test_a_record_that_was_erased_leaves_its_entry_as_it_was() -> None:
    one = made()
    assert read_record(read_entry(one.entry), Item(one.entry, b"", b"")) is None


@pytest.mark.parametrize("change", [{"salt": bytes(16)}, {"salt": b""}, {"salt": bytes(17)}, {"record": b""}])
def test_another_record_or_salt_than_the_one_committed_to_is_refused(change: dict[str, bytes]) -> None:
    one = made()
    with pytest.raises(Malformed) as caught:
        read_record(read_entry(one.entry), replace(one, **change))
    assert caught.value.reason is Reason.DIGEST_MISMATCH


def test_the_same_record_under_two_salts_cannot_be_told_apart_from_two_records() -> None:
    first, second = (read_entry(made(salt=bytes([n]) * 16).entry).record for n in (1, 2))
    assert first != second


@pytest.mark.parametrize(
    "change",
    [
        {"index": -1}, {"index": 1 << 62}, {"at": -1}, {"at": 1 << 40}, {"previous": -2}, {"previous": 7},
        {"event": ""}, {"event": "Order"}, {"event": "a.b.c"}, {"event": "x" * 40}, {"subject": "x" * 65},
        {"subject": "a b"}, {"subject": "a\nb"},
    ],
)  # fmt: skip
def test_an_entry_out_of_shape_is_neither_made_nor_read(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        made(**change)
    plain = read_entry(made().entry)
    with pytest.raises(Malformed):
        read_entry(encode(replace(plain, **change)))  # type: ignore[arg-type]


def test_a_commitment_has_32_bytes() -> None:
    with pytest.raises(Malformed):
        read_entry(encode(replace(read_entry(made().entry), record=b"short")))


@pytest.mark.parametrize("secret", [b"-----BEGIN PRIVATE KEY-----", b"-----BEGIN EC PRIVATE KEY-----\nMHc"])
def test_a_record_with_a_private_key_in_it_is_refused(secret: bytes) -> None:
    with pytest.raises(Malformed, match="private key"):
        made(record=replace(RECORD, documents=(secret,)))


def test_a_record_beyond_its_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "RECORD_LIMIT", 100)
    with pytest.raises(Malformed) as caught:
        made(record=replace(RECORD, documents=(bytes(101),)))
    assert caught.value.reason is Reason.TOO_LARGE


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(Malformed):
        decode(Entry, encode({"@": "log-entry/1", "index": 1}))
