"""Orders on a real chain, behind something that stands between the coordinator and its node and misbehaves."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from coordinator import sending
from coordinator.chain.evm import EvmChain
from coordinator.chain.rpc import Rpc
from oms.devnet.network import ANVIL
from oms.devnet.processes import free_ports
from oms_core.errors import Reason
from oms_core.lifecycle import State
from tests.people import CHAIN
from tests.unit.coordinator.senders import DEPTH, Sender, signed
from tests.unit.coordinator.test_exact import Signing
from tests.unit.coordinator.test_exact import desk as desk

RICH = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"  # whose key signs the tests' orders
SEND = "eth_sendRawTransaction"

Answer = bytes | None
"""What is sent back in the place of the node's answer; None cuts the connection."""
Meddler = Callable[[dict[str, Any], bytes], Answer]


class Proxy:
    """HTTP between the coordinator and anvil. ``meddle`` sees each call with the node's answer, and may change it."""

    def __init__(self, node: str) -> None:
        self.node, self.calls = node, list[dict[str, Any]]()
        self.meddle: Meddler = lambda _, answer: answer
        self.reaches: Callable[[dict[str, Any]], bool] = lambda _: True
        self._client = httpx.AsyncClient(trust_env=False)

    async def serve(self) -> asyncio.Server:
        """Listening on any port of this machine."""
        return await asyncio.start_server(self._connection, "127.0.0.1", 0)

    async def close(self) -> None:
        """Close its connections to the node."""
        await self._client.aclose()

    async def call(self, method: str, *params: object) -> Any:
        """The node itself."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await self._client.post(self.node, json=body)).json()
        assert "error" not in answer, answer
        return answer["result"]

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One call a connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(size))
            self.calls.append(asked)
            answer: Answer = b""
            if self.reaches(asked):
                answer = (await self._client.post(self.node, json=asked)).content
            if (answer := self.meddle(asked, answer)) is None:
                writer.transport.abort()
                return
            fields = f"content-type: application/json\r\ncontent-length: {len(answer)}\r\nconnection: close"
            writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture(scope="module")
def anvil() -> Iterator[str]:
    """A chain that mines when it is told to."""
    (port,) = free_ports(1)
    options = ("--port", str(port), "--silent", "--no-mining", "--block-base-fee-per-gas", "1")
    process = subprocess.Popen([str(ANVIL), *options])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def proxy(anvil: str, desk: Signing, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """Before the chain, with the next nonce as the desk's orders have it; all is as it was afterwards."""
    for name in ("RETRY", "LONGEST_PAUSE", "LOOK"):
        monkeypatch.setattr(sending, name, 0.01)
    monkeypatch.setattr(sending, "LATE", 3600.0)
    made = Proxy(anvil)
    async with asyncio.timeout(120):
        while True:
            try:
                before = await made.call("evm_snapshot")
                break
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
    await made.call("anvil_setNonce", RICH, "0x7")
    yield made
    await made.call("evm_revert", before)
    await made.close()


@pytest.fixture
async def sender(proxy: Proxy, desk: Signing) -> AsyncIterator[Sender]:
    """Over the proxy alone."""
    server = await proxy.serve()
    rpc = Rpc((f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",))
    yield Sender(desk, EvmChain(CHAIN, rpc))
    server.close()
    await rpc.close()


def says(code: int, message: str) -> Meddler:
    """The node's answer to signed bytes is this error."""

    def meddle(asked: dict[str, Any], answer: bytes) -> Answer:
        if asked["method"] != SEND:
            return answer
        error = {"code": code, "message": message}
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}).encode()

    return meddle


def never(asked: dict[str, Any]) -> bool:
    """Signed bytes do not reach the node."""
    return bool(asked["method"] != SEND)


async def confirmed(sender: Sender, proxy: Proxy, order_id: str) -> str:
    """Blocks come until it is deep enough; which transaction took the nonce."""

    async def blocks() -> None:
        while True:
            await proxy.call("anvil_mine", "0x1")
            await asyncio.sleep(0.02)

    mining = asyncio.create_task(blocks())
    try:
        await sender.until(order_id, State.CONFIRMED)
    finally:
        mining.cancel()
        await asyncio.wait([mining])
    row = await sender.store.order(order_id)
    raws = {call["params"][0] for call in proxy.calls if call["method"] == SEND}
    assert raws == {"0x" + row["raw"].hex()}
    return str(row["hash"])


