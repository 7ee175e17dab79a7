"""What the desk needs of an EVM chain: fees, nonce, broadcast, and where a transaction stands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from coordinator.chain.rpc import Rpc, RpcError
from oms_core.chains.evm import (
    TRANSFER_GAS,
    UnsignedTransaction,
    chain_id,
    derive,
    to_checksum,
    transaction_hash,
)
from oms_core.chains.header import header_of, read_header
from oms_core.chains.intent import Execution, Intent
from oms_core.chains.trie import transactions_root
from oms_core.errors import Malformed, Reason, Refused, Unavailable

_AT_ONCE = 16  # calls of a node
_KNOWN = ("already known", "already imported", "alreadyknown", "known transaction")


@dataclass(frozen=True, slots=True)
class Block:
    """The block of a transaction: its header (RLP), all that is in it as it was sent, and which one of it is meant."""

    header: bytes
    transactions: tuple[bytes, ...]
    index: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A mined transaction: its block, whether it succeeded, and how deep it is (1 in the newest block)."""

    block: int
    block_hash: str
    succeeded: bool
    depth: int


@contextmanager
def _proper(what: str) -> Iterator[None]:
    """A node that shows something else than it should is as good as none. Raises `Unavailable` (CHAIN_UNAVAILABLE)."""
    try:
        yield
    except (Malformed, ValueError, TypeError, LookupError) as error:
        text = error.message if isinstance(error, Malformed) else type(error).__name__
        raise Unavailable(f"the node shows no proper {what}: {text}", Reason.CHAIN_UNAVAILABLE) from None


def any_execution(intent: Intent) -> Execution:
    """The cheapest execution within the bounds: shows whether an intent can be derived at all, and what it sends."""
    return Execution(2, 0, intent.bounds.gas_limit_cap, 0, 0, ())


