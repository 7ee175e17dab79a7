"""The part of the OMS service by which anybody follows the log, and proves what stands in it."""

from __future__ import annotations

from coordinator.evidence import Packing
from coordinator.journal import Journal
from coordinator.tls import Context, peer
from oms_core.errors import Malformed
from proto import oms_pb2 as pb
from proto import oms_pb2_grpc as pb_grpc

_USUAL, _MOST = 100, 1000  # items in one answer
_BYTES = 4 << 20  # of items in one answer, unless one has more
_INTEGERS = 1 << 62  # what databases can look for


class LogCalls(pb_grpc.OmsServicer):
    """Checkpoints, entries with their records, and proofs: nothing of it need be taken on trust."""

    _journal: Journal
    _packing: Packing

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Context) -> pb.Checkpoint:
        """The newest checkpoint with as many cosignatures as somebody wants."""
        peer(context, "oms")
        note, size, count = await self._journal.newest(request.cosignatures)
        return pb.Checkpoint(note=note, size=size, cosignatures=count)

    async def ListLogItems(self, request: pb.ListLogItemsRequest, context: Context) -> pb.ListLogItemsResponse:
        """Entries in order."""
        peer(context, "oms")
        start, size = _number(request.start), await self._journal.length()
        found = await self._journal.items(start, start + min(request.limit or _USUAL, _MOST), _BYTES)
        items = [pb.LogItem(entry=one.entry, record=one.record, salt=one.salt) for one in found]
        return pb.ListLogItemsResponse(items=items, size=max(size, start + len(items) if items else 0))

    async def GetLogProof(self, request: pb.GetLogProofRequest, context: Context) -> pb.LogHashes:
        """That an entry stands in a tree."""
        peer(context, "oms")
        return pb.LogHashes(hashes=await self._journal.inclusion(_number(request.index), _number(request.size)))

    async def GetLogConsistency(self, request: pb.GetLogConsistencyRequest, context: Context) -> pb.LogHashes:
        """That a tree extends another."""
        peer(context, "oms")
        return pb.LogHashes(hashes=await self._journal.consistency(_number(request.old), _number(request.new)))

    async def GetEvidencePack(self, request: pb.GetEvidencePackRequest, context: Context) -> pb.EvidencePack:
        """All that the log says of an order, with proofs. Who asked for it stands in the log."""
        pack, size = await self._packing.export(request.transaction_id, peer(context, "oms"))
        return pb.EvidencePack(pack=pack, size=size)


def _number(given: int) -> int:
    if given > _INTEGERS:
        raise Malformed("no log has so many entries")
    return given
