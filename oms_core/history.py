"""What the log says of the past, read from its items: what was authorised, which keys have spoken, which rules counted.

Nothing here is verified as an approval is, but that its authenticator has spoken: whoever has something counted that
was not approved takes from limits, and gives nothing. An item whose event says that it is replayed, and that cannot be
read, is no item of this log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from oms_core.approvals import Approval, challenge
from oms_core.assertions import verify_assertion
from oms_core.chains.evm import what_is_signed
from oms_core.chains.intent import CreateWallet, Intent, check_bounds, subject_digest
from oms_core.encoding import decode, decode_one_of, digest
from oms_core.errors import Malformed, NotFound, ProofInvalid, Refused
from oms_core.evidence import ChangeRequest, ChangeWorkspaceRequest, CreateRequest, SignRequest, request_digest
from oms_core.keys import ChangeKey
from oms_core.log.entries import AUTHORIZED, GENESIS, WORKSPACE_APPROVED, Entry, Item, read_record
from oms_core.memo import by_identity
from oms_core.policy.facts import Spend
from oms_core.policy.spends import UNPRICED, spends
from oms_core.workspace import ChangeWorkspace, Workspace, workspace_digest
from oms_core.workspace.change import verify_change

AUTHORIZED_FOR = 300  # seconds: what was authorised before that is logged anew before anybody signs it
REQUEST_LIMIT = 256 * 1024  # bytes: no cosigner takes a longer one
WORKSPACE_LIMIT = 8 << 20  # bytes
REPLAYED = frozenset({GENESIS, WORKSPACE_APPROVED, AUTHORIZED})
ABOUT_THE_ENTRY = (Malformed, Refused, NotFound, ProofInvalid)
"""What says something of a document, the same on every machine; a full disk or a token that is gone says nothing."""

Asked = SignRequest | CreateRequest | ChangeRequest
_ASKED: tuple[type[Asked], ...] = (SignRequest, CreateRequest, ChangeRequest)


@dataclass(frozen=True, slots=True)
class Began:
    """The log begins with this version of the workspace."""

    digest: bytes
    workspace: Workspace


@dataclass(frozen=True, slots=True)
class Approved:
    """People are said to have approved a change of the workspace: `counts_at` tells whether they have."""

    change: bytes
    digest: bytes
    request: ChangeWorkspaceRequest
    following: Workspace


@dataclass(frozen=True, slots=True)
class Pressed:
    """An assertion by a credential whose counter is not zero: the 32 bytes that it was for.

    ``authenticator`` stands for the credential with its public key: the log may hold versions of the workspace that
    nobody has approved, and that give the credential another one.
    """

    credential: bytes
    authenticator: bytes
    counter: int
    challenge: bytes


@dataclass(frozen=True, slots=True)
class Authorization:
    """Cosigners are asked for this: the digests of its subject, of the whole request, and of what it has signed."""

    subject: bytes
    request: bytes
    signs: bytes
    workspace: bytes
    asked: Asked


Effect = Began | Approved | Authorization


def read_effect(entry: Entry, one: Item) -> Effect | None:
    """What an item adds to history; None if it is not replayed. Raises `Malformed`, also if its record was erased."""
    if (entry.event == GENESIS) != (entry.index == 0):
        raise Malformed(f"a log has one {GENESIS}, and begins with it")
    if entry.event not in REPLAYED:
        return None
    record = read_record(entry, one)
    if record is None or len(record.documents) != 1:
        raise Malformed(f"the record of entry {entry.index}, {entry.event}, holds one document, and is never erased")
    document = record.documents[0]
    if entry.event == GENESIS:
        workspace = decode(Workspace, document, WORKSPACE_LIMIT)
        return Began(workspace_digest(workspace), workspace)
    if entry.event == WORKSPACE_APPROVED:
        return _approved(decode(ChangeWorkspaceRequest, document, WORKSPACE_LIMIT))
    return authorization(decode_one_of(_ASKED, document, REQUEST_LIMIT))


def authorization(asked: Asked) -> Authorization:
    """What is logged for a request. Raises `Malformed` for one that comes to nothing."""
    try:
        signs = what_it_signs(asked)
    except Refused as error:
        raise Malformed(f"what was authorised comes to nothing: {error.message}", error.reason) from error
    subject = subject_digest(asked.proposal.subject)
    return Authorization(subject, request_digest(asked), signs, asked.workspace, asked)


def what_it_signs(request: Asked) -> bytes:
    """The 32 bytes that would be signed; empty for a wish about a key, for which nothing is.

    Raises `Malformed` or `Refused` for what is derived to nothing, or asks for something else than it should.
    """
    subject = request.proposal.subject
    match request:
        case SignRequest() if isinstance(subject, Intent):
            check_bounds(subject)  # the most that it may pay as fee is counted
            return what_is_signed(subject, request.execution)[1]
        case CreateRequest() if isinstance(subject, CreateWallet):
            return b""
        case ChangeRequest() if isinstance(subject, ChangeKey):
            return b""
    raise Malformed("the request does not fit its subject")


def presses(approvals: Iterable[Approval], workspace: Workspace) -> tuple[Pressed, ...]:
    """What authenticators of this version that count say; those that do not count say 0."""
    return tuple(pressed for _, _, pressed in _presses(approvals, workspace))


def pressed_in(authorized: Authorization, workspace: Workspace) -> tuple[Pressed, ...]:
    """What authenticators of the version that it names truly said: a made-up counter would be used up for ever."""
    held = _presses(authorized.asked.approvals, workspace)
    return tuple(pressed for one, key, pressed in held if _said(one, key, workspace))


def _presses(approvals: Iterable[Approval], workspace: Workspace) -> Iterator[tuple[Approval, bytes, Pressed]]:
    """Each with the public key of its credential."""
    keys = _credentials(workspace)
    for one in approvals:
        key, counter = keys.get(one.credential_id), _counter(one.authenticator_data)
        if key is not None and counter:
            yield one, key, Pressed(one.credential_id, _name(one.credential_id, key), counter, challenge(one.claim))


def authenticators(workspace: Workspace) -> Iterator[tuple[bytes, bytes]]:
    """Every credential's id, and what stands for it with its public key."""
    for credential_id, key in _credentials(workspace).items():
        yield credential_id, _name(credential_id, key)


