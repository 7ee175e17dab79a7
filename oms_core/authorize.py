"""The one pure decision that the coordinator and every cosigner make, each for itself, on the same evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from oms_core.approvals import Approval, ApprovalClaim, Verdict, challenge
from oms_core.assertions import verify_assertion
from oms_core.chains.evm import UnsignedTransaction, what_is_signed
from oms_core.chains.intent import (
    CLOCK_SKEW,
    CreateWallet,
    Execution,
    Intent,
    Proposal,
    Subject,
    check_subject,
    subject_digest,
)
from oms_core.chains.render import render, rendering_digest
from oms_core.encoding import digest as digest_of
from oms_core.errors import Malformed, Reason, Refused
from oms_core.evidence import ChangeRequest, CreateRequest, SignRequest
from oms_core.keys import ChangeKey
from oms_core.memo import by_identity
from oms_core.policy.facts import Facts
from oms_core.policy.judge import Decision, Given, Outcome, judge
from oms_core.policy.limits import horizon
from oms_core.proposals import verify_proposal
from oms_core.workspace import (
    Assurance,
    ChangeWorkspace,
    Credential,
    User,
    Workspace,
    identities,
    privileges,
    user,
    workspace_digest,
)

MAX_APPROVALS = 32
_NONE: Mapping[bytes, Workspace] = MappingProxyType({})
Versions = Mapping[bytes, Workspace]
"""Earlier versions of a workspace by digest, as its chain leads to them."""


@dataclass(frozen=True, slots=True)
class Approver:
    """A verified approval: who pressed which key when, and the key's counter, which a shell compares with the last."""

    user: User
    credential: Credential
    counter: int
    decided_at: int


@dataclass(frozen=True, slots=True)
class Authorized:
    """A yes with its grounds; for an intent with what is signed: the transaction, None for a message, and 32 bytes.

    ``cosigners`` have to be among those who sign, by the rules of any version that had a say in it.
    """

    subject: Subject
    initiator: User
    approvers: tuple[Approver, ...]
    decision: Decision
    transaction: UnsignedTransaction | None
    digest: bytes
    cosigners: tuple[int, ...]


@by_identity(size=4)
def _read(workspace: Workspace) -> Callable[[Subject], bytes]:
    """The digests of what subjects mean under a workspace: every approval of one is held against the same reading."""
    return by_identity(size=4)(lambda subject: rendering_digest(render(subject, workspace)))


def execution_digest(execution: Execution | None) -> bytes:
    """The 32 bytes by which an approval names the exact transaction; empty where there is none to name."""
    return digest_of("execution", execution) if execution is not None else b""


def expected_claim(
    subject: Subject,
    workspace: Workspace,
    approver: str,
    verdict: Verdict,
    decided_at: int,
    expires_at: int,
    execution: bytes = b"",
) -> ApprovalClaim:
    """What an approver has to sign for this subject under this workspace; ``execution`` to bind the exact bytes."""
    return ApprovalClaim(
        subject=subject_digest(subject),
        workspace=workspace_digest(workspace),
        rendering=_read(workspace)(subject),
        simulation=b"",
        execution=execution,
        approver=approver,
        verdict=verdict,
        decided_at=decided_at,
        expires_at=expires_at,
    )


def verify_approval(
    approval: Approval,
    workspace: Workspace,
    subject: Subject,
    now: int,
    older: Versions = _NONE,
    execution: bytes = b"",
) -> Approver:
    """One person's decision about this subject, as verified here. Raises `Refused` or `Malformed`.

    It may name the exact transaction, and then that has to be ``execution``, the digest of what would be signed.

    One that was given under an earlier version stands if the subject still reads the same, and if in no version since
    she or who proposed it was disabled, or the key was not hers, or a role, a group or what she may with this wallet:
    what was void once is not made good by undoing it.
    """
    claim = approval.claim
    then = workspace if claim.workspace == workspace_digest(workspace) else older.get(claim.workspace)
    if then is None:
        raise Refused("approved under another version of the workspace", Reason.POLICY_VERSION_MISMATCH)
    bound = execution if claim.execution else b""
    times = (claim.decided_at, claim.expires_at)
    if claim != expected_claim(subject, then, claim.approver, claim.verdict, *times, bound):
        raise Refused("approved something else than this", Reason.CHALLENGE_MISMATCH)
    if then is not workspace and claim.rendering != _read(workspace)(subject):
        raise Refused("what was approved reads differently by now", Reason.POLICY_VERSION_MISMATCH)
    if now >= claim.expires_at or claim.expires_at > subject.valid_until:
        raise Refused("the approval is no longer valid", Reason.APPROVAL_EXPIRED)
    if not subject.valid_from - CLOCK_SKEW <= claim.decided_at <= now + CLOCK_SKEW:
        raise Refused("decided before it was asked, or in the future", Reason.APPROVAL_EXPIRED)
    approver, initiator = user(workspace, claim.approver), user(workspace, subject.initiator)
    if approver.person_id == initiator.person_id:
        raise Refused(f"{approver.user_id} cannot approve her own order", Reason.SELF_APPROVAL)
    if not approver.enabled:
        raise Refused(f"{approver.user_id} is disabled", Reason.NOT_ELIGIBLE)
    credential = _credential(approval.credential_id, approver)
    _check_then(credential, user(then, claim.approver))
    said = verify_assertion(
        credential.public_key,
        challenge(claim),
        workspace.rp_id,
        workspace.origins,
        approval.authenticator_data,
        approval.client_data_json,
        approval.signature,
    )
    if credential.assurance is Assurance.DEVICE_BOUND and said.may_be_copied:
        raise Refused("a key that is bound to its device says that it can be backed up", Reason.ASSURANCE_TOO_LOW)
    for _, version in _since(claim.workspace, workspace, older):  # last: only what people signed is worth the way back
        _check_then(credential, user(version, claim.approver))
        _check_between(claim.approver, subject, then, version, workspace)
    return Approver(approver, credential, said.counter, claim.decided_at)


