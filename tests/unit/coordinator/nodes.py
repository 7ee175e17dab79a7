"""Cosigners in memory behind the coordinator's links: honest ones that chat, and answers that a liar bends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from oms_core.crypto.params import TOY
from oms_core.encoding import decode
from oms_core.errors import ProtocolAbort, Reason, Unavailable
from oms_core.protocol.envelope import Channel
from oms_core.protocol.packets import Packet, SessionSpec
from oms_core.protocol.rounds import Done, Outgoing, Steps, resume
from proto import cosigner_pb2 as pb
from tests.parties import identity, roster
from tests.protocol.rooms import chat, signed

SIZE = replace(TOY, name="L112")

Bend = Callable[[pb.FromCosigner, "Node"], pb.FromCosigner]


class Node:
    """One party of a session that chats for two rounds. ``bend`` changes what it answers."""

    def __init__(self, index: int, bend: Bend | None = None) -> None:
        self.index, self.bend = index, bend
        self.closed, self.latency = False, 0.0
        self.asked: list[str] = []
        self.number = 0
        self._out: Outgoing | None = None
        self._protocol: Steps[Any] | None = None

    async def ask(self, request: pb.ToCosigner, seconds: float) -> pb.FromCosigner:
        """What a link does. Raises `Unavailable`."""
        self.asked.append(str(request.WhichOneof("body")))
        answer = self._answer(request)
        return self.bend(answer, self) if self.bend else answer

    def _answer(self, request: pb.ToCosigner) -> pb.FromCosigner:
        match request.WhichOneof("body"):
            case "begin":
                self.spec = decode(SessionSpec, request.begin.spec)
                self.channel = Channel(self.spec, SIZE, identity(self.index), roster(self.spec.parties))
                return pb.FromCosigner(begun=pb.Begun(hello=self.channel.hello()))
            case "start":
                session = self.channel.start(dict(request.start.hellos))
                self._protocol = chat(session)
                return self._step(None)
            case "deliver":
                return self._step(dict(request.deliver.packets))
        return pb.FromCosigner(acknowledged=pb.Acknowledged())

    def _step(self, packets: Mapping[int, bytes] | None) -> pb.FromCosigner:
        assert self._protocol is not None
        try:
            inbox = None
            if packets is not None:
                assert self._out is not None
                inbox = self.channel.unpack(self._out, packets)
            step = resume(self._protocol, inbox)
        except ProtocolAbort as error:
            blames = [pb.Blame(culprit=b.culprit, step=b.step, reason=b.reason) for b in error.blames]
            return pb.FromCosigner(aborted=pb.Aborted(reason=error.reason, detail=error.message, blames=blames))
        if isinstance(step, Done):
            return pb.FromCosigner(finished=pb.Finished(result=b"done"))
        self._out, self.number = step, self.number + 1
        return pb.FromCosigner(
            round_out=pb.RoundOut(round=self.number, step=step.step, packets=self.channel.pack(step))
        )


class Links:
    """What sessions need of the coordinator's `Cosigners`."""

    def __init__(self, nodes: Mapping[int, Any]) -> None:
        self.nodes = nodes
        self.struck: list[int] = []
        self.quarantined: set[int] = set()

    def link(self, index: int) -> Any:
        """Raises `Unavailable`."""
        if index not in self.nodes:
            raise Unavailable(f"cosigner {index} does not answer", Reason.PEER_UNREACHABLE)
        return self.nodes[index]

    def attached(self) -> dict[int, Any]:
        """All."""
        return dict(self.nodes)

    def strike(self, index: int) -> None:
        """Remember it."""
        self.struck.append(index)


def each(out: pb.RoundOut, change: Callable[[int, bytes], bytes | None]) -> pb.RoundOut:
    """Packets changed by receiver; None loses one."""
    packets = {j: new for j, data in out.packets.items() if (new := change(j, data)) is not None}
    return pb.RoundOut(round=out.round, step=out.step, packets=packets)


def resigned(liar: int, **changes: Any) -> Callable[[int, bytes], bytes]:
    """What it says, in another place: signed by itself."""

    def change(_: int, data: bytes) -> bytes:
        packet = decode(Packet, data)
        return signed(liar, replace(packet.header, **changes), packet)

    return change
