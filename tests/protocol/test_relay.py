"""The channel against its relay: whatever it does to packets is noticed, and nobody is blamed for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oms_core.encoding import encode
from oms_core.errors import Malformed, Reason, Unattributed
from tests.parties import channels, identity, run, start
from tests.protocol.rooms import ALL, Note, Packets, Room, chat, opened


def test_what_is_said_arrives() -> None:
    made = channels(ALL)
    sessions = start(made)
    outcome = run({i: chat(sessions[i]) for i in ALL}, channels=made)
    assert outcome.results == {i: {j: Note(f"from {j} for {i}") for j in ALL if j != i} for i in ALL}


def test_one_signature_serves_a_round() -> None:
    before = identity(1).signatures
    Room().advance()
    assert identity(1).signatures - before == 1 + 2  # the hello, two rounds


@pytest.mark.covers("R26")
def test_a_secret_does_not_show_on_the_wire() -> None:
    room = Room()
    wire = b"".join(data for packets in room.packets.values() for data in packets.values())
    assert b"hello of 1" in wire
    assert b"from 1 for" not in wire


@pytest.mark.covers("R29")
def test_a_round_that_is_sent_again_is_the_same_bytes() -> None:
    room = Room()
    assert room.pack() == room.packets


def test_a_packet_that_arrives_again_is_harmless() -> None:
    room = Room()
    assert room.unpack(1) == room.unpack(1)
    assert [packet.header.sender for packet in room.channels[1].evidence] == [1, 2, 3]
    room.advance()


def test_every_packet_is_kept_as_evidence() -> None:
    room = Room()
    room.advance()
    room.unpack(1)
    kept = [(p.header.sender, p.header.round) for p in room.channels[1].evidence]
    assert kept == [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]


def _drop(packets: Packets, earlier: Packets) -> None:
    del packets[1][3]


def _swap_senders(packets: Packets, earlier: Packets) -> None:
    packets[1][2], packets[1][3] = packets[1][3], packets[1][2]


def _swap_receivers(packets: Packets, earlier: Packets) -> None:
    packets[1][3], packets[2][3] = packets[2][3], packets[1][3]


def _replay(packets: Packets, earlier: Packets) -> None:
    packets[1][3] = earlier[1][3]


def _reflect(packets: Packets, earlier: Packets) -> None:
    packets[1][3] = packets[3][1]


def _other_session(packets: Packets, earlier: Packets) -> None:
    packets[1][3] = Room().packets[1][3]


def _add(packets: Packets, earlier: Packets) -> None:
    packets[1][4] = packets[1][3]


def _echo_mine(packets: Packets, earlier: Packets) -> None:
    packets[1][1] = packets[2][1]


def _junk(packets: Packets, earlier: Packets) -> None:
    packets[1][3] = b"\x00" * 200


def _oversize(packets: Packets, earlier: Packets) -> None:
    packets[1][3] = encode(replace(opened(packets[1][3]), broadcast=bytes(1 << 20)))


def _change(**values: Any) -> Callable[[Packets, Packets], None]:
    def change(packets: Packets, earlier: Packets) -> None:
        packets[1][3] = encode(replace(opened(packets[1][3]), **values))

    return change


def _change_header(**values: Any) -> Callable[[Packets, Packets], None]:
    def change(packets: Packets, earlier: Packets) -> None:
        packet = opened(packets[1][3])
        packets[1][3] = encode(replace(packet, header=replace(packet.header, **values)))

    return change


RELAYS = {
    "drops a packet": _drop,
    "swaps two senders": _swap_senders,
    "swaps two receivers": _swap_receivers,
    "replays the round before": _replay,
    "reflects my own packet": _reflect,
    "replays another session": _other_session,
    "adds a packet of nobody": _add,
    "adds a packet of mine": _echo_mine,
    "sends junk": _junk,
    "sends too much": _oversize,
    "loses the broadcast": _change(broadcast=None),
    "empties the broadcast": _change(broadcast=b""),
    "changes the broadcast": _change(broadcast=encode(Note("hello of 2"))),
    "loses the secret": _change(sealed=None),
    "changes the secret": _change(sealed=b"\x00" * 80),
    "changes the signature": _change(signature=bytes(64)),
    "cuts the signature": _change(signature=b""),
    "changes the sender": _change_header(sender=2),
    "changes the round": _change_header(round=2),
    "changes the step": _change_header(step="chat.2"),
    "changes the session": _change_header(ssid=bytes(64)),
    "changes the announced broadcast": _change_header(broadcast=bytes(32)),
    "changes the announced secrets": _change_header(directs=()),
}


@pytest.mark.attack
@pytest.mark.parametrize("deed", RELAYS)
@pytest.mark.covers("R26", "P38")
def test_nobody_is_blamed_for_what_the_relay_does(deed: str) -> None:
    room = Room()
    earlier = copy.deepcopy(room.packets)
    if deed == "replays the round before":
        room.advance()
    RELAYS[deed](room.packets, earlier)
    with pytest.raises(Unattributed) as aborted:
        room.unpack(1)
    assert aborted.value.culprits == set()


@pytest.mark.attack
@pytest.mark.covers("P38")
def test_a_packet_changed_anywhere_names_nobody() -> None:
    room = Room()
    data = room.packets[1][3]
    for position in range(0, len(data), 7):
        channel = copy.copy(room.channels[1])
        channel.evidence = []
        bent = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(Unattributed):
            channel.unpack(room.out[1], {**room.packets[1], 3: bent})


@pytest.mark.attack
@pytest.mark.covers("R17")
def test_a_session_that_failed_is_over() -> None:
    room = Room()
    good = room.packets[1][3]
    room.packets[1][3] = b""
    with pytest.raises(Unattributed):
        room.unpack(1)
    room.packets[1][3] = good
    for again in (lambda: room.unpack(1), lambda: room.channels[1].pack(room.out[1]), lambda: room.channels[1].session):
        with pytest.raises(Malformed) as refused:
            again()
        assert refused.value.reason == Reason.WRONG_STATE
