"""Changes of a wallet's key over a real database, with cosigners that answer as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.approving import Approving
from coordinator.authorizing import Authorizing
from coordinator.calls import Call
from coordinator.cosigners import Cosigners
from coordinator.database import open_database
from coordinator.key_changes import RUNNING, KeyChanges
from coordinator.keybook import KeyBook
from coordinator.news import News
from coordinator.outcomes import Outcomes
from coordinator.preflight import Preflight
from coordinator.standing import Standing
from coordinator.store import Store
from coordinator.wallets import Confirmations, Wallets
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import Reason, Unavailable
from oms_core.evidence import EpochCertificate
from oms_core.keys import LEADS_TO, ChangeKey, KeyReceipt, SignedKeyReceipt
from oms_core.log.cover import Mode
from oms_core.protocol.shares import SignedConfirmation
from oms_core.workspace import Workspace
from proto import cosigner_pb2 as pb
from tests.parties import identity
from tests.people import NOW, approve, change_request, propose, wish, workspace
from tests.unit.coordinator.vouching import Vouching
from tests.unit.cosigner.epochs import certificate, originals
from tests.unit.cosigner.node import KEY_ID

ALL = (1, 2, 3, 4, 5)
Answer = Callable[[pb.ToCosigner], pb.FromCosigner]


class Link:
    """An attached cosigner; ``answer`` says what it answers."""

    def __init__(self, index: int, answer: Answer) -> None:
        self.index, self.answer = index, answer
        self.closed, self.latency, self.workspace = False, 0.0, b""
        self.told: list[pb.ToCosigner] = []

    async def ask(self, request: pb.ToCosigner, seconds: float) -> pb.FromCosigner:
        """What a link does. Raises `Unavailable`."""
        self.told.append(request)
        if self.closed:
            raise Unavailable(f"cosigner {self.index} does not answer", Reason.PEER_UNREACHABLE)
        return self.answer(request)


def failed(reason: Reason) -> Answer:
    """Always this failure."""
    return lambda _: pb.FromCosigner(failed=pb.Failed(reason=reason, detail="no"))


def receipt(index: int, wanted: ChangeKey, signer: int = 0, **changes: Any) -> bytes:
    """That the node has carried out a wish; signed by it, or by another."""
    made = KeyReceipt("wal_1", KEY_ID, 0, LEADS_TO[wanted.change], subject_digest(wanted), index, NOW)
    made = replace(made, **changes)
    return encode(SignedKeyReceipt(made, identity(signer or index).sign("key-receipt", encode(made))))


def with_receipt(data: bytes) -> Answer:
    """Always this receipt; none if it is empty."""
    return lambda _: pb.FromCosigner(key_changed=pb.KeyChanged(receipts=[data] if data else []))


def with_certificates(*documents: bytes) -> Answer:
    """These certificates; else it has done what it is told."""

    def answer(request: pb.ToCosigner) -> pb.FromCosigner:
        if request.WhichOneof("body") == "get_certificates":
            return pb.FromCosigner(certificates=pb.Certificates(documents=list(documents)))
        return pb.FromCosigner(key_changed=pb.KeyChanged())

    return answer


def document(words: tuple[bytes, ...], wanted: ChangeKey, *approvers: str) -> bytes:
    """A certificate as a node keeps it."""
    request = change_request(wanted, *(approve(wanted, name) for name in approvers))
    return encode(EpochCertificate(tuple(decode(SignedConfirmation, one) for one in words), request))


class Desk:
    """Everything that changes keys, with the tests' key as the one of wal_1, active."""

    def __init__(self, engine: AsyncEngine, made: Workspace | None = None) -> None:
        self.engine, self.store, self.book = engine, Store(engine), KeyBook(engine)
        self.standing = Standing(made or workspace())
        self.cosigners, self.news = Cosigners(self.standing), News()
        self.preflight = Preflight(self.store, self.standing, self.cosigners)
        self.vouching: Any = Vouching()
        self.authorizing = Authorizing(engine, self.standing, self.vouching)
        exactly = lambda: self.vouching.mode() is Mode.DEGRADED  # noqa: E731 - as the server has it
        self.approving = Approving(self.store, self.standing, self.preflight, 1000, exactly)
        outcomes = Outcomes(self.book, self.cosigners)
        parts: tuple[Any, ...] = (self.approving, outcomes, self.authorizing, self.news)
        self.wallets = Wallets(self.store, self.standing, self.cosigners, *parts)
        parts = (self.wallets, *parts)
        self.changes = KeyChanges(self.book, self.store, self.standing, self.cosigners, *parts)

    @classmethod
    async def open(cls, root: Path, made: Workspace | None = None) -> Desk:
        """On a fresh database, under the tests' workspace or another."""
        desk = cls(await open_database(f"sqlite:///{root / 'desk.sqlite'}"), made)
        await desk.add_wallet()
        return desk

    async def add_wallet(self) -> None:
        """The tests' key, as all have confirmed it."""
        wanted = wish()
        call = Call("wallet", "CreateWallet", b"")
        await self.store.add_wallet("wal_1", "ACTIVE", encode(propose(wanted)), subject_digest(wanted), 3, call)
        signed = tuple(decode(SignedConfirmation, one) for one in certificate(originals()))
        await self.store.note_wallet("wal_1", confirmations=encode(Confirmations(signed)))

    def attach(self, answers: dict[int, Answer]) -> dict[int, Link]:
        """Cosigners that answer so; no others are attached."""
        links = {i: Link(i, answer) for i, answer in answers.items()}
        for link in links.values():
            link.workspace = self.standing.digest
        self.cosigners._links = links  # type: ignore[assignment]
        return links

    async def submitted(self, wanted: ChangeKey, **values: Any) -> str:
        """A change that is approved, up to where all are told."""
        row = {"change_id": "chg_1", "wallet_id": "wal_1", "state": RUNNING, "subject": subject_digest(wanted)}
        call = Call("change", "SubmitKeyChange", b"")
        await self.book.add_change({**row, "proposal": encode(propose(wanted)), **values}, call)
        await self.changes.deal("chg_1")
        return "chg_1"

    async def owed(self) -> dict[int, list[pb.ToCosigner]]:
        """What each cosigner has still to be told."""
        return {
            i: [pb.ToCosigner.FromString(row["message"]) for row in rows]
            for i in ALL
            if (rows := await self.book.owed_to(i))
        }

    async def state(self, change_id: str = "chg_1") -> str:
        """Of a change."""
        return str((await self.book.change(change_id))["state"])

    def struck(self) -> set[int]:
        """Who is chosen last."""
        return set(self.cosigners._strikes)


async def stopped(task: asyncio.Task[None], engine: AsyncEngine) -> None:
    """End a step that goes on for ever, between its queries: one that is cancelled may leave the database locked."""
    while engine.pool.checkedout() and not task.done():  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