def _credential(credential_id: bytes, approver: User) -> Credential:
    """The approver's credential. Raises `Refused`."""
    held = {one.credential_id: one for one in approver.credentials}.get(credential_id)
    if held is None:
        raise Refused(f"{approver.user_id} has no such credential", Reason.CREDENTIAL_UNKNOWN)
    if held.revoked:
        raise Refused(f"this credential of {approver.user_id} is revoked", Reason.CREDENTIAL_REVOKED)
    return held


def _check_then(credential: Credential, then: User) -> None:
    """That in some version she was enabled and this key was hers. Raises `Refused`."""
    if not then.enabled:
        raise Refused(f"{then.user_id} was disabled in the meantime", Reason.NOT_ELIGIBLE)
    if _credential(credential.credential_id, then).public_key != credential.public_key:
        raise Refused(f"this credential of {then.user_id} was another key", Reason.CREDENTIAL_UNKNOWN)


def _check_between(approver: str, subject: Subject, then: Workspace, between: Workspace, current: Workspace) -> None:
    """That she was asked, and it could be proposed, in a version in between as well. Raises `Refused`."""
    if not user(between, subject.initiator).enabled:
        raise Refused(f"{subject.initiator}, who proposed it, was disabled in the meantime", Reason.NOT_ELIGIBLE)
    before, meanwhile, after = (_standing(one, approver, subject) for one in (then, between, current))
    if not before & after <= meanwhile:
        text = f"{approver} did not have all the time what makes her one of those who are asked"
        raise Refused(text, Reason.NOT_ELIGIBLE)


def _standing(workspace: Workspace, name: str, subject: Subject) -> frozenset[object]:
    """By what somebody may be among those who are asked about a subject."""
    one = user(workspace, name)
    wallet_id = "" if isinstance(subject, ChangeWorkspace) else subject.wallet_id
    groups = (group.group_id for group in workspace.groups if name in group.members)
    held = (("role", one.roles), ("group", groups), ("may", privileges(workspace, one, wallet_id)))
    return frozenset((kind, each) for kind, names in held for each in names)


def _since(claimed: bytes, workspace: Workspace, older: Versions) -> Iterator[tuple[bytes, Workspace]]:
    """The versions between the one of this digest and ``workspace``, each with its own, newest first.

    Raises `Refused` (POLICY_VERSION_MISMATCH) where the chain has a gap, or does not lead there.
    """
    parent = workspace.parent if claimed != workspace_digest(workspace) else claimed
    while parent != claimed:
        if (version := older.get(parent)) is None:
            raise Refused("no chain of versions leads from the approval to this one", Reason.POLICY_VERSION_MISMATCH)
        yield parent, version
        parent = version.parent


def versions_since(approvals: Iterable[Approval], workspace: Workspace, older: Versions) -> Versions:
    """Of ``older``, those that these approvals are judged by: what they name, and all that came after it.

    Raises `Refused` (POLICY_VERSION_MISMATCH) as `verify_approval` does.
    """
    found: dict[bytes, Workspace] = {}
    for claimed in {approval.claim.workspace for approval in approvals} - {workspace_digest(workspace)}:
        if (named := older.get(claimed)) is not None:
            found[claimed] = named
            found.update(_since(claimed, workspace, older))
    return found


