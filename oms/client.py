"""The async client: typed calls over mutual TLS, typed errors back.

Errors are those of `oms_core.errors`, rebuilt from the status and its ErrorInfo, with the same stable reasons. Calls
that change something take a request id; the same id and body give the same answer, so they can be repeated safely.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from google.rpc import error_details_pb2
from grpc.aio import UnaryStreamMultiCallable, UnaryUnaryMultiCallable
from grpc_status import rpc_status

from oms.log_calls import Answers, Asks, LogCalls
from oms_core.approvals import Approval, ApprovalClaim
from oms_core.chains.intent import CreateWallet, Execution, Intent, Proposal, Subject, What
from oms_core.encoding import decode, decode_one_of, encode
from oms_core.errors import (
    Conflict,
    CountersealError,
    LocalError,
    Malformed,
    NotFound,
    Reason,
    Refused,
    Unauthenticated,
    Unavailable,
)
from oms_core.keys import ChangeKey
from oms_core.withdrawals import SignedWithdrawal
from oms_core.workspace import ChangeWorkspace, Workspace
from proto import oms_pb2 as pb
from proto import oms_pb2_grpc as pb_grpc

SERVER_NAME = "coordinator.counterseal"
SECONDS = 30.0
MAX_MESSAGE = 32 << 20  # bytes; evidence is large

_SUBJECTS: tuple[type[Subject], ...] = (Intent, CreateWallet, ChangeKey, ChangeWorkspace)
_KINDS: dict[grpc.StatusCode, type[CountersealError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Malformed,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.PERMISSION_DENIED: Refused,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
}


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the private CA, this client's certificate and its key."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits for a decision: sign `claim` (verdict APPROVE; replace it to deny) and decide."""

    subject_id: str
    subject: Subject
    lines: tuple[str, ...]
    claim: ApprovalClaim
    credential_ids: tuple[bytes, ...]
    proposal: Proposal
    readings: tuple[pb.CosignerReading, ...]
    refusals: tuple[pb.CosignerRefusal, ...]
    execution: Execution | None = None
    """What makes the order one exact transaction, where an approval has to name it."""


