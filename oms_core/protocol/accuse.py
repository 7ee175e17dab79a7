"""What convinces a stranger that a party lied: its own signed words, complete enough to check them again.

`accusations` makes evidence from a channel whose session has failed. An honest party puts each accusation to the judge
itself before it signs it; so a signed accusation that does not convict the accused convicts the accuser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from oms_core.encoding import decode_one_of, digest, document, encode
from oms_core.errors import Blame, CountersealError, ProofInvalid, ProtocolAbort
from oms_core.protocol.envelope import Channel
from oms_core.protocol.identity import Identity, verify_identity
from oms_core.protocol.packets import Header, Packet, Place, SessionSpec, SignedHello, turn
from oms_core.protocol.presign_rounds import Third
from oms_core.protocol.rounds import Echo, EchoesDiffer, Party
from oms_core.protocol.shares import Epoch, PublicPresignature

CASE_LIMIT = 16 << 20
_FAMILY = {"sign": ("presign", "sign")}
"""Whose earlier rounds a round's check looks at; else only those of its own protocol."""


@document("case/1")
class Case:
    """One party's accusation of another, with everything that it rests on.

    ``packets`` are broadcasts and echoes up to ``step``; the accused's packet at ``step`` also has what it sealed for
    the accuser, and ``opening`` is the X25519 key (32 bytes) that opens it. ``epoch`` and ``presignature`` are the
    public data that the session's spec names by hash; ``roster`` is the digest of the parties' identity keys.
    """

    spec: SessionSpec
    hellos: tuple[SignedHello, ...]
    packets: tuple[Packet, ...]
    roster: bytes
    accuser: int
    accused: int
    step: str
    opening: bytes
    epoch: Epoch | None
    presignature: PublicPresignature | None


@document("signed-case/1")
class SignedCase:
    """A case under the accuser's identity key, domain ``accusation``."""

    case: Case
    signature: bytes


@document("equivocation/1")
class Equivocation:
    """Two different contents of one party for one round of one session, each under its signature."""

    first: Place
    first_signature: bytes
    second: Place
    second_signature: bytes


Accusation = SignedCase | Equivocation


def check_equivocation(evidence: Equivocation, public: bytes) -> None:
    """Whether this convicts the owner of the identity key ``public``, before anybody. Raises `ProofInvalid`."""
    first, second = evidence.first, evidence.second
    same = (first.ssid, first.round, first.sender) == (second.ssid, second.round, second.sender)
    if first == second or not same:
        raise ProofInvalid("two different contents of one party for one round")
    verify_identity(public, "round", encode(first), evidence.first_signature)
    verify_identity(public, "round", encode(second), evidence.second_signature)


def equivocations(packets: Iterable[Packet]) -> dict[Party, Equivocation]:
    """By sender, from packets that one or several parties kept (`Channel.evidence`), or that a relay has seen.

    Each is to be put to `check_equivocation`: whoever hands in packets may have made them up.
    """
    seen: dict[tuple[bytes, int, Party], Packet] = {}
    found: dict[Party, Equivocation] = {}
    for packet in packets:
        earlier = seen.setdefault(turn(packet.header), packet)
        if earlier.header != packet.header:
            found[packet.header.sender] = Equivocation(
                earlier.header.place, earlier.signature, packet.header.place, packet.signature
            )
    return found


def unsigned_cases(
    channel: Channel, error: ProtocolAbort, epoch: Epoch | None = None, presignature: PublicPresignature | None = None
) -> list[Case | Equivocation]:
    """What could be said of whom after ``error``; the judge decides whether it holds."""
    found: list[Case | Equivocation] = list(equivocations(channel.evidence).values())
    known = {evidence.first.sender for evidence in equivocations(channel.evidence).values()}
    found += [_case(channel, blame, epoch, presignature) for blame in error.blames if blame.culprit not in known]
    if isinstance(error, EchoesDiffer):
        for j in error.differing:
            found.extend(_about_echo(channel, error.step, j))
    return found


def sign_case(case: Case, identity: Identity) -> SignedCase:
    """The accuser's word."""
    return SignedCase(case, identity.sign("accusation", encode(case)))


def _case(channel: Channel, blame: Blame, epoch: Epoch | None, presignature: PublicPresignature | None) -> Case:
    me, packets = channel.index, _of(channel)
    echoing = f"{blame.step}.echo"
    echoed = (echoing, blame.culprit) in packets
    rounds = _rounds(channel)
    agreed = {step.removesuffix(".echo") for step in rounds if step.endswith(".echo")} | {"presign.2"}
    last, family = rounds.get(blame.step, 0), blame.step.partition(".")[0]
    kept = []
    for (step, sender), packet in packets.items():
        if step.partition(".")[0] not in _FAMILY.get(family, (family,)):
            continue
        at_fault = (step, sender) == (blame.step, blame.culprit)
        before = rounds[step] < last and step in agreed
        own_echo = sender == blame.culprit and step.endswith(".echo") and rounds[step] <= last + echoed
        if at_fault:
            kept.append(packet)
        elif before or own_echo or (echoed and step == blame.step):
            kept.append(replace(packet, sealed=None))
    return Case(
        spec=channel.spec,
        hellos=channel.hellos,
        packets=tuple(kept),
        roster=roster_digest({j: channel.identity_of(j) for j in channel.spec.parties}),
        accuser=me,
        accused=blame.culprit,
        step=blame.step,
        opening=channel.opening(blame.culprit),
        epoch=epoch,
        presignature=presignature,
    )


def roster_digest(identities: Mapping[Party, bytes]) -> bytes:
    """32 bytes that stand for these parties' identity keys."""
    return digest("roster", [[j, identities[j]] for j in sorted(identities)])


def _about_echo(channel: Channel, step: str, j: Party) -> list[Case | Equivocation]:
    """j echoes other broadcasts of ``step`` than I received: somebody signed two, or j makes them up."""
    packets = _of(channel)
    carrier = f"{step}.echo" if (f"{step}.echo", j) in packets else "presign.3"
    told = _read_echo(packets[carrier, j])
    mine = {sender: packet for (at, sender), packet in packets.items() if at == step}
    for receipt in told.receipts if told else ():
        header: Header | None = mine[receipt.sender].header if receipt.sender in mine else None
        if header is None or receipt.content == header.place.content:
            continue
        other = replace(header.place, content=receipt.content)
        evidence = Equivocation(header.place, mine[receipt.sender].signature, other, receipt.signature)
        try:
            check_equivocation(evidence, channel.identity_of(receipt.sender))
        except ProofInvalid:
            continue
        return [evidence]
    return [_case(channel, Blame(j, carrier, "echoes what it did not receive"), None, None)]


def _of(channel: Channel) -> dict[tuple[str, Party], Packet]:
    """What was said in the rounds that I took part in, without what somebody signed out of turn."""
    rounds = _rounds(channel)
    return {
        (packet.header.step, packet.header.sender): packet
        for packet in channel.evidence
        if packet.header.round == rounds.get(packet.header.step)
    }


def _rounds(channel: Channel) -> dict[str, int]:
    """Which round each step was, by my own headers."""
    return {
        packet.header.step: packet.header.round for packet in channel.evidence if packet.header.sender == channel.index
    }


def _read_echo(packet: Packet) -> Echo | None:
    try:
        read: Echo | Third = decode_one_of(
            cast("tuple[type[Echo | Third], ...]", (Echo, Third)), packet.broadcast or b""
        )
    except CountersealError:
        return None
    return read.echo if isinstance(read, Third) else read
