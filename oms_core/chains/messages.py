"""Plain texts as accounts sign them (EIP-191, version 0x45, known as ``personal_sign``)."""

from __future__ import annotations

import re

from oms_core.chains.keccak import keccak256
from oms_core.errors import Malformed, Reason

MAX_TEXT = 32 * 1024  # bytes of UTF-8
_PREFIX = b"\x19Ethereum Signed Message:\n"
_HASH = re.compile(r"(?:0[xX])?[0-9a-fA-F]{64}\Z")


def check_text(text: str) -> bytes:
    """The UTF-8 bytes of a text that may be signed: printable, new lines allowed, and nothing that stands for a hash.

    Raises `Malformed`: UNSUPPORTED_TYPE for 32 bytes, as such or in hex (some tools sign the hash of a transaction that
    way), TOO_LARGE, MALFORMED.
    """
    if not text.strip() or not text.replace("\n", " ").isprintable():
        raise Malformed("a message is printable text")
    data = text.encode()
    if len(data) > MAX_TEXT:
        raise Malformed(f"a message has at most {MAX_TEXT} bytes", Reason.TOO_LARGE)
    if len(data) == 32 or _HASH.match(text.strip()):
        raise Malformed("32 bytes could be the hash of a transaction", Reason.UNSUPPORTED_TYPE)
    return data


def text_digest(text: str) -> bytes:
    """The 32 bytes that are signed for a text. Raises `Malformed` as `check_text`."""
    data = check_text(text)
    return keccak256(_PREFIX + str(len(data)).encode() + data)
