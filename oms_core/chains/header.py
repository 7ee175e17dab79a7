"""Block headers, whose keccak256 is the block's hash: read from RLP, and written from what a node's JSON says.

Fields as they have been added: up to London 15, then with the base fee (EIP-1559) 16, with withdrawals (EIP-4895) 17,
with blobs and the beacon root (EIP-4844, EIP-4788) 20, with requests (EIP-7685, Prague and Osaka) 21.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oms_core.chains import rlp
from oms_core.chains.keccak import keccak256
from oms_core.errors import Malformed, Reason

MAX_HEADER = 4096  # bytes; some chains sign their blocks in the extra data
_ANY, _NUMBER = -1, 0
_FIELDS = (  # as JSON-RPC calls them, in RLP's order: bytes of this length, a number (0), or any bytes (-1)
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", _NUMBER),
    ("number", _NUMBER),
    ("gasLimit", _NUMBER),
    ("gasUsed", _NUMBER),
    ("timestamp", _NUMBER),
    ("extraData", _ANY),
    ("mixHash", 32),
    ("nonce", 8),
    ("baseFeePerGas", _NUMBER),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", _NUMBER),
    ("excessBlobGas", _NUMBER),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
)
_COUNTS = (15, 16, 17, 20, 21)
_WIDE = ("difficulty", "baseFeePerGas")  # numbers of 256 bits; all others have 64


@dataclass(frozen=True, slots=True)
class Header:
    """What one needs of it. Time is in Unix seconds; ``hash``, ``parent`` and ``transactions_root`` have 32 bytes."""

    hash: bytes
    parent: bytes
    number: int
    timestamp: int
    transactions_root: bytes


def read_header(raw: bytes) -> Header:
    """Read a header strictly. Raises `Malformed` (TOO_LARGE, TRAILING_BYTES, MALFORMED)."""
    if len(raw) > MAX_HEADER:
        raise Malformed(f"a header has at most {MAX_HEADER} bytes", Reason.TOO_LARGE)
    items = rlp.decode(raw)
    if isinstance(items, bytes) or len(items) not in _COUNTS:
        raise Malformed("not the fields of a block's header")
    numbers, blobs = dict[str, int](), dict[str, bytes]()
    for (name, length), item in zip(_FIELDS, items, strict=False):
        if length == _NUMBER:
            numbers[name] = rlp.to_integer(item, 256 if name in _WIDE else 64)
        elif not isinstance(item, bytes) or length not in (_ANY, len(item)):
            raise Malformed(f"a header's {name} has {length} bytes" if length > 0 else f"a header's {name} is bytes")
        else:
            blobs[name] = item
    root, parent = blobs["transactionsRoot"], blobs["parentHash"]
    return Header(keccak256(raw), parent, numbers["number"], numbers["timestamp"], root)


def header_of(block: Mapping[str, object]) -> bytes:
    """The RLP form of a header that a node shows as JSON (``eth_getBlockByNumber``).

    Raises `Malformed` for fields that are missing or of another form, and (DIGEST_MISMATCH) if the form's hash is not
    the one that the node shows: then there is a field in it that is not known here, or the node errs.
    """
    present = [name for name, _ in _FIELDS if block.get(name) is not None]
    if len(present) not in _COUNTS or present != [name for name, _ in _FIELDS[: len(present)]]:
        raise Malformed("not the fields of a block's header")
    raw = rlp.encode([_item(name, length, block[name]) for name, length in _FIELDS[: len(present)]])
    if block.get("hash") != "0x" + read_header(raw).hash.hex():
        raise Malformed("a block's hash is not that of its header", Reason.DIGEST_MISMATCH)
    return raw


def _item(name: str, length: int, shown: object) -> bytes:
    if not isinstance(shown, str) or not shown.startswith("0x") or len(shown) > 2 * MAX_HEADER:
        raise Malformed(f"a block's {name} is no hexadecimal text")
    try:
        return rlp.integer(int(shown, 16)) if length == _NUMBER else bytes.fromhex(shown[2:])
    except ValueError:
        raise Malformed(f"a block's {name} is no hexadecimal text") from None
