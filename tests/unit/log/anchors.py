"""Anchors as tests need them: a block of our own making, which holds a checkpoint's transaction among others."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from eth_account import Account

from oms_core.chains import rlp
from oms_core.chains.header import header_of
from oms_core.chains.trie import prove_transaction, transactions_root
from oms_core.log.anchor import AnchorReceipt, anchor_call

BLOCKS = json.loads((Path(__file__).parents[2] / "vectors" / "anvil_blocks.json").read_text())
OTHERS = [bytes.fromhex(raw[2:]) for raw in BLOCKS[2]["transactions"]]
SECRET = "0x" + "42" * 32
ACCOUNT = bytes.fromhex(Account.from_key(SECRET).address[2:])
CONTRACT = b"\xac" * 20
CHAIN = 31337
SIZE, ROOT = 1234, hashlib.sha256(b"root").digest()


def note(size: int = SIZE, root: bytes = ROOT, origin: str = "log.counterseal.test") -> str:
    """A checkpoint with a signature that nobody looks at here."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n\n— {origin} c2lnbmF0dXJl\n"


def signed(data: bytes, **changes: object) -> bytes:
    """A transaction of the anchor wallet's account."""
    key = changes.pop("key", SECRET)
    fees = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}
    tx = {"to": CONTRACT, "value": 0, "gas": 60_000, "nonce": 7, "chainId": CHAIN, "data": data, **fees, **changes}
    if "gasPrice" in changes:
        tx = {name: value for name, value in tx.items() if name not in fees}
    return bytes(Account.sign_transaction(tx, key).raw_transaction)


def receipt(raw: bytes | None = None, checkpoint: str = "", others: int = 20, place: int = 7) -> AnchorReceipt:
    """The receipt of a transaction in a block with ``others``."""
    checkpoint = checkpoint or note()
    raw = raw or signed(anchor_call(checkpoint))
    transactions = [*OTHERS[:place], raw, *OTHERS[place:others]]
    return AnchorReceipt(
        checkpoint,
        f"eip155:{CHAIN}",
        header(transactions_root(transactions)),
        place,
        prove_transaction(transactions, place),
    )


def header(root: bytes) -> bytes:
    """The header of a block with this root of transactions."""
    items = rlp.decode(header_of(BLOCKS[2]["block"]))
    assert isinstance(items, list)
    return rlp.encode([*items[:4], root, *items[5:]])
