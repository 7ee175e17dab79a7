"""The client's calls about the log. Nothing that they return is verified here (oms_core/log, auditor)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from grpc.aio import UnaryUnaryMultiCallable

from oms_core.log.entries import Item
from proto import oms_pb2 as pb

if TYPE_CHECKING:
    from proto.oms_pb2_grpc import OmsAsyncStub

Asks = TypeVar("Asks")
Answers = TypeVar("Answers")


class LogCalls:
    """What `oms.client.Client` can ask about the log."""

    _stub: OmsAsyncStub

    async def _call(self, method: UnaryUnaryMultiCallable[Asks, Answers], request: Asks) -> Answers:
        raise NotImplementedError

    async def checkpoint(self, cosignatures: int = 0) -> pb.Checkpoint:
        """The newest checkpoint with so many cosignatures; where none has them, the newest of all."""
        request = pb.GetCheckpointRequest(cosignatures=cosignatures)
        return await self._call(self._stub.GetCheckpoint, request)

    async def log_items(self, start: int, limit: int = 1000) -> tuple[list[Item], int]:
        """Entries from ``start`` on, fewer than ``limit`` where they are large, and the size of the log."""
        answer = await self._call(self._stub.ListLogItems, pb.ListLogItemsRequest(start=start, limit=limit))
        return [Item(one.entry, one.record, one.salt) for one in answer.items], int(answer.size)

    async def log_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """The path of an entry in a tree of this size (RFC 6962, 2.1.1)."""
        return tuple((await self._call(self._stub.GetLogProof, pb.GetLogProofRequest(index=index, size=size))).hashes)

    async def log_consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that a tree extends another (RFC 6962, 2.1.2)."""
        request = pb.GetLogConsistencyRequest(old=old, new=new)
        return tuple((await self._call(self._stub.GetLogConsistency, request)).hashes)

    async def evidence_pack(self, transaction_id: str) -> bytes:
        """All that the log says of an order, with proofs (auditor/pack.py)."""
        request = pb.GetEvidencePackRequest(transaction_id=transaction_id)
        return bytes((await self._call(self._stub.GetEvidencePack, request)).pack)
