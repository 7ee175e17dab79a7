"""An authenticator in memory that can be told to misbehave in every way in which a browser, a thief or a clone might.

It shares no code with `oms.authenticator`: what it makes by default is what a hardware key makes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES256
from fido2.utils import websafe_encode

from oms_core.approvals import Approval, ApprovalClaim, challenge
from oms_core.workspace import Assurance, Credential

AAGUID = bytes(range(16))
PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, EXTENDED = 0x01, 0x04, 0x08, 0x10, 0x80


@dataclass(frozen=True)
class Press:
    """How a key is pressed: by default as it should be. ``client`` overrides members of the client data."""

    origin: str = "http://localhost:8080"
    rp_id: str = "localhost"
    client: Mapping[str, Any] = field(default_factory=dict)
    flags: int = PRESENT | VERIFIED
    counter: int | None = None
    over: bytes | None = None


PROPER = Press()


class Authenticator:
    """One ES256 credential. A device-bound one does not say that it can be backed up."""

    def __init__(self, assurance: Assurance = Assurance.SYNCED) -> None:
        self.assurance = assurance
        self.credential_id = secrets.token_bytes(32)
        self.counter = 0
        self._key = ec.generate_private_key(ec.SECP256R1())

    def credential(self, revoked: bool = False) -> Credential:
        """What the workspace registers."""
        cose: dict[int, object] = dict(ES256.from_cryptography_key(self._key.public_key()))
        return Credential(self.credential_id, cbor.encode(cose), AAGUID, self.assurance, b"", revoked)

    def press(self, claim: ApprovalClaim, how: Press = PROPER) -> Approval:
        """An assertion over the claim's challenge, or over ``how.over``."""
        if how.counter is None:
            self.counter += 1
        counter = self.counter if how.counter is None else how.counter
        said = {
            "type": "webauthn.get",
            "challenge": websafe_encode(how.over or challenge(claim)),
            "origin": how.origin,
            "crossOrigin": False,
            **how.client,
        }
        client = json.dumps(said, separators=(",", ":")).encode()
        flags = how.flags | (ELIGIBLE if self.assurance is Assurance.SYNCED else 0)
        data = hashlib.sha256(how.rp_id.encode()).digest() + bytes([flags]) + counter.to_bytes(4, "big")
        signature = self._key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return Approval(claim, self.credential_id, data, client, signature)
