"""What people decided about an order, and what cosigners read in it or would not read, each under its own key."""

from __future__ import annotations

from contextlib import suppress

from auditor.items import Told, of
from auditor.report import Claims, must, numbers, when
from auditor.versions import Versions
from oms_core.approvals import Approval, Verdict
from oms_core.authorize import execution_digest, verify_approval
from oms_core.chains.intent import Execution, Intent, Proposal, subject_digest
from oms_core.crypto import p256
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, ProofInvalid, Reason
from oms_core.evidence import ReadRequest, Refusal, SignedReading, SignedRefusal, SignRequest, request_digest
from oms_core.log.documents import RuleTrace
from oms_core.log.entries import AUTHORIZED
from oms_core.protocol.identity import verify_identity
from oms_core.readings import SIGNED_LIMIT, agreement, verify_reading
from oms_core.withdrawals import SignedWithdrawal, withdrawal_digest
from oms_core.workspace import identities, user

DECISION, READING, REFUSAL, EXECUTION = "order.decision", "order.reading", "order.refusal", "order.execution"
REPLACED = "order.replaced"
WITHDRAWN = ("order.cancelled", REPLACED)


def verify_decisions(claims: Claims, told: list[Told], intent: Intent, versions: Versions) -> None:
    """Every decision of a person, also those that count no more. Raises `ProofInvalid`."""
    chosen: dict[bytes, int] = {}
    for one in of(told, DECISION):
        if one.record is None:
            continue
        approval = one.document(Approval)
        said, entry = approval.claim, one.entry
        words = f"{said.approver} has decided {said.verdict} with a key of hers, at {when(entry.at)}"
        with claims.claim(words):
            under = versions.used(said.workspace, entry)
            if said.execution:
                chosen = chosen or _chosen(told)
                known = chosen.get(said.execution, entry.index) < entry.index
                must(known, "it names a transaction that nobody had chosen", Reason.EXACT_BYTES_NEEDED)
            verify_approval(approval, under, intent, entry.at, versions.by_digest, said.execution)


def _chosen(told: list[Told]) -> dict[bytes, int]:
    """The executions that were chosen, by their digests, and the index of the first entry that says so."""
    found: dict[bytes, int] = {}
    for one in of(told, EXECUTION):
        if one.record is not None and one.record.documents:
            found.setdefault(execution_digest(one.document(Execution)), one.entry.index)
    return found


def note_denials(claims: Claims, told: list[Told], asked: int | None) -> None:
    """Who had said no before cosigners were ``asked`` (an entry's index) all the same."""
    for one in of(told, DECISION):
        if asked is None or one.entry.index > asked or one.record is None:
            continue
        if (said := one.document(Approval).claim).verdict is Verdict.DENY:
            claims.note(
                f"{said.approver} had denied it in entry {one.entry.index}, and in entry {asked} cosigners were asked"
            )


def verify_withdrawals(claims: Claims, told: list[Told], intent: Intent, versions: Versions) -> None:
    """An initiator's word that an order of hers ends. Raises `ProofInvalid`."""
    for one in of(told, *WITHDRAWN):
        if one.record is None or not one.record.documents:
            claims.note(f"of entry {one.entry.index}, {one.entry.event}, no word that the initiator has signed is here")
            continue
        signed, at = one.document(SignedWithdrawal), when(one.entry.at)
        how = "takes another one in its place" if signed.withdrawal.instead else "does not want it any more"
        with claims.claim(f"{intent.initiator} has signed that she {how}, at {at}"):
            said = signed.withdrawal
            mine = (said.subject, said.initiator) == (subject_digest(intent), intent.initiator)
            must(mine, "it is about another order, or by somebody else")
            replaced = one.entry.event == REPLACED
            must(bool(said.instead) is replaced, "her word is not what the log says came of it")
            _check_withdrawal(signed, one.entry.index, versions)


