"""What the desk needs of an EVM chain: fees, nonce, broadcast, and where a transaction stands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from coordinator.chain.fates import Fate, Said, weigh
from coordinator.chain.nodes import Standing as Standing
from coordinator.chain.nodes import everywhere, name_of, offer, overtaken, proper, standing
from coordinator.chain.rpc import Rpc, RpcError
from oms_core.chains.evm import (
    TRANSFER_GAS,
    UnsignedTransaction,
    chain_id,
    decode_signed,
    derive,
    sender,
    to_checksum,
    transaction_hash,
)
from oms_core.chains.header import header_of, read_header
from oms_core.chains.intent import Execution, Intent
from oms_core.chains.trie import transactions_root
from oms_core.errors import Malformed, Reason, Refused, Unavailable

_AT_ONCE = 16  # calls of a node


@dataclass(frozen=True, slots=True)
class Block:
    """The block of a transaction: its header (RLP), all that is in it as it was sent, and which one of it is meant."""

    header: bytes
    transactions: tuple[bytes, ...]
    index: int


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
        return await self._rpc.count("eth_blockNumber")

    async def next_nonce(self, account: bytes) -> int:
        """The account's next nonce, pending transactions counted."""
        return await self._rpc.count("eth_getTransactionCount", to_checksum(account), "pending")

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
        with proper("block"):
            base = int(block["baseFeePerGas"], 16)
            if base < 0:
                raise Malformed("less than no fee")
            return base

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
        if estimate < TRANSFER_GAS:
            raise Unavailable(f"{estimate} gas is no estimate of a transaction", Reason.CHAIN_UNAVAILABLE)
        gas = TRANSFER_GAS if estimate == TRANSFER_GAS else estimate * 5 // 4
        if gas > cap:
            raise Refused(f"the transaction needs {gas} gas, and {cap} are allowed", Reason.FEE_EXCEEDED)
        return gas

    async def send(self, raw: bytes, depth: int) -> Said:
        """Show signed bytes to all nodes, which may have them already, and say what becomes of them.

        Never `Fate.USED`: where their nonce is used, and not by them, they stay what they are once that is ``depth``
        blocks deep, and may still be found until then.
        """
        said = weigh(await asyncio.gather(*(offer(node, raw, chain_id(self.name)) for node in self._rpc.apart())))
        return said if said.fate is not Fate.USED else await self._used(raw, depth)

    async def _used(self, raw: bytes, depth: int) -> Said:
        nonce, account = decode_signed(raw)[0].nonce, to_checksum(sender(raw))
        words = f"nonce {nonce} of {account} is used on the chain"
        try:
            shown = await everywhere(self._rpc, lambda node: overtaken(node, account, nonce, name_of(raw), depth))
        except Unavailable as error:
            return Said(Fate.PASSES, Reason.NONCE_CONFLICT, f"{words}, by what is not known: {error.message}")
        if all(shown) and len(shown) == len(self._rpc.apart()):
            return Said(
                Fate.STAYS, Reason.NONCE_CONFLICT, f"{words}, and not by these bytes: look by what, it may be paid"
            )
        whoever = "not all nodes show" if any(shown) else "no node shows"
        return Said(Fate.PASSES, Reason.NONCE_CONFLICT, f"{words}, and {whoever} by what yet")

    async def standing(self, tx_hash: str) -> Standing | None:
        """Where a transaction stands, as deep as all say; None while no node that answers knows a block of it.

        Raises `Unavailable` while none answers properly, or two name different blocks or ends; and while not all say
        that it was reverted, of which some do: what is said to be unpaid may be paid again.
        """
        shown = await everywhere(self._rpc, lambda node: standing(node, tx_hash))
        found = [one for one in shown if one is not None]
        if len({(one.block_hash, one.succeeded) for one in found}) > 1:
            places = " and ".join(sorted({f"{one.block} {one.block_hash}" for one in found}))
            raise Unavailable(f"nodes do not agree where it stands: {places}", Reason.CHAIN_UNAVAILABLE)
        if found and not found[0].succeeded and len(found) < (asked := len(self._rpc.apart())):
            text = f"{len(found)} of {asked} nodes show that the chain reverted it, in block {found[0].block}"
            raise Unavailable(text, Reason.CHAIN_UNAVAILABLE)
        return min(found, key=lambda one: one.depth, default=None)  # one that counts wrongly confirms nothing too early

    async def pending(self, raw: bytes) -> Said:
        """What keeps bytes out of a block that nodes have taken, as far as the chain shows it.

        Raises `Unavailable`, `RpcError`.
        """
        tx, account = decode_signed(raw)[0], to_checksum(sender(raw))
        following = await self._rpc.count("eth_getTransactionCount", account, "latest")
        if following < tx.nonce:
            text = f"in no block yet: its nonce is {tx.nonce}, and the next of its account is {following}"
            return Said(Fate.PASSES, Reason.NONCE_CONFLICT, text)
        if tx.max_fee_per_gas < await self._base_fee():
            text = f"in no block yet: the newest asks for more than the {tx.max_fee_per_gas} wei a unit of gas it pays"
            return Said(Fate.PASSES, Reason.FEE_EXCEEDED, text)
        return Said(Fate.PASSES, Reason.NOT_MINED, "in no block yet, and no node refuses it")

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
        with proper("receipt"):
            place, index = receipt["blockHash"], int(receipt["transactionIndex"], 16)
        block = await self._rpc.call("eth_getBlockByHash", place, False)
        if block is None:
            return None
        with proper("block"):
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
