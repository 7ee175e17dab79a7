"""A replica of a coordinator that does nothing but steps with their entries, and heads: `python -m …appender URL NAME`.

Each line that it prints is a step that its caller was told of as done.
"""

from __future__ import annotations

import asyncio
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.calls import Call
from coordinator.database import open_database
from coordinator.journal import Journal
from coordinator.store import Store
from tests.logs import ORIGIN

KEY = b"\x07" * 32
PAUSE = 0.005
"""Seconds between two steps: whoever waits for SQLite's lock sleeps, and would otherwise never meet it free."""


async def work(url: str, name: str) -> None:
    """Until it is killed."""
    engine = await open_database(url)
    store, journal = Store(engine), Journal(engine, Ed25519PrivateKey.from_private_bytes(KEY), ORIGIN)
    number = 0
    while True:
        order_id = f"txn_{name}_{number}"
        order = {"order_id": order_id, "wallet_id": "wal_1", "proposal": bytes(500), "subject": order_id.encode()}
        await store.add_order(order, Call(order_id, "SubmitIntent", b""))
        print(order_id, flush=True)
        number += 1
        if number % 7 == 0:
            _, size = await journal.checkpoint()
            print(f"head {size}", flush=True)
        await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