def _name(credential_id: bytes, public_key: bytes) -> bytes:
    return digest("credential", credential_id, public_key)


@by_identity(size=4)
def _credentials(workspace: Workspace) -> dict[bytes, bytes]:
    """The public key of every credential, by its id."""
    return {one.credential_id: one.public_key for user in workspace.users for one in user.credentials}


def spends_in(authorized: Authorization, workspace: Workspace, at: int) -> tuple[Spend, ...]:
    """What it counts for under the version that it names. Raises `Malformed` if that cannot be said."""
    subject = authorized.asked.proposal.subject
    assert isinstance(subject, Intent | CreateWallet | ChangeKey)
    try:
        return spends(workspace, subject, at)
    except ABOUT_THE_ENTRY as error:
        raise Malformed(f"what was authorised cannot be read: {error.message}", error.reason) from error


def worst(*readings: tuple[Spend, ...]) -> tuple[Spend, ...]:
    """One subject as several versions of the workspace read it: of what is alike the most, and what any of them sees.

    So nobody makes it count for less by having it logged under another version as well.
    """
    found: dict[tuple[object, ...], Spend] = {}
    for spend in (spend for reading in readings for spend in reading):
        alike = (spend.operation, spend.action, spend.chain, spend.destination, spend.protocol, spend.asset)
        held = found.setdefault(alike, spend)
        worths = (held.usd_micro, spend.usd_micro)
        worth = UNPRICED if UNPRICED in worths else max(worths)
        found[alike] = replace(held, amount=max(held.amount, spend.amount), usd_micro=worth)
    return tuple(found.values())


def counts_at(request: ChangeWorkspaceRequest, current: Workspace, at: int) -> int | None:
    """From when a change (logged at Unix second ``at``) has to be followed by whoever stands on ``current``.

    None if it is not what people have approved, or stands on another version: such an entry is passed over for ever.
    So only what the request itself is at fault for says so; whatever this machine is at fault for is raised.
    """
    try:
        return at + verify_change(request, current, at).delay
    except ABOUT_THE_ENTRY:
        return None


def _approved(request: ChangeWorkspaceRequest) -> Approved:
    wish = request.proposal.subject
    if not isinstance(wish, ChangeWorkspace):
        raise Malformed("the request does not fit its subject")
    return Approved(subject_digest(wish), workspace_digest(wish.next), request, wish.next)


def _said(approval: Approval, public_key: bytes, workspace: Workspace) -> bool:
    """Whether this key has signed it."""
    made = (approval.authenticator_data, approval.client_data_json, approval.signature)
    try:
        verify_assertion(public_key, challenge(approval.claim), workspace.rp_id, workspace.origins, *made)
    except (Refused, Malformed):
        return False
    return True


def _counter(authenticator_data: bytes) -> int:
    """WebAuthn level 3, §6.1: after the relying party's hash and the flags, four bytes."""
    return int.from_bytes(authenticator_data[33:37], "big") if len(authenticator_data) >= 37 else 0
