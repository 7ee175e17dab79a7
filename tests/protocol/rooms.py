"""Three parties who talk through channels, stopped in the middle of a round."""

from __future__ import annotations

from dataclasses import replace

from oms_core.encoding import decode, document, encode
from oms_core.protocol.envelope import Header, Packet
from oms_core.protocol.rounds import Inbox, Outgoing, Session, Steps, broadcast, exchange, resume
from tests.parties import channels, identity, start

ALL = (1, 2, 3)
Packets = dict[int, dict[int, bytes]]


@document("test-note/1")
class Note:
    text: str


def chat(session: Session) -> Steps[dict[int, Note]]:
    """A secret for each peer, and then a word to all."""
    me = session.me
    directs = {j: Note(f"from {me} for {j}") for j in session.peers}
    first = yield from exchange(session, "chat.1", Note(f"hello of {me}"), directs, Note, 256)
    yield from broadcast(session, "chat.2", Note("bye"), 256)
    return first.directs


class Room:
    """Three parties in the middle of the first round, with all packets at hand."""

    def __init__(self) -> None:
        self.channels = channels(ALL)
        sessions = start(self.channels)
        self.protocols = {i: chat(sessions[i]) for i in ALL}
        self.out: dict[int, Outgoing] = {i: resume(self.protocols[i]) for i in ALL}  # type: ignore[misc]
        self.packets = self.pack()

    def pack(self) -> Packets:
        sent = {i: self.channels[i].pack(self.out[i]) for i in ALL}
        return {i: {j: sent[j][i] for j in ALL if j != i} for i in ALL}

    def unpack(self, i: int) -> Inbox:
        return self.channels[i].unpack(self.out[i], self.packets[i])

    def advance(self) -> None:
        self.out = {i: resume(self.protocols[i], self.unpack(i)) for i in ALL}  # type: ignore[misc]
        self.packets = self.pack()


def opened(data: bytes) -> Packet:
    return decode(Packet, data)


def signed(sender: int, header: Header, packet: Packet) -> bytes:
    """A packet whose header the sender has really signed."""
    return encode(replace(packet, header=header, signature=identity(sender).sign("round", encode(header))))