def verify_approvals(
    approvals: tuple[Approval, ...],
    workspace: Workspace,
    subject: Subject,
    now: int,
    older: Versions = _NONE,
    execution: bytes = b"",
) -> tuple[Approver, ...]:
    """All approvals, by distinct people, none of them a denial. Raises `Refused` or `Malformed`."""
    if len(approvals) > MAX_APPROVALS:
        raise Refused(f"more than {MAX_APPROVALS} approvals", Reason.TOO_LARGE)
    approvers = tuple(verify_approval(approval, workspace, subject, now, older, execution) for approval in approvals)
    if any(approval.claim.verdict is Verdict.DENY for approval in approvals):
        raise Refused("a person has denied this", Reason.APPROVAL_DENIED)
    if len({approver.user.person_id for approver in approvers}) != len(approvers):
        raise Refused("one person counts once", Reason.DUPLICATE_PERSON)
    return approvers


def review(proposal: Proposal, workspace: Workspace, facts: Facts) -> tuple[User, Decision]:
    """A proposal by itself, before anyone approves: shape, signature, and what the rules say so far."""
    _check(proposal.subject, workspace, facts.now)
    initiator = verify_proposal(proposal, workspace)
    return initiator, judge(workspace, proposal.subject, facts)


def _check(subject: Subject, workspace: Workspace, now: int) -> None:
    """The subject's own shape, and that the cosigners it names exist. Raises `Malformed`."""
    check_subject(subject, now)
    if isinstance(subject, CreateWallet | ChangeKey) and not set(subject.parties) <= set(identities(workspace)):
        raise Malformed("a party is not in the roster", Reason.UNKNOWN_USER)


_FITS: dict[type[Any], type[Any]] = {CreateRequest: CreateWallet, SignRequest: Intent, ChangeRequest: ChangeKey}


def look_back(
    request: CreateRequest | SignRequest | ChangeRequest, workspace: Workspace, older: Versions = _NONE
) -> int:
    """How many seconds back `authorize` has to know spends: as the limits look of every version that it may ask."""
    named = {approval.claim.workspace for approval in request.approvals[:MAX_APPROVALS]}
    return horizon(workspace, *(then for digest in named if (then := older.get(digest)) is not None))


def authorize(
    request: CreateRequest | SignRequest | ChangeRequest, workspace: Workspace, facts: Facts, older: Versions = _NONE
) -> Authorized:
    """Yes, or an exception that says why not: `Refused`, `Malformed` or `NotFound`, each with its reason.

    Everything is derived again from the request's own documents; nothing that the coordinator concluded is used. What
    was approved under earlier versions has to be allowed by them as well: the stricter of both decides.
    """
    subject = request.proposal.subject
    if request.workspace != workspace_digest(workspace):
        raise Refused("the request stands on another version of the workspace", Reason.POLICY_VERSION_MISMATCH)
    if not isinstance(subject, _FITS[type(request)]):
        raise Refused("the request does not fit its subject", Reason.INTENT_TX_MISMATCH)
    _check(subject, workspace, facts.now)
    transaction, digest, execution = None, b"", b""
    if isinstance(request, SignRequest) and isinstance(subject, Intent):
        transaction, digest = what_is_signed(subject, request.execution)
        execution = execution_digest(request.execution)
    initiator = verify_proposal(request.proposal, workspace)
    approvers = verify_approvals(request.approvals, workspace, subject, facts.now, older, execution)
    if execution and facts.share > 1:
        _check_exact(request.approvals)
    given = tuple(Given(one.user.user_id, one.credential.assurance, one.decided_at) for one in approvers)
    decision = _allowed(workspace, subject, facts, given)
    cosigners = set(decision.cosigners)
    for version in sorted({approval.claim.workspace for approval in request.approvals} - {request.workspace}):
        cosigners.update(_allowed(older[version], subject, facts, given).cosigners)
    return Authorized(subject, initiator, approvers, decision, transaction, digest, tuple(sorted(cosigners)))


def _check_exact(approvals: tuple[Approval, ...]) -> None:
    """Where the past is not certain, one yes could be shown to several nodes as several: it has to name the bytes."""
    if not approvals or any(not approval.claim.execution for approval in approvals):
        text = "too few witnesses vouch for the log: an approval has to name the exact transaction, nonce included"
        raise Refused(text, Reason.EXACT_BYTES_NEEDED)


def _allowed(workspace: Workspace, subject: Subject, facts: Facts, given: tuple[Given, ...]) -> Decision:
    """The decision, if it is a yes. Raises `Refused` with the gravest objection, or what is still missing."""
    decision = judge(workspace, subject, facts, given)
    if decision.outcome is Outcome.DENY:
        raise Refused(decision.detail, decision.reason, rule=decision.objections[0].rule_id)
    if decision.outcome is Outcome.NEEDS_APPROVAL:
        need = next(need for need in decision.needs if need.missing)
        raise Refused(need.words, Reason.APPROVAL_MISSING, rule=need.rule_id)
    if decision.delay and (facts.seen_at is None or facts.now < facts.seen_at + decision.delay):
        raise Refused(f"it waits for {decision.delay} seconds after it was first seen", Reason.DELAYED)
    return decision
