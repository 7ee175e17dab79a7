"""What is signed, sealed and echoed on the way: one end of one session, towards a relay that is trusted with nothing.

A run starts with a signed `Hello` of every party: a fresh nonce and a fresh X25519 key for each peer. The session id is
the hash of the spec, the roster's identities and all hellos, so nothing of another run fits into this one. In each
round a party signs one `Header` with its HSM identity key. The header holds the hash of the broadcast and, for each
receiver, a salted commitment to the secret message and the hash of its sealed form (HPKE, RFC 9180). So one signature
covers all that is said in the round. What was told in secret, and what does not decrypt, is shown to others by giving
away the one key to which the accused sealed, in a session that is over (`accuse`).

A packet that is not properly signed for this place is the relay's doing: `Unattributed`. A properly signed header
that is not as the round has it, or a sealed message that is not as its header says, is its sender's: `ProtocolAbort`.
Two different headers of one party for one round convict it before anybody (`accuse.Equivocation`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from oms_core.crypto.params import Level
from oms_core.encoding import decode, digest, encode
from oms_core.errors import Blame, Malformed, ProofInvalid, ProtocolAbort, Reason, Unattributed
from oms_core.protocol.identity import Identity, verify_identity
from oms_core.protocol.packets import (
    NONCE,
    SALT,
    SUITE,
    Header,
    Hello,
    Packet,
    SessionSpec,
    SignedHello,
    check_header,
    check_hello,
    check_spec,
    content_hash,
    kem_key,
    open_sealed,
    sealing,
    session_id,
    turn,
)
from oms_core.protocol.rounds import Inbox, Incoming, Outgoing, Party, Receipt, Session

_OVERHEAD = 4096  # bytes around the payloads: header, signature, sealing
_PER_PARTY = 96  # bytes that a header grows with each receiver


class Channel:
    """One party's end of one session. Used by one thread at a time. Once `unpack` has raised, the session is over."""

    def __init__(
        self,
        spec: SessionSpec,
        level: Level,
        identity: Identity,
        roster: Mapping[Party, bytes],
        head: bytes = b"",
        known: tuple[bytes, ...] = (),
    ) -> None:
        """``roster`` maps at least the spec's parties to identity keys. Raises `Malformed`."""
        check_spec(spec)
        if level.name != spec.level:
            raise Malformed("the session has another security level")
        if identity.index not in spec.parties or any(j not in roster for j in spec.parties):
            raise Malformed("the session's parties are not those of the roster")
        if roster[identity.index] != identity.public or len({roster[j] for j in spec.parties}) != len(spec.parties):
            raise Malformed("the roster has another identity key for me, or one key twice", Reason.PEER_IDENTITY)
        self.spec = spec
        self.evidence: list[Packet] = []
        """Every packet that its sender signed, mine too, without what was not as signed: what convinces others."""
        self.hellos: tuple[SignedHello, ...] = ()
        """Everyone's, ascending, once the session has started."""
        self._level, self._identity = level, identity
        self._roster = {j: roster[j] for j in spec.parties}
        self._kems = {j: X25519PrivateKey.generate() for j in spec.parties if j != identity.index}
        self._round, self._ended = 0, False
        self._packed: tuple[Outgoing, dict[Party, bytes]] | None = None
        self._peer_keys: dict[Party, X25519PublicKey] = {}
        self._session: Session | None = None
        keys = tuple((j, kem.public_key().public_bytes_raw()) for j, kem in self._kems.items())
        hello = Hello(self._spec_digest, identity.index, secrets.token_bytes(NONCE), keys, head, known)
        self._hello = encode(SignedHello(hello, identity.sign("hello", encode(hello))))

    @property
    def index(self) -> Party:
        """Mine."""
        return self._identity.index

    def identity_of(self, party: Party) -> bytes:
        """A participant's identity key."""
        return self._roster[party]

    @property
    def _spec_digest(self) -> bytes:
        return digest("spec", self.spec)

    @property
    def session(self) -> Session:
        """The running session. Raises `Malformed` (WRONG_STATE) before `start`, and after a round that failed."""
        if self._session is None or self._ended:
            raise Malformed("the session has not started, or has ended", Reason.WRONG_STATE)
        return self._session

    def hello(self) -> bytes:
        """My signed hello; the same bytes each time."""
        return self._hello

    def start(self, hellos: Mapping[Party, bytes]) -> Session:
        """Check everyone's hello and compute the session id.

        Raises `Unattributed` for hellos that the relay may have changed, `ProtocolAbort` naming those who signed one
        that cannot be used.
        """
        if self._session is not None:
            raise Malformed("the session has started already", Reason.WRONG_STATE)
        if set(hellos) != set(self.spec.parties) or hellos[self._identity.index] != self._hello:
            raise Unattributed("a session starts with one hello of each party, mine unchanged")
        signed = {j: self._verified_hello(j, hellos[j]) for j in self.spec.parties}
        self.hellos, me = tuple(signed.values()), self._identity.index
        blames = []
        for j in self.spec.parties:
            try:
                check_hello(signed[j].hello, self.spec)
            except ProofInvalid as error:
                blames.append(Blame(j, "hello", error.message))
        if blames:
            raise ProtocolAbort(*blames)
        for j in self._kems:
            self._peer_keys[j] = kem_key(dict(signed[j].hello.keys)[me])
        ssid = session_id(self.spec, self._level, self._roster, [one.hello for one in self.hellos])
        self._session = Session(ssid, me, self.spec.parties, self._level)
        return self._session

    def _verified_hello(self, sender: Party, data: bytes) -> SignedHello:
        """A hello that ``sender`` signed for this spec, or `Unattributed`."""
        try:
            signed = decode(SignedHello, data, 2048 + 1024 * len(self.spec.parties))
            verify_identity(self._roster[sender], "hello", encode(signed.hello), signed.signature)
        except (Malformed, ProofInvalid) as error:
            raise Unattributed(f"hello of party {sender} does not hold: {error.message}") from error
        if (signed.hello.spec, signed.hello.sender) != (self._spec_digest, sender):
            raise Unattributed(f"hello of party {sender} is for another session")
        return signed

    def opening(self, peer: Party) -> bytes:
        """The key to which ``peer`` sealed for me, to convict it with. The session is over by that."""
        self._ended = True
        return self._kems[peer].private_bytes_raw()

    def pack(self, out: Outgoing) -> dict[Party, bytes]:
        """Sign once, seal for each peer: one packet per peer. The same round again gives the same bytes (rule R29)."""
        session = self.session
        if self._packed is not None and self._packed[0] is out:
            return dict(self._packed[1])
        self._round += 1
        payloads = {j: secrets.token_bytes(SALT) + out.direct[j] for j in sorted(out.direct)}
        sealed = {
            j: SUITE.encrypt(payload, self._peer_keys[j], info=self._place(out.step, j))
            for j, payload in payloads.items()
        }
        header = Header(
            ssid=session.ssid,
            step=out.step,
            round=self._round,
            sender=session.me,
            broadcast=content_hash("broadcast", out.broadcast),
            directs=tuple(
                (j, content_hash("direct", payloads[j]), content_hash("sealed", sealed[j])) for j in payloads
            ),
        )
        signature = self._identity.sign("round", encode(header.place))
        self.evidence.append(Packet(header, signature, out.broadcast, None))
        packets = {j: encode(Packet(header, signature, out.broadcast, sealed.get(j))) for j in session.peers}
        self._packed = out, packets
        return dict(packets)

    def unpack(self, out: Outgoing, packets: Mapping[Party, bytes]) -> Inbox:
        """Verify, open and check each peer's packet of the round that ``out`` belongs to.

        Raises `ProtocolAbort` naming those whose own signed words do not fit together; otherwise `Unattributed` for
        what the relay could have done.
        """
        session = self.session
        inbox: dict[Party, Incoming] = {}
        blames: list[Blame] = []
        losses: list[str] = []
        for j in session.peers:
            try:
                if j not in packets:
                    raise Unattributed(f"no packet of party {j} at {out.step}")
                packet = self._verified(out, j, packets[j])
                receipt = Receipt(j, packet.header.place.content, packet.signature)
                inbox[j] = Incoming(packet.broadcast, self._opened(packet), receipt)
            except ProofInvalid as error:
                blames.append(Blame(j, out.step, error.message))
            except Unattributed as error:
                losses.append(error.message)
        if not set(packets) <= set(session.peers):
            losses.append(f"a packet of nobody in this session at {out.step}")
        self._ended = bool(blames or losses)
        if blames:
            raise ProtocolAbort(*blames)
        if losses:
            raise Unattributed("; ".join(losses))
        return inbox

    def _verified(self, out: Outgoing, sender: Party, data: bytes) -> Packet:
        """A packet that ``sender`` signed for this round, and whose content is what it signed.

        Raises `Unattributed`, and `ProofInvalid` if the sender signed what it may not.
        """
        session = self.session
        try:
            packet = decode(Packet, data, 2 * out.limit + _OVERHEAD + _PER_PARTY * len(session.parties))
            verify_identity(self._roster[sender], "round", encode(packet.header.place), packet.signature)
        except (Malformed, ProofInvalid) as error:
            raise Unattributed(f"packet of party {sender} at {out.step} does not hold: {error.message}") from error
        header = packet.header
        if (header.ssid, header.sender) != (session.ssid, sender):
            raise Unattributed(f"packet of party {sender} at {out.step} belongs to another session or sender")
        signed = [sealed for j, _, sealed in header.directs if j == session.me]
        arrived = [] if packet.sealed is None else [content_hash("sealed", packet.sealed)]
        intact = content_hash("broadcast", packet.broadcast) == header.broadcast and arrived == signed
        self._keep(packet if intact else replace(packet, broadcast=None, sealed=None))
        if header.round == self._round and header.step != out.step:
            raise ProofInvalid("the step that this round is")
        if header.round != self._round:
            raise Unattributed(f"packet of party {sender} at {out.step} belongs to another round")
        check_header(session, header, out.broadcast is not None, out.expects_direct)
        if not intact:
            raise Unattributed(f"what party {sender} signed at {out.step} was changed, or lost, on the way")
        return packet

    def _keep(self, packet: Packet) -> None:
        """Keep a signed packet as evidence; raise `ProofInvalid` if it contradicts one of the same round."""
        key = turn(packet.header)
        same = [kept for kept in self.evidence if turn(kept.header) == key]
        if packet not in same:
            self.evidence.append(packet)
        if any(kept.header != packet.header for kept in same):
            raise ProofInvalid("one header for each round")

    def _opened(self, packet: Packet) -> bytes | None:
        return None if packet.sealed is None else open_sealed(self.session.me, packet, self._kems[packet.header.sender])

    def _place(self, step: str, receiver: Party) -> bytes:
        return sealing(self.session.ssid, step, self._round, self.session.me, receiver)
