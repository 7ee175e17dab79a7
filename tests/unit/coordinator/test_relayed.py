"""What a relay lets through: whoever hands over what it cannot have meant is suspected, and nobody else, ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from coordinator import relayed as module
from coordinator.relayed import MAX_DELIVERY, Relayed, minority
from oms_core.crypto.params import TOY
from oms_core.encoding import decode, encode
from oms_core.protocol.judge import judge
from oms_core.protocol.packets import Packet, SignedHello, content_hash
from proto import cosigner_pb2 as pb
from tests.parties import channels, identity, roster
from tests.protocol.rooms import Room, sign_header, signed
from tests.unit.coordinator.nodes import each, resigned

ALL = (1, 2, 3)
Outs = dict[int, pb.RoundOut]
Lie = Callable[[Room, Outs, int], pb.RoundOut]


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toy sizes."""
    monkeypatch.setattr(module, "level", lambda _: TOY)


class Watched:
    """A room, and the relay of its session in the same round."""

    def __init__(self, step: str = "chat.1", parties: tuple[int, ...] = ALL) -> None:
        self.room = Room(parties=parties)
        self.relayed = Relayed(self.room.channels[1].spec, roster(parties))
        assert self.relayed.hellos({i: channel.hello() for i, channel in self.room.channels.items()}) == set()
        self.number = 1
        if step == "chat.2":
            assert self.relayed.round(1, self.outs()) == (set(), [])
            self.room.advance()
            self.number = 2

    def outs(self) -> Outs:
        """What all hand over in this round."""
        room, step = self.room, self.room.out[1].step
        sent = {i: {j: room.packets[j][i] for j in room.parties if j != i} for i in room.parties}
        return {i: pb.RoundOut(round=self.number, step=step, packets=packets) for i, packets in sent.items()}


@pytest.mark.parametrize("parties", [(1, 2), ALL, (1, 2, 3, 4, 5)])
def test_what_honest_parties_say_goes_through(parties: tuple[int, ...]) -> None:
    for step in ("chat.1", "chat.2"):
        watched = Watched(step, parties)
        assert watched.relayed.round(watched.number, watched.outs()) == (set(), [])


def packet(out: pb.RoundOut) -> Packet:
    return decode(Packet, next(iter(out.packets.values())))


def bent(change: Callable[[Packet], Packet], only: int | None = None) -> Lie:
    """Packets changed after they were signed, for all or for one receiver: the last."""

    def lie(room: Room, outs: Outs, i: int) -> pb.RoundOut:
        last = max(outs[i].packets)
        return each(outs[i], lambda j, data: data if only and j != last else encode(change(decode(Packet, data))))

    return lie


def as_signed(**changes: Any) -> Lie:
    return lambda room, outs, i: each(outs[i], resigned(i, **changes))


def to_last(change: Callable[[bytes], bytes | None]) -> Lie:
    return lambda room, outs, i: each(outs[i], lambda j, data: change(data) if j == max(outs[i].packets) else data)


def with_packets(make: Callable[[Room, Outs, int], dict[int, bytes]]) -> Lie:
    return lambda room, outs, i: pb.RoundOut(round=outs[i].round, step=outs[i].step, packets=make(room, outs, i))


def other(i: int) -> int:
    return 1 if i != 1 else 2


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