def _check_withdrawal(signed: SignedWithdrawal, index: int, versions: Versions) -> None:
    failed: CountersealError = ProofInvalid("the initiator has no such key", Reason.CREDENTIAL_UNKNOWN)
    for workspace in versions.known_at(index):
        for key in user(workspace, signed.withdrawal.initiator).proposal_keys:
            if key.key_id == signed.key_id:
                try:
                    p256.verify(key.public, withdrawal_digest(signed.withdrawal, key.key_id), signed.signature)
                except CountersealError as error:
                    failed = error
                else:
                    return
    raise failed


def verify_readings(claims: Claims, told: list[Told], intent: Intent, versions: Versions) -> None:
    """What cosigners read, held against what an auditor reads in the same bytes. Raises `ProofInvalid`."""
    same, different = set[int](), set[int]()
    found = [one for one in of(told, READING) if one.record is not None]
    if not found:
        return
    with claims.claim("each reading of the order is under the identity key of the cosigner that it names"):
        for one in found:
            said = one.document(SignedReading)
            under = versions.used(said.reading.workspace, one.entry)
            verify_reading(encode(said), under, intent)
            agreed = agreement(intent, under, [encode(said)])
            (same if agreed.same else different).add(said.reading.index)
    claims.add(f"cosigners {numbers(tuple(sorted(same)))} read in it what is read in it here")
    if different:
        claims.note(f"cosigners {numbers(tuple(sorted(different)))} read something else in it")


def verify_refusals(claims: Claims, told: list[Told], proposal: Proposal, versions: Versions) -> None:
    """Every refusal of a cosigner, and whether it is of this order: it names what was asked. Raises `ProofInvalid`."""
    asked = _requests(told, proposal, versions)
    for one in of(told, REFUSAL):
        if one.record is None:
            continue
        signed = decode(SignedRefusal, one.kept.documents[0] if one.kept.documents else b"", SIGNED_LIMIT)
        said = signed.refusal
        with claims.claim(f"cosigner {said.index} has refused, {said.reason}, at {when(one.entry.at)}"):
            _check_refusal(said, signed.signature, one.entry.index, versions)
        if said.request not in asked:
            claims.note(
                f"what cosigner {said.index} refused, by entry {one.entry.index}, is no request about this order"
            )


def _requests(told: list[Told], proposal: Proposal, versions: Versions) -> set[bytes]:
    """By their digests all requests about an order that there can have been."""
    found = {request_digest(ReadRequest(proposal, version)) for version in versions.by_digest}
    for one in of(told, AUTHORIZED):
        with suppress(CountersealError):  # what it asks for is looked at by itself
            found.add(request_digest(one.asked(SignRequest)))
    return found


def _check_refusal(said: Refusal, signature: bytes, index: int, versions: Versions) -> None:
    failed: CountersealError = ProofInvalid(f"there is no cosigner {said.index}", Reason.UNKNOWN_USER)
    for workspace in versions.known_at(index):
        if (key := identities(workspace).get(said.index)) is None:
            continue
        try:
            verify_identity(key, "refusal", encode(said), signature)
        except CountersealError as error:
            failed = error
        else:
            return
    raise failed


def verify_trace(claims: Claims, told: list[Told], versions: Versions) -> None:
    """The coordinator's reasons, as it wrote them down: of every rule there was. Raises `ProofInvalid`."""
    for one in told:
        if not one.entry.event.startswith("order.") or one.record is None:
            continue
        for document in one.record.documents:
            trace = _trace(document)
            if trace is None:
                continue
            words = f"entry {one.entry.index} says what each rule came to, by the coordinator's own word"
            with claims.claim(words):
                heard = sorted(line.partition(":")[0] for line in trace.lines)
                known = [
                    sorted(f"{rule.kind} {rule.rule_id}" for rule in workspace.rules)
                    for workspace in versions.known_at(one.entry.index)
                ]
                must(heard in known, "these are not the rules of a version of the workspace")


def _trace(document: bytes) -> RuleTrace | None:
    try:
        return decode(RuleTrace, document)
    except CountersealError:
        return None
