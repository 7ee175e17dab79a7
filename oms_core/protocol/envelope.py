"""What is signed, sealed and echoed on the way: one end of one session, towards a relay that is trusted with nothing.

A run starts with a signed `Hello` of every party: a fresh nonce and a fresh X25519 key. The session id is the hash of
the spec, the roster's identities and all hellos, so nothing of another run fits into this one. In each round a party
signs one `Header` with its HSM identity key. The header holds the hash of the broadcast and, for each receiver, a
salted commitment to the secret message and the hash of its sealed form (HPKE, RFC 9180). So one signature covers all
that is said in the round; what a receiver decrypts can be shown to others against the commitment, and what does not
decrypt can be shown by giving away the session's own sealing key.

A packet that is not properly signed for this place is the relay's doing: `Unattributed`. A properly signed header
that is not as the round has it, or a sealed message that is not as its header says, is its sender's: `ProtocolAbort`.
Two different headers of one party for one round convict it before anybody (`evidence.Equivocation`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from oms_core.crypto import p256
from oms_core.crypto.params import Level
from oms_core.crypto.shamir import check_indices
from oms_core.encoding import decode, digest, document, encode
from oms_core.errors import Blame, Malformed, ProofInvalid, ProtocolAbort, Reason, Unattributed
from oms_core.protocol.rounds import Inbox, Incoming, Outgoing, Party, Session

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SALT = 32
_NONCE = 32
_OVERHEAD = 4096  # bytes around the payloads: header, signature, sealing
_PER_PARTY = 96  # bytes that a header grows with each receiver


class Identity(Protocol):
    """A party's long-term P-256 key. It never leaves its HSM; only domain-separated digests are signed with it."""

    @property
    def index(self) -> Party:
        """The party's index in the roster."""

    @property
    def public(self) -> bytes:
        """65 bytes, SEC1 uncompressed."""

    def sign(self, domain: str, message: bytes) -> bytes:
        """Raw r ‖ s, 64 bytes, over `identity_digest`."""


def identity_digest(domain: str, message: bytes) -> bytes:
    """The 32 bytes (SHA-256) that an identity key signs: an envelope can never pass for a refusal or a receipt."""
    return hashlib.sha256(encode(["counterseal identity", 1, domain, message])).digest()


def verify_identity(public: bytes, domain: str, message: bytes, signature: bytes) -> None:
    """Raises `ProofInvalid` (SIGNATURE_INVALID) unless the identity key signed this message in this domain."""
    p256.verify(public, identity_digest(domain, message), signature)


@document("session-spec/1")
class SessionSpec:
    """What a run is for. ``subject`` is the digest of the request it serves; ``epoch_hash`` is empty before a key."""

    session_id: bytes
    protocol: str
    level: str
    key_id: bytes
    epoch: int
    epoch_hash: bytes
    threshold: int
    parties: tuple[int, ...]
    subject: bytes


def check_spec(spec: SessionSpec) -> None:
    """Shape of a spec. Raises `Malformed`."""
    check_indices(spec.parties)
    if list(spec.parties) != sorted(spec.parties) or not 2 <= spec.threshold <= len(spec.parties):
        raise Malformed("parties ascend, and the threshold is between 2 and their number")
    if len(spec.session_id) != 32 or len(spec.key_id) != 32 or len(spec.subject) != 32 or spec.epoch < 0:
        raise Malformed("ids and digests have 32 bytes")
    if len(spec.epoch_hash) not in (0, 32) or len(spec.protocol) > 32:
        raise Malformed("epoch hash or protocol name out of shape")


@document("hello/1")
class Hello:
    """A party's contribution to the session id, and the key to which its peers seal in this run."""

    spec: bytes
    sender: int
    nonce: bytes
    kem_public: bytes


@document("signed-hello/1")
class SignedHello:
    """A hello under the identity key, domain ``hello``."""

    hello: Hello
    signature: bytes


@document("header/1")
class Header:
    """All that a party says in a round, as digests. ``directs``: (receiver, commitment, hash of the sealed form)."""

    ssid: bytes
    step: str
    round: int
    sender: int
    broadcast: bytes
    directs: tuple[tuple[int, bytes, bytes], ...]

    @property
    def place(self) -> tuple[bytes, int, Party]:
        """Session, round and sender: an honest party signs one header for each."""
        return self.ssid, self.round, self.sender


@document("packet/1")
class Packet:
    """What one receiver gets: the header with its signature (domain ``round``), the broadcast, its sealed message."""

    header: Header
    signature: bytes
    broadcast: bytes | None
    sealed: bytes | None


