"""Anchoring over a real database, with a desk, a chain and a log that do as a test wants."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.anchorbook import AnchorBook
from coordinator.anchoring import Anchoring
from coordinator.calls import Call
from coordinator.chain.evm import Block
from coordinator.config import Anchoring as Settings
from coordinator.database import open_database
from coordinator.standing import Standing
from coordinator.store import Store
from oms.signer import ProposalSigner
from oms_core.chains import intent as intents
from oms_core.chains.intent import Intent, Proposal, subject_digest
from oms_core.chains.trie import transactions_root
from oms_core.encoding import encode
from oms_core.errors import CountersealError, NotFound, Reason, Refused
from oms_core.lifecycle import State
from oms_core.log.note import Checkpoint, Note, cosignature, cosignature_message, log_message, log_signature, write_note
from oms_core.log.roster import log_verifier, witness_verifiers
from oms_core.workspace import Workspace
from tests.people import witness_key, workspace
from tests.unit.chains.world import contract
from tests.unit.log.anchors import ACCOUNT, CHAIN, CONTRACT, OTHERS, header, signed

NAME = f"eip155:{CHAIN}"
WAY = (State.SUBMITTED, State.APPROVED, State.SIGNING, State.SIGNED, State.BROADCAST, State.MINED, State.CONFIRMED)


def with_contract() -> Workspace:
    """The tests' workspace, with an anchor contract in its registry."""
    entry = contract("log-anchor", CONTRACT, ("anchor(bytes32,uint64)",))
    return replace(workspace(), contracts=(replace(entry, chain=NAME),))


def checkpoint(size: int, *witnesses: int, forged: int = 0) -> bytes:
    """A checkpoint of this size that these witnesses have cosigned, one of them perhaps badly."""
    here = workspace()
    body = Checkpoint(here.log.origin, size, hashlib.sha256(str(size).encode()).digest()).body()
    lines = [log_signature(log_verifier(here), witness_key(0).sign(log_message(body)))]
    for index in witnesses:
        signature = witness_key(index).sign(cosignature_message(body, 1_790_000_000))
        signature = bytes(64) if index == forged else signature
        lines.append(cosignature(witness_verifiers(here)[index], 1_790_000_000, signature))
    return write_note(Note(body, tuple(lines))).encode()


class Anchorage:
    """What anchoring needs, and a hand on each part."""

    def __init__(self, engine: AsyncEngine, root: Path, **settings: int) -> None:
        self.engine, self.store, self.book = engine, Store(engine), AnchorBook(engine)
        self.signer = ProposalSigner.create(root / "anchor.pem", "anchor-1")
        self.settings = Settings("wal_anchor", "log-anchor", "anchor", root / "anchor.pem", "anchor-1", **settings)
        self.note, self.size = checkpoint(7, 1, 2, 3, 4), 7
        self.coins, self.wallet, self.asked = 10**18, True, 0
        self.refusal: CountersealError | None = None
        self.submitted: list[Proposal] = []
        self.begun: list[str] = []
        self.blocks: dict[str, Block] = {}
        self.standing = Standing(with_contract())

    @classmethod
    async def start(cls, root: Path, **settings: int) -> Anchorage:
        return cls(await open_database(f"sqlite:///{root / 'a.sqlite'}"), root, **settings)

    def anchoring(self) -> Anchoring:
        """As after a start of the coordinator."""
        wallets: Any = SimpleNamespace(active=self._active, account=self._account)
        chain: Any = SimpleNamespace(name=NAME, balance=self._balance, block_of=self._block)
        return Anchoring(self.settings, self.book, self.store, self.standing, wallets, self, chain, self, self._begin)

    # The log, the desk, the wallets and the chain

    async def newest(self, wanted: int) -> tuple[bytes, int, int]:
        self.asked += 1
        return self.note, self.size, 4

    async def submit(self, order_id: str, proposal: Proposal, call: Call) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.submitted.append(proposal)
        subject = proposal.subject
        assert isinstance(subject, Intent)
        order = {"order_id": order_id, "wallet_id": subject.wallet_id, "proposal": encode(proposal)}
        await self.store.add_order({**order, "subject": subject_digest(subject)}, call)

    async def _begin(self, kind: str, order_id: str) -> None:
        assert kind == "order"
        self.begun.append(order_id)

    async def _active(self, wallet_id: str) -> None:
        if not self.wallet:
            raise NotFound(f"no wallet {wallet_id!r}", Reason.UNKNOWN_WALLET)

    async def _account(self, wallet_id: str, path: tuple[int, ...] = ()) -> bytes:
        return ACCOUNT

    async def _balance(self, account: bytes) -> int:
        return self.coins

    async def _block(self, tx_hash: str) -> Block | None:
        return self.blocks.get(tx_hash)

    # What happens to the order

    async def order(self) -> str:
        """The order under way."""
        row = await self.book.newest()
        assert row is not None
        return str(row["order_id"])

    async def confirmed(self, raw: bytes = b"") -> None:
        """The order goes its way, and is in a block with others."""
        order_id, intent = await self.order(), self.submitted[-1].subject
        assert isinstance(intent, Intent)
        assert isinstance(intent.action, intents.Call)
        for was, to in pairwise(WAY):
            await self.store.move(order_id, was, to, **({"hash": f"0x{order_id}"} if to is State.SIGNED else {}))
        transactions = (*OTHERS[:9], raw or signed(intent.action.data))
        self.blocks[f"0x{order_id}"] = Block(header(transactions_root(transactions)), transactions, 9)

    async def rejected(self) -> None:
        """The rules say no."""
        values = {"reason": Reason.LIMIT_EXCEEDED, "detail": "too many"}
        await self.store.move(await self.order(), State.SUBMITTED, State.REJECTED, **values)

    async def state(self) -> tuple[str, str]:
        """Of the newest anchor, and why."""
        row = await self.book.newest()
        assert row is not None
        return row["state"], row["reason"]


def later(minutes: int) -> Any:
    """A clock that is ahead."""
    return SimpleNamespace(time=lambda: time.time() + 60 * minutes)


NO = Refused("no", Reason.NO_PERMIT)
