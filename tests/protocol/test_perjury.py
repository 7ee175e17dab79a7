"""The channel against its peers: a header that its sender has signed and that does not hold convicts the sender."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from oms_core.encoding import encode
from oms_core.errors import ProtocolAbort
from oms_core.protocol.judge import Verdict
from oms_core.protocol.keygen import Share, keygen
from oms_core.protocol.packets import SUITE, Header, Packet, content_hash, sealing
from tests.parties import roster
from tests.protocol.rooms import Note, Room, opened, signed
from tests.protocol.runs import tried

pytestmark = pytest.mark.attack

STEP, NUMBER = "keygen.2", 3


def room(step: str = STEP) -> Room:
    """Three parties in the round that has secret messages, or in another one."""
    return Room(lambda session: keygen(session, b"k" * 32, 2, roster(session.parties)), step)


def _headers(change: Callable[[Header], Header]) -> Callable[[Room, Packet], bytes]:
    return lambda room, packet: signed(3, change(packet.header), packet)


def _no_broadcast(room: Room, packet: Packet) -> bytes:
    header = replace(packet.header, broadcast=content_hash("broadcast", None))
    return signed(3, header, replace(packet, broadcast=None))


def _sealed(room: Room, packet: Packet, sealed: bytes) -> bytes:
    directs = tuple((j, c, content_hash("sealed", sealed) if j == 1 else s) for j, c, s in packet.header.directs)
    return signed(3, replace(packet.header, directs=directs), replace(packet, sealed=sealed))


def _seal(room: Room, payload: bytes, step: str = STEP, number: int = NUMBER, sender: int = 3, to: int = 1) -> bytes:
    place = sealing(room.channels[3].session.ssid, step, number, sender, to)
    return bytes(SUITE.encrypt(payload, room.channels[3]._peer_keys[1], info=place))


def _resealed(payload: bytes, **place: object) -> Callable[[Room, Packet], bytes]:
    return lambda room, packet: _sealed(room, packet, _seal(room, payload, **place))  # type: ignore[arg-type]


COMMITS = "the header commits to one secret message per peer where the round has them"
OPENS, AS_SAID = "the sealed message opens", "the sealed message is the one committed to"
PERJURIES: dict[str, tuple[Callable[[Room, Packet], bytes], str]] = {
    "announces no secrets": (_headers(lambda h: replace(h, directs=())), COMMITS),
    "announces a secret twice": (_headers(lambda h: replace(h, directs=(*h.directs, h.directs[-1]))), COMMITS),
    "announces mine twice": (_headers(lambda h: replace(h, directs=(h.directs[0], *h.directs))), COMMITS),
    "announces none for me": (_headers(lambda h: replace(h, directs=h.directs[1:])), COMMITS),
    "announces none for another": (_headers(lambda h: replace(h, directs=h.directs[:1])), COMMITS),
    "announces them out of order": (_headers(lambda h: replace(h, directs=h.directs[::-1])), COMMITS),
    "announces one for itself": (
        _headers(lambda h: replace(h, directs=(*h.directs, (3, bytes(32), bytes(32))))),
        COMMITS,
    ),
    "says nothing to all": (_no_broadcast, "a broadcast exactly where the round has one"),
    "seals junk": (lambda room, packet: _sealed(room, packet, b"\x00" * 90), OPENS),
    "seals nothing": (lambda room, packet: _sealed(room, packet, b""), OPENS),
    "seals for another step": (_resealed(bytes(64), step="keygen.3"), OPENS),
    "seals for another round": (_resealed(bytes(64), number=NUMBER + 1), OPENS),
    "seals in another's name": (_resealed(bytes(64), sender=2), OPENS),
    "seals for another receiver": (_resealed(bytes(64), to=2), OPENS),
    "seals something else": (_resealed(bytes(32) + encode(Note("other"))), AS_SAID),
    "seals another share": (_resealed(bytes(32) + encode(Share(5))), AS_SAID),
    "seals less than the salt": (_resealed(b"short"), AS_SAID),
}


@pytest.mark.parametrize("deed", PERJURIES)
def test_a_signed_header_that_does_not_hold_convicts_its_signer(deed: str) -> None:
    make, reason = PERJURIES[deed]
    made = room()
    made.packets[1][3] = make(made, opened(made.packets[1][3]))
    with pytest.raises(ProtocolAbort) as aborted:
        made.unpack(1)
    [blame] = aborted.value.blames
    assert (blame.culprit, blame.step, blame.reason) == (3, STEP, reason)
    assert tried(made.channels[1], aborted.value) == [Verdict(3, STEP, reason)]


def _lost_broadcast(data: bytes) -> bytes:
    return encode(replace(opened(data), broadcast=None))


def _lost_secret(data: bytes) -> bytes:
    return encode(replace(opened(data), sealed=None))


@pytest.mark.parametrize("lose", [_lost_broadcast, _lost_secret])
def test_a_perjurer_is_convicted_by_its_header_alone_if_the_relay_loses_what_goes_with_it(
    lose: Callable[[bytes], bytes],
) -> None:
    made = room()
    make, reason = PERJURIES["announces none for another"]
    made.packets[1][3] = lose(make(made, opened(made.packets[1][3])))
    with pytest.raises(ProtocolAbort) as aborted:
        made.unpack(1)
    assert aborted.value.culprits == {3}
    assert tried(made.channels[1], aborted.value) == [Verdict(3, STEP, reason)]


def test_a_header_for_another_step_of_this_round_names_its_signer_to_who_receives_it() -> None:
    """Which step the round is, others cannot tell by one header: nothing is accused."""
    made = room()
    packet = opened(made.packets[1][3])
    made.packets[1][3] = signed(3, replace(packet.header, step="keygen.3"), packet)
    with pytest.raises(ProtocolAbort, match="the step that this round is") as aborted:
        made.unpack(1)
    assert aborted.value.culprits == {3}
    [verdict] = tried(made.channels[1], aborted.value)
    assert (verdict.culprit, verdict.step) == (1, "accusation")


def test_an_unannounced_secret_convicts_its_signer() -> None:
    made = room("keygen.1")
    packet = opened(made.packets[1][3])
    sealed = b"\x00" * 90
    directs = ((1, bytes(32), content_hash("sealed", sealed)), (2, bytes(32), bytes(32)))
    made.packets[1][3] = signed(3, replace(packet.header, directs=directs), replace(packet, sealed=sealed))
    with pytest.raises(ProtocolAbort, match="where the round has them") as aborted:
        made.unpack(1)
    assert tried(made.channels[1], aborted.value) == [Verdict(3, "keygen.1", COMMITS)]


def test_a_perjurer_is_convicted_even_if_the_relay_loses_something_at_once() -> None:
    made = room()
    made.packets[1][3] = PERJURIES["seals junk"][0](made, opened(made.packets[1][3]))
    del made.packets[1][2]
    with pytest.raises(ProtocolAbort) as aborted:
        made.unpack(1)
    assert aborted.value.culprits == {3}
    assert tried(made.channels[1], aborted.value) == [Verdict(3, STEP, OPENS)]