MISBEHAVIOUR: dict[str, tuple[Meddler, Reason]] = {
    "asks for patience": (says(-32005, "request rate limited"), Reason.CHAIN_UNAVAILABLE),
    "breaks": (says(-32603, "Internal error"), Reason.CHAIN_UNAVAILABLE),
    "has a full pool": (says(-32000, "txpool is full"), Reason.CHAIN_UNAVAILABLE),
    "has another one of ours": (says(-32000, "replacement transaction underpriced"), Reason.NONCE_CONFLICT),
    "talks nonsense": (
        lambda asked, answer: b"<html>" if asked["method"] == SEND else answer,
        Reason.CHAIN_UNAVAILABLE,
    ),
    "hangs up": (lambda asked, answer: None if asked["method"] == SEND else answer, Reason.CHAIN_UNAVAILABLE),
}


@pytest.mark.parametrize("how", MISBEHAVIOUR)
@pytest.mark.parametrize("delivers", [False, True])
async def test_an_order_settles_once_whatever_its_node_does_with_its_bytes_and_its_answers(
    sender: Sender, proxy: Proxy, desk: Signing, how: str, delivers: bool
) -> None:
    """Bytes that arrive are found however long the node goes on so; others are sent until they do."""
    order_id = await signed(desk)
    meddle, reason = MISBEHAVIOUR[how]
    proxy.meddle = meddle
    if not delivers:
        proxy.reaches = never
        assert await sender.until(order_id, State.SIGNED, reason)
        assert await sender.events(order_id) == ["sending"]
        proxy.reaches = lambda _: True
        proxy.meddle = lambda _, answer: answer
    name = await confirmed(sender, proxy, order_id)
    assert int(await proxy.call("eth_getTransactionCount", RICH, "latest"), 16) == 8
    assert (await proxy.call("eth_getTransactionByHash", name))["nonce"] == "0x7"
    assert await sender.events(order_id) == ["sending", "broadcast", "mined", "confirmed"]


async def test_what_was_mined_while_nobody_looked_is_found(sender: Sender, proxy: Proxy, desk: Signing) -> None:
    order_id = await signed(desk)
    await proxy.call(SEND, "0x" + (await desk._store.order(order_id))["raw"].hex())
    await proxy.call("anvil_mine", hex(DEPTH))
    await sender.until(order_id, State.CONFIRMED)
    assert await sender.events(order_id) == ["sending", "broadcast", "mined", "confirmed"]


async def test_a_nonce_that_somebody_else_used_is_the_end_once_it_is_deep(
    sender: Sender, proxy: Proxy, desk: Signing
) -> None:
    order_id = await signed(desk)
    await proxy.call("eth_sendTransaction", {"from": RICH, "to": RICH, "value": "0x1", "nonce": "0x7"})
    await sender.until(order_id, State.SIGNED, Reason.NONCE_CONFLICT)
    await proxy.call("anvil_mine", "0x1")
    await sender.until(order_id, State.SIGNED, Reason.NONCE_CONFLICT, "no node shows by what yet")
    await proxy.call("anvil_mine", hex(DEPTH))
    await sender.until(order_id, State.QUARANTINED, Reason.NONCE_CONFLICT, "it may be paid")


async def test_a_wallet_that_cannot_pay_says_so_and_the_order_goes_on_once_it_can(
    sender: Sender, proxy: Proxy, desk: Signing
) -> None:
    order_id = await signed(desk)
    held = await proxy.call("eth_getBalance", RICH, "latest")
    await proxy.call("anvil_setBalance", RICH, "0x0")
    await sender.until(order_id, State.SIGNED, Reason.INSUFFICIENT_FUNDS)
    await proxy.call("anvil_setBalance", RICH, held)
    await confirmed(sender, proxy, order_id)


async def test_what_a_pool_has_dropped_is_sent_again(sender: Sender, proxy: Proxy, desk: Signing) -> None:
    order_id = await signed(desk)
    await sender.until(order_id, State.BROADCAST)
    name = (await desk._store.order(order_id))["hash"]
    await proxy.call("anvil_dropTransaction", name)
    assert await proxy.call("eth_getTransactionByHash", name) is None
    await confirmed(sender, proxy, order_id)


async def test_a_reorganisation_takes_an_order_back_and_it_is_mined_again(
    sender: Sender, proxy: Proxy, desk: Signing
) -> None:
    order_id = await signed(desk)
    await sender.until(order_id, State.BROADCAST)
    before = await proxy.call("evm_snapshot")
    await proxy.call("anvil_mine", "0x1")
    await sender.until(order_id, State.MINED)
    await proxy.call("evm_revert", before)
    await sender.until(order_id, State.BROADCAST)
    await proxy.call("evm_increaseTime", "0x64")
    await confirmed(sender, proxy, order_id)
    states, notes = zip(*await sender.notes(order_id), strict=True)
    assert states == ("BROADCAST", "MINED", "BROADCAST", "MINED", "CONFIRMED")
    assert notes[2] == f"no more {notes[1]}"
    assert notes[3] == notes[4] != notes[1]
