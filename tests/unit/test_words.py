"""Check words: the published examples, and what two people can rely on who compare them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_core.errors import Malformed
from oms_core.words import WORDS, check_words, in_words

PUBLISHED = {  # arXiv:0901.4016, the dotted addresses of its table
    "127.0.0.1": "lusab-babad",
    "63.84.220.193": "gutih-tugad",
    "63.118.7.35": "gutuk-bisog",
    "140.98.193.141": "mudof-sakat",
    "64.255.6.200": "haguz-biram",
    "128.30.52.45": "mabiv-gibot",
    "147.67.119.2": "natag-lisaf",
    "212.58.253.68": "tibup-zujah",
    "216.35.68.215": "tobog-higil",
    "216.68.232.21": "todah-vobij",
    "198.81.129.136": "sinid-makam",
    "12.110.110.204": "budov-kuras",
}
DIGESTS = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize(("address", "words"), PUBLISHED.items())
def test_the_published_examples_have_their_words(address: str, words: str) -> None:
    four = bytes(map(int, address.split(".")))
    assert check_words(four + bytes(28))[:2] == tuple(words.split("-"))


@given(DIGESTS)
def test_six_words_of_five_letters_stand_for_a_digest(digest: bytes) -> None:
    words = check_words(digest)
    assert len(words) == WORDS == 6
    assert all(len(word) == 5 and word.isascii() and word.islower() for word in words)
    assert in_words(digest) == " ".join(words)


@given(DIGESTS, st.integers(0, 95))
def test_every_one_of_the_first_96_bits_changes_the_words(digest: bytes, bit: int) -> None:
    other = (int.from_bytes(digest, "big") ^ 1 << (255 - bit)).to_bytes(32, "big")
    assert check_words(other) != check_words(digest)


@pytest.mark.parametrize("length", [0, 12, 31, 33])
def test_only_a_digest_has_words(length: int) -> None:
    with pytest.raises(Malformed):
        check_words(bytes(length))
