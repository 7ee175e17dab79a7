"""The part of the OMS service that is about keys and about evidence against cosigners."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import RowMapping

from coordinator import durable, key_changes
from coordinator.calls import Call, once
from coordinator.ids import KEY, new_id
from coordinator.key_changes import KeyChanges
from coordinator.keybook import KeyBook
from coordinator.news import News
from coordinator.standing import Stands
from coordinator.store import Store
from coordinator.tls import Context, peer
from coordinator.views import sentences
from coordinator.views import wallet as wallet_view
from coordinator.wallets import Wallets
from oms_core.chains.intent import Proposal
from oms_core.encoding import decode
from oms_core.errors import Malformed
from oms_core.keys import ChangeKey
from proto import oms_pb2 as pb
from proto import oms_pb2_grpc as pb_grpc

MAX_PROPOSAL = 64 * 1024


class KeyCalls(Stands, pb_grpc.OmsServicer):
    """Changes of keys, drills, evidence."""

    _store: Store
    _book: KeyBook
    _keys: Wallets
    _changes: KeyChanges
    _news: News

    async def SubmitDrill(self, request: pb.SubmitDrillRequest, context: Context) -> pb.Wallet:
        """Take the signature of restored backups."""
        peer(context, "oms")
        await self._keys.drilled(request.wallet_id, request.signature)
        return wallet_view(await self._store.wallet(request.wallet_id))

    async def ChangeKey(self, request: pb.ChangeKeyRequest, context: Context) -> pb.KeyChange:
        """Take a wish to change a key on, once per request id."""
        peer(context, "oms")
        call = Call(request.request_id, "ChangeKey", request.proposal)

        async def submit() -> str:
            change_id, proposal = new_id(KEY), decode(Proposal, request.proposal, MAX_PROPOSAL)
            await self._changes.submit(change_id, proposal, call)
            return change_id

        change_id = await once(self._store, call, submit)
        await durable.begin("change", change_id)
        return await self._change(await self._book.change(change_id))

    async def GetKeyChange(self, request: pb.GetKeyChangeRequest, context: Context) -> pb.KeyChange:
        """One change."""
        peer(context, "oms")
        return await self._change(await self._book.change(request.change_id))

    async def WatchKeyChange(self, request: pb.GetKeyChangeRequest, context: Context) -> AsyncIterator[pb.KeyChange]:
        """The change whenever something about it changes, until it has ended."""
        peer(context, "oms")

        async def look() -> tuple[pb.KeyChange, bool]:
            row = await self._book.change(request.change_id)
            return await self._change(row), row["state"] in key_changes.ENDED

        async for shown in self._news.follow(request.change_id, look):
            yield shown

    async def ListKeyChanges(self, request: pb.ListKeyChangesRequest, context: Context) -> pb.ListKeyChangesResponse:
        """All changes, or those of a wallet, oldest first."""
        peer(context, "oms")
        rows = await self._book.changes(request.wallet_id)
        return pb.ListKeyChangesResponse(changes=[await self._change(row) for row in rows])

    async def ListEvidence(self, request: pb.ListEvidenceRequest, context: Context) -> pb.ListEvidenceResponse:
        """All verdicts, without their documents."""
        peer(context, "oms")
        barred = await self._book.quarantined()
        rows = await self._book.verdicts()
        return pb.ListEvidenceResponse(evidence=[_evidence(row, barred) for row in rows])

    async def GetEvidence(self, request: pb.GetEvidenceRequest, context: Context) -> pb.Evidence:
        """One verdict with the document that proves it to anybody. Who asked for it stands in the log."""
        row = await self._book.export(request.evidence_id, peer(context, "oms"))
        shown = _evidence(row, await self._book.quarantined())
        shown.document = row["evidence"]
        return shown

    async def _change(self, row: RowMapping) -> pb.KeyChange:
        wish = decode(Proposal, row["proposal"]).subject
        if not isinstance(wish, ChangeKey):
            raise Malformed("not a change of a key")
        return pb.KeyChange(
            change_id=row["change_id"],
            wallet_id=row["wallet_id"],
            change=wish.change,
            state=row["state"],
            reason=row["reason"],
            detail=row["detail"],
            proposal=row["proposal"],
            lines=sentences(wish, self._workspace),
            receipts=await self._book.receipts(row["change_id"]),
            owing=sorted(await self._book.owing(row["change_id"])),
        )


def _evidence(row: RowMapping, quarantined: set[int]) -> pb.Evidence:
    return pb.Evidence(
        evidence_id=row["evidence_id"],
        about=row["about"],
        culprit=row["culprit"],
        step=row["step"],
        reason=row["reason"],
        at=row["at"],
        quarantined=row["culprit"] in quarantined,
    )
