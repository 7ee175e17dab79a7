"""What a person reads before she presses her key: all of it made here, and held against what cosigners signed."""

from __future__ import annotations

from oms.client import Waiting
from oms_core.approvals import ApprovalClaim, Verdict
from oms_core.authorize import execution_digest, expected_claim
from oms_core.chains.amount import format_amount
from oms_core.chains.evm import what_is_signed
from oms_core.chains.intent import CreateWallet, Intent, subject_digest
from oms_core.chains.render import Rendering, render, rendering_digest
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, NotFound, ProofInvalid, Reason, Refused
from oms_core.evidence import SignedRefusal
from oms_core.protocol.identity import verify_identity
from oms_core.readings import Agreement, agreement, check_written, readings_needed
from oms_core.words import in_words
from oms_core.workspace import ChangeWorkspace, Workspace, identities, member
from proto import oms_pb2 as pb


def prompt(one: Waiting, workspace: Workspace) -> list[str]:
    """Check words, sentences, who reads it how, and who would refuse it."""
    found = _agreement(one, workspace)
    lines = [f"{one.subject_id}  {in_words(subject_digest(one.subject))}"]
    lines += [f"  {line}" for line in render(one.subject, workspace).lines]
    lines += [f"  {line}" for line in exactly(one)]
    lines.append(f"  {len(found.same)} of {len(workspace.roster)} cosigners read this the same way")
    said = {reading.index: Rendering(tuple(reading.lines)) for reading in one.readings}
    for other in found.different:
        lines.append(f"  cosigner {other.index} {member(workspace, other.index).name} reads it DIFFERENTLY:")
        known = other.index in said and rendering_digest(said[other.index]) == other.rendering
        lines += [f"    {line}" for line in (said[other.index].lines if known else (other.rendering.hex(),))]
    if found.invalid:
        lines.append(f"  {found.invalid} readings are not what a cosigner signed about this")
    return lines + [_refusal(no, workspace) for no in one.refusals]


def exactly(one: Waiting) -> list[str]:
    """The transaction that an approval would name, in words; none where it names none.

    Raises `Refused` or `Malformed` if what is shown is no transaction of this order within its bounds.
    """
    execution, intent = one.execution, one.subject
    if execution is None:
        return []
    if not isinstance(intent, Intent):
        raise Malformed("only an order has a transaction to name")
    what_is_signed(intent, execution)
    most = format_amount(execution.gas_limit * execution.max_fee_per_gas, 18)
    fee, tip = (format_amount(price, 9) for price in (execution.max_fee_per_gas, execution.max_priority_fee_per_gas))
    lists = f", access list of {len(execution.access_list)} accounts" if execution.access_list else ""
    return [
        "Too few cosigners vouch for the log, so your approval names this one transaction and no other:",
        f"  account nonce {execution.nonce}, at most {execution.gas_limit} gas at {fee} gwei (tip {tip} gwei){lists},",
        f"  so at most {most} of the chain's coin in fees; digest {execution_digest(execution).hex()[:16]}.",
    ]


def own_claim(one: Waiting, workspace: Workspace, approver: str) -> ApprovalClaim:
    """What is signed: made here, from the documents that are shown. The coordinator's claim only has to match.

    Raises `Refused` (CHALLENGE_MISMATCH) if it does not: also if it names a transaction that it does not show.
    """
    times, named = (one.claim.decided_at, one.claim.expires_at), execution_digest(one.execution)
    own = expected_claim(one.subject, workspace, approver, Verdict.APPROVE, *times, named)
    if own != one.claim:
        raise Refused("the coordinator asks to sign something else than it shows", Reason.CHALLENGE_MISMATCH)
    return own


def check_readings(one: Waiting, workspace: Workspace, pinned: Workspace | None) -> None:
    """Raises `Refused` if a cosigner reads something else than is shown here, or too few have said what they read.

    Also for a change whose new entries would be older than that they were asked for; see `check_written`.
    A reading also says on which workspace its node stands. So where a version is ``pinned``, more than half of its
    cosigners vouch for the one that the coordinator shows, or nothing is pressed.
    """
    found = _agreement(one, workspace)
    if not found.unanimous:
        raise Refused("not all cosigners read what you read; see --despite-difference", Reason.READINGS_DIFFER)
    threshold = one.subject.threshold if isinstance(one.subject, CreateWallet) else 0
    if len(found.same) < (needed := readings_needed(workspace, threshold)):
        text = f"{len(found.same)} of at least {needed} cosigners have said what they read; see --despite-difference"
        raise Refused(text, Reason.READINGS_MISSING)
    if isinstance(one.subject, ChangeWorkspace):
        check_written(one.subject, workspace, found)
    if pinned is not None:
        shown, known = identities(workspace), identities(pinned)
        vouching = [i for i in found.same if known.get(i) == shown[i]]
        if len(vouching) < (needed := readings_needed(pinned, 0)):
            text = f"{len(vouching)} of at least {needed} cosigners of your own workspace file stand on the one shown"
            raise Refused(text, Reason.POLICY_VERSION_MISMATCH)


def _agreement(one: Waiting, workspace: Workspace) -> Agreement:
    return agreement(one.subject, workspace, [reading.signed_reading for reading in one.readings])


def _refusal(no: pb.CosignerRefusal, workspace: Workspace) -> str:
    """What a cosigner signed, not what the coordinator says of it."""
    try:
        signed = decode(SignedRefusal, no.signed_refusal, 4096)
        said = signed.refusal
        verify_identity(member(workspace, said.index).identity, "refusal", encode(said), signed.signature)
    except (Malformed, NotFound, ProofInvalid):
        return "  a refusal that no cosigner has signed"
    return f"  cosigner {said.index} {member(workspace, said.index).name} would REFUSE it: {said.reason}: {said.detail}"
