"""The canonical encoding by example: what values become, what is not read, and every digest that nodes agree on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ecdsa import NIST256p, SigningKey
from ecdsa.util import sigencode_string

from oms_core.crypto.curve import IDENTITY, G, Q, mul_base
from oms_core.crypto.params import L112, L128
from oms_core.encoding import decode, digest, encode
from oms_core.errors import Malformed
from oms_core.protocol import auxinfo, keygen, reshare
from oms_core.protocol.heads import Head
from oms_core.protocol.identity import identity_digest, verify_identity
from oms_core.protocol.packets import (
    Header,
    Hello,
    Resharing,
    SessionSpec,
    content_hash,
    sealing,
    session_id,
)
from oms_core.protocol.presign_rounds import Ciphertexts, products_hash
from oms_core.protocol.rounds import Receipt, Session, echo_hash
from oms_core.protocol.shares import aux_digest
from oms_core.zk import elog, prm, sch
from tests.vectors.protocols import HOLDERS, auxes, identity_scalar, played_presigning, roster, shares
from tests.vectors.written import Json, document, hashing, sizes

DOMAINS = ("hello", "round", "accusation", "head", "key-confirmation", "key-receipt", "refusal", "backup")
"""What identity keys sign."""

_VALUES: tuple[object, ...] = (
    *(0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**65, Q, 2**256, 2**2048 - 1),
    *(-1, -24, -25, -256, -257, -(2**64), -(2**64) - 1, -(2**256), -(2**256) - 1),
    *(b"", b"\x00", bytes(23), bytes(24), bytes(256), "", "a", "é", "ℓ′", "x" * 24),
    *(True, False, None),
    *([], [[]], [1, [2, 3]], [b"a", b"b"], [b"ab"], list(range(24))),
    *({}, {"b": 1, "a": 2}, {"aa": 1, "b": 2}, {1: None, 24: None, 256: None}),
    *(G, mul_base(2), -G, IDENTITY),
)

_Z = bytes.fromhex("a261406b7363682d70726f6f662f31617a")
"""The start of a sch-proof/1 whose z is still to come."""

_NOT_INTEGERS = (
    *("1801", "190001", "1a00000001", "1b0000000000000001", "3800"),
    *(
        "c240",
        "c24100",
        "c248ffffffffffffffff",
        "c249000000000000000001",
        "c2581900" + "11" * 24,
        "c3490080" + "00" * 7,
    ),
    *("f97e00", "f93c00", "fa3f800000", "fb3ff0000000000000"),
    *("f4", "f5", "f6", "f7", "f8ff", "60", "6131", "40", "4101", "80", "a0", "c001", "d81c80"),
    *("5f41ff41ffff", "9f01ff", "bfff", "1c", "1f", ""),
)

_NOT_PROOFS = (
    *("a0", "a161406b7363682d70726f6f662f31", "a1617a01"),
    *("a261406b7363682d70726f6f662f32617a01", "a2617a0161406b7363682d70726f6f662f31"),
    *("a361406b7363682d70726f6f662f31617901617a01", "a361406b7363682d70726f6f662f31617a01617a01"),
    *("a261406b7363682d70726f6f662f31617a0100", "a26140780b7363682d70726f6f662f31617a01", "8101", "01", ""),
    "a261404b7363682d70726f6f662f31617a01",
    "81" * 17 + "01",
)

_NOT_POINTS = (
    *("", "01", "0000", "00" * 33, "02" * 32, "05" + "11" * 32),
    *("02" + "00" * 32, "02" + "00" * 31 + "05", "03" + "ff" * 32, "02" + "ff" * 27 + "fefffffc30"),
    "04" + G.uncompressed()[1:].hex(),
)


def encoding_file() -> Json:
    """Values and their bytes, and bytes that are refused, each with the reason that we give."""
    return {
        "values": [{"value": _tagged(value), "bytes": encode(value).hex()} for value in _VALUES],
        "read_as": {"sch-proof/1": {"z": "integer"}, "elog-commitment/1": {"A": "point", "N": "point", "B": "point"}},
        "refused": [
            *_refusals(sch.Proof, *(_Z + bytes.fromhex(item) for item in _NOT_INTEGERS)),
            *_refusals(sch.Proof, *(bytes.fromhex(item) for item in _NOT_PROOFS)),
            *_refusals(elog.Commitment, *(_commitment(bytes.fromhex(item)) for item in _NOT_POINTS)),
        ],
    }


def _commitment(point: bytes) -> bytes:
    """An elog-commitment/1 whose A is this."""
    good = encode(elog.Commitment(G, G, G))
    at = good.index(encode("A")) + 2
    return good[:at] + encode(point) + good[at + len(encode(G)) :]


def _refusals(kind: type, *written: bytes) -> list[Json]:
    made = []
    for data in written:
        try:
            decode(kind, data)
        except Malformed as error:
            made.append({"as": kind.__kind__, "bytes": data.hex(), "reason": error.message})  # type: ignore[attr-defined]
        else:
            raise AssertionError(f"{data.hex()} is read")
    return made


def _tagged(value: object) -> Json:
    """A value with its type: points are points here, though they are written as bytes."""
    match value:
        case bool() | None:
            return value
        case int():
            return {"int": hex(value)}
        case str():
            return {"text": value}
        case bytes():
            return {"bytes": value.hex()}
        case list():
            return {"list": [_tagged(item) for item in value]}
        case dict():
            return {"map": [[_tagged(key), _tagged(item)] for key, item in value.items()]}
    return {"point": encode(value)[1 if len(encode(value)) == 2 else 2 :].hex()}


def documents_file() -> Json:
    """Fixed documents, and the digests that stand for them."""
    aux, share, resharing = auxes()[1], shares()[1], Resharing((1, 2), HOLDERS, 2, 1, bytes(range(32)))
    epoch = share.public(aux)
    first = SessionSpec(_id("session"), "create", "L112", _id("key"), 0, b"", 2, HOLDERS, _id("subject"))
    spec = SessionSpec(
        session_id=_id("another session"),
        protocol="reshare",
        level="L128",
        key_id=share.key_id,
        epoch=0,
        epoch_hash=epoch.hash,
        threshold=2,
        parties=HOLDERS,
        subject=_id("subject"),
        path=(7, 0),
        digest=_id("digest"),
        presignature=_id("presignature"),
        resharing=resharing,
    )
    hellos = [_hello(spec, i) for i in HOLDERS]
    ssid = session_id(spec, L128, roster(), hellos)
    session = Session(ssid, 1, HOLDERS, L112)
    header = Header(ssid, "keygen.2", 3, 1, content_hash("broadcast", b"all"), ((2, _id("salted"), _id("sealed")),))
    proof, made, presignature = sch.Proof(1), Ciphertexts(D=1, F=2, D_hat=3, F_hat=4), played_presigning()[1]
    reveal = keygen.Reveal(_id("rid"), _id("chain code"), (G, mul_base(2)), mul_base(3), mul_base(4), _id("u"))
    dealt = reshare.Reveal((G, mul_base(2)), (mul_base(3), mul_base(4)), _id("u"))
    opened = auxinfo.Reveal(
        aux.public[0].paillier, aux.public[0].pedersen, prm.Proof((1, 2), (3, 4)), _id("rho"), _id("u")
    )
    return {
        "levels": {level.name: sizes(level) for level in (L112, L128)},
        "documents": [
            document(one)
            for one in (first, spec, *hellos, header, header.place, Receipt(2, _id("content"), bytes(64)), epoch, proof)
        ],
        "digests": [
            *_digests("a spec, in its hellos", lambda: digest("spec", spec)),
            *_digests("a session id, and before it its parameters", lambda: session_id(spec, L128, roster(), hellos)),
            *_digests("a broadcast, in its header", lambda: content_hash("broadcast", b"all")),
            *_digests("no broadcast, in its header", lambda: content_hash("broadcast", None)),
            *_digests("a secret message after its salt, in its header", lambda: content_hash("direct", bytes(33))),
            *_digests("a sealed message, in its header", lambda: content_hash("sealed", b"sealed")),
            *_digests("a header's content, in its place", lambda: header.place.content),
            *_digests("an echo of what two parties said", lambda: echo_hash(session, "keygen.1", {2: proof, 1: proof})),
            *_digests("an epoch", lambda: epoch.hash),
            *_digests("a committee's moduli", lambda: aux_digest(aux)),
            *_digests("a presignature", lambda: presignature.id),
            *_digests("products of party 1 for party 2", lambda: products_hash(session, 1, 2, made)),
            *_digests("key generation's commitment", lambda: keygen.commitment(ssid, 1, reveal)),
            *_digests("auxiliary information's commitment", lambda: auxinfo.commitment(ssid, 1, opened)),
            *_digests("resharing's commitment", lambda: reshare.commitment(ssid, 1, dealt)),
        ],
        "sealing_info": sealing(ssid, "keygen.2", 3, 1, 2).hex(),
        "identity": _identity(encode(header.place)),
    }


def _id(name: str) -> bytes:
    """32 bytes that stand for something that is not in these files."""
    return hashlib.sha256(f"counterseal vectors {name}".encode()).digest()


def _hello(spec: SessionSpec, sender: int) -> Hello:
    keys = tuple((j, _sealing_key(sender, j)) for j in spec.parties if j != sender)
    head = encode(Head(sender, 4, bytes(range(16))))
    return Hello(digest("spec", spec), sender, _id(f"nonce {sender}"), keys, head, ())


def _sealing_key(sender: int, peer: int) -> bytes:
    return X25519PrivateKey.from_private_bytes(_id(f"sealing {sender} {peer}")).public_key().public_bytes_raw()


def _digests(of: str, make: Callable[[], bytes]) -> list[Json]:
    """Every hash that is made, the last of which is the one asked for."""
    with hashing() as seen:
        made = make()
    assert hashlib.shake_256(seen[-1].input).digest(len(made)) == made
    return [
        {
            "of": of,
            "context": hashed.context,
            "input": hashed.input.hex(),
            "shake256": hashlib.shake_256(hashed.input).hexdigest(len(made) if hashed is seen[-1] else 32),
        }
        for hashed in seen
    ]


def _identity(message: bytes) -> Json:
    """One message in every domain: its digest, and the RFC 6979 signature of party 1 over it."""
    key = SigningKey.from_secret_exponent(identity_scalar(1), NIST256p, hashlib.sha256)
    domains = {}
    for domain in DOMAINS:
        made = identity_digest(domain, message)
        signature: bytes = key.sign_digest_deterministic(made, sigencode=sigencode_string)
        verify_identity(roster()[1], domain, message, signature)
        domains[domain] = {
            "input": encode(["counterseal identity", 1, domain, message]).hex(),
            "sha256": made.hex(),
            "signature": signature.hex(),
        }
    return {
        "secret": hex(identity_scalar(1)),
        "public": roster()[1].hex(),
        "message": message.hex(),
        "domains": domains,
    }