class Client(LogCalls):
    """One connection to a coordinator. Use it as an async context manager."""

    def __init__(self, endpoint: str, tls: Tls, server_name: str = SERVER_NAME) -> None:
        """Raises `LocalError` (CONFIG_INVALID) if a file is missing."""
        try:
            credentials = grpc.ssl_channel_credentials(tls.ca.read_bytes(), tls.key.read_bytes(), tls.cert.read_bytes())
        except OSError as error:
            raise LocalError(f"cannot read {error.filename}", Reason.CONFIG_INVALID) from None
        options = [
            ("grpc.ssl_target_name_override", server_name),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
        ]
        self._channel = grpc.aio.secure_channel(endpoint, credentials, options=options)
        self._stub = pb_grpc.OmsStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def _call(self, method: UnaryUnaryMultiCallable[Asks, Answers], request: Asks) -> Answers:
        try:
            return await method(request, timeout=SECONDS)
        except grpc.aio.AioRpcError as error:
            raise typed(error) from None

    async def _watch(self, method: UnaryStreamMultiCallable[Asks, Answers], request: Asks) -> AsyncIterator[Answers]:
        try:
            async for message in method(request):
                yield message
        except grpc.aio.AioRpcError as error:
            raise typed(error) from None

    async def create_wallet(self, proposal: Proposal, request_id: str = "") -> pb.Wallet:
        """Begin to make a wallet."""
        return await self._call(
            self._stub.CreateWallet, pb.CreateWalletRequest(request_id=request_id or fresh(), proposal=encode(proposal))
        )

    async def wallet(self, wallet_id: str) -> pb.Wallet:
        """One wallet."""
        return await self._call(self._stub.GetWallet, pb.GetWalletRequest(wallet_id=wallet_id))

    async def wallets(self) -> list[pb.Wallet]:
        """All wallets."""
        return list((await self._call(self._stub.ListWallets, pb.ListWalletsRequest())).wallets)

    def watch_wallet(self, wallet_id: str) -> AsyncIterator[pb.WalletEvent]:
        """Steps and states until the wallet is active or has failed."""
        return self._watch(self._stub.WatchWallet, pb.GetWalletRequest(wallet_id=wallet_id))

    async def prepare_transfer(
        self,
        wallet_id: str,
        to: str,
        amount: int | str,
        initiator: str,
        purpose: str = "",
        asset: str = "",
        valid_seconds: int = 0,
        intent_id: str = "",
        path: tuple[int, ...] = (),
    ) -> tuple[Intent, tuple[str, ...]]:
        """The canonical intent (amount in base units) and its rendering. Check it before you sign it."""
        prepared = await self._call(
            self._stub.PrepareTransfer,
            pb.PrepareTransferRequest(
                wallet_id=wallet_id,
                to=to,
                amount=str(amount),
                initiator=initiator,
                purpose=purpose,
                asset=asset,
                valid_seconds=valid_seconds,
                intent_id=intent_id,
                path=path,
            ),
        )
        return decode(Intent, prepared.subject), tuple(prepared.lines)

    async def prepare(
        self,
        wallet_id: str,
        action: What | bytes,
        initiator: str,
        purpose: str = "",
        valid_seconds: int = 0,
        path: tuple[int, ...] = (),
        max_fee_total: int | None = None,
        gas_limit_cap: int = 0,
    ) -> tuple[Intent, tuple[str, ...]]:
        """The canonical intent for an action, or for the bytes of an unsigned transaction, and its rendering.

        Raises `Malformed` for a cap that is no 64-bit count of gas.
        """
        if not 0 <= gas_limit_cap < 1 << 64:
            raise Malformed(f"{gas_limit_cap} is no count of gas")
        request = pb.PrepareIntentRequest(
            wallet_id=wallet_id,
            initiator=initiator,
            purpose=purpose,
            valid_seconds=valid_seconds,
            path=path,
            max_fee_total="" if max_fee_total is None else str(max_fee_total),
            gas_limit_cap=gas_limit_cap,
        )
        if isinstance(action, bytes):
            request.unsigned = action
        else:
            request.action = encode(action)
        prepared = await self._call(self._stub.PrepareIntent, request)
        return decode(Intent, prepared.subject), tuple(prepared.lines)

    async def submit(self, proposal: Proposal, request_id: str = "") -> pb.Transaction:
        """Submit an order."""
        return await self.submit_bytes(encode(proposal), request_id)

    async def submit_bytes(self, proposal: bytes, request_id: str = "") -> pb.Transaction:
        """Submit an order that is canonical bytes already."""
        return await self._call(
            self._stub.SubmitIntent, pb.SubmitIntentRequest(request_id=request_id or fresh(), proposal=proposal)
        )

    async def cancel(self, transaction_id: str, withdrawal: SignedWithdrawal, request_id: str = "") -> pb.Transaction:
        """End an order that nobody was asked to sign yet."""
        request = pb.CancelOrderRequest(
            request_id=request_id or fresh(), transaction_id=transaction_id, withdrawal=encode(withdrawal)
        )
        return await self._call(self._stub.CancelOrder, request)

    async def amend(
        self, transaction_id: str, proposal: Proposal, withdrawal: SignedWithdrawal, request_id: str = ""
    ) -> pb.Transaction:
        """Put another order in the place of one; returns the new one."""
        request = pb.AmendOrderRequest(
            request_id=request_id or fresh(),
            transaction_id=transaction_id,
            proposal=encode(proposal),
            withdrawal=encode(withdrawal),
        )
        return await self._call(self._stub.AmendOrder, request)

    async def transaction(self, transaction_id: str) -> pb.Transaction:
        """One order."""
        return await self._call(self._stub.GetTransaction, pb.GetTransactionRequest(transaction_id=transaction_id))

    async def transactions(self, wallet_id: str = "", limit: int = 50, before: str = "") -> list[pb.Transaction]:
        """Orders, newest first."""
        request = pb.ListTransactionsRequest(wallet_id=wallet_id, limit=limit, before=before)
        return list((await self._call(self._stub.ListTransactions, request)).transactions)

    def watch_transaction(self, transaction_id: str) -> AsyncIterator[pb.Transaction]:
        """The order at every change, until it has ended."""
        return self._watch(self._stub.WatchTransaction, pb.GetTransactionRequest(transaction_id=transaction_id))

    async def ended(self, transaction_id: str) -> pb.Transaction:
        """The order once nothing more will happen to it."""
        last = await self.transaction(transaction_id)
        async for seen in self.watch_transaction(transaction_id):
            last = seen
        return last

    async def inbox(self, approver: str) -> list[Waiting]:
        """What waits for this user."""
        answer = await self._call(self._stub.ListApprovals, pb.ListApprovalsRequest(approver=approver))
        return [
            Waiting(
                request.subject_id,
                decode_one_of(_SUBJECTS, request.subject, MAX_MESSAGE),
                tuple(request.lines),
                decode(ApprovalClaim, request.claim),
                tuple(request.credential_ids),
                decode(Proposal, request.proposal),
                tuple(request.readings),
                tuple(request.refusals),
                decode(Execution, request.execution) if request.execution else None,
            )
            for request in answer.requests
        ]

    async def decide(self, subject_id: str, approval: Approval, comment: str = "", request_id: str = "") -> str:
        """Hand in a decision; returns the subject's state."""
        request = pb.DecideRequest(
            request_id=request_id or fresh(), subject_id=subject_id, approval=encode(approval), comment=comment
        )
        return str((await self._call(self._stub.Decide, request)).state)

    async def submit_drill(self, wallet_id: str, signature: bytes) -> pb.Wallet:
        """Hand in what restored backups have signed."""
        request = pb.SubmitDrillRequest(wallet_id=wallet_id, signature=signature)
        return await self._call(self._stub.SubmitDrill, request)

    async def change_key(self, proposal: Proposal, request_id: str = "") -> pb.KeyChange:
        """Ask for a key to be dealt anew, or to be moved to another state."""
        request = pb.ChangeKeyRequest(request_id=request_id or fresh(), proposal=encode(proposal))
        return await self._call(self._stub.ChangeKey, request)

    async def key_change(self, change_id: str) -> pb.KeyChange:
        """One change."""
        return await self._call(self._stub.GetKeyChange, pb.GetKeyChangeRequest(change_id=change_id))

    async def key_changes(self, wallet_id: str = "") -> list[pb.KeyChange]:
        """All changes, or those of a wallet, oldest first."""
        request = pb.ListKeyChangesRequest(wallet_id=wallet_id)
        return list((await self._call(self._stub.ListKeyChanges, request)).changes)

    def watch_key_change(self, change_id: str) -> AsyncIterator[pb.KeyChange]:
        """The change whenever something about it changes, until it has ended."""
        return self._watch(self._stub.WatchKeyChange, pb.GetKeyChangeRequest(change_id=change_id))

    async def anchors(self, limit: int = 50) -> list[pb.Anchor]:
        """Anchors of the log, newest first, those with a receipt and those without."""
        return list((await self._call(self._stub.GetAnchors, pb.GetAnchorsRequest(limit=limit))).anchors)

    async def evidence(self) -> list[pb.Evidence]:
        """Verdicts on cosigners, oldest first, without their documents."""
        return list((await self._call(self._stub.ListEvidence, pb.ListEvidenceRequest())).evidence)

    async def evidence_document(self, evidence_id: str) -> pb.Evidence:
        """A verdict with what proves it."""
        return await self._call(self._stub.GetEvidence, pb.GetEvidenceRequest(evidence_id=evidence_id))

    async def workspace(self, digest: bytes = b"") -> Workspace:
        """The workspace that decides, or an earlier version, as the coordinator shows it."""
        answer = await self._call(self._stub.GetWorkspace, pb.GetWorkspaceRequest(digest=digest))
        return decode(Workspace, answer.workspace, MAX_MESSAGE)

    async def review_workspace(self, following: Workspace) -> pb.WorkspaceReport:
        """What a next version would change, as the coordinator tells it; nothing is proposed."""
        request = pb.ReviewWorkspaceChangeRequest(next=encode(following))
        return await self._call(self._stub.ReviewWorkspaceChange, request)

    async def propose_workspace(
        self, proposal: Proposal, confirm_unsatisfiable: bool = False, request_id: str = ""
    ) -> pb.WorkspaceChange:
        """Ask for the workspace's next version. Raises `Refused` (UNSATISFIABLE) for what has to be confirmed."""
        request = pb.ProposeWorkspaceChangeRequest(
            request_id=request_id or fresh(),
            proposal=encode(proposal),
            confirm_unsatisfiable=confirm_unsatisfiable,
        )
        return await self._call(self._stub.ProposeWorkspaceChange, request)

    async def withdraw_workspace(self, change_id: str, withdrawal: SignedWithdrawal) -> pb.WorkspaceChange:
        """Go on with a change no further, at the word of whoever proposed it."""
        request = pb.WithdrawWorkspaceChangeRequest(
            request_id=fresh(), change_id=change_id, withdrawal=encode(withdrawal)
        )
        return await self._call(self._stub.WithdrawWorkspaceChange, request)

    async def workspace_change(self, change_id: str) -> pb.WorkspaceChange:
        """One change."""
        request = pb.GetWorkspaceChangeRequest(change_id=change_id)
        return await self._call(self._stub.GetWorkspaceChange, request)

    async def workspace_changes(self) -> list[pb.WorkspaceChange]:
        """All changes, oldest first, without their proposals."""
        return list((await self._call(self._stub.ListWorkspaceChanges, pb.ListWorkspaceChangesRequest())).changes)

    def watch_workspace_change(self, change_id: str) -> AsyncIterator[pb.WorkspaceChange]:
        """The change whenever something about it changes, until nothing more is done for it."""
        return self._watch(self._stub.WatchWorkspaceChange, pb.GetWorkspaceChangeRequest(change_id=change_id))

    async def status(self) -> pb.NetworkStatus:
        """Cosigners, chain, open orders."""
        return await self._call(self._stub.GetStatus, pb.GetStatusRequest())


def typed(error: grpc.aio.AioRpcError) -> CountersealError:
    """The error that the server meant."""
    reason, details = None, {}
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except ValueError:
        status = None
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.reason in Reason.__members__:
            reason, details = Reason(info.reason), dict(info.metadata)
    kind = _KINDS.get(error.code(), CountersealError)
    if reason is None:
        unreachable = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        reason = Reason.PEER_UNREACHABLE if unreachable else None
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            kind, reason = Malformed, Reason.TOO_LARGE
    return kind(error.details() or error.code().name, reason, **details)


def fresh() -> str:
    """A new request id."""
    return secrets.token_hex(16)
