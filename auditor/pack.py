"""An evidence pack: all that the log says of one order, and of what it rests on, with the proofs that it says so.

A pack is one canonical document. It is verified against one digest, that of the workspace as agreed at the ceremony;
whoever made it need not be trusted, and no network is needed.
"""

from __future__ import annotations

from oms_core.encoding import decode, document, encode
from oms_core.errors import Malformed, Reason
from oms_core.log.anchor import AnchorReceipt
from oms_core.log.entries import Item

PACK_LIMIT = 64 << 20  # bytes


@document("evidence-proof/1")
class Held:
    """An item of the log, and the path from its entry to the checkpoint's root."""

    item: Item
    path: tuple[bytes, ...]


@document("evidence-anchor/1")
class PackAnchor:
    """An older checkpoint in a block of a public chain, by the order ``order``, and the proof that this log extends it.

    What the log says of that order's signature and block is among the pack's items.
    """

    order: str
    receipt: AnchorReceipt
    consistency: tuple[bytes, ...]


@document("evidence-pack/1")
class Pack:
    """``subject`` is the order's id, ``checkpoint`` a note with the log's signature and cosignatures.

    ``items`` stand in the order of their indices: GENESIS, the approved changes of the workspace that led to the
    newest version, all of the wallet and of the order, and two of the anchor's order.
    """

    subject: str
    checkpoint: str
    items: tuple[Held, ...]
    anchor: PackAnchor | None


def write_pack(pack: Pack) -> bytes:
    """The pack's bytes. Raises `Malformed` (TOO_LARGE)."""
    data = encode(pack)
    if len(data) > PACK_LIMIT:
        raise Malformed(f"a pack of {len(data)} bytes", Reason.TOO_LARGE)
    return data


def read_pack(data: bytes) -> Pack:
    """Read a pack. Nothing is verified yet. Raises `Malformed`."""
    return decode(Pack, data, PACK_LIMIT)
