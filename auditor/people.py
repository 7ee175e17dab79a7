"""What people decided about an order, and what cosigners read in it or would not read, each under its own key."""

from __future__ import annotations

from auditor.items import Told, of
from auditor.report import Claims, must, numbers, when
from auditor.versions import Versions
from oms_core.approvals import Approval
from oms_core.authorize import execution_digest, verify_approval
from oms_core.chains.intent import Execution, Intent, subject_digest
from oms_core.crypto import p256
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, ProofInvalid, Reason
from oms_core.evidence import Refusal, SignedReading, SignedRefusal
from oms_core.log.documents import RuleTrace
from oms_core.protocol.identity import verify_identity
from oms_core.readings import SIGNED_LIMIT, agreement, verify_reading
from oms_core.withdrawals import SignedWithdrawal, withdrawal_digest
from oms_core.workspace import identities, user

DECISION, READING, REFUSAL, EXECUTION = "order.decision", "order.reading", "order.refusal", "order.execution"
WITHDRAWN = ("order.cancelled", "order.replaced")


def verify_decisions(claims: Claims, told: list[Told], intent: Intent, versions: Versions) -> None:
    """Every decision of a person, also those that count no more. Raises `ProofInvalid`."""
    for one in of(told, DECISION):
        if one.record is None:
            continue
        approval = one.document(Approval)
        said, entry = approval.claim, one.entry
        words = f"{said.approver} has decided {said.verdict} with a key of hers, at {when(entry.at)}"
        with claims.claim(words):
            under = versions.used(said.workspace, entry)
            verify_approval(approval, under, intent, entry.at, versions.by_digest, _named(told, one, said.execution))


def _named(told: list[Told], decision: Told, execution: bytes) -> bytes:
    """The digest of the execution that a decision may name: of one that had been chosen by then."""
    if not execution:
        return b""
    before = [one for one in of(told, EXECUTION) if one.entry.index < decision.entry.index]
    chosen = [one for one in before if one.record is not None and one.record.documents]
    if any(execution_digest(one.document(Execution)) == execution for one in chosen):
        return execution
    raise ProofInvalid("it names a transaction that nobody had chosen", Reason.EXACT_BYTES_NEEDED)


def verify_withdrawals(claims: Claims, told: list[Told], intent: Intent, versions: Versions) -> None:
    """An initiator's word that an order of hers ends. Raises `ProofInvalid`."""
    for one in of(told, *WITHDRAWN):
        if one.record is None or not one.record.documents:
            continue
        signed, at = one.document(SignedWithdrawal), when(one.entry.at)
        how = "takes another one in its place" if signed.withdrawal.instead else "does not want it any more"
        with claims.claim(f"{intent.initiator} has signed that she {how}, at {at}"):
            said = signed.withdrawal
            mine = (said.subject, said.initiator) == (subject_digest(intent), intent.initiator)
            must(mine, "it is about another order, or by somebody else")
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
        claims.add(f"NOTE: cosigners {numbers(tuple(sorted(different)))} read something else in it")


def verify_refusals(claims: Claims, told: list[Told], versions: Versions) -> None:
    """Every refusal of a cosigner. Raises `ProofInvalid`."""
    for one in of(told, REFUSAL):
        if one.record is None:
            continue
        signed = decode(SignedRefusal, one.kept.documents[0] if one.kept.documents else b"", SIGNED_LIMIT)
        said = signed.refusal
        with claims.claim(f"cosigner {said.index} has refused, {said.reason}, at {when(one.entry.at)}"):
            _check_refusal(said, signed.signature, one.entry.index, versions)


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
            with claims.claim(f"entry {one.entry.index} says what each rule came to"):
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
