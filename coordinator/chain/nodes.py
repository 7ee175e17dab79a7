"""What one node says of a transaction, and what all of them do: a node that lies, lags or breaks is one of several."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from coordinator.chain.fates import TAKEN, Fate, Said, meaning
from coordinator.chain.rpc import MANY, Rpc, RpcError
from oms_core.chains.evm import transaction_hash
from oms_core.errors import Malformed, Reason, Unavailable

_STATUS = {"0x1": True, "0x0": False}
_HASH = re.compile("0x[0-9a-f]{64}")
_DEEPEST = 10**9  # blocks: nobody counts further

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """A mined transaction: its block, whether it succeeded, and how deep it is (1 in the newest block)."""

    block: int
    block_hash: str
    succeeded: bool
    depth: int


@contextmanager
def proper(what: str) -> Iterator[None]:
    """A node that shows something else than it should is as good as none. Raises `Unavailable` (CHAIN_UNAVAILABLE)."""
    try:
        yield
    except (Malformed, ValueError, TypeError, LookupError) as error:
        text = error.message if isinstance(error, Malformed) else type(error).__name__
        raise Unavailable(f"the node shows no proper {what}: {text}", Reason.CHAIN_UNAVAILABLE) from None


def name_of(raw: bytes) -> str:
    """The hash by which the chain knows signed bytes."""
    return "0x" + transaction_hash(raw).hex()


async def everywhere(rpc: Rpc, look: Callable[[Rpc], Awaitable[T]]) -> list[T]:
    """What all nodes that answer show, in order of preference. Raises `Unavailable` if none does."""
    found = await asyncio.gather(*(_look(look, node) for node in rpc.apart()))
    shown = [one for one in found if not isinstance(one, Unavailable)]
    silent = [one for one in found if isinstance(one, Unavailable)]
    if not shown:
        raise silent[0] if silent else Unavailable("no chain node answers", Reason.CHAIN_UNAVAILABLE)
    return shown


async def _look(look: Callable[[Rpc], Awaitable[T]], node: Rpc) -> T | Unavailable:
    """An error is no answer to the question where something stands."""
    try:
        return await look(node)
    except Unavailable as error:
        return error
    except RpcError as error:
        return Unavailable(f"the chain node does not say where it stands: {error.words}", Reason.CHAIN_UNAVAILABLE)


async def offer(node: Rpc, raw: bytes, chain: int) -> Said:
    """What one node says to signed bytes. It may have them whatever it says, or if the answer is lost.

    Where it would never take them, it is asked whether it is in a position to say so.
    """
    try:
        if await node.call("eth_sendRawTransaction", "0x" + raw.hex()) == name_of(raw):
            return TAKEN
        said = Said(Fate.PASSES, Reason.CHAIN_UNAVAILABLE, "the node names another transaction hash than ours")
    except Unavailable as error:
        said = Said(Fate.PASSES, error.reason, error.message)
    except RpcError as error:
        said = meaning(error.code, error.words)
    if said.fate is Fate.DONE or await _knows(node, name_of(raw)):
        return TAKEN
    trouble = await _not_there(node, chain) if said.fate is Fate.STAYS else ""
    return Said(Fate.PASSES, Reason.CHAIN_UNAVAILABLE, f"{trouble}; {said.words}") if trouble else said


async def _knows(node: Rpc, tx_hash: str) -> bool:
    """Whether a node shows the transaction, in its pool or in a block."""
    shown: Any = await _look(lambda one: one.call("eth_getTransactionByHash", tx_hash), node)
    return isinstance(shown, dict) and shown.get("hash") == tx_hash


async def _not_there(node: Rpc, chain: int) -> str:
    """Why a node cannot judge bytes for all time: it is of another chain, or still on its way to the newest block."""
    served = await _look(lambda one: one.number("eth_chainId"), node)
    syncing = await _look(lambda one: one.call("eth_syncing"), node)
    if served != chain:
        return "the node does not serve this chain"
    return "" if syncing is False else "the node is not at the newest block"


async def overtaken(node: Rpc, account: str, nonce: int, tx_hash: str, depth: int) -> bool:
    """Whether a node shows the nonce used so deep, and not by this transaction."""
    newest = await node.count("eth_blockNumber")
    used = await node.count("eth_getTransactionCount", account, hex(max(newest - depth + 1, 0)))
    return used > nonce and await node.call("eth_getTransactionReceipt", tx_hash) is None


async def standing(node: Rpc, tx_hash: str) -> Standing | None:
    """Where a node shows a transaction; a receipt that says neither 0 nor 1 is none."""
    receipt = await node.call("eth_getTransactionReceipt", tx_hash)
    if receipt is None:
        return None
    newest = await node.count("eth_blockNumber")
    with proper("receipt"):
        if receipt["transactionHash"] != tx_hash:
            raise Malformed("it is another transaction's")
        block = int(receipt["blockNumber"], 16)
        if not _HASH.fullmatch(receipt["blockHash"]) or not 0 <= block < MANY:
            raise Malformed("its block has no number, or no hash")
        return Standing(block, receipt["blockHash"], _STATUS[receipt["status"]], min(newest - block + 1, _DEEPEST))
