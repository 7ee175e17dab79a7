"""Check words: 32 bytes as something that two people can compare over the telephone (proquints, arXiv:0901.4016)."""

from __future__ import annotations

from oms_core.errors import Malformed

_CONSONANTS = "bdfghjklmnprstvz"
_VOWELS = "aiou"
WORDS = 6


def check_words(digest: bytes) -> tuple[str, ...]:
    """The first 96 bits of a 32-byte digest as six words of five letters. Raises `Malformed` for another length.

    Whoever swaps an order for another one with the same words has to find a second preimage of 96 bits; whoever makes
    both orders himself, a collision of 48. So they are for people's eyes, and no check of a program stands on them.
    """
    if len(digest) != 32:
        raise Malformed("check words stand for 32 bytes")
    return tuple(_word(int.from_bytes(digest[i : i + 2], "big")) for i in range(0, 2 * WORDS, 2))


def in_words(digest: bytes) -> str:
    """The check words on one line, as every surface shows them."""
    return " ".join(check_words(digest))


def _word(value: int) -> str:
    """16 bits as consonant, vowel, consonant, vowel, consonant; four bits and two bits a letter, highest first."""
    letters = ((12, _CONSONANTS), (10, _VOWELS), (6, _CONSONANTS), (4, _VOWELS), (0, _CONSONANTS))
    return "".join(alphabet[value >> shift & len(alphabet) - 1] for shift, alphabet in letters)
