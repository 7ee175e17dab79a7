"""The workspace: everything that decides, as one canonical document, and one version of a chain of them.

Version 0 is fixed at the key ceremony, where each cosigner pins its digest; each later one names the digest of the one
before. What has to hold of it is in `oms_core.workspace.check`, how people write it in `oms_core.workspace.text`, and
how it changes in `oms_core.workspace.change`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from oms_core.encoding import digest, document
from oms_core.errors import NotFound, Reason
from oms_core.memo import by_identity
from oms_core.policy.rules import Requirement, Rule


class Assurance(StrEnum):
    """Where a credential's private key can be: in one device for ever, or in a vendor's synchronised store."""

    SYNCED = "SYNCED"
    DEVICE_BOUND = "DEVICE_BOUND"


class Privilege(StrEnum):
    """What a role may let its holders do. Without any role a user may do nothing at all."""

    READ = "READ"
    PROPOSE_ORDERS = "PROPOSE_ORDERS"
    APPROVE_ORDERS = "APPROVE_ORDERS"
    PROPOSE_KEYS = "PROPOSE_KEYS"
    APPROVE_KEYS = "APPROVE_KEYS"
    PROPOSE_CHANGES = "PROPOSE_CHANGES"
    APPROVE_CHANGES = "APPROVE_CHANGES"


class EntryState(StrEnum):
    """Whether an entry of the registry may be used."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"


class Direction(StrEnum):
    """What a change of the workspace does to what is possible; LOOSEN if any part of it does."""

    TIGHTEN = "TIGHTEN"
    LOOSEN = "LOOSEN"


@document("credential/2")
class Credential:
    """A FIDO2 credential: its id, its COSE public key (CBOR bytes) and the authenticator model (16-byte AAGUID).

    ``attestation`` is the SHA-256 of the attestation object with which it was registered, or empty if there was none.
    """

    credential_id: bytes
    public_key: bytes
    aaguid: bytes
    assurance: Assurance
    attestation: bytes
    revoked: bool


@document("proposal-key/1")
class ProposalKey:
    """A P-256 key with which its owner proposes; ``public`` is its 65-byte SEC1 point. It never approves."""

    key_id: str
    public: bytes


@document("user/2")
class User:
    """A person or service. ``person_id`` names the human: two users of one person count once in any quorum.

    A service, whose ``person_id`` begins with ``service-``, has no credentials and approves nothing. A user who is not
    ``enabled`` proposes and approves nothing.
    """

    user_id: str
    person_id: str
    name: str
    team: str
    site: str
    roles: tuple[str, ...]
    credentials: tuple[Credential, ...]
    proposal_keys: tuple[ProposalKey, ...]
    enabled: bool


@document("role/1")
class Role:
    """A name for privileges, within these wallets ("*" for all)."""

    role: str
    may: tuple[Privilege, ...]
    wallets: tuple[str, ...]


@document("group/1")
class Group:
    """Users who count for the same part of a quorum."""

    group_id: str
    members: tuple[str, ...]


@document("incompatible/1")
class Incompatible:
    """Two roles that no person may hold together, by whatever users."""

    first: str
    second: str
    why: str


@document("member/2")
class Member:
    """A cosigner: its index (the Shamir point), who runs it where, and its HSM's public keys.

    ``identity`` is the 65-byte SEC1 P-256 key that signs all it says in protocols, ``witness`` the 32-byte Ed25519 key
    that cosigns checkpoints of the log, and nothing else.
    """

    index: int
    name: str
    operator: str
    team: str
    site: str
    identity: bytes
    witness: bytes


@document("wallet-entry/1")
class WalletEntry:
    """What rules may say about a wallet besides its id."""

    wallet_id: str
    tags: tuple[str, ...]
    tier: str


@document("asset/1")
class Asset:
    """An asset that may be moved: CAIP-19 name, symbol, decimals, and its price in micro-USD per whole unit (0: none).

    The price is the committee's reference, for limits in USD; where there is none, such limits cannot be evaluated.
    ``code_hash`` is the keccak256 of a token's contract code (32 bytes), or empty where it is not pinned.
    """

    asset: str
    symbol: str
    decimals: int
    classes: tuple[str, ...]
    usd_micro: int
    code_hash: bytes


@document("address-entry/2")
class AddressEntry:
    """An approved destination: CAIP-2 chain and 20-byte account, and when (Unix seconds) it was added."""

    entry_id: str
    label: str
    chain: str
    address: bytes
    tags: tuple[str, ...]
    state: EntryState
    added_at: int


