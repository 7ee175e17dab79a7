"""Orders that are signed by a key of the tests, and chain nodes that say what a test wants to whoever sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
from eth_account import Account

from coordinator.chain.evm import EvmChain
from coordinator.chain.rpc import Rpc
from coordinator.database import read
from coordinator.orders import execution_of, intent_of
from coordinator.tables import log_items
from oms_core.chains.evm import assemble, derive, signing_digest, transaction_hash
from oms_core.crypto.ecdsa import Signature
from oms_core.lifecycle import State
from oms_core.log.entries import read_entry
from tests.people import CHAIN
from tests.unit.coordinator.desk import stopped
from tests.unit.coordinator.test_exact import Signing

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # anvil's first account, known to all
DEPTH = 3


async def signed(desk: Signing, number: int = 1) -> str:
    """An order that has its bytes, and nothing was done with them."""
    order_id, chain = await desk.submitted(number, 50), desk._chain
    desk._chain = desk.chain
    await desk.prepare(order_id)
    desk._chain = chain
    row = await desk._store.order(order_id)
    execution = execution_of(row)
    assert execution is not None
    tx = derive(intent_of(row), execution)
    made = Account.from_key(KEY).unsafe_sign_hash(signing_digest(tx))
    raw = assemble(tx, Signature(made.r, made.s, made.v - 27))
    await desk._store.move(order_id, State.APPROVED, State.SIGNING)
    name = "0x" + transaction_hash(raw).hex()
    await desk._store.move(order_id, State.SIGNING, State.SIGNED, raw=raw, hash=name)
    return order_id


class Node:
    """One chain node: whatever stands in ``says`` is its answer to a method, at once or after some others."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.says: dict[str, Any] = {"eth_chainId": hex(31337), "eth_syncing": False, "eth_blockNumber": "0x10"}
        self.says |= {"eth_getTransactionCount": "0x7", "eth_getBlockByNumber": {"baseFeePerGas": "0x1"}}

    def refuses(self, words: str, code: int = -32000) -> None:
        """What it says to signed bytes from now on."""
        self.says["eth_sendRawTransaction"] = {"code": code, "message": words}

    def takes(self) -> None:
        """It puts them into its pool from now on."""
        self.says.pop("eth_sendRawTransaction", None)

    def mines(self, name: str, block: int, status: str = "0x1", mark: str = "aa") -> None:
        """It shows them in a block, of which ``mark`` makes the hash."""
        receipt = {"transactionHash": name, "blockNumber": hex(block), "blockHash": "0x" + mark * 32, "status": status}
        self.says["eth_getTransactionReceipt"] = receipt

    def answer(self, method: str, params: list[Any]) -> Any:
        """A result, or an error as a dict with a code."""
        if method == "eth_sendRawTransaction":
            self.sent.append(params[0])
            taken = "0x" + transaction_hash(bytes.fromhex(params[0][2:])).hex()
            return self.says.get(method, taken)
        return self.says.get(method)


class Nodes:
    """All nodes of a chain, by host; None is one that is away."""

    def __init__(self, **nodes: Node | None) -> None:
        self.nodes: dict[str, Node | None] = dict(nodes)
        rpc = Rpc(tuple(f"http://{name}" for name in nodes))
        rpc._client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.chain = EvmChain(CHAIN, rpc)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        asked, node = json.loads(request.content), self.nodes[request.url.host]
        if node is None:
            raise httpx.ConnectError("connection reset")
        said = node.answer(asked["method"], asked["params"])
        if isinstance(said, httpx.Response):
            return said
        wrong = isinstance(said, dict) and "code" in said
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "error" if wrong else "result": said})


class Sender:
    """A desk that sends over these nodes, or another chain, and what it shows of an order."""

    def __init__(self, desk: Signing, nodes: Nodes | EvmChain) -> None:
        desk._chain, desk._depth = nodes.chain if isinstance(nodes, Nodes) else nodes, DEPTH
        self.desk, self.store = desk, desk._store

    async def until(
        self,
        order_id: str,
        state: State,
        reason: str = "",
        words: str = "",
        when: Callable[[], bool] = lambda: True,
    ) -> str:
        """Its last steps go on until it stands there for this reason, and that holds; returns the detail."""

        async def steps() -> None:
            await self.desk.broadcast(order_id)
            await self.desk.confirm(order_id)

        task = asyncio.create_task(steps())
        try:
            async with asyncio.timeout(120):
                while True:
                    over, row = task.done(), await self.store.order(order_id)  # in this order: it may end meanwhile
                    if (row["state"], row["reason"]) == (state, reason) and words in row["detail"] and when():
                        return str(row["detail"])
                    if over:
                        task.result()
                        raise AssertionError(dict(row))
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(dict(await self.store.order(order_id))) from None
        finally:
            await stopped(task, self.store._engine)

    async def events(self, order_id: str) -> list[str]:
        """What the log says of it, in its order, from its signature on."""
        query = log_items.select().where(log_items.c.subject == order_id).order_by(log_items.c.index)
        rows = await read(self.store._engine, query)
        events = [read_entry(bytes(row["entry"])).event.removeprefix("order.") for row in rows]
        return events[events.index("signed") + 1 :]

    async def notes(self, order_id: str) -> list[tuple[str, str]]:
        """Its stages from its signature on, with their notes."""
        stages = [(row["state"], row["note"]) for row in await self.store.stages(order_id)]
        return stages[[state for state, _ in stages].index(State.SIGNED) + 1 :]
