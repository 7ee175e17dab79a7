"""WebAuthn assertions, verified from their bytes alone (W3C WebAuthn level 3, §7.2), on python-fido2's parsers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from fido2 import cbor
from fido2.cose import ES256, CoseKey, EdDSA
from fido2.utils import websafe_encode
from fido2.webauthn import AuthenticatorData

from oms_core.errors import Malformed, Reason, Refused

MAX_CLIENT_DATA = 4096  # bytes
MAX_NESTED = 64  # objects and lists in client data, which has one or two
# Kind, algorithm, curve and coordinates; nothing else belongs into a key (RFC 9053, 7.1 and 7.2).
_SHAPES: dict[type[CoseKey], tuple[dict[int, int], tuple[int, ...]]] = {
    ES256: ({1: 2, 3: -7, -1: 1}, (-2, -3)),
    EdDSA: ({1: 1, 3: -8, -1: 6}, (-2,)),
}


@dataclass(frozen=True, slots=True)
class Asserted:
    """What a verified assertion says of its authenticator: its counter, and whether the key may be in other devices."""

    counter: int
    may_be_copied: bool


def verify_assertion(
    public_key: bytes,
    challenge: bytes,
    rp_id: str,
    origins: tuple[str, ...],
    authenticator_data: bytes,
    client_data_json: bytes,
    signature: bytes,
) -> Asserted:
    """Check an assertion over ``challenge`` by the COSE key ``public_key``.

    Raises `Refused` with CHALLENGE_MISMATCH, ORIGIN_MISMATCH, UV_REQUIRED or SIGNATURE_INVALID, and `Malformed`.
    """
    client = _client_data(client_data_json)
    if client.get("type") != "webauthn.get":
        raise Refused("the assertion is not for authentication", Reason.CHALLENGE_MISMATCH)
    if client.get("challenge") != websafe_encode(challenge):
        raise Refused("the assertion is over another challenge", Reason.CHALLENGE_MISMATCH)
    if client.get("origin") not in origins or client.get("crossOrigin", False) is not False:
        raise Refused("the assertion was made for another origin", Reason.ORIGIN_MISMATCH)
    try:
        data = AuthenticatorData(authenticator_data)
    except MemoryError:  # says nothing of the assertion, and others would find it good
        raise
    except Exception as error:
        raise Malformed("not authenticator data") from error
    if data.rp_id_hash != hashlib.sha256(rp_id.encode()).digest():
        raise Refused("the assertion was made for another relying party", Reason.ORIGIN_MISMATCH)
    if not (data.is_user_present() and data.is_user_verified()):
        raise Refused("the assertion lacks user presence or user verification", Reason.UV_REQUIRED)
    if data.is_backed_up() and not data.is_backup_eligible():
        raise Malformed("a key that cannot be backed up says that it is")
    key = cose_key(public_key)
    try:
        key.verify(authenticator_data + hashlib.sha256(client_data_json).digest(), signature)
    except (InvalidSignature, ValueError):
        raise Refused("the assertion's signature is not the credential's", Reason.SIGNATURE_INVALID) from None
    return Asserted(int(data.counter), bool(data.is_backup_eligible()))


def cose_key(public_key: bytes) -> CoseKey:
    """Parse a COSE key: ES256 on P-256 or EdDSA on Ed25519, canonical, a point of its curve. Raises `Malformed`."""
    try:
        decoded: Any = cbor.decode(public_key)
        key = CoseKey.parse(decoded)
    except MemoryError:
        raise
    except Exception as error:
        raise Malformed("not a COSE key") from error
    if type(key) not in _SHAPES or cbor.encode(dict(key)) != public_key:
        raise Malformed("a credential's key is canonical ES256 or EdDSA", Reason.UNSUPPORTED_TYPE)
    fixed, coordinates = _SHAPES[type(key)]
    if set(key) != {*fixed, *coordinates} or any(key[label] != value for label, value in fixed.items()):
        raise Malformed("a credential's key is on P-256 or Ed25519, and says nothing else", Reason.UNSUPPORTED_TYPE)
    if any(not isinstance(key[label], bytes) or len(key[label]) != 32 for label in coordinates):
        raise Malformed("a coordinate of a credential's key has 32 bytes")
    try:
        key.verify(b"", bytes(64))  # builds the point, which is all that is asked here
    except InvalidSignature:
        return key
    except ValueError:
        pass
    raise Malformed("a credential's key is not a point of its curve")


def _client_data(raw: bytes) -> dict[str, Any]:
    """Strict JSON object: bounded, no key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise Malformed("client data repeats a key")
        return dict(pairs)

    if len(raw) > MAX_CLIENT_DATA:
        raise Malformed(f"client data is longer than {MAX_CLIENT_DATA} bytes", Reason.TOO_LARGE)
    if raw.count(b"{") + raw.count(b"[") > MAX_NESTED:  # how deep can be read depends on who reads it
        raise Malformed("client data is nested too deeply")
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except ValueError as error:
        raise Malformed("client data is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("client data is not an object")
    return value