@document("contract-entry/1")
class ContractEntry:
    """A contract that may be called: which code, which methods, audited how.

    ``methods`` are canonical signatures with argument names left out: ``swap(uint256,uint256,address,bytes)``.
    ``code_hash`` is keccak256 of the deployed code, 32 bytes; ``audit`` the 32-byte digest of the report, or empty.
    ``protocol`` groups entries for limits. ``unwraps`` are methods whose arguments are calls in turn (multicall and
    the like): they are looked into. Times are Unix seconds; ``expires_at`` 0 means never.
    """

    entry_id: str
    label: str
    chain: str
    address: bytes
    protocol: str
    tags: tuple[str, ...]
    code_hash: bytes
    methods: tuple[str, ...]
    unwraps: tuple[str, ...]
    audit: bytes
    audited_at: int
    max_open_severity: int
    state: EntryState
    added_at: int
    expires_at: int


@document("governance/1")
class Governance:
    """Who has to approve a change of the workspace in this direction, and how long it then waits (seconds)."""

    direction: Direction
    approvals: Requirement


@document("log-settings/1")
class LogSettings:
    """The witnessed log: its origin, which never changes, its 32-byte Ed25519 key, and two times in seconds.

    A checkpoint is fresh for ``fresh_for`` after witnesses saw it. A node that has seen none with full cosignatures for
    ``degraded_window`` signs nothing.
    """

    origin: str
    public: bytes
    fresh_for: int
    degraded_window: int


@document("workspace/3")
class Workspace:
    """One version of everything that decides. ``rp_id`` and ``origins`` are the WebAuthn relying party's.

    ``distinct_operators``: no quorum with two cosigners of one operator. ``refusals_block_at``: so many cosigners'
    refusals end an order even if others would sign; refusals of integrity also when one of them must be honest.
    """

    name: str
    version: int
    parent: bytes
    created_at: int
    rp_id: str
    origins: tuple[str, ...]
    aaguids: tuple[bytes, ...]
    users: tuple[User, ...]
    roles: tuple[Role, ...]
    groups: tuple[Group, ...]
    incompatible: tuple[Incompatible, ...]
    roster: tuple[Member, ...]
    wallets: tuple[WalletEntry, ...]
    assets: tuple[Asset, ...]
    address_book: tuple[AddressEntry, ...]
    contracts: tuple[ContractEntry, ...]
    rules: tuple[Rule, ...]
    governance: tuple[Governance, ...]
    distinct_operators: bool
    refusals_block_at: int
    log: LogSettings


@document("change-workspace/1")
class ChangeWorkspace:
    """A wish for the next version of the workspace, whole: ``next.parent`` is the digest of the one it changes."""

    change_id: str
    next: Workspace
    initiator: str
    purpose: str
    valid_from: int
    valid_until: int


@by_identity(size=8)
def workspace_digest(workspace: Workspace) -> bytes:
    """The 32 bytes that a cosigner pins and an approval names."""
    return digest("workspace", workspace)


def user(workspace: Workspace, user_id: str) -> User:
    """Raises `NotFound` (UNKNOWN_USER)."""
    for candidate in workspace.users:
        if candidate.user_id == user_id:
            return candidate
    raise NotFound(f"no user {user_id[:64]!r} in this workspace", Reason.UNKNOWN_USER)


def member(workspace: Workspace, index: int) -> Member:
    """Raises `NotFound` (UNKNOWN_USER)."""
    for candidate in workspace.roster:
        if candidate.index == index:
            return candidate
    raise NotFound(f"no cosigner {index} in this workspace", Reason.UNKNOWN_USER)


def asset_named(workspace: Workspace, asset: str) -> Asset | None:
    """The asset of this CAIP-19 name, if it is registered."""
    for candidate in workspace.assets:
        if candidate.asset == asset:
            return candidate
    return None


def governed(workspace: Workspace, way: Direction) -> Governance:
    """Who has to approve a change in this direction."""
    return next(one for one in workspace.governance if one.direction is way)


def privileges(workspace: Workspace, holder: User, wallet_id: str) -> frozenset[Privilege]:
    """What a user's roles let her do with this wallet ("" for what concerns no wallet); nothing if she is disabled."""
    if not holder.enabled:
        return frozenset()
    held = (role for role in workspace.roles if role.role in holder.roles)
    fitting = (role for role in held if "*" in role.wallets or (wallet_id and wallet_id in role.wallets))
    return frozenset(privilege for role in fitting for privilege in role.may)


def is_service(one: User) -> bool:
    """Whether this is no human: a service's ``person_id`` begins with ``service-``."""
    return one.person_id.startswith("service-")


def identities(workspace: Workspace) -> dict[int, bytes]:
    """Index to identity key of the whole roster."""
    return {member.index: member.identity for member in workspace.roster}


def operators_differ(workspace: Workspace, parties: Iterable[int]) -> bool:
    """Whether no two of these cosigners are run by one operator."""
    operators = [member(workspace, index).operator for index in parties]
    return len(set(operators)) == len(operators)
