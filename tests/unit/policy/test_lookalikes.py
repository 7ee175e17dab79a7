"""How near an account is to listed ones: exact, and fast however many are listed and asked about."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.policy.index import DIGITS, Index
from tests.unit.policy.world import workspace

NEAR = st.lists(st.sampled_from("0a1"), min_size=DIGITS, max_size=DIGITS).map("".join).map(bytes.fromhex)


def listing(addresses: list[bytes]) -> Index:
    """A workspace's index with these in the address book, and no other account."""
    (like, *_) = workspace().address_book
    return Index(workspace(contracts=(), address_book=tuple(replace(like, address=one) for one in addresses)))


def plain(first: str, second: str) -> int:
    """Levenshtein's distance, as one learns it."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        above, row = row, [i]
        for j, b in enumerate(second, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
    return row[-1]


@settings(max_examples=60, deadline=None)
@given(st.lists(NEAR | st.binary(min_size=20, max_size=20), max_size=6, unique=True), NEAR)
def test_the_nearest_listed_account_is_found_exactly(listed: list[bytes], asked: bytes) -> None:
    expected = min((plain(asked.hex(), one.hex()) for one in listed if one != asked), default=DIGITS)
    assert listing(listed).nearest(asked) == expected


def test_an_order_to_many_strangers_does_not_hold_up_a_node_with_a_long_address_book() -> None:
    listed = [n.to_bytes(20, "big") for n in range(1, 2001)]
    book, strangers = listing(listed), [(n + 1 << 150).to_bytes(20, "big") for n in range(64)]
    began = time.thread_time()
    for stranger in strangers:
        book.nearest(stranger)
    at_once, began = time.thread_time() - began, time.thread_time()
    for stranger in strangers[:4]:
        for one in listed[:100]:
            plain(stranger.hex(), one.hex())
    one_by_one = (time.thread_time() - began) * len(strangers) / 4 * len(listed) / 100
    assert 10 * at_once < one_by_one
