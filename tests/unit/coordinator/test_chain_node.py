"""A chain node that answers with something else than it should is as good as none: what waits for it waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from coordinator.chain import rpc as module
from coordinator.chain.evm import EvmChain, Standing
from coordinator.chain.rpc import Rpc, RpcError
from oms_core.errors import Reason, Unavailable
from tests.people import CHAIN, EXECUTION, intent

HASH = "0x" + "11" * 32
BLOCK = "0x" + "22" * 32
RECEIPT = {
    "transactionHash": HASH,
    "blockNumber": "0x5",
    "blockHash": BLOCK,
    "status": "0x1",
    "transactionIndex": "0x0",
}


def chain(answers: dict[str, Any], urls: tuple[str, ...] = ("http://node",)) -> EvmChain:
    """Nodes that answer so: a result, or the whole of an answer by method and host."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        said = answers.get(f"{request.url.host} {asked['method']}", {"result": answers.get(asked["method"])})
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], **said})

    rpc = Rpc(urls)
    rpc._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return EvmChain(CHAIN, rpc)


async def test_a_mined_transaction_is_where_its_receipt_says() -> None:
    made = chain({"eth_getTransactionReceipt": RECEIPT, "eth_blockNumber": "0x7"})
    assert await made.standing(HASH) == Standing(5, BLOCK, True, 3)


NO_RECEIPTS: list[Any] = [[], "0x1", 7, {}]


@pytest.mark.parametrize(
    "receipt",
    [
        *NO_RECEIPTS,
        {**RECEIPT, "blockNumber": None},
        {**RECEIPT, "blockNumber": "x"},
        {**RECEIPT, "blockNumber": "-0x5"},
        {**RECEIPT, "blockNumber": "0x" + "ff" * 9},
        {**RECEIPT, "blockHash": "in block 1"},
        {**RECEIPT, "transactionHash": BLOCK},
    ],
)
async def test_a_receipt_that_is_none_is_waited_out(receipt: Any) -> None:
    with pytest.raises(Unavailable, match="no proper receipt") as caught:
        await chain({"eth_getTransactionReceipt": receipt, "eth_blockNumber": "0x7"}).standing(HASH)
    assert caught.value.reason is Reason.CHAIN_UNAVAILABLE


@pytest.mark.parametrize("receipt", NO_RECEIPTS)
async def test_nobody_looks_for_the_block_of_a_receipt_that_is_none(receipt: Any) -> None:
    with pytest.raises(Unavailable, match="no proper receipt"):
        await chain({"eth_getTransactionReceipt": receipt}).block_of(HASH)


@pytest.mark.parametrize(
    "block", [None, {}, [], {"baseFeePerGas": 5}, {"baseFeePerGas": "high"}, {"baseFeePerGas": "-0x1"}]
)
async def test_a_block_without_a_base_fee_is_waited_out(block: Any) -> None:
    with pytest.raises(Unavailable, match="no proper block"):
        await chain({"eth_getBlockByNumber": block}).sendable(EXECUTION, EXECUTION.nonce)


@pytest.mark.parametrize("error", ["broken", 5, ["no"], True])
async def test_an_error_that_says_nothing_is_no_answer_and_the_next_node_is_asked(error: Any) -> None:
    answers = {"one eth_blockNumber": {"error": error}, "eth_blockNumber": "0x7"}
    both = chain(answers, ("http://one", "http://two"))
    assert await both._rpc.number("eth_blockNumber") == 7
    with pytest.raises(Unavailable, match="no chain node answers"):
        await chain(answers, ("http://one",))._rpc.number("eth_blockNumber")


@pytest.mark.parametrize("words", ["rate limit exceeded", "node is syncing", "Internal error"])
async def test_a_node_that_cannot_answer_now_is_passed_over_for_the_next_one(words: str) -> None:
    answers = {"one eth_blockNumber": {"error": {"code": -32000, "message": words}}, "eth_blockNumber": "0x7"}
    assert await chain(answers, ("http://one", "http://two"))._rpc.number("eth_blockNumber") == 7
    with pytest.raises(Unavailable, match=words):
        await chain(answers, ("http://one",))._rpc.number("eth_blockNumber")


@pytest.mark.parametrize("said", ["-0x1", "0x" + "ff" * 9, "", None, 7, True, ["0x7"]])
async def test_a_count_that_is_none_is_waited_out(said: Any) -> None:
    with pytest.raises(Unavailable, match="no quantity"):
        await chain({"eth_getTransactionCount": said}).next_nonce(bytes(20))


@pytest.mark.parametrize("estimate", ["0x0", "0x5207"])
async def test_an_estimate_of_less_gas_than_any_transaction_takes_is_waited_out(estimate: str) -> None:
    answers = {"eth_chainId": hex(31337), "eth_blockNumber": "0x1", "eth_estimateGas": estimate}
    with pytest.raises(Unavailable, match="no estimate"):
        await chain(answers).execution(intent(), bytes(20), 0)


async def test_what_a_node_says_is_shown_without_what_a_terminal_or_a_database_stumbles_over() -> None:
    error = {"code": 1, "message": "no\x00 \x1b[2J\ud800\n  money\u202e"}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error})  # with its halves of characters as JSON has them
    rpc = Rpc(("http://one",))
    rpc._client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, text=body)))
    with pytest.raises(RpcError) as caught:
        await rpc.call("eth_x")
    assert (caught.value.words, caught.value.message) == ("no [2J money", "the node answered: no [2J money")


async def test_a_node_that_never_ends_its_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and there is always another one."""
    monkeypatch.setattr(module, "_WHOLE", 0.05)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.001)

    rpc = Rpc(("http://one",))
    rpc._client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=drip())))
    with pytest.raises(Unavailable, match="no chain node answers"):
        await rpc.call("eth_blockNumber")


@pytest.mark.parametrize(("code", "said"), [(-32000, -32000), (None, 0), ("x", 0)])
async def test_a_nodes_own_no_is_told_with_its_code(code: Any, said: int) -> None:
    with pytest.raises(RpcError, match="nonce too low") as caught:
        await chain({"node eth_x": {"error": {"code": code, "message": "nonce too low"}}})._rpc.call("eth_x")
    assert caught.value.code == said
