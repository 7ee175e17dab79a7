"""What a cosigner hands over to be relayed, looked at before anybody else gets it.

A relay knows who handed it what, which the receivers do not. So a packet that its sender cannot have meant is held
against its sender here, as a suspicion; two signed contents for one round are proof, before anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from oms_core.crypto.params import level
from oms_core.encoding import decode, digest, encode
from oms_core.errors import Malformed, ProofInvalid
from oms_core.protocol.accuse import Equivocation, check_equivocation, equivocations
from oms_core.protocol.identity import verify_identity
from oms_core.protocol.packets import (
    Packet,
    SessionSpec,
    SignedHello,
    check_hello,
    content_hash,
    session_id,
)
from proto import cosigner_pb2 as pb

MAX_DELIVERY = 16 << 20  # bytes that a cosigner takes in one message


def minority(said: Mapping[int, object]) -> set[int]:
    """Who says something else than more than half of all do. If there is no such half, nobody can be told apart."""
    if not said:
        return set()
    common, count = Counter(said.values()).most_common(1)[0]
    return {i for i, one in said.items() if one != common} if 2 * count > len(said) else set()


class Relayed:
    """One session, as its relay sees it."""

    def __init__(self, spec: SessionSpec, roster: Mapping[int, bytes]) -> None:
        self._spec, self._roster, self._ssid = spec, roster, b""

    def hellos(self, hellos: Mapping[int, bytes]) -> set[int]:
        """Take all hellos in; returns whose cannot be used."""
        read, bad = {}, set()
        for i, data in hellos.items():
            try:
                signed = decode(SignedHello, data, 2048 + 1024 * len(self._spec.parties))
                verify_identity(self._roster[i], "hello", encode(signed.hello), signed.signature)
                if (signed.hello.spec, signed.hello.sender) != (digest("spec", self._spec), i):
                    raise Malformed("a hello for another session")
                check_hello(signed.hello, self._spec)
                read[i] = signed.hello
            except (Malformed, ProofInvalid):
                bad.add(i)
        if not bad:
            hellos_in_order = [read[i] for i in self._spec.parties]
            self._ssid = session_id(self._spec, level(self._spec.level), self._roster, hellos_in_order)
        return bad

    def round(self, number: int, outs: Mapping[int, pb.RoundOut]) -> tuple[set[int], list[Equivocation]]:
        """Take a round's packets in; returns whose cannot be what they should be, and proof of double stories."""
        bad, double, steps = set(), [], {}
        for i, out in outs.items():
            try:
                packets = self._packets(i, out)
            except Malformed:
                bad.add(i)
                continue
            try:
                for sender, evidence in equivocations(packets.values()).items():
                    if sender != i:
                        raise Malformed("a packet in another's name")
                    check_equivocation(evidence, self._roster[i])
                    double.append(evidence)
                self._check(i, number, packets)
                steps[i] = next(iter(packets.values())).header.step
                if out.step != steps[i]:
                    raise Malformed("packets of another step than it says")
            except (Malformed, ProofInvalid):
                bad.add(i)
        return bad | minority(steps), double

    def _packets(self, sender: int, out: pb.RoundOut) -> dict[int, Packet]:
        if set(out.packets) != set(self._spec.parties) - {sender}:
            raise Malformed("one packet for each peer")
        limit = MAX_DELIVERY // len(self._spec.parties)
        return {j: decode(Packet, data, limit) for j, data in out.packets.items()}

    def _check(self, sender: int, number: int, packets: Mapping[int, Packet]) -> None:
        first = next(iter(packets.values()))
        verify_identity(self._roster[sender], "round", encode(first.header.place), first.signature)
        for receiver, packet in packets.items():
            header = packet.header
            if (header, packet.signature) != (first.header, first.signature):
                raise Malformed("packets of one round are signed together")
            if (header.ssid, header.round, header.sender) != (self._ssid, number, sender):
                raise Malformed("a packet of another session, round or sender")
            sealed = [hashed for to, _, hashed in header.directs if to == receiver]
            arrived = [] if packet.sealed is None else [content_hash("sealed", packet.sealed)]
            if content_hash("broadcast", packet.broadcast) != header.broadcast or arrived != sealed:
                raise Malformed("a packet that is not as it was signed")