class EvmChain:
    """One chain through its nodes."""

    def __init__(self, name: str, rpc: Rpc) -> None:
        self.name, self._rpc = name, rpc

    async def check(self) -> int:
        """The newest block number. Raises `Unavailable` if the node is of another chain, or away."""
        if await self._rpc.number("eth_chainId") != chain_id(self.name):
            raise Unavailable(f"the node does not serve {self.name}", Reason.CHAIN_UNAVAILABLE)
        return await self._rpc.number("eth_blockNumber")

    async def next_nonce(self, account: bytes) -> int:
        """The account's next nonce, pending transactions counted."""
        return await self._rpc.number("eth_getTransactionCount", to_checksum(account), "pending")

    async def execution(self, intent: Intent, account: bytes, nonce: int) -> Execution:
        """Gas and fees for an intent, within its bounds. Raises `Refused` (FEE_EXCEEDED, INSUFFICIENT_FUNDS)."""
        await self.check()
        shape = derive(intent, any_execution(intent))
        gas = await self._gas(shape, account, intent.bounds.gas_limit_cap)
        base, tip = await self._base_fee(), await self._rpc.number("eth_maxPriorityFeePerGas")
        ceiling = intent.bounds.max_fee_total // gas
        if base + tip > ceiling:
            raise Refused(f"the network asks {(base + tip) * gas} wei of fee now", Reason.FEE_EXCEEDED)
        fee = min(2 * base + tip, ceiling)
        balance = await self._rpc.number("eth_getBalance", to_checksum(account), "pending")
        if balance < shape.value + gas * fee:
            raise Refused(f"the wallet holds {balance} wei, too little", Reason.INSUFFICIENT_FUNDS)
        return Execution(2, nonce, gas, fee, min(tip, fee), ())

    async def sendable(self, execution: Execution, nonce: int) -> bool:
        """Whether what was chosen before can be sent with this nonce, and the next block would take its fees."""
        return execution.nonce == nonce and execution.max_fee_per_gas >= await self._base_fee()

    async def _base_fee(self) -> int:
        """What the newest block asks for a unit of gas, in wei."""
        block = await self._rpc.call("eth_getBlockByNumber", "latest", False)
        with _proper("block"):
            return int(block["baseFeePerGas"], 16)

    async def _gas(self, shape: UnsignedTransaction, account: bytes, cap: int) -> int:
        call = {"from": to_checksum(account), "value": hex(shape.value), "data": "0x" + shape.data.hex()}
        if shape.to:
            call["to"] = to_checksum(shape.to)
        try:
            estimate = await self._rpc.number("eth_estimateGas", call)
        except RpcError as error:
            if "insufficient" in error.message.lower():
                raise Refused("the wallet holds too little", Reason.INSUFFICIENT_FUNDS) from None
            raise Refused(f"the transaction would fail: {error.message}", Reason.FAILED_ON_CHAIN) from None
        gas = TRANSFER_GAS if estimate == TRANSFER_GAS else estimate * 5 // 4
        if gas > cap:
            raise Refused(f"the transaction needs {gas} gas, and {cap} are allowed", Reason.FEE_EXCEEDED)
        return gas

    async def broadcast(self, raw: bytes) -> str:
        """Send identical bytes as often as one likes. Raises `RpcError`, `Unavailable`."""
        expected = "0x" + transaction_hash(raw).hex()
        try:
            answered = await self._rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
        except RpcError as error:
            known = any(word in error.message.lower() for word in _KNOWN)
            if known or await self._rpc.call("eth_getTransactionByHash", expected) is not None:
                return expected
            raise
        if answered != expected:
            raise Malformed("the node names another transaction hash than ours")
        return expected

    async def standing(self, tx_hash: str) -> Standing | None:
        """Where a transaction stands; None while it is in no block."""
        receipt = await self._rpc.call("eth_getTransactionReceipt", tx_hash)
        if receipt is None:
            return None
        newest = await self._rpc.number("eth_blockNumber")
        with _proper("receipt"):
            block = int(receipt["blockNumber"], 16)
            return Standing(block, str(receipt["blockHash"]), receipt["status"] == "0x1", newest - block + 1)

    async def balance(self, account: bytes) -> int:
        """What the account holds in wei, pending transactions counted."""
        return await self._rpc.number("eth_getBalance", to_checksum(account), "pending")

    async def block_of(self, tx_hash: str) -> Block | None:
        """The block that holds a transaction, whole; None while there is none. Raises `Unavailable`, `RpcError`.

        geth and anvil both serve ``eth_getRawTransactionByBlockHashAndIndex``; anvil no ``debug_getRawTransactions``.
        What comes is held against the header, and the header against its hash.
        """
        receipt = await self._rpc.call("eth_getTransactionReceipt", tx_hash)
        if receipt is None:
            return None
        with _proper("receipt"):
            place, index = receipt["blockHash"], int(receipt["transactionIndex"], 16)
        block = await self._rpc.call("eth_getBlockByHash", place, False)
        if block is None:
            return None
        with _proper("block"):
            header = header_of(block)
            raws = await self._transactions(place, len(block["transactions"]))
            found = Block(header, raws, index)
            same = transactions_root(raws) == read_header(header).transactions_root
            if not same or "0x" + transaction_hash(raws[found.index]).hex() != tx_hash:
                raise Malformed("the block's transactions are not those of its header")
            return found

    async def _transactions(self, block_hash: str, count: int) -> tuple[bytes, ...]:
        few = asyncio.Semaphore(_AT_ONCE)

        async def fetch(index: int) -> bytes:
            async with few:
                raw = await self._rpc.call("eth_getRawTransactionByBlockHashAndIndex", block_hash, hex(index))
            if not isinstance(raw, str):
                raise Malformed("a transaction is missing")
            return bytes.fromhex(raw.removeprefix("0x"))

        return tuple(await asyncio.gather(*(fetch(index) for index in range(count))))
