"""Who told two things, or lies about what it heard: faults that no party sees alone, found where packets meet.

Honest parties who abort because an echo differs name nobody. Their verified packets together name somebody: either a
party signed two headers for one round, or all broadcasts are the same everywhere and a signed echo does not fit them.
"""

from __future__ import annotations

from collections.abc import Iterable

from oms_core.encoding import decode, document, encode
from oms_core.errors import Malformed, ProofInvalid
from oms_core.protocol.envelope import Header, Packet, verify_identity
from oms_core.protocol.presign import Third
from oms_core.protocol.rounds import Echo, Party, echo_of_bytes


@document("equivocation/1")
class Equivocation:
    """Two different headers of one party for one round of one session, each under its signature."""

    first: Header
    first_signature: bytes
    second: Header
    second_signature: bytes


def check_equivocation(evidence: Equivocation, public: bytes) -> None:
    """Whether this convicts the owner of the identity key ``public``, before anybody. Raises `ProofInvalid`."""
    first, second = evidence.first, evidence.second
    if first == second or first.place != second.place:
        raise ProofInvalid("two different headers of one party for one round")
    verify_identity(public, "round", encode(first), evidence.first_signature)
    verify_identity(public, "round", encode(second), evidence.second_signature)


def equivocations(packets: Iterable[Packet]) -> dict[Party, Equivocation]:
    """By sender, from the packets that several parties kept (`Channel.evidence`).

    Each is to be put to `check_equivocation`: whoever hands in packets may have made them up.
    """
    seen: dict[tuple[bytes, int, Party], Packet] = {}
    found: dict[Party, Equivocation] = {}
    for packet in packets:
        earlier = seen.setdefault(packet.header.place, packet)
        if earlier.header != packet.header:
            found[packet.header.sender] = Equivocation(
                earlier.header, earlier.signature, packet.header, packet.signature
            )
    return found


def false_echoes(packets: Iterable[Packet], parties: Iterable[Party]) -> set[Party]:
    """Whose signed echo does not fit what ``parties``, all of the session, broadcast in a round that was echoed.

    Holds only where `equivocations` of the same packets, all with verified signatures, are none: an honest party's
    echo is then that of the one set of broadcasts that there is. Rounds that are not fully there are passed over.
    """
    said: dict[tuple[bytes, str], dict[Party, bytes]] = {}
    for packet in packets:
        if packet.broadcast is not None:
            said.setdefault((packet.header.ssid, packet.header.step), {})[packet.header.sender] = packet.broadcast
    everyone, liars = set(parties), set()
    for (ssid, step), broadcasts in said.items():
        if set(broadcasts) != everyone:
            continue
        expected = echo_of_bytes(ssid, step, broadcasts)
        for j, data in said.get((ssid, f"{step}.echo"), {}).items():
            if _read_echo(Echo, data) != expected:
                liars.add(j)
        for j, data in said.get((ssid, "presign.3"), {}).items() if step == "presign.2" else ():
            if _read_echo(Third, data) != expected:
                liars.add(j)
    return liars


def _read_echo(kind: type[Echo] | type[Third], data: bytes) -> Echo | None:
    try:
        read = decode(kind, data)
    except Malformed:
        return None
    return read.echo if isinstance(read, Third) else read