class Channel:
    """One party's end of one session. Used by one thread at a time. Once `unpack` has raised, the session is over."""

    def __init__(self, spec: SessionSpec, level: Level, identity: Identity, roster: Mapping[Party, bytes]) -> None:
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
        """Every packet that its sender signed, without what was not as signed: with a claim, what convinces others."""
        self._level, self._identity = level, identity
        self._roster = {j: roster[j] for j in spec.parties}
        self._kem = X25519PrivateKey.generate()
        self._round, self._ended = 0, False
        self._packed: tuple[Outgoing, dict[Party, bytes]] | None = None
        self._peer_keys: dict[Party, X25519PublicKey] = {}
        self._session: Session | None = None
        nonce, kem_public = secrets.token_bytes(_NONCE), self._kem.public_key().public_bytes_raw()
        hello = Hello(self._spec_digest, identity.index, nonce, kem_public)
        self._hello = encode(SignedHello(hello, identity.sign("hello", encode(hello))))

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
        read = {j: self._verified_hello(j, hellos[j]) for j in self.spec.parties}
        blames = []
        for j, hello in read.items():
            try:
                if len(hello.nonce) != _NONCE:
                    raise ProofInvalid("a nonce has 32 bytes")
                self._peer_keys[j] = _kem_key(hello.kem_public)
            except ProofInvalid as error:
                blames.append(Blame(j, "hello", error.message))
        if blames:
            raise ProtocolAbort(*blames)
        roster = [(j, self._roster[j]) for j in self.spec.parties]
        ssid = digest("ssid", self.spec, self._level_digest(), roster, [read[j] for j in self.spec.parties], size=64)
        self._session = Session(ssid, self._identity.index, self.spec.parties, self._level)
        return self._session

    def _verified_hello(self, sender: Party, data: bytes) -> Hello:
        """A hello that ``sender`` signed for this spec, or `Unattributed`."""
        try:
            signed = decode(SignedHello, data, 1024)
            verify_identity(self._roster[sender], "hello", encode(signed.hello), signed.signature)
        except (Malformed, ProofInvalid) as error:
            raise Unattributed(f"hello of party {sender} does not hold: {error.message}") from error
        if (signed.hello.spec, signed.hello.sender) != (self._spec_digest, sender):
            raise Unattributed(f"hello of party {sender} is for another session")
        return signed.hello

    def _level_digest(self) -> bytes:
        level = self._level
        sizes = [level.modulus_bits, level.ell, level.epsilon, level.ell_prime, level.repetitions, level.epsilon_dec]
        return digest("params", level.name, sizes, "secp256k1")

    def pack(self, out: Outgoing) -> dict[Party, bytes]:
        """Sign once, seal for each peer: one packet per peer. The same round again gives the same bytes (rule R29)."""
        session = self.session
        if self._packed is not None and self._packed[0] is out:
            return dict(self._packed[1])
        self._round += 1
        payloads = {j: secrets.token_bytes(_SALT) + out.direct[j] for j in sorted(out.direct)}
        sealed = {
            j: _SUITE.encrypt(payload, self._peer_keys[j], info=self._place(out.step, session.me, j))
            for j, payload in payloads.items()
        }
        header = Header(
            ssid=session.ssid,
            step=out.step,
            round=self._round,
            sender=session.me,
            broadcast=_content("broadcast", out.broadcast),
            directs=tuple((j, _content("direct", payloads[j]), _content("sealed", sealed[j])) for j in payloads),
        )
        signature = self._identity.sign("round", encode(header))
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
                inbox[j] = self._opened(out, self._verified(out, j, packets[j]))
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
            verify_identity(self._roster[sender], "round", encode(packet.header), packet.signature)
        except (Malformed, ProofInvalid) as error:
            raise Unattributed(f"packet of party {sender} at {out.step} does not hold: {error.message}") from error
        header = packet.header
        if (header.ssid, header.sender) != (session.ssid, sender):
            raise Unattributed(f"packet of party {sender} at {out.step} belongs to another session or sender")
        signed = [sealed for j, _, sealed in header.directs if j == session.me]
        arrived = [] if packet.sealed is None else [_content("sealed", packet.sealed)]
        intact = _content("broadcast", packet.broadcast) == header.broadcast and arrived == signed
        self._keep(packet if intact else replace(packet, broadcast=None, sealed=None))
        if (header.step, header.round) != (out.step, self._round):
            raise Unattributed(f"packet of party {sender} at {out.step} belongs to another round")
        self._check_header(out, header)
        if not intact:
            raise Unattributed(f"what party {sender} signed at {out.step} was changed, or lost, on the way")
        return packet

    def _keep(self, packet: Packet) -> None:
        """Keep a signed packet as evidence; raise `ProofInvalid` if it contradicts one of the same round."""
        same = [kept for kept in self.evidence if kept.header.place == packet.header.place]
        if packet not in same:
            self.evidence.append(packet)
        if any(kept.header != packet.header for kept in same):
            raise ProofInvalid("one header for each round")

    def _check_header(self, out: Outgoing, header: Header) -> None:
        """Raises `ProofInvalid` if the signed header announces other messages than the round has."""
        if (header.broadcast == _content("broadcast", None)) != (out.broadcast is None):
            raise ProofInvalid("a broadcast exactly where the round has one")
        peers = [j for j in self.session.parties if j != header.sender]
        if [j for j, _, _ in header.directs] != (peers if out.expects_direct else []):
            raise ProofInvalid("the header commits to one secret message per peer where the round has them")

    def _opened(self, out: Outgoing, packet: Packet) -> Incoming:
        header, me = packet.header, self.session.me
        if packet.sealed is None:
            return Incoming(packet.broadcast, None)
        try:
            payload = _SUITE.decrypt(packet.sealed, self._kem, info=self._place(out.step, header.sender, me))
        except (InvalidTag, ValueError):
            raise ProofInvalid("the sealed message opens") from None
        commitment = next(commitment for j, commitment, _ in header.directs if j == me)
        if len(payload) < _SALT or not hmac.compare_digest(_content("direct", payload), commitment):
            raise ProofInvalid("the sealed message is the one committed to")
        return Incoming(packet.broadcast, payload[_SALT:])

    def _place(self, step: str, sender: Party, receiver: Party) -> bytes:
        """Binds a sealed message to its session, round, sender and receiver."""
        return encode(["counterseal seal", 1, self.session.ssid, step, self._round, sender, receiver])


def _kem_key(public: bytes) -> X25519PublicKey:
    """A key to which can be sealed. Raises `ProofInvalid`, also for the points of small order (RFC 7748, 6.1)."""
    try:
        key = X25519PublicKey.from_public_bytes(public)
        X25519PrivateKey.generate().exchange(key)
    except ValueError:
        raise ProofInvalid("the sealing key is an X25519 key") from None
    return key


def _content(kind: str, data: bytes | None) -> bytes:
    return digest("content", kind, data)
