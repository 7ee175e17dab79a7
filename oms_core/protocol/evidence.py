"""Who told two things: the one fault that no single party can see, found where the packets of several meet."""

from __future__ import annotations

from collections.abc import Iterable

from oms_core.encoding import document, encode
from oms_core.errors import ProofInvalid
from oms_core.protocol.envelope import Header, Packet, verify_identity
from oms_core.protocol.rounds import Party


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
