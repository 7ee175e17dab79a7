"""Names and accounts that nobody has named, whatever was named: each stands for all that a test cannot know of."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable

from oms_core.chains.keccak import keccak256

STRANGER = bytes.fromhex("5ca1ab1e" * 5)
_LETTERS = string.ascii_lowercase + string.digits


def unnamed(named: Collection[bytes], size: int = 20) -> bytes:
    """So many bytes that are not among these: of an account, or of a selector."""
    found = STRANGER[:size]
    while found in named:
        found = keccak256(found)[:size]
    return found


def beyond(start: str, named: Collection[str], usual: str = "", letters: str = _LETTERS) -> str:
    """A text that begins with ``start``, and with nothing longer that was named; ``start`` alone if all do."""
    longer = [text for text in named if len(text) > len(start)]
    texts = (start + rest for rest in (usual, *letters) if rest)
    return next((text for text in texts if not any(text.startswith(one) for one in longer)), start)


def with_strangers(
    start: str, named: Iterable[str], begun: Iterable[str], usual: str, letters: str = _LETTERS
) -> list[str]:
    """All that was named; of what beginnings were, something else that begins so; last, what begins like none."""
    whole, beginnings = set(named), set(begun)
    known = sorted(whole | beginnings)
    others = [beyond(one, known, letters=letters) for one in sorted(beginnings)]
    return [*dict.fromkeys((*known, *others)), beyond(start, known, usual, letters)]