LIES: dict[str, Lie] = {
    "junk for all": lambda room, outs, i: each(outs[i], lambda j, _: b"\xff" * 40),
    "junk for one": to_last(lambda _: b"\xff" * 40),
    "nothing for one": to_last(lambda _: b""),
    "no packet for one": to_last(lambda _: None),
    "no packets": with_packets(lambda room, outs, i: {}),
    "one for itself": with_packets(lambda room, outs, i: {**outs[i].packets, i: b""}),
    "one for a stranger": with_packets(lambda room, outs, i: {**outs[i].packets, 9: b""}),
    "for strangers only": with_packets(
        lambda room, outs, i: dict.fromkeys((7, 8), next(iter(outs[i].packets.values())))
    ),
    "too large": to_last(lambda data: data + bytes(MAX_DELIVERY // 3)),
    "another step": as_signed(step="chat.2.echo"),
    "another step throughout": lambda room, outs, i: pb.RoundOut(
        round=outs[i].round, step="chat.9", packets=each(outs[i], resigned(i, step="chat.9")).packets
    ),
    "another step's name": lambda room, outs, i: pb.RoundOut(round=1, step="x-alert", packets=outs[i].packets),
    "an earlier round": as_signed(round=0),
    "a later round": as_signed(round=3),
    "an endless round": as_signed(round=10**1000),
    "another session": as_signed(ssid=bytes(64)),
    "no session": as_signed(ssid=b""),
    "in another's name": lambda room, outs, i: each(outs[i], resigned(i, sender=other(i))),
    "in nobody's name": as_signed(sender=9),
    "in an endless name": as_signed(sender=10**1000),
    "another's words": lambda room, outs, i: pb.RoundOut(
        round=outs[i].round, step=outs[i].step, packets=dict.fromkeys(outs[i].packets, packets_of(outs, other(i)))
    ),
    "unsigned": bent(lambda p: replace(p, signature=bytes(64))),
    "unsigned for one": bent(lambda p: replace(p, signature=bytes(64)), only=1),
    "no signature": bent(lambda p: replace(p, signature=b"")),
    "signed by another": bent(lambda p: replace(p, signature=sign_header(4, p.header))),
    "signed again for one": bent(lambda p: replace(p, signature=sign_header(p.header.sender, p.header)), only=1),
    "another broadcast": bent(lambda p: replace(p, broadcast=flipped(p.broadcast or b"?"))),
    "another broadcast for one": bent(lambda p: replace(p, broadcast=flipped(p.broadcast or b"?")), only=1),
    "no broadcast": bent(lambda p: replace(p, broadcast=None)),
    "another sealed message": bent(lambda p: replace(p, sealed=b"sealed")),
    "another header": bent(lambda p: replace(p, header=replace(p.header, broadcast=bytes(32)))),
}


def packets_of(outs: Outs, i: int) -> bytes:
    return next(iter(outs[i].packets.values()))


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("liar", ALL)
@pytest.mark.parametrize("step", ["chat.1", "chat.2"])
def test_a_packet_that_cannot_be_meant_is_held_against_who_handed_it_over(step: str, liar: int, lie: Lie) -> None:
    watched = Watched(step)
    outs = watched.outs()
    bad, double = watched.relayed.round(watched.number, {**outs, liar: lie(watched.room, outs, liar)})
    assert (bad, double) == ({liar}, [])


@pytest.mark.parametrize("liar", ALL)
def test_secret_messages_that_are_missing_swapped_or_added_are_held_against_their_sender(liar: int) -> None:
    watched = Watched("chat.1")
    outs = watched.outs()
    one, two = outs[liar].packets.values()
    swapped = dict(zip(outs[liar].packets, (two, one), strict=True))
    for lie in (
        lambda room, outs, i: each(outs[i], lambda _, data: encode(replace(decode(Packet, data), sealed=None))),
        with_packets(lambda room, outs, i: swapped),
    ):
        assert watched.relayed.round(1, {**outs, liar: lie(watched.room, outs, liar)}) == ({liar}, [])  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("liar", ALL)
def test_packets_of_the_round_before_are_held_against_who_sends_them_again(liar: int) -> None:
    watched = Watched("chat.1")
    before = watched.outs()[liar]
    watched.room.advance()
    watched.number = 2
    outs = watched.outs()
    assert watched.relayed.round(2, {**outs, liar: before}) == ({liar}, [])


@pytest.mark.parametrize("liar", ALL)
def test_packets_of_another_session_are_held_against_who_sends_them(liar: int) -> None:
    watched, elsewhere = Watched("chat.1"), Watched("chat.1")
    outs = {**watched.outs(), liar: elsewhere.outs()[liar]}
    assert watched.relayed.round(1, outs) == ({liar}, [])


# Two stories


def two_stories(out: pb.RoundOut, signer: int, sender: int) -> pb.RoundOut:
    """Another broadcast for the last receiver, both signed by ``signer``."""

    def change(j: int, data: bytes) -> bytes:
        made = decode(Packet, data)
        header = replace(made.header, sender=sender)
        if j == max(out.packets):
            header = replace(header, broadcast=content_hash("broadcast", b"other"))
            made = replace(made, broadcast=b"other")
        return signed(signer, header, made)

    return each(out, change)


@pytest.mark.parametrize("liar", ALL)
def test_two_stories_convict_their_teller_before_anybody(liar: int) -> None:
    watched = Watched()
    outs = watched.outs()
    bad, double = watched.relayed.round(1, {**outs, liar: two_stories(outs[liar], liar, liar)})
    assert bad <= {liar}
    assert [judge(one, roster(ALL)).culprit for one in double] == [liar]


@pytest.mark.parametrize("liar", ALL)
def test_two_stories_that_a_liar_signs_in_the_name_of_an_honest_node_are_held_against_the_liar(liar: int) -> None:
    watched = Watched()
    outs = watched.outs()
    for victim in set(ALL) - {liar}:
        bad, double = watched.relayed.round(1, {**outs, liar: two_stories(outs[liar], liar, victim)})
        assert (bad, double) == ({liar}, [])


def test_two_stories_of_an_honest_node_cannot_be_made_from_what_it_has_signed_in_different_rounds() -> None:
    watched = Watched()
    first = packets_of(watched.outs(), 1)
    watched.room.advance()
    watched.number = 2
    outs = watched.outs()
    mixed = pb.RoundOut(round=2, step="chat.2", packets=dict(zip((1, 2), (first, packets_of(outs, 1)), strict=True)))
    assert watched.relayed.round(2, {**outs, 3: mixed}) == ({3}, [])


def test_a_liar_that_tells_two_stories_beside_one_that_sends_junk_are_both_found() -> None:
    watched = Watched(parties=(1, 2, 3, 4, 5))
    outs = watched.outs()
    outs |= {4: two_stories(outs[4], 4, 4), 5: each(outs[5], lambda *_: b"junk")}
    bad, double = watched.relayed.round(1, outs)
    assert (bad - {4}, [one.first.sender for one in double]) == ({5}, [4])


# Hellos


def hello_of(i: int, **changes: Any) -> bytes:
    made = decode(SignedHello, channels(ALL)[i].hello())
    hello = replace(made.hello, **changes)
    return encode(SignedHello(hello, identity(i).sign("hello", encode(hello))))


@pytest.mark.parametrize("liar", ALL)
@pytest.mark.parametrize(
    "change",
    [
        lambda hello, i: b"",
        lambda hello, i: b"\xff" * 99,
        lambda hello, i: bytes(1 << 16),
        lambda hello, i: encode(replace(decode(SignedHello, hello), signature=bytes(64))),
        lambda hello, i: hello_of(i),
        lambda hello, i: as_hello(hello, i, sender=other(i)),
        lambda hello, i: as_hello(hello, i, sender=10**400),
        lambda hello, i: as_hello(hello, i, nonce=b"short"),
        lambda hello, i: as_hello(hello, i, keys=()),
        lambda hello, i: as_hello(hello, i, keys=tuple((j, bytes(32)) for j in ALL if j != i)),
        lambda hello, i: as_hello(hello, i, spec=bytes(32)),
    ],
    ids=["none", "junk", "large", "unsigned", "elsewhere", "name", "endless", "nonce", "no keys", "weak keys", "spec"],
)
def test_a_hello_that_cannot_be_used_is_held_against_who_sent_it(liar: int, change: Any) -> None:
    made = channels(ALL)
    hellos = {i: channel.hello() for i, channel in made.items()}
    relayed = Relayed(made[1].spec, roster(ALL))
    assert relayed.hellos({**hellos, liar: change(hellos[liar], liar)}) == {liar}


def as_hello(data: bytes, i: int, **changes: Any) -> bytes:
    hello = replace(decode(SignedHello, data).hello, **changes)
    return encode(SignedHello(hello, identity(i).sign("hello", encode(hello))))


def test_nobody_is_told_apart_where_no_half_says_the_same() -> None:
    assert minority({}) == set()
    assert minority({1: "a", 2: "a", 3: "b"}) == {3}
    assert minority({1: "b", 2: "a", 3: "a", 4: "a", 5: "c"}) == {1, 5}
    for said in ({1: "a", 2: "b"}, {1: "a", 2: "a", 3: "b", 4: "b"}, {1: "a", 2: "b", 3: "c"}):
        assert minority(said) == set()
