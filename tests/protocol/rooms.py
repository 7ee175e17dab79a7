"""Three parties who talk through channels, stopped in the middle of a round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from oms_core.encoding import decode, document, encode
from oms_core.protocol.packets import Header, Packet
from oms_core.protocol.rounds import Inbox, Nothing, Outgoing, Record, Round, Session, Steps, resume, speak
from tests.parties import channels, identity, start

ALL = (1, 2, 3)
Packets = dict[int, dict[int, bytes]]


@document("test-note/1")
class Note:
    text: str


TELL = Round("chat.1", Note, Note, lambda _: 256)
BYE = Round("chat.2", Note, Nothing, lambda _: 256)


def chat(session: Session) -> Steps[dict[int, Note]]:
    """A secret for each peer, and then a word to all."""
    me, record = session.me, Record(session)
    yield from speak(record, TELL, Note(f"hello of {me}"), {j: Note(f"from {me} for {j}") for j in session.peers})
    yield from speak(record, BYE, Note("bye"))
    return record.told(TELL)


class Room:
    """Three parties in the middle of a round, with all packets at hand: the first round, unless told otherwise."""

    def __init__(
        self, protocol: Callable[[Session], Steps[Any]] = chat, step: str | None = None, parties: tuple[int, ...] = ALL
    ) -> None:
        self.channels = channels(parties)
        sessions = start(self.channels)
        self.parties = parties
        self.protocols = {i: protocol(sessions[i]) for i in parties}
        self.out: dict[int, Outgoing] = {i: resume(self.protocols[i]) for i in parties}  # type: ignore[misc]
        self.packets = self.pack()
        while step is not None and self.out[1].step != step:
            self.advance()

    def pack(self) -> Packets:
        sent = {i: self.channels[i].pack(self.out[i]) for i in self.parties}
        return {i: {j: sent[j][i] for j in self.parties if j != i} for i in self.parties}

    def unpack(self, i: int) -> Inbox:
        return self.channels[i].unpack(self.out[i], self.packets[i])

    def advance(self) -> None:
        inboxes = {i: self.unpack(i) for i in self.parties}
        self.out = {i: resume(self.protocols[i], inboxes[i]) for i in self.parties}  # type: ignore[misc]
        self.packets = self.pack()


def opened(data: bytes) -> Packet:
    return decode(Packet, data)


def signed(sender: int, header: Header, packet: Packet) -> bytes:
    """A packet whose header the sender has really signed."""
    return encode(replace(packet, header=header, signature=sign_header(sender, header)))


def sign_header(sender: int, header: Header) -> bytes:
    return identity(sender).sign("round", encode(header.place))
