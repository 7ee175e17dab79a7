"""The workspace: people, credentials, cosigner roster, address book and rules, as one canonical document.

Version 0 is fixed at the key ceremony, where each cosigner pins its digest.
"""

from __future__ import annotations

from oms_core.encoding import digest, document
from oms_core.policy.rules import Deny, Limit, Permit, Require


@document("credential/1")
class Credential:
    """A FIDO2 credential: its id, its COSE public key (CBOR bytes) and the authenticator model (16-byte AAGUID)."""

    credential_id: bytes
    public_key: bytes
    aaguid: bytes


@document("proposal-key/1")
class ProposalKey:
    """A P-256 key with which its owner proposes; ``public`` is the 65-byte uncompressed SEC1 point. It never approves."""

    key_id: str
    public: bytes


@document("user/1")
class User:
    """A person or service. ``person_id`` names the human: two users of one person count once in any quorum."""

    user_id: str
    person_id: str
    name: str
    team: str
    roles: tuple[str, ...]
    credentials: tuple[Credential, ...]
    proposal_keys: tuple[ProposalKey, ...]


@document("member/1")
class Member:
    """A cosigner: its index (the Shamir point), who runs it where, and its HSM identity key (65-byte SEC1 P-256)."""

    index: int
    name: str
    operator: str
    team: str
    site: str
    identity: bytes


@document("address-entry/1")
class AddressEntry:
    """An approved destination: CAIP-2 chain and 20-byte account."""

    entry_id: str
    label: str
    chain: str
    address: bytes


@document("workspace/1")
class Workspace:
    """One version of everything that decides. ``rp_id`` and ``origins`` are the WebAuthn relying party's."""

    name: str
    version: int
    parent: bytes
    created_at: int
    rp_id: str
    origins: tuple[str, ...]
    users: tuple[User, ...]
    roster: tuple[Member, ...]
    address_book: tuple[AddressEntry, ...]
    rules: tuple[Permit | Limit | Require | Deny, ...]


def workspace_digest(workspace: Workspace) -> bytes:
    """The 32 bytes that a cosigner pins and an approval names."""
    return digest("workspace", workspace)
