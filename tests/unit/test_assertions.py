"""WebAuthn assertions from an authenticator built here, independently of ours, and everything that is not one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from fido2 import cbor
from fido2.cose import ES256, ES384, RS256, CoseKey, EdDSA
from fido2.server import Fido2Server
from fido2.utils import websafe_encode
from fido2.webauthn import AttestedCredentialData, AuthenticationResponse, PublicKeyCredentialRpEntity

from oms_core.assertions import MAX_CLIENT_DATA, Asserted, cose_key, verify_assertion
from oms_core.errors import CountersealError, Malformed, Reason, Refused

RP, ORIGIN = "custody.example", "https://desk.custody.example"
CHALLENGE = bytes(range(32))
P256 = ec.derive_private_key(0xA11CE, ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))


def cose(key: Any) -> bytes:
    kind = ES256 if isinstance(key, ec.EllipticCurvePrivateKey) else EdDSA
    return cbor.encode(dict(kind.from_cryptography_key(key.public_key())))


@dataclass(frozen=True)
class Press:
    """One press of a key: what the browser and the authenticator put into it."""

    client: dict[str, object] = field(
        default_factory=lambda: {
            "type": "webauthn.get",
            "challenge": websafe_encode(CHALLENGE),
            "origin": ORIGIN,
            "crossOrigin": False,
        }
    )
    rp_id: str = RP
    flags: int = 0x05  # user present, user verified
    counter: int = 7
    rest: bytes = b""
    raw_client: bytes | None = None
    key: Any = P256

    def parts(self) -> tuple[bytes, bytes, bytes]:
        """Authenticator data, client data, signature."""
        client = self.raw_client if self.raw_client is not None else json.dumps(self.client).encode()
        data = hashlib.sha256(self.rp_id.encode()).digest() + bytes([self.flags]) + self.counter.to_bytes(4, "big")
        message = data + self.rest + hashlib.sha256(client).digest()
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return data + self.rest, client, self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        return data + self.rest, client, self.key.sign(message)

    def said(self, **changes: object) -> Press:
        """With changed client data; None takes a key away."""
        merged = {key: value for key, value in {**self.client, **changes}.items() if value is not None}
        return replace(self, client=merged)


PRESS = Press()


def verify(press: Press, challenge: bytes = CHALLENGE, key: bytes | None = None) -> Asserted:
    return verify_assertion(key or cose(press.key), challenge, RP, (ORIGIN, "https://b.example"), *press.parts())


def why(press: Press, **options: Any) -> Reason:
    with pytest.raises(CountersealError) as caught:
        verify(press, **options)
    return caught.value.reason


@pytest.mark.parametrize("key", [P256, ED25519], ids=["ES256", "EdDSA"])
def test_an_assertion_over_the_challenge_verifies_and_gives_the_counter(key: Any) -> None:
    assert verify(replace(PRESS, key=key)).counter == 7
    assert verify(replace(PRESS, key=key, counter=0)).counter == 0


def test_an_assertion_tells_whether_its_key_may_be_in_other_devices() -> None:
    assert not verify(PRESS).may_be_copied
    assert verify(replace(PRESS, flags=0x05 | 0x08)).may_be_copied


def test_the_fido2_library_accepts_the_same_assertion_and_refuses_the_same_swap() -> None:
    data, client, signature = PRESS.parts()
    server = Fido2Server(PublicKeyCredentialRpEntity(name="x", id=RP))
    credential = AttestedCredentialData.create(bytes(16), b"id", CoseKey.parse(cbor.decode(cose(P256))))

    def complete(challenge: bytes) -> None:
        _, state = server.authenticate_begin([credential], user_verification="required", challenge=challenge)
        response = {"clientDataJSON": client, "authenticatorData": data, "signature": signature}
        server.authenticate_complete(
            state,
            [credential],
            AuthenticationResponse.from_dict(
                {
                    "id": websafe_encode(b"id"),
                    "rawId": websafe_encode(b"id"),
                    "type": "public-key",
                    "response": {name: websafe_encode(value) for name, value in response.items()},
                }
            ),
        )

    complete(CHALLENGE)
    assert verify(PRESS).counter == 7
    with pytest.raises(ValueError, match="challenge"):
        complete(bytes(32))
    assert why(PRESS, challenge=bytes(32)) is Reason.CHALLENGE_MISMATCH


@pytest.mark.parametrize(
    ("press", "reason"),
    [
        (PRESS.said(type="webauthn.create"), Reason.CHALLENGE_MISMATCH),
        (PRESS.said(type=None), Reason.CHALLENGE_MISMATCH),
        (PRESS.said(challenge=websafe_encode(bytes(32))), Reason.CHALLENGE_MISMATCH),
        (PRESS.said(challenge=websafe_encode(CHALLENGE) + "="), Reason.CHALLENGE_MISMATCH),
        (PRESS.said(challenge=websafe_encode(CHALLENGE) + "!"), Reason.CHALLENGE_MISMATCH),
        (PRESS.said(challenge=CHALLENGE.hex()), Reason.CHALLENGE_MISMATCH),
        (PRESS.said(challenge=17), Reason.CHALLENGE_MISMATCH),
        (PRESS.said(challenge=None), Reason.CHALLENGE_MISMATCH),
        (PRESS.said(origin="https://evil.example"), Reason.ORIGIN_MISMATCH),
        (PRESS.said(origin=ORIGIN + "/"), Reason.ORIGIN_MISMATCH),
        (PRESS.said(origin=ORIGIN.upper()), Reason.ORIGIN_MISMATCH),
        (PRESS.said(origin=[ORIGIN]), Reason.ORIGIN_MISMATCH),
        (PRESS.said(origin=None), Reason.ORIGIN_MISMATCH),
        (PRESS.said(crossOrigin=True), Reason.ORIGIN_MISMATCH),
        (PRESS.said(crossOrigin="false"), Reason.ORIGIN_MISMATCH),
        (PRESS.said(crossOrigin=0), Reason.ORIGIN_MISMATCH),
        (replace(PRESS, rp_id="evil.example"), Reason.ORIGIN_MISMATCH),
        (replace(PRESS, flags=0x01), Reason.UV_REQUIRED),
        (replace(PRESS, flags=0x04), Reason.UV_REQUIRED),
        (replace(PRESS, flags=0x00), Reason.UV_REQUIRED),
    ],
)
def test_an_assertion_for_anything_else_is_refused_although_its_signature_is_good(press: Press, reason: Reason) -> None:
    assert why(press) is reason


def test_client_data_may_leave_cross_origin_out_and_the_second_origin_counts_too() -> None:
    assert verify(PRESS.said(crossOrigin=None)).counter == 7
    assert verify(PRESS.said(origin="https://b.example")).counter == 7


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b"{", b"\xff{}", b'"text"', b"[" * 4000, b'{"type":"webauthn.get","type":"webauthn.get"}'],
)
def test_client_data_that_is_no_strict_object_is_malformed(raw: bytes) -> None:
    assert why(replace(PRESS, raw_client=raw)) is Reason.MALFORMED


def test_a_key_repeated_inside_of_client_data_is_malformed() -> None:
    plain = json.dumps(PRESS.client)
    assert why(replace(PRESS, raw_client=(plain[:-1] + ',"x":{"a":1,"a":2}}').encode())) is Reason.MALFORMED


def test_client_data_has_a_largest_size() -> None:
    plain = PRESS.said(padding="")
    room = MAX_CLIENT_DATA - len(json.dumps(plain.client))
    assert verify(plain.said(padding="x" * room)).counter == 7
    assert why(plain.said(padding="x" * (room + 1))) is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "press", [replace(PRESS, rest=b"\x00"), replace(PRESS, flags=0x45), replace(PRESS, flags=0x85)]
)
def test_authenticator_data_with_missing_or_trailing_bytes_is_malformed(press: Press) -> None:
    assert why(press) is Reason.MALFORMED


@pytest.mark.parametrize("size", [0, 31, 36])
def test_authenticator_data_that_is_cut_short_is_malformed(size: int) -> None:
    data, client, signature = PRESS.parts()
    with pytest.raises(Malformed):
        verify_assertion(cose(P256), CHALLENGE, RP, (ORIGIN,), data[:size], client, signature)


def test_extensions_of_the_authenticator_do_no_harm() -> None:
    assert verify(replace(PRESS, flags=0x85, rest=cbor.encode({"credProtect": 2}))).counter == 7


@pytest.mark.parametrize("key", [P256, ED25519], ids=["ES256", "EdDSA"])
def test_a_signature_by_another_key_or_of_other_bytes_is_refused(key: Any) -> None:
    data, client, signature = replace(PRESS, key=key).parts()
    stranger = ec.derive_private_key(5, ec.SECP256R1()) if key is P256 else ed25519.Ed25519PrivateKey.generate()
    for public, bent in (
        (cose(stranger), signature),
        (cose(key), signature[:-1]),
        (cose(key), b""),
        (cose(key), bytes(64)),
    ):
        with pytest.raises(Refused) as caught:
            verify_assertion(public, CHALLENGE, RP, (ORIGIN,), data, client, bent)
        assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_flag_raised_after_the_key_was_pressed_breaks_the_signature() -> None:
    data, client, signature = replace(PRESS, flags=0x01).parts()
    raised = data[:32] + b"\x05" + data[33:]
    with pytest.raises(Refused) as caught:
        verify_assertion(cose(P256), CHALLENGE, RP, (ORIGIN,), raised, client, signature)
    assert caught.value.reason is Reason.SIGNATURE_INVALID


PLAIN = dict(ES256.from_cryptography_key(P256.public_key()))
ED = dict(EdDSA.from_cryptography_key(ED25519.public_key()))


def test_both_kinds_of_keys_that_are_allowed_are_read() -> None:
    for plain in (PLAIN, ED):
        assert dict(cose_key(cbor.encode(plain))) == plain


@pytest.mark.parametrize(
    "key",
    [
        dict(ES384.from_cryptography_key(ec.generate_private_key(ec.SECP384R1()).public_key())),
        dict(RS256.from_cryptography_key(rsa.generate_private_key(65537, 2048).public_key())),
        {**ED, -1: 7, -2: ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()},
        {**PLAIN, 3: -9},  # ESP256: the same mathematics under a name that nobody registered here
        {**PLAIN, 3: 0},
        {**PLAIN, 3: -8},
        {**PLAIN, 1: 1},
        {**PLAIN, -1: 8},
        {**PLAIN, -2: PLAIN[-2][:-1]},
        {**PLAIN, -2: 5},
        {**PLAIN, -3: PLAIN[-2]},
        {**PLAIN, -2: bytes(32), -3: bytes(32)},
        {**PLAIN, -3: True},
        {**PLAIN, -4: b"private"},
        {label: value for label, value in PLAIN.items() if label != -3},
        {label: value for label, value in PLAIN.items() if label != 3},
        {},
        [],
        7,
    ],
)
def test_a_key_that_is_not_a_plain_point_of_an_allowed_kind_is_malformed(key: Any) -> None:
    with pytest.raises(Malformed):
        cose_key(cbor.encode(key))


@pytest.mark.parametrize("raw", [b"", b"\xff", cbor.encode(PLAIN) + b"\x00", b"\xb8\x05" + cbor.encode(PLAIN)[1:]])
def test_a_key_in_another_encoding_than_the_canonical_one_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        cose_key(raw)


@pytest.mark.parametrize("at", ["AuthenticatorData", "cbor.decode"])
def test_a_machine_without_memory_finds_no_assertion_at_fault(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Whoever passes over what it is for would do so for ever, and the other nodes would not."""

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(f"oms_core.assertions.{at}", full)
    with pytest.raises(MemoryError):
        verify_assertion(cose(P256), CHALLENGE, RP, (ORIGIN,), *Press().parts())


def test_client_data_is_too_deep_for_all_machines_or_for_none() -> None:
    """Not only where so much is called already that little may be called yet."""
    plain = json.dumps(Press().client)[:-1]

    def read(levels: int) -> Asserted:
        deep = f'{plain}, "more": {"[" * levels}{"]" * levels}}}'.encode()
        return verify_assertion(cose(P256), CHALLENGE, RP, (ORIGIN,), *Press(raw_client=deep).parts())

    assert read(63) == Asserted(7, may_be_copied=False)
    for levels in (64, 500, 1900):
        with pytest.raises(Malformed, match="too deeply"):
            read(levels)
