"""The one pure decision that the coordinator and every cosigner make, each for itself, on the same evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oms_core.approvals import Approval, ApprovalClaim, Verdict, challenge
from oms_core.assertions import verify_assertion
from oms_core.chains.evm import UnsignedTransaction, derive, signing_digest
from oms_core.chains.intent import CreateWallet, Intent, Proposal, Subject, check_subject, subject_digest
from oms_core.chains.render import render, rendering_digest
from oms_core.errors import Malformed, Reason, Refused
from oms_core.evidence import ChangeRequest, CreateRequest, SignRequest
from oms_core.keys import ChangeKey
from oms_core.policy.facts import Facts
from oms_core.policy.judge import Decision, Outcome, judge
from oms_core.proposals import verify_proposal
from oms_core.workspace import Credential, User, Workspace, identities, user, workspace_digest

MAX_APPROVALS = 32


@dataclass(frozen=True, slots=True)
class Approver:
    """A verified approval: who pressed which key, and the key's counter, which a shell compares with the last one."""

    user: User
    credential: Credential
    counter: int


@dataclass(frozen=True, slots=True)
class Authorized:
    """A yes with its grounds; for an intent with the derived transaction and the 32-byte digest to be signed."""

    subject: Subject
    initiator: User
    approvers: tuple[Approver, ...]
    decision: Decision
    transaction: UnsignedTransaction | None
    digest: bytes


def expected_claim(
    subject: Subject, workspace: Workspace, approver: str, verdict: Verdict, expires_at: int
) -> ApprovalClaim:
    """What an approver has to sign for this subject under this workspace."""
    return ApprovalClaim(
        subject=subject_digest(subject),
        workspace=workspace_digest(workspace),
        rendering=rendering_digest(render(subject, workspace)),
        simulation=b"",
        execution=b"",
        approver=approver,
        verdict=verdict,
        expires_at=expires_at,
    )


def verify_approval(approval: Approval, workspace: Workspace, subject: Subject, now: int) -> Approver:
    """One person's decision about this subject, as verified here. Raises `Refused` or `Malformed`."""
    claim = approval.claim
    if claim.workspace != workspace_digest(workspace):
        raise Refused("approved under another version of the workspace", Reason.POLICY_VERSION_MISMATCH)
    if claim != expected_claim(subject, workspace, claim.approver, claim.verdict, claim.expires_at):
        raise Refused("approved something else than this", Reason.CHALLENGE_MISMATCH)
    if now >= claim.expires_at or claim.expires_at > subject.valid_until:
        raise Refused("the approval is no longer valid", Reason.APPROVAL_EXPIRED)
    approver, initiator = user(workspace, claim.approver), user(workspace, subject.initiator)
    if approver.person_id == initiator.person_id:
        raise Refused(f"{approver.user_id} cannot approve her own order", Reason.SELF_APPROVAL)
    for credential in approver.credentials:
        if credential.credential_id == approval.credential_id:
            counter = verify_assertion(
                credential.public_key,
                challenge(claim),
                workspace.rp_id,
                workspace.origins,
                approval.authenticator_data,
                approval.client_data_json,
                approval.signature,
            )
            return Approver(approver, credential, counter)
    raise Refused(f"{approver.user_id} has no such credential", Reason.CREDENTIAL_UNKNOWN)


def verify_approvals(
    approvals: tuple[Approval, ...], workspace: Workspace, subject: Subject, now: int
) -> tuple[Approver, ...]:
    """All approvals, by distinct people, none of them a denial. Raises `Refused` or `Malformed`."""
    if len(approvals) > MAX_APPROVALS:
        raise Refused(f"more than {MAX_APPROVALS} approvals", Reason.TOO_LARGE)
    approvers = tuple(verify_approval(approval, workspace, subject, now) for approval in approvals)
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


def authorize(request: CreateRequest | SignRequest | ChangeRequest, workspace: Workspace, facts: Facts) -> Authorized:
    """Yes, or an exception that says why not: `Refused`, `Malformed` or `NotFound`, each with its reason.

    Everything is derived again from the request's own documents; nothing that the coordinator concluded is used.
    """
    subject = request.proposal.subject
    if request.workspace != workspace_digest(workspace):
        raise Refused("the request stands on another version of the workspace", Reason.POLICY_VERSION_MISMATCH)
    if not isinstance(subject, _FITS[type(request)]):
        raise Refused("the request does not fit its subject", Reason.INTENT_TX_MISMATCH)
    _check(subject, workspace, facts.now)
    transaction, digest = None, b""
    if isinstance(request, SignRequest) and isinstance(subject, Intent):
        transaction = derive(subject, request.execution)
        digest = signing_digest(transaction)
    initiator = verify_proposal(request.proposal, workspace)
    approvers = verify_approvals(request.approvals, workspace, subject, facts.now)
    decision = judge(workspace, subject, facts, tuple(approver.user.user_id for approver in approvers))
    if decision.outcome is Outcome.DENY:
        raise Refused(decision.detail, decision.reason, rule=decision.objections[0].rule_id)
    if decision.outcome is Outcome.NEEDS_APPROVAL:
        need = next(need for need in decision.needs if need.missing)
        text = f"{need.rule_id}: {len(need.given)} of {need.required} approvals by {need.role}"
        raise Refused(text, Reason.APPROVAL_MISSING, rule=need.rule_id)
    return Authorized(subject, initiator, approvers, decision, transaction, digest)
