"""Cosigners that read proposals, and orders on the way to people, over a real database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from coordinator.calls import Call
from coordinator.reviewing import Reviewing
from oms_core.chains.intent import Intent, subject_digest
from oms_core.chains.render import Rendering, rendering_digest
from oms_core.encoding import decode, encode
from oms_core.errors import Reason
from oms_core.evidence import ReadRequest, Refusal, SignedReading, SignedRefusal, request_digest
from oms_core.policy.facts import Facts
from oms_core.policy.spends import spends
from oms_core.readings import Agreement, read
from oms_core.workspace import Workspace
from proto import cosigner_pb2 as pb
from tests.parties import identity
from tests.people import NOW, intent, propose, workspace
from tests.unit.coordinator.desk import Answer, Desk, failed

ALL = (1, 2, 3, 4, 5)
LARGE = intent(500)


def reads(
    index: int, lines: tuple[str, ...] = (), signer: int = 0, under: Workspace | None = None, **changes: Any
) -> Answer:
    """Reads what is there, or says ``lines``; under its own key, or another's; with a reading bent as a test wants."""

    def answer(message: pb.ToCosigner) -> pb.FromCosigner:
        if message.WhichOneof("body") != "read":
            return pb.FromCosigner(acknowledged=pb.Acknowledged())
        made, rendering = read(index, decode(ReadRequest, message.read.request), under or workspace(), Facts(NOW))
        if lines:
            rendering = Rendering(lines)
            made = replace(made, rendering=rendering_digest(rendering))
        made = replace(made, **changes)
        signed = SignedReading(made, identity(signer or index).sign("reading", encode(made)))
        return pb.FromCosigner(reading=pb.Reading(signed_reading=encode(signed), lines=rendering.lines))

    return answer


def refuses(index: int, reason: Reason, signer: int = 0, **changes: Any) -> Answer:
    """Would not sign it, and says why under its key."""

    def answer(message: pb.ToCosigner) -> pb.FromCosigner:
        if message.WhichOneof("body") != "read":
            return failed(reason)(message)
        request = decode(ReadRequest, message.read.request)
        said = replace(Refusal(b"", request_digest(request), index, reason, "no", NOW), **changes)
        signed = SignedRefusal(said, identity(signer or index).sign("refusal", encode(said)))
        return pb.FromCosigner(refused=pb.Refused(signed_refusal=encode(signed)))

    return answer


class Way(Reviewing):
    """The first part of an order's way, on a desk of the tests."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._store, self._standing, self._cosigners = desk.store, desk.standing, desk.cosigners
        self._approving, self._wallets, self._news = desk.approving, desk.wallets, desk.news

    @classmethod
    async def open(cls, root: Path, made: Workspace | None = None) -> Way:
        """On a fresh database."""
        return cls(await Desk.open(root, made))

    async def submitted(self, subject: Intent = LARGE, order_id: str = "txn_1") -> str:
        """An order that was just taken on, and counts towards limits."""
        adds = spends(self._workspace, subject, NOW)
        row = {"order_id": order_id, "wallet_id": subject.wallet_id, "proposal": encode(propose(subject)), "adds": adds}
        await self._store.add_order(
            {**row, "subject": subject_digest(subject)}, Call(f"call {order_id}", "SubmitIntent", b"")
        )
        return order_id

    async def agreement(self, order_id: str, subject: Intent) -> Agreement:
        """Who has read it as we do by now, and who has not."""
        preflight = self._approving.preflight
        return preflight.agreement(subject, await preflight.readings(order_id))

    async def row(self, order_id: str = "txn_1") -> tuple[str, str, str]:
        """State, reason, detail."""
        row = await self._store.order(order_id)
        return row["state"], row["reason"], row["detail"]
