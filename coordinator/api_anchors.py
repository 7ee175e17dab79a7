"""The part of the OMS service that hands out the anchors of the log, with what proves them."""

from __future__ import annotations

from sqlalchemy import RowMapping

from coordinator.anchorbook import AnchorBook
from coordinator.tls import Context, peer
from proto import oms_pb2 as pb
from proto import oms_pb2_grpc as pb_grpc

_USUAL, _MOST = 50, 500  # anchors in one answer


class AnchorCalls(pb_grpc.OmsServicer):
    """Anchors, as the coordinator tells of them; their receipts need not be taken from it on trust."""

    _anchors: AnchorBook

    async def GetAnchors(self, request: pb.GetAnchorsRequest, context: Context) -> pb.GetAnchorsResponse:
        """Anchors, newest first."""
        peer(context, "oms")
        rows = await self._anchors.list(min(request.limit or _USUAL, _MOST))
        return pb.GetAnchorsResponse(anchors=[_shown(row) for row in rows])


def _shown(row: RowMapping) -> pb.Anchor:
    return pb.Anchor(
        transaction_id=row["order_id"],
        state=row["state"],
        reason=row["reason"],
        detail=row["detail"],
        size=row["size"],
        checkpoint=row["checkpoint"],
        created_at=row["created_at"],
        block_number=row["block_number"],
        block_time=row["block_time"],
        receipt=row["receipt"],
        ots=row["ots"],
    )
