"""One order: who proposed it, who read, refused and approved it, what cosigners were asked for, and what was signed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from auditor.items import Told, first, of
from auditor.keys import Key
from auditor.people import (
    note_denials,
    verify_decisions,
    verify_readings,
    verify_refusals,
    verify_trace,
    verify_withdrawals,
)
from auditor.report import Claims, must, when
from auditor.versions import Versions
from oms_core.authorize import authorize
from oms_core.chains.evm import (
    address_of,
    decode_signed,
    is_message,
    sender,
    to_checksum,
    transaction_hash,
    what_is_signed,
)
from oms_core.chains.intent import CLOCK_SKEW, Execution, Intent, Proposal
from oms_core.crypto.ecdsa import Signature, recover
from oms_core.encoding import encode
from oms_core.errors import CountersealError, ProofInvalid, Reason
from oms_core.evidence import SignRequest
from oms_core.lifecycle import State, advance
from oms_core.log.entries import AUTHORIZED, FORMERLY
from oms_core.log.entries import NOW as RENAMED
from oms_core.policy.facts import Facts
from oms_core.proposals import verify_proposal
from oms_core.readings import plain_decision

SUBMITTED, EXECUTION, SIGNED, SENDING = "order.submitted", "order.execution", "order.signed", "order.sending"
MINED, CONFIRMED = "order.mined", "order.confirmed"
_STATES = {f"order.{state.lower()}": state for state in State}
_BLOCK = re.compile(r"in block ([0-9]{1,18}) (0x[0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True)
class Asked:
    """An entry that says that cosigners were asked, what they were asked to sign, and how long that had to wait.

    ``overtaken``: a newer version of the workspace was due by then, so that no honest cosigner took part.
    """

    told: Told
    request: SignRequest
    digest: bytes
    delay: int
    overtaken: bool


def read_intent(told: list[Told]) -> tuple[Proposal, Intent]:
    """The order as it was proposed, or, of a log that was got back, as cosigners were asked for it.

    Raises `ProofInvalid` or `Malformed`.
    """
    submitted, asked = first(told, SUBMITTED), of(told, AUTHORIZED)
    lost = submitted.record is None and bool(asked)
    proposal = asked[0].asked(SignRequest).proposal if lost else submitted.document(Proposal)
    must(isinstance(proposal.subject, Intent), "what was submitted is no order")
    assert isinstance(proposal.subject, Intent)
    return proposal, proposal.subject


def verify_order(claims: Claims, told: list[Told], versions: Versions, key: Key) -> None:
    """Everything that the log says of an order and that can be verified. Raises `ProofInvalid`."""
    proposal, intent = read_intent(told)
    begun = first(told, SUBMITTED).entry
    with claims.claim(f"{intent.initiator} has signed the proposal, which was submitted at {when(begun.at)}"):
        _check_proposal(proposal, begun.index, versions)
    verify_trace(claims, told, versions)
    verify_readings(claims, told, intent, versions)
    verify_refusals(claims, told, proposal, versions)
    verify_decisions(claims, told, intent, versions)
    verify_withdrawals(claims, told, intent, versions)
    asked = _verify_asked(claims, told, proposal, intent, versions)
    note_denials(claims, told, asked[0].told.entry.index if asked else None)
    _verify_signed(claims, told, intent, asked, key, begun.at)
    _verify_states(claims, told, intent)
    for one in of(told, FORMERLY, RENAMED):
        named = f", {one.record.note}" if one.record is not None else ""
        text = f"by entry {one.entry.index} the log has this order by another id as well{named}"
        claims.note(f"{text}: what it says of that, such as a denial, is not here")


def _verify_states(claims: Claims, told: list[Told], intent: Intent) -> None:
    """Where the order came to, in steps that an order can take: none is sent or confirmed that was not signed.

    A message is sent to no chain, and nothing else is confirmed that was not sent to one.
    """
    steps = [(one.entry, _STATES[one.entry.event]) for one in told if one.entry.event in _STATES]
    with claims.claim("its states follow one on the other as those of an order may"):
        must(steps[0][1] is State.SUBMITTED, f"it begins as {steps[0][1]}")
        for (_, was), (after, to) in pairwise(steps):
            advance(after.subject, was, to)
            sent = was is not State.SIGNED or to is State.QUARANTINED or (to is State.CONFIRMED) is is_message(intent)
            must(sent, f"what is signed does not go from {was} to {to}")
    ended, state = steps[-1]
    claims.add(f"the last that these entries say: the order is {state} since {when(ended.at)}")


def block_in(one: Told) -> tuple[int, str] | None:
    """The block that an entry of a mined or confirmed order names: its number and hash, in hex."""
    found = _BLOCK.search(one.kept.note)
    return (int(found[1]), found[2]) if found else None


def _check_proposal(proposal: Proposal, index: int, versions: Versions) -> None:
    """Under some version that was known by then: whoever was away submits under the one before."""
    failed: CountersealError = ProofInvalid("no version of the workspace is known")
    for workspace in versions.known_at(index):
        try:
            verify_proposal(proposal, workspace)
        except CountersealError as error:
            failed = error
        else:
            return
    raise failed


def _verify_asked(
    claims: Claims, told: list[Told], proposal: Proposal, intent: Intent, versions: Versions
) -> list[Asked]:
    asked: list[Asked] = []
    for one in of(told, AUTHORIZED):
        entry = one.entry
        words = (
            f"before cosigners were asked, entry {entry.index} of {when(entry.at)} held the request: the rules permit"
            " it with these approvals (limits over time are counted by cosigners, from the whole log)"
        )
        with claims.claim(words):
            request = one.asked(SignRequest)
            must(request.proposal == proposal, "it asks for something else than was proposed")
            under = versions.used(request.workspace, entry)
            given = authorize(request, under, Facts(entry.at, seen_at=0), versions.by_digest)
            _check_logged(told, one, request)
            same = not asked or asked[0].digest == given.digest
            must(same, "cosigners were asked for two different signatures")
        with claims.claim(f"the plain decision in it is what the rules of version {under.version} say"):
            must(request.decision == plain_decision(intent, under), "the rules say something else")
        following = versions.overtaken(request.workspace, entry)
        if following is not None:
            claims.note(
                f"version {following.version} was due by entry {entry.index}: cosigners refuse what it asks for"
            )
        asked.append(Asked(one, request, given.digest, given.decision.delay, following is not None))
    if asked and of(told, EXECUTION) and not is_message(intent):
        _check_execution(claims, of(told, EXECUTION), asked[0])
    return asked


def _check_execution(claims: Claims, chosen: list[Told], asked: Asked) -> None:
    """The last one that was chosen before."""
    before = [one for one in chosen if one.entry.index < asked.told.entry.index]
    if before and before[-1].record is not None:
        with claims.claim("nonce, gas and fees were chosen, and written down, before that"):
            must(before[-1].document(Execution) == asked.request.execution, "others were asked for than were chosen")


def _check_logged(told: list[Told], asked: Told, request: SignRequest) -> None:
    """Each approval was written down when it was given; as many as have no record any more may be among those."""
    given = [one for one in of(told, "order.decision") if one.entry.index < asked.entry.index]
    written = {document for one in given if one.record is not None for document in one.record.documents}
    missing = [one.claim.approver for one in request.approvals if encode(one) not in written]
    gone = sum(one.record is None for one in given)
    must(len(missing) <= gone, f"the log does not say when {missing[0] if missing else 'anybody'} approved")


def _verify_signed(claims: Claims, told: list[Told], intent: Intent, asked: list[Asked], key: Key, begun: int) -> None:
    found, account = of(told, SIGNED), key.account(intent.path)
    words = f"what was signed is exactly what was asked for, by the wallet's key: account {to_checksum(account)}"
    names = set[str]()
    for one in found:
        with claims.claim(words):
            before = _in_time(one, asked, begun)
            must(intent.wallet_id == key.wallet_id, "the key is another wallet's")
            raw = one.kept.documents[-1] if one.kept.documents else b""
            names.add(
                _check_message(intent, raw, account) if is_message(intent) else _check_raw(intent, before, raw, account)
            )
    if asked and not found:
        claims.note(
            "no entry says that it was signed; that nobody has a signature after cosigners were asked is not shown"
        )
    for name in sorted(names - {""}):
        claims.add(f"the signed transaction is {name}")
        _verify_sent(claims, told, name)


def _in_time(signed: Told, asked: list[Asked], begun: int) -> Asked:
    """What was asked for before, and in time, so that an honest cosigner could take part. Raises `ProofInvalid`."""
    entry = signed.entry
    must(bool(asked), "no entry says that cosigners were asked for it", Reason.NOT_LOGGED)
    before = [one for one in asked if one.told.entry.index < entry.index]
    must(bool(before), "it was signed before cosigners were asked", Reason.NOT_LOGGED)
    timely = [one for one in before if not one.overtaken]
    text = "a newer version of the workspace was due when they were asked"
    must(bool(timely), text, Reason.POLICY_VERSION_MISMATCH)
    waited = entry.at + CLOCK_SKEW >= begun + min(one.delay for one in timely)
    must(waited, "it did not wait as the rules say", Reason.DELAYED)
    return timely[0]


def _check_message(intent: Intent, raw: bytes, account: bytes) -> str:
    must(len(raw) == 65 and raw[64] in (27, 28), "a message's signature has 65 bytes")
    signature = Signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64] - 27)
    signer = address_of(recover(signature, what_is_signed(intent, None)[1]))
    must(signer == account, "another key has signed it", Reason.SIGNATURE_INVALID)
    return ""


def _check_raw(intent: Intent, asked: Asked, raw: bytes, account: bytes) -> str:
    transaction, _ = what_is_signed(intent, asked.request.execution)
    must(decode_signed(raw)[0] == transaction, "the signed transaction is another one", Reason.INTENT_TX_MISMATCH)
    must(sender(raw) == account, "another key has signed it", Reason.SIGNATURE_INVALID)
    return "0x" + transaction_hash(raw).hex()


def _verify_sent(claims: Claims, told: list[Told], name: str) -> None:
    sent = [one for one in of(told, SENDING) if one.record is not None]
    for one in sent[:1]:
        with claims.claim(f"it was written down before it was sent, at {when(one.entry.at)}"):
            must(one.kept.note == name, "what was sent has another hash")
            must(one.entry.index > of(told, SIGNED)[-1].entry.index, "it was sent before it was signed")
    for one in of(told, MINED, CONFIRMED):
        if one.record is not None and (where := block_in(one)) is not None:
            state = _STATES[one.entry.event]
            claims.add(f"the coordinator found it {state} in block {where[0]}, {where[1]}, at {when(one.entry.at)}")
