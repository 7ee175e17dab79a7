"""The documents of a session: what it is for, the hellos that start it, the signed packets of its rounds."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from oms_core.crypto.params import Level
from oms_core.crypto.shamir import check_indices
from oms_core.encoding import digest, document, encode
from oms_core.errors import Malformed, ProofInvalid
from oms_core.keys import MAX_EPOCH
from oms_core.protocol.rounds import Party, Session

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
SALT = 32
NONCE = 32


@document("resharing/1")
class Resharing:
    """What a resharing makes: by which dealers, for which receivers, under which threshold, as which epoch.

    ``aux`` is the digest of the receivers' new moduli.
    """

    dealers: tuple[int, ...]
    receivers: tuple[int, ...]
    threshold: int
    epoch: int
    aux: bytes


@document("session-spec/1")
class SessionSpec:
    """What a run is for. ``subject`` is the digest of the request it serves; ``epoch_hash`` is empty before a key.

    ``path`` is the derivation under which is signed; ``digest`` what is signed, ``presignature`` what it is signed with
    if that was made before: both empty where there are none.
    """

    session_id: bytes
    protocol: str
    level: str
    key_id: bytes
    epoch: int
    epoch_hash: bytes
    threshold: int
    parties: tuple[int, ...]
    subject: bytes
    path: tuple[int, ...] = ()
    digest: bytes = b""
    presignature: bytes = b""
    resharing: Resharing | None = None


def check_spec(spec: SessionSpec) -> None:
    """Shape of a spec. Raises `Malformed`."""
    check_indices(spec.parties)
    if list(spec.parties) != sorted(spec.parties) or not 2 <= spec.threshold <= len(spec.parties):
        raise Malformed("parties ascend, and the threshold is between 2 and their number")
    if len(spec.session_id) != 32 or len(spec.key_id) != 32 or len(spec.subject) != 32 or spec.epoch < 0:
        raise Malformed("ids and digests have 32 bytes")
    if len(spec.epoch_hash) not in (0, 32) or len(spec.protocol) > 32:
        raise Malformed("epoch hash or protocol name out of shape")
    if len(spec.digest) not in (0, 32) or len(spec.presignature) not in (0, 32):
        raise Malformed("what is signed, and a presignature's id, have 32 bytes")
    if (new := spec.resharing) is not None:
        check_indices(new.dealers)
        check_indices(new.receivers)
        if tuple(sorted({*new.dealers, *new.receivers})) != spec.parties or len(new.dealers) < spec.threshold:
            raise Malformed("dealers and receivers are the parties, and the dealers a quorum")
        if list(new.dealers) != sorted(new.dealers) or list(new.receivers) != sorted(new.receivers):
            raise Malformed("dealers and receivers ascend")
        if not 2 <= new.threshold <= len(new.receivers) or len(new.aux) != 32:
            raise Malformed("the new sharing is out of shape")
        if not spec.epoch < new.epoch < MAX_EPOCH:
            raise Malformed("the new sharing is out of shape")


@document("hello/1")
class Hello:
    """A party's contribution to the session id, and for each peer the key to which that peer seals in this run.

    ``head`` says which boot of the node speaks, ``known`` which boots of its peers it has heard of (`heads`).
    """

    spec: bytes
    sender: int
    nonce: bytes
    keys: tuple[tuple[int, bytes], ...]
    head: bytes
    known: tuple[bytes, ...]


@document("signed-hello/1")
class SignedHello:
    """A hello under the identity key, domain ``hello``."""

    hello: Hello
    signature: bytes


@document("place/1")
class Place:
    """What a party signs in a round (domain ``round``): an honest one, a single content for session and round."""

    ssid: bytes
    step: str
    round: int
    sender: int
    content: bytes


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
    def place(self) -> Place:
        """What is signed."""
        content = digest("header content", self.broadcast, self.directs)
        return Place(self.ssid, self.step, self.round, self.sender, content)


@document("packet/1")
class Packet:
    """What one receiver gets: the header with its signature (domain ``round``), the broadcast, its sealed message."""

    header: Header
    signature: bytes
    broadcast: bytes | None
    sealed: bytes | None


def session_id(spec: SessionSpec, level: Level, roster: Mapping[Party, bytes], hellos: Sequence[Hello]) -> bytes:
    """64 bytes: what was agreed, by whom, with everyone's hello, ascending."""
    sizes = [level.modulus_bits, level.ell, level.epsilon, level.ell_prime, level.repetitions, level.epsilon_dec]
    parameters = digest("params", level.name, sizes, "secp256k1")
    return digest("ssid", spec, parameters, [(j, roster[j]) for j in spec.parties], list(hellos), size=64)


def check_hello(hello: Hello, spec: SessionSpec) -> None:
    """What its sender signed can be used. Raises `ProofInvalid`."""
    if len(hello.nonce) != NONCE:
        raise ProofInvalid("a nonce has 32 bytes")
    if [j for j, _ in hello.keys] != [j for j in spec.parties if j != hello.sender]:
        raise ProofInvalid("one sealing key for each peer")
    for _, key in hello.keys:
        kem_key(key)


def check_header(session: Session, header: Header, has_broadcast: bool, expects_direct: bool) -> None:
    """Raises `ProofInvalid` if the signed header announces other messages than the round has."""
    if (header.broadcast == content_hash("broadcast", None)) == has_broadcast:
        raise ProofInvalid("a broadcast exactly where the round has one")
    peers = [j for j in session.parties if j != header.sender]
    if [j for j, _, _ in header.directs] != (peers if expects_direct else []):
        raise ProofInvalid("the header commits to one secret message per peer where the round has them")


def open_sealed(receiver: Party, packet: Packet, kem: X25519PrivateKey) -> bytes:
    """What was sealed for ``receiver``. Raises `ProofInvalid` if it does not open, or is not what was committed to."""
    header, sealed = packet.header, packet.sealed
    assert sealed is not None
    try:
        info = sealing(header.ssid, header.step, header.round, header.sender, receiver)
        payload = SUITE.decrypt(sealed, kem, info=info)
    except (InvalidTag, ValueError):
        raise ProofInvalid("the sealed message opens") from None
    commitment = next(commitment for j, commitment, _ in header.directs if j == receiver)
    if len(payload) < SALT or not hmac.compare_digest(content_hash("direct", payload), commitment):
        raise ProofInvalid("the sealed message is the one committed to")
    return payload[SALT:]


def sealing(ssid: bytes, step: str, number: int, sender: Party, receiver: Party) -> bytes:
    """Binds a sealed message to its session, round, sender and receiver."""
    return encode(["counterseal seal", 1, ssid, step, number, sender, receiver])


def turn(header: Header) -> tuple[bytes, int, Party]:
    """An honest party signs one header for each: session, round, sender."""
    return header.ssid, header.round, header.sender


def kem_key(public: bytes) -> X25519PublicKey:
    """A key to which can be sealed. Raises `ProofInvalid`, also for the points of small order (RFC 7748, 6.1)."""
    try:
        key = X25519PublicKey.from_public_bytes(public)
        X25519PrivateKey.generate().exchange(key)
    except ValueError:
        raise ProofInvalid("the sealing key is an X25519 key") from None
    return key


def content_hash(kind: str, data: bytes | None) -> bytes:
    """How a header names what it covers: ``broadcast``, ``direct`` (salted, in clear) or ``sealed``."""
    return digest("content", kind, data)
