"""From the signature to the end that the chain shows: SIGNED, BROADCAST, MINED, CONFIRMED.

Signed bytes are good for whoever has them, so what is done with them is this alone: they are shown to nodes, the same
bytes, until the chain shows them in a block that is deep enough. What a node says against them is shown to people, and
waited out; the end comes by what stands in the chain, or where all nodes say that no block can ever hold them.
"""

from __future__ import annotations

import time

from sqlalchemy import RowMapping

from coordinator.chain.evm import EvmChain, Standing
from coordinator.chain.fates import Fate, Said
from coordinator.chain.rpc import RpcError
from coordinator.orders import RETRY, Orders, intent_of
from oms_core.chains.evm import is_message
from oms_core.errors import Reason, Unavailable
from oms_core.lifecycle import State

LONGEST_PAUSE = 30.0  # seconds
LATE = 60.0  # seconds in BROADCAST until people are told what keeps an order out of a block
LOOK = 0.25  # seconds between looks how deep a block is
_PLACE = "in block "


class Pauses:
    """Longer each time, until something has changed."""

    def __init__(self) -> None:
        self._next, self._due = RETRY, 0.0

    def take(self) -> float:
        """How long to wait now, in seconds."""
        pause, self._next = self._next, min(2 * self._next, LONGEST_PAUSE)
        self._due = time.monotonic() + pause
        return pause

    @property
    def over(self) -> bool:
        """Whether the last one is over."""
        return time.monotonic() >= self._due


class Sending(Orders):
    """The last steps of an order's way. Run again after a crash, they look first, and send the same bytes."""

    _chain: EvmChain
    _depth: int

    async def broadcast(self, order_id: str) -> None:
        """SIGNED → BROADCAST: the same bytes, as often as it takes. A message has reached its end when it is signed."""
        pauses = Pauses()
        while (row := await self._store.order(order_id))["state"] == State.SIGNED:
            if is_message(intent_of(row)):
                await self._move(order_id, State.SIGNED, State.CONFIRMED, "a message goes to no chain")
                return
            await self._store.sending(order_id)
            said = await self._chain.send(row["raw"], self._depth)
            if said.fate is Fate.DONE:
                await self._move(order_id, State.SIGNED, State.BROADCAST)
            elif said.fate is Fate.STAYS:
                await self._end(row, State.QUARANTINED, Reason(said.reason), said.words)
            else:
                await self._tell(row, said.reason, said.words)
                await self._news.wait(order_id, pauses.take())

    async def confirm(self, order_id: str) -> None:
        """BROADCAST → MINED → CONFIRMED, and back when a reorganisation takes the block away."""
        sends, looks, turns = Pauses(), Pauses(), Pauses()
        while (row := await self._store.order(order_id))["state"] in (State.BROADCAST, State.MINED):
            try:
                standing = await self._chain.standing(row["hash"])
            except Unavailable as error:
                await self._tell(row, error.reason, error.message)
                await self._news.wait(order_id, looks.take())
                continue
            looks = Pauses()
            if row["state"] == State.MINED:
                if not await self._mined(row, standing):
                    await self._news.wait(order_id, turns.take())  # it may come and go: each turn is written down
                sends = Pauses()
            elif standing is not None:
                await self._move(order_id, State.BROADCAST, State.MINED, _place(standing), block_number=standing.block)
            else:
                if sends.over:
                    sends.take()
                    await self._send_again(row)
                await self._news.wait(order_id, RETRY)

    async def _send_again(self, row: RowMapping) -> None:
        """What a pool may have dropped. It was taken once: only the chain says that it will never be mined."""
        said = await self._chain.send(row["raw"], self._depth)
        if said.fate is Fate.STAYS and said.reason == Reason.NONCE_CONFLICT:
            await self._end(row, State.QUARANTINED, Reason.NONCE_CONFLICT, said.words)
            return
        if said.fate is Fate.DONE:
            said = await self._late(row, said)
        await self._tell(row, said.reason, said.words)

    async def _late(self, row: RowMapping, said: Said) -> Said:
        """What keeps it out of a block, once it should be in one."""
        stages = await self._store.stages(row["order_id"])
        since = max((one["at"] for one in stages if one["state"] == State.BROADCAST), default=0.0)
        if time.time() < since + LATE:
            return said
        try:
            return await self._chain.pending(row["raw"])
        except (Unavailable, RpcError) as error:  # a node's own no to a question is about the node
            return Said(Fate.PASSES, Reason.CHAIN_UNAVAILABLE, error.message)

    async def _mined(self, row: RowMapping, standing: Standing | None) -> bool:
        """What was in a block: deep enough or not yet; false if it is there no more, as after a reorganisation."""
        order_id, was = row["order_id"], await self._place_of(row["order_id"])
        if standing is None or was not in ("", _place(standing)):
            gone = f"no more {was}" if was else "its block is gone"
            await self._move(order_id, State.MINED, State.BROADCAST, gone, block_number=0, confirmations=0)
            return False
        if standing.depth < self._depth:
            await self._tell(row, "", "", confirmations=max(standing.depth, 0))
            await self._news.wait(order_id, LOOK)
        elif standing.succeeded:
            values = {"confirmations": standing.depth, "block_number": standing.block}
            await self._move(order_id, State.MINED, State.CONFIRMED, _place(standing), **values)
        else:
            await self._end(row, State.FAILED_ON_CHAIN, Reason.FAILED_ON_CHAIN, "the chain reverted it")
        return True

    async def _place_of(self, order_id: str) -> str:
        """The block in which it was found last, as its way says; empty if that does not."""
        notes = [one["note"] for one in await self._store.stages(order_id) if one["state"] == State.MINED]
        return str(notes[-1]) if notes and notes[-1].startswith(_PLACE) else ""

    async def _tell(self, row: RowMapping, reason: str, text: str, **values: int) -> None:
        """Show what it waits for, where that is something else than is shown."""
        said = {"reason": str(reason), "detail": text[:500], **values}
        if any(row[name] != value for name, value in said.items()):
            await self._store.note(row["order_id"], **said)
            self._news.ring(row["order_id"])


def _place(standing: Standing) -> str:
    return f"{_PLACE}{standing.block} {standing.block_hash}"
