"""Anchors the log's checkpoints: in the background, one at a time, by orders that go the way of all orders.

A service with a proposal key of its own asks for a call of the anchor contract. Rules let it do this and nothing else,
cosigners decide on it as on any order, and whoever has stolen its key can waste some gas.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
from sqlalchemy import RowMapping

from coordinator.anchorbook import AnchorBook, AnchorState
from coordinator.calls import Call
from coordinator.chain.evm import EvmChain
from coordinator.config import Anchoring as Settings
from coordinator.ids import ORDER, new_id
from coordinator.pausing import rest
from coordinator.standing import Standing, Stands
from coordinator.store import Store
from coordinator.wallets import Wallets
from oms_core.chains import intent as intents
from oms_core.chains.intent import Bounds, Intent, Proposal
from oms_core.chains.trie import prove_transaction
from oms_core.crypto import p256
from oms_core.encoding import decode, encode
from oms_core.errors import (
    Conflict,
    CountersealError,
    LocalError,
    Malformed,
    NotFound,
    ProofInvalid,
    Reason,
    Refused,
    Unavailable,
)
from oms_core.lifecycle import TERMINAL, State
from oms_core.log.anchor import AnchorReceipt, anchor_call, verify_anchor
from oms_core.log.note import cosignatures, read_note, verify_log
from oms_core.log.ots import ots_of
from oms_core.log.quorum import degraded
from oms_core.log.roster import log_verifier, witness_verifiers
from oms_core.proposals import sign_proposal
from oms_core.workspace import ContractEntry, Workspace

log = structlog.get_logger()

PAUSE = 2.0  # seconds between looks
LIFE = 3600  # seconds until an order to anchor expires
MAX_FEE = 10**16  # wei
GAS_CAP = 60_000  # more than twice what it takes


class Checkpoints(Protocol):
    """Where checkpoints are from."""

    async def newest(self, wanted: int) -> tuple[bytes, int, int]:
        """The newest note with so many cosignatures, its size, and how many it has; one with fewer if none has."""


class Submits(Protocol):
    """What takes orders on."""

    async def submit(self, order_id: str, proposal: Proposal, call: Call) -> None:
        """Take a new order on, or raise."""


class Anchoring(Stands):
    """The anchor under way, if there is one, and when the next one is due."""

    def __init__(
        self,
        settings: Settings,
        book: AnchorBook,
        store: Store,
        standing: Standing,
        wallets: Wallets,
        desk: Submits,
        chain: EvmChain,
        checkpoints: Checkpoints,
        begin: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """``begin`` starts the way of an order. Raises `LocalError` (CONFIG_INVALID) for a key that cannot be read."""
        self._settings, self._book, self._store, self._standing = settings, book, store, standing
        self._wallets, self._desk, self._chain, self._checkpoints = wallets, desk, chain, checkpoints
        self._begin, self._sign, self._said = begin, _signer(settings), ""

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            try:
                await self.step()
            except CountersealError as error:
                self._say(f"{error.reason}: {error.message}")
            except Exception as error:
                log.exception("anchoring failed", kind=type(error).__name__)
            await rest(PAUSE, stop)

    async def step(self) -> None:
        """Follow the anchor that is under way, or propose one that is due."""
        if (row := await self._book.newest(AnchorState.PROPOSED)) is not None:
            await self._follow(row)
        elif (found := await self._found()) is not None and await self._due(found[1]):
            await self._propose(*found)

    async def _found(self) -> tuple[str, int] | None:
        """The newest checkpoint that at least one honest witness has cosigned, and its size."""
        wanted = degraded(len(self._workspace.roster))
        data, size, _ = await self._checkpoints.newest(wanted)
        note = read_note(data)
        try:
            verify_log(note, log_verifier(self._workspace))
            seen = cosignatures(note, list(witness_verifiers(self._workspace).values()))
        except ProofInvalid as error:
            self._say(error.message)
            return None
        if not size or len(seen) < wanted:
            self._say(f"{len(seen)} witnesses have cosigned the log's newest checkpoint, and it takes {wanted}")
            return None
        return data.decode(), size

    async def _due(self, size: int) -> bool:
        now, pause = time.time(), 60 * self._settings.minutes
        tried, held = await self._book.newest(), await self._book.newest(AnchorState.ANCHORED)
        if tried is not None and tried["state"] == AnchorState.FAILED and now < tried["created_at"] + pause:
            return False
        if held is None:
            return True
        more, old = size - int(held["size"]), now >= float(held["created_at"]) + pause
        if more < 0:
            self._say(
                f"the log has {size} entries, and {held['size']} are anchored: it was put back, or is another one"
            )
        return more >= self._settings.entries or (more > 0 and old)

    async def _propose(self, note: str, size: int) -> None:
        try:
            await self._wallets.active(self._settings.wallet)
        except (NotFound, Refused) as error:
            self._say(error.message)
            return
        held = await self._chain.balance(await self._wallets.account(self._settings.wallet))
        if held < MAX_FEE:
            self._say(f"the anchor wallet holds {held} wei, and a fee may be {MAX_FEE}")
            return
        proposal, order_id = self._proposal(note, size), new_id(ORDER)
        if await self._book.add(order_id, size, note, encode(proposal)):
            log.info("anchor", order=order_id, size=size, state=str(AnchorState.PROPOSED))
            await self._submit(order_id, proposal)

    def _proposal(self, note: str, size: int) -> Proposal:
        now, settings = int(time.time()), self._settings
        intent = Intent(
            intent_id=f"int_{secrets.token_hex(13)}",
            wallet_id=settings.wallet,
            path=(),
            chain=self._chain.name,
            action=intents.Call(_contract(self._workspace, settings.contract, self._chain.name), 0, anchor_call(note)),
            bounds=Bounds(MAX_FEE, GAS_CAP),
            initiator=settings.user,
            purpose=f"anchor the log at {size} entries",
            valid_from=now,
            valid_until=now + LIFE,
        )
        return sign_proposal(intent, settings.key_id, self._sign)

    async def _submit(self, order_id: str, proposal: Proposal) -> None:
        """As a front end does, under a request id of its own."""
        call = Call(f"anchor-{order_id}", "SubmitIntent", encode(proposal))
        try:
            if not await self._store.known(call):
                await self._desk.submit(order_id, proposal, call)
        except Unavailable:
            raise
        except Conflict:  # another replica was faster
            log.info("anchor", order=order_id, detail="submitted elsewhere")
        except CountersealError as error:
            await self._fail(order_id, error)
            return
        await self._begin("order", order_id)

    async def _follow(self, row: RowMapping) -> None:
        """Take the order on if a crash came before that; make the receipt once it is confirmed."""
        order_id = row["order_id"]
        try:
            order = await self._store.order(order_id)
        except NotFound:
            await self._submit(order_id, decode(Proposal, row["proposal"]))
            return
        state = State(order["state"])
        if state is State.SUBMITTED:
            await self._begin("order", order_id)
        elif state is State.CONFIRMED:
            await self._confirmed(row, order)
        elif state in TERMINAL:
            reason = Reason(order["reason"]) if order["reason"] else Reason.INTERNAL
            await self._fail(order_id, Refused(f"the order is {state}: {order['detail']}", reason))

    async def _confirmed(self, row: RowMapping, order: RowMapping) -> None:
        """Make the receipt; what no receipt can be made of does not stand in the way of the next anchor for ever."""
        try:
            await self._receipt(row, order)
        except CountersealError as error:
            if time.time() < row["created_at"] + 2 * LIFE:
                raise
            await self._fail(row["order_id"], error)

    async def _receipt(self, row: RowMapping, order: RowMapping) -> None:
        block = await self._chain.block_of(order["hash"])
        if block is None:
            raise Unavailable(f"no block holds {order['hash']}", Reason.CHAIN_UNAVAILABLE)
        intent = decode(Proposal, row["proposal"]).subject
        assert isinstance(intent, Intent)
        assert isinstance(intent.action, intents.Call)
        proof = prove_transaction(block.transactions, block.index)
        receipt = AnchorReceipt(row["checkpoint"], self._chain.name, block.header, block.index, proof)
        account = await self._wallets.account(intent.wallet_id, intent.path)
        shown = verify_anchor(receipt, account, intent.action.to, None)
        order_id = row["order_id"]
        await self._book.anchored(order_id, encode(receipt), ots_of(receipt), shown.block, shown.timestamp)
        log.info("anchor", order=order_id, size=shown.size, state=str(AnchorState.ANCHORED), block=shown.block)

    async def _fail(self, order_id: str, error: CountersealError) -> None:
        await self._book.failed(order_id, error)
        log.warning("anchor", order=order_id, state=str(AnchorState.FAILED), reason=error.reason, detail=error.message)

    def _say(self, text: str) -> None:
        """What is waited for, once."""
        if text != self._said:
            self._said = text
            log.info("no anchor yet", detail=text)


def _contract(workspace: Workspace, entry_id: str, chain: str) -> bytes:
    """The account of a contract in the registry. Raises `NotFound`."""
    found: list[ContractEntry] = [e for e in workspace.contracts if (e.entry_id, e.chain) == (entry_id, chain)]
    if not found:
        raise NotFound(f"no contract {entry_id[:64]!r} in the registry", Reason.BAD_ADDRESS)
    return found[0].address


def _signer(settings: Settings) -> Callable[[bytes], bytes]:
    try:
        return p256.signer(settings.key.read_bytes())
    except (OSError, Malformed):
        text = f"anchoring.key: {settings.key.name} is not a readable proposal key"
        raise LocalError(text, Reason.CONFIG_INVALID) from None
