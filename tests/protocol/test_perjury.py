"""The channel against its peers: a header that its sender has signed and that does not hold convicts the sender."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from oms_core.encoding import encode
from oms_core.errors import Blame, ProofInvalid, ProtocolAbort
from oms_core.protocol import envelope
from oms_core.protocol.envelope import Header, Packet
from oms_core.protocol.evidence import check_equivocation, equivocations
from tests.parties import identity
from tests.protocol.rooms import Note, Room, opened, signed


def _headers(change: Callable[[Header], Header]) -> Callable[[Room, Packet], bytes]:
    return lambda room, packet: signed(3, change(packet.header), packet)


def _no_broadcast(room: Room, packet: Packet) -> bytes:
    header = replace(packet.header, broadcast=envelope._content("broadcast", None))
    return signed(3, header, replace(packet, broadcast=None))


def _sealed(room: Room, packet: Packet, sealed: bytes) -> bytes:
    directs = tuple((j, c, envelope._content("sealed", sealed) if j == 1 else s) for j, c, s in packet.header.directs)
    return signed(3, replace(packet.header, directs=directs), replace(packet, sealed=sealed))


def _seal(room: Room, payload: bytes, step: str = "chat.1", sender: int = 3, receiver: int = 1) -> bytes:
    place = room.channels[3]._place(step, sender, receiver)
    return bytes(envelope._SUITE.encrypt(payload, room.channels[3]._peer_keys[1], info=place))


PERJURIES: dict[str, tuple[Callable[[Room, Packet], bytes], str]] = {
    "announces no secrets": (_headers(lambda h: replace(h, directs=())), "one secret message per peer"),
    "announces a secret twice": (
        _headers(lambda h: replace(h, directs=(*h.directs, h.directs[-1]))),
        "one secret message per peer",
    ),
    "announces none for me": (_headers(lambda h: replace(h, directs=h.directs[1:])), "one secret message per peer"),
    "announces one for itself": (
        _headers(lambda h: replace(h, directs=(*h.directs, (3, bytes(32), bytes(32))))),
        "one secret message per peer",
    ),
    "says nothing to all": (_no_broadcast, "a broadcast exactly where the round has one"),
    "seals junk": (lambda room, packet: _sealed(room, packet, b"\x00" * 90), "the sealed message opens"),
    "seals nothing": (lambda room, packet: _sealed(room, packet, b""), "the sealed message opens"),
    "seals for another place": (
        lambda room, packet: _sealed(room, packet, _seal(room, bytes(64), step="chat.2")),
        "the sealed message opens",
    ),
    "seals for another receiver": (
        lambda room, packet: _sealed(room, packet, _seal(room, bytes(64), receiver=2)),
        "the sealed message opens",
    ),
    "seals something else": (
        lambda room, packet: _sealed(room, packet, _seal(room, bytes(32) + encode(Note("other")))),
        "the sealed message is the one committed to",
    ),
    "seals less than the salt": (
        lambda room, packet: _sealed(room, packet, _seal(room, b"short")),
        "the sealed message is the one committed to",
    ),
}


@pytest.mark.attack
@pytest.mark.parametrize("deed", PERJURIES)
def test_a_signed_header_that_does_not_hold_names_its_signer(deed: str) -> None:
    make, reason = PERJURIES[deed]
    room = Room()
    room.packets[1][3] = make(room, opened(room.packets[1][3]))
    with pytest.raises(ProtocolAbort) as aborted:
        room.unpack(1)
    assert aborted.value.blames == (Blame(3, "chat.1", aborted.value.blames[0].reason),)
    assert reason in aborted.value.message


@pytest.mark.attack
def test_an_unannounced_secret_names_its_signer() -> None:
    room = Room()
    room.advance()
    packet = opened(room.packets[1][3])
    sealed = b"\x00" * 90
    directs = ((1, bytes(32), envelope._content("sealed", sealed)), (2, bytes(32), bytes(32)))
    room.packets[1][3] = signed(3, replace(packet.header, directs=directs), replace(packet, sealed=sealed))
    with pytest.raises(ProtocolAbort, match="where the round has them"):
        room.unpack(1)


@pytest.mark.attack
def test_a_perjurer_is_named_even_if_the_relay_loses_something_at_once() -> None:
    room = Room()
    room.packets[1][3] = signed(3, replace(opened(room.packets[1][3]).header, directs=()), opened(room.packets[1][3]))
    del room.packets[1][2]
    with pytest.raises(ProtocolAbort) as aborted:
        room.unpack(1)
    assert aborted.value.culprits == {3}


@pytest.mark.attack
def test_two_headers_for_one_round_convict_their_signer_at_once() -> None:
    room = Room()
    first = room.packets[1][3]
    room.unpack(1)
    header = replace(opened(first).header, step="chat.9")
    room.packets[1][3] = signed(3, header, opened(first))
    with pytest.raises(ProtocolAbort, match="one header for each round") as aborted:
        room.unpack(1)
    assert aborted.value.culprits == {3}
    [(culprit, evidence)] = equivocations(room.channels[1].evidence).items()
    assert culprit == 3
    check_equivocation(evidence, identity(3).public)


@pytest.mark.attack
def test_parties_who_were_told_two_things_find_out_together_who_told_them() -> None:
    room = Room()
    packet = opened(room.packets[2][3])
    other = encode(Note("hello of nobody"))
    header = replace(packet.header, broadcast=envelope._content("broadcast", other))
    room.packets[2][3] = signed(3, header, replace(packet, broadcast=other))
    room.unpack(1)
    room.unpack(2)
    assert equivocations(room.channels[1].evidence) == equivocations(room.channels[2].evidence) == {}
    [(culprit, evidence)] = equivocations([*room.channels[1].evidence, *room.channels[2].evidence]).items()
    assert culprit == 3
    check_equivocation(evidence, identity(3).public)


def test_evidence_that_was_made_up_convicts_nobody() -> None:
    room = Room()
    packet = opened(room.packets[1][3])
    made_up = replace(packet, header=replace(packet.header, broadcast=bytes(32)))
    [evidence] = equivocations([packet, made_up]).values()
    same, later = replace(evidence, second=evidence.first), replace(packet.header, round=2)
    other_round = replace(evidence, second=later, second_signature=identity(3).sign("round", encode(later)))
    reversed_ = replace(
        evidence,
        first=evidence.second,
        first_signature=evidence.second_signature,
        second=evidence.first,
        second_signature=evidence.first_signature,
    )
    for false in (evidence, reversed_, same, other_round):
        with pytest.raises(ProofInvalid):
            check_equivocation(false, identity(3).public)
    header = replace(packet.header, broadcast=bytes(32))
    true = replace(evidence, second=header, second_signature=identity(3).sign("round", encode(header)))
    check_equivocation(true, identity(3).public)
    with pytest.raises(ProofInvalid):
        check_equivocation(true, identity(2).public)


def test_the_same_header_under_two_signatures_is_no_equivocation() -> None:
    room = Room()
    packet = opened(room.packets[1][3])
    again = opened(signed(3, packet.header, packet))
    assert again.signature != packet.signature
    assert equivocations([packet, again]) == {}
