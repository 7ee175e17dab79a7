"""Names of chains, accounts and assets: CAIP-2, EIP-55 and CAIP-19, read strictly."""

from __future__ import annotations

import re

from oms_core.chains.keccak import keccak256
from oms_core.errors import Malformed, Reason

NATIVE_DECIMALS = 18
TOKENS = ("erc20", "erc721", "erc1155")
_CHAIN = re.compile(r"eip155:([1-9][0-9]{0,18})\Z")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")


def chain_id(chain: str) -> int:
    """The number in a CAIP-2 ``eip155`` name. Raises `Malformed` (UNSUPPORTED_TYPE)."""
    match = _CHAIN.match(chain)
    if not match or int(match.group(1)) >= 1 << 63:
        raise Malformed(f"{chain[:40]!r} is not an eip155 chain", Reason.UNSUPPORTED_TYPE)
    return int(match.group(1))


def native_asset(chain: str) -> str:
    """CAIP-19 name of the chain's own coin."""
    chain_id(chain)
    return f"{chain}/slip44:60"


def token_of(asset: str) -> tuple[str, str, bytes]:
    """(chain, namespace, 20-byte contract) of a token's CAIP-19 name: ``erc20``, ``erc721`` or ``erc1155``.

    Raises `Malformed`: UNSUPPORTED_TYPE for what is no token, BAD_ADDRESS, BAD_CHECKSUM.
    """
    chain, _, name = asset.partition("/")
    namespace, _, reference = name.partition(":")
    chain_id(chain)
    if namespace not in TOKENS:
        raise Malformed(f"{asset[:60]!r} is not a token", Reason.UNSUPPORTED_TYPE)
    return chain, namespace, parse_address(reference)


def to_checksum(address: bytes) -> str:
    """EIP-55 form. Raises `Malformed` unless there are 20 bytes."""
    if len(address) != 20:
        raise Malformed("an address has 20 bytes", Reason.BAD_ADDRESS)
    text = address.hex()
    nibbles = keccak256(text.encode()).hex()
    return "0x" + "".join(c.upper() if int(n, 16) >= 8 else c for c, n in zip(text, nibbles, strict=False))


def parse_address(text: str, allow_lower: bool = True) -> bytes:
    """20 bytes of an EIP-55 address; all-lower-case passes only where machines write it.

    Raises `Malformed`: BAD_ADDRESS for a wrong shape, BAD_CHECKSUM for a wrong mix of cases.
    """
    if not _ADDRESS.match(text):
        raise Malformed(f"{text[:60]!r} is not an address", Reason.BAD_ADDRESS)
    address = bytes.fromhex(text[2:])
    if text != to_checksum(address) and not (allow_lower and text == text.lower()):
        raise Malformed(f"{text} fails its EIP-55 checksum", Reason.BAD_CHECKSUM)
    return address
