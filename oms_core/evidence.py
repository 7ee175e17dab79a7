"""What the coordinator presents to a cosigner, and what a cosigner answers: requests, refusals, confirmations."""

from __future__ import annotations

from oms_core.approvals import Approval
from oms_core.chains.intent import Execution, Proposal
from oms_core.encoding import digest, document
from oms_core.errors import Reason, Refused
from oms_core.protocol.shares import Epoch, SignedConfirmation
from oms_core.workspace import ChangeWorkspace


@document("create-request/1")
class CreateRequest:
    """Take part in making a key: the signed wish and the approvals that the rules ask for."""

    proposal: Proposal
    workspace: bytes
    approvals: tuple[Approval, ...]


@document("sign-request/2")
class SignRequest:
    """Take part in signing what is derived from the proposal's intent and this execution (None for messages).

    ``decision`` is the plain decision (see `Reading`) that the coordinator came to: a node that comes to another one
    says so.
    """

    proposal: Proposal
    execution: Execution | None
    workspace: bytes
    approvals: tuple[Approval, ...]
    decision: bytes


@document("probe-request/1")
class ProbeRequest:
    """Take part in the one signature over `probe_digest` that shows a new, not yet active key to work."""

    key_id: bytes
    wallet_id: str


@document("change-request/1")
class ChangeRequest:
    """Take part in a change of a key; ``epoch`` is what is public of the one that is dealt from, in a resharing."""

    proposal: Proposal
    workspace: bytes
    approvals: tuple[Approval, ...]
    epoch: Epoch | None


@document("epoch-certificate/1")
class EpochCertificate:
    """Every member's confirmation of a new epoch, and the wish that it was made for. Whoever holds it passes it on."""

    confirmations: tuple[SignedConfirmation, ...]
    request: ChangeRequest


@document("presign-request/1")
class PresignRequest:
    """Take part in making a presignature for a path of a wallet's key, to be kept in memory."""

    key_id: bytes
    wallet_id: str
    path: tuple[int, ...]


@document("read-request/1")
class ReadRequest:
    """Say what you read in this proposal, standing on this version of the workspace. Nothing is signed over it."""

    proposal: Proposal
    workspace: bytes


@document("reading/1")
class Reading:
    """What a cosigner read in a subject before people were asked: digests of its rendering and of its plain decision.

    The latter is `oms_core.readings.plain_decision`, which no clock and no limit has a part in.
    """

    index: int
    subject: bytes
    workspace: bytes
    rendering: bytes
    decision: bytes
    at: int


@document("signed-reading/1")
class SignedReading:
    """A reading under the identity key, domain ``reading``."""

    reading: Reading
    signature: bytes


@document("change-workspace-request/1")
class ChangeWorkspaceRequest:
    """Go over to the next version of the workspace: the signed wish and what the governance asks for.

    ``scheduled`` are other nodes' signed statements that they have seen this wish approved, and when.
    """

    proposal: Proposal
    approvals: tuple[Approval, ...]
    scheduled: tuple[SignedScheduling, ...]

    @property
    def wish(self) -> ChangeWorkspace:
        """What is asked for. Raises `Refused` (INTENT_TX_MISMATCH) if it is something else."""
        if not isinstance(self.proposal.subject, ChangeWorkspace):
            raise Refused("the request does not fit its subject", Reason.INTENT_TX_MISMATCH)
        return self.proposal.subject


@document("scheduling/1")
class Scheduling:
    """A cosigner has seen this change of the workspace, fully approved, at ``at`` (Unix seconds, its own clock)."""

    index: int
    change: bytes
    at: int


@document("signed-scheduling/1")
class SignedScheduling:
    """A scheduling under the identity key, domain ``scheduling``."""

    scheduling: Scheduling
    signature: bytes


@document("adoption/1")
class Adoption:
    """A cosigner stands on this version of the workspace from now on."""

    index: int
    version: int
    workspace: bytes
    at: int


@document("signed-adoption/1")
class SignedAdoption:
    """An adoption under the identity key, domain ``adoption``."""

    adoption: Adoption
    signature: bytes


@document("refusal/1")
class Refusal:
    """A cosigner's no: to which session and request, with a stable reason and a text that shows no secret.

    ``session_id`` is empty where it was only asked to read.
    """

    session_id: bytes
    request: bytes
    index: int
    reason: str
    detail: str
    at: int


@document("signed-refusal/1")
class SignedRefusal:
    """A refusal under the identity key, domain ``refusal``."""

    refusal: Refusal
    signature: bytes


Request = CreateRequest | SignRequest | ProbeRequest | ChangeRequest | PresignRequest


def request_digest(request: Request | ReadRequest) -> bytes:
    """The ``subject`` of the protocol session that serves this request, and what a refusal of it names."""
    return digest("request", request)


def probe_digest(key_id: bytes, public_key: bytes) -> bytes:
    """The 32 bytes of the test signature; derived under its own domain, so it can be no transaction's digest."""
    return digest("wallet probe", key_id, public_key)


def drill_digest(key_id: bytes, epoch: int, public_key: bytes) -> bytes:
    """The 32 bytes that restored backups sign, and nobody else ever does."""
    return digest("backup drill", key_id, epoch, public_key)
