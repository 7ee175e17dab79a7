"""A FIDO2 authenticator in software, for development, tests and `oms approve` (W3C WebAuthn level 3, §6.1).

It makes what a hardware key makes: authenticator data with user presence, user verification and a counter, and an ES256
assertion over it. Its key is a file; a person's approval should come from hardware.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES256
from fido2.utils import websafe_encode

from oms.signer import write_secret
from oms_core.approvals import Approval, ApprovalClaim, challenge
from oms_core.errors import LocalError, Reason
from oms_core.workspace import Assurance, Credential

AAGUID = bytes.fromhex("636f756e7465727365616c2d736f6674")  # "counterseal-soft"
_PRESENT, _VERIFIED, _MAY_BE_COPIED = 0x01, 0x04, 0x08


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an authenticator returns."""

    credential_id: bytes
    authenticator_data: bytes
    client_data_json: bytes
    signature: bytes


class SoftwareAuthenticator:
    """One credential for one relying party, kept in a JSON file of mode 0600."""

    def __init__(self, path: Path) -> None:
        """Open an authenticator's file. Raises `LocalError` (CONFIG_INVALID)."""
        self._path = path
        try:
            held = json.loads(path.read_text())
            key = serialization.load_pem_private_key(held["key"].encode(), None)
            self.credential_id, self.rp_id = bytes.fromhex(held["credential_id"]), str(held["rp_id"])
            self._counter, self._assurance = int(held["counter"]), Assurance(held["assurance"])
        except (OSError, ValueError, KeyError, TypeError):
            raise LocalError(f"{path.name} is not a software authenticator", Reason.CONFIG_INVALID) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise LocalError(f"{path.name} holds another kind of key", Reason.CONFIG_INVALID)
        self._key = key

    @classmethod
    def create(cls, path: Path, rp_id: str, assurance: Assurance = Assurance.SYNCED) -> SoftwareAuthenticator:
        """A new credential in a new file, of a key that can be copied, or plays one that cannot.

        Raises `LocalError` if the file exists.
        """
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        held = {
            "rp_id": rp_id,
            "credential_id": secrets.token_hex(32),
            "counter": 0,
            "assurance": assurance.value,
            "key": pem.decode(),
        }
        write_secret(path, json.dumps(held).encode())
        return cls(path)

    @property
    def credential(self) -> Credential:
        """What the workspace registers."""
        cose: dict[int, object] = dict(ES256.from_cryptography_key(self._key.public_key()))  # type: ignore[no-untyped-call]
        return Credential(self.credential_id, cbor.encode(cose), AAGUID, self._assurance, b"", revoked=False)

    def sign_challenge(self, challenge: bytes, origin: str, user_verified: bool = True) -> Assertion:
        """An assertion over ``challenge``; the counter is on disk before the signature is returned."""
        self._count()
        client = {
            "type": "webauthn.get",
            "challenge": websafe_encode(challenge),
            "origin": origin,
            "crossOrigin": False,
        }
        client_data = json.dumps(client, separators=(",", ":")).encode()
        copied = _MAY_BE_COPIED if self._assurance is Assurance.SYNCED else 0
        flags = _PRESENT | (_VERIFIED if user_verified else 0) | copied
        data = hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self._counter.to_bytes(4, "big")
        signature = self._key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        return Assertion(self.credential_id, data, client_data, signature)

    def approve(self, claim: ApprovalClaim, origin: str) -> Approval:
        """Press the key for a claim, whatever its verdict."""
        made = self.sign_challenge(challenge(claim), origin)
        return Approval(claim, made.credential_id, made.authenticator_data, made.client_data_json, made.signature)

    def _count(self) -> None:
        held = json.loads(self._path.read_text())
        self._counter = held["counter"] = int(held["counter"]) + 1
        temporary = self._path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        write_secret(temporary, json.dumps(held).encode())
        os.replace(temporary, self._path)
