"""Whole orders through a whole network of processes: from submission to broadcast, with approval, HSMs and TLS."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Figure
from oms.devnet.cast import ETHER, ORIGIN
from oms.devnet.network import Network
from oms_core.chains.intent import CreateWallet

ORDERS = 8


def orders() -> Iterator[Figure]:
    """Start a network, make a wallet, send a few orders one after the other."""
    network = Network(Path(tempfile.mkdtemp(prefix="counterseal-bench-")))
    try:
        yield from asyncio.run(_measure(network))
    finally:
        network.remove()


async def _measure(network: Network) -> list[Figure]:
    await asyncio.to_thread(network.prepare)
    network.start()
    await network.attached(range(1, 6), 60)
    async with network.client() as client:
        started = now = time.time()
        wish = CreateWallet("wal_bench", "Bench", 3, (1, 2, 3, 4, 5), "L112", "desk", "", int(now), int(now) + 3600)
        await client.create_wallet(network.desk().propose(wish))
        for person in ("sam", "sonja"):
            (waiting,) = await client.inbox(person)
            approval = network.authenticator(person).approve(waiting.claim, ORIGIN)
            await client.decide(waiting.subject_id, approval)
        async for event in client.watch_wallet("wal_bench"):
            if event.wallet.state == "ACTIVE":
                address = event.wallet.address
        ceremony = time.time() - started
        await network.fund(address, 100 * ETHER)
        signing: dict[str, list[float]] = {"interactive": [], "presigned": []}
        total = []
        for number in range(2 * ORDERS):
            if number % 2:
                await asyncio.sleep(4)  # long enough for a presignature
            intent, _lines = await client.prepare_transfer("wal_bench", "entry:kraken-hot", ETHER // 2, "desk")
            tx = await client.submit(network.desk().propose(intent))
            tx = await client.ended(tx.transaction_id)
            at = {stage.state: stage.at for stage in tx.stages}
            notes = [stage.note for stage in tx.stages if stage.state == "SIGNING"]
            how = "presigned" if notes[-1].endswith("with a presignature") else "interactive"
            signing[how].append((at["SIGNED"] - at["SIGNING"]) * 1000)
            total.append((at["BROADCAST"] - at["SUBMITTED"]) * 1000)
    return [
        Figure("wallet", "seconds from wish to active, 3 of 5, 12 processes", ceremony, {"level": "L112"}),
        *(
            Figure(
                "sign_session",
                "ms from quorum to signature, median",
                statistics.median(spent),
                {"how": how, "orders": len(spent)},
            )
            for how, spent in signing.items()
            if spent
        ),
        Figure("order", "ms from submitted to broadcast, median", statistics.median(total), {"orders": 2 * ORDERS}),
    ]
