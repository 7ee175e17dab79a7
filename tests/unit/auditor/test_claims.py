"""Each claim of a pack fails once, with the words that it would have held by."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from auditor.pack import Pack, write_pack
from auditor.verify import verify_pack
from oms_core.approvals import Verdict
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import ProofInvalid, Reason
from oms_core.evidence import CreateRequest, SignedReading, SignedRefusal, SignRequest
from oms_core.log.documents import Confirmations, RuleTrace
from oms_core.log.entries import AUTHORIZED, WORKSPACE_APPROVED, Item, item, read_entry, read_record
from oms_core.workspace import Direction, Governance, workspace_digest
from tests.evidence import TXN, WALLET, Story, message, story
from tests.people import (
    EXECUTION,
    NOW,
    approve,
    committee,
    following,
    intent,
    keys,
    propose,
    reform,
    rules,
    wish,
    workspace,
    workspace_request,
)
from tests.witnessed import FOUR

PINNED = workspace_digest(workspace())


@cache
def whole() -> Story:
    """One story: signatures of P-256 differ from run to run."""
    return story()


def told_otherwise(event: str, documents: tuple[bytes, ...], subject: str = TXN, **other: object) -> Pack:
    """The pack of a log that says something else in one place, and that everybody has cosigned so."""
    made = whole()
    index = next(i for i, one in enumerate(made.items) if _about(one) == (event, subject))
    entry = read_entry(made.items[index].entry)
    record = read_record(entry, made.items[index])
    assert record is not None
    values = {"at": entry.at, "previous": entry.previous, "note": record.note, **other}
    changed = replace(record, documents=documents, note=str(values["note"]))
    again = item(index, values["at"], event, subject, values["previous"], changed, made.items[index].salt)  # type: ignore[arg-type]
    return rebuilt(made, [*made.items[:index], again, *made.items[index + 1 :]]).pack()


def rebuilt(made: Story, items: list[Item]) -> Story:
    other = made.fork(0)
    other.workspace, other.versions = made.workspace, made.versions
    other.items = items
    other.tree.append(*(one.entry for one in items))
    return other  # type: ignore[return-value]


def _about(one: Item) -> tuple[str, str]:
    entry = read_entry(one.entry)
    return entry.event, entry.subject


def document(event: str, subject: str = TXN) -> bytes:
    """What the log says there."""
    made = whole()
    one = next(one for one in made.items if _about(one) == (event, subject))
    record = read_record(read_entry(one.entry), one)
    assert record is not None
    return record.documents[0]


def refused(pack: Pack, *words: str, reason: Reason | None = None, pinned: bytes = PINNED) -> None:
    with pytest.raises(ProofInvalid) as caught:
        verify_pack(write_pack(pack), pinned)
    for one in words:
        assert one in caught.value.message
    assert reason is None or caught.value.reason == reason


def test_a_change_of_the_workspace_that_too_few_approved() -> None:
    asked = reform(following(refusals_block_at=2))
    request = workspace_request(asked)
    pack = told_otherwise(WORKSPACE_APPROVED, (encode(request),), "chg_1")
    refused(pack, "people changed the workspace in entry 2", reason=Reason.APPROVAL_MISSING)


def test_a_version_that_did_not_count_yet() -> None:
    """One that loosens waits for an hour; what stands on it is logged at once."""
    slow = (workspace().governance[0], Governance(Direction.LOOSEN, committee(2, 3600)))
    made = Story(replace(workspace(), governance=slow))
    pinned = workspace_digest(made.workspace)
    permit = "- rule: permit-more\n  permit:\n  when: {action: TRANSFER, initiator.role: trader}\n"
    made.change(rules=(*workspace().rules, *rules(permit)))
    made.wallet()
    made.order()
    words = ("cosigners were asked to make wallet", "did not count yet")
    refused(made.pack(), *words, reason=Reason.DELAYED, pinned=pinned)


def test_a_time_that_falls() -> None:
    pack = told_otherwise("order.approved", (), at=NOW - 1)
    refused(pack, "each stands once, and their times never fall", "is of an earlier time")


def test_an_entry_that_follows_on_another_than_it_should() -> None:
    refused(told_otherwise("order.approved", (), previous=0), "without a gap", "follows on entry 0")


def test_a_wallet_that_was_made_without_the_approvals_that_rules_want() -> None:
    request = decode(CreateRequest, document(AUTHORIZED, WALLET))
    fewer = encode(replace(request, approvals=request.approvals[:1]))
    pack = told_otherwise(AUTHORIZED, (fewer,), WALLET)
    refused(pack, "cosigners were asked to make wallet wal_1", reason=Reason.APPROVAL_MISSING)


def test_a_wallet_that_was_made_otherwise_than_it_was_wished_for() -> None:
    pack = told_otherwise("wallet.pending_approval", (encode(propose(wish(threshold=4))),), WALLET)
    refused(pack, "cosigners were asked to make wallet wal_1", "something else than was proposed")


@pytest.mark.parametrize("parties", [(1, 2, 3, 4), (1, 2, 3, 4, 4)])
def test_a_key_that_not_all_its_holders_have_confirmed(parties: tuple[int, ...]) -> None:
    said = story().confirmations(subject_digest(wish()), parties)
    refused(told_otherwise("wallet.pre_active", (said,), WALLET), "its key is confirmed by each of cosigners")


def test_a_key_that_was_confirmed_for_another_wish() -> None:
    said = story().confirmations(b"k" * 32, (1, 2, 3, 4, 5))
    refused(told_otherwise("wallet.pre_active", (said,), WALLET), "they confirm another wallet's key")


def test_a_confirmation_by_another_key() -> None:
    held = decode(Confirmations, story().confirmations(subject_digest(wish()), (1, 2, 3, 4, 5))).signed
    swapped = (replace(held[0], signature=held[1].signature), *held[1:])
    pack = told_otherwise("wallet.pre_active", (encode(Confirmations(swapped)),), WALLET)
    refused(pack, "its key is confirmed by each", reason=Reason.SIGNATURE_INVALID)


def test_a_key_that_was_dealt_anew_is_the_same_key() -> None:
    made = story()
    key_id = subject_digest(wish())
    made.tell("wallet.epoch", WALLET, made.confirmations(key_id, (1, 2, 3, 4), 1))
    report = verify_pack(write_pack(made.pack()), PINNED)
    said = "\n".join(report.claims)
    assert "whom that names as its holders confirm the same key" in said
    assert "these are cosigners 1, 2, 3, 4" in said
    other = story()
    other.tell("wallet.epoch", WALLET, other.confirmations(key_id, (1, 2, 3), 1, chain_code=b"c" * 32))
    refused(other.pack(), "it was dealt anew in entry", "it is another key")
    older = story()
    older.tell("wallet.epoch", WALLET, older.confirmations(key_id, (1, 2, 3), 0))
    refused(older.pack(), "it is not a later epoch")
    again = story()
    for epoch, parties in ((1, (1, 2, 3)), (2, (3, 4, 5)), (2, (3, 4, 5))):
        again.tell("wallet.epoch", WALLET, again.confirmations(key_id, parties, epoch))
    verify_pack(write_pack(again.pack()), PINNED)
    for epoch, parties in ((1, (1, 2, 3)), (2, (1, 2, 3))):
        back = story()
        back.tell("wallet.epoch", WALLET, back.confirmations(key_id, (3, 4, 5), 2))
        back.tell("wallet.epoch", WALLET, back.confirmations(key_id, parties, epoch))
        refused(back.pack(), "it was dealt anew in entry", "it is not a later epoch")
    stranger = story()
    stranger.tell("wallet.epoch", WALLET, stranger.confirmations(key_id, (1, 2, 6), 1))
    refused(stranger.pack(), "no version of the workspace has these holders")


def test_a_proposal_that_its_initiator_has_not_signed() -> None:
    proposal = propose(intent(150))
    forged = replace(proposal, signature=bytes(64))
    refused(told_otherwise("order.submitted", (encode(forged),)), "desk has signed the proposal")


def test_a_trace_of_other_rules() -> None:
    refused(told_otherwise("order.pending_approval", (encode(RuleTrace(("PERMIT x: y",))),)), "what each rule came to")


def test_a_reading_that_another_cosigner_has_signed() -> None:
    signed = decode(SignedReading, document("order.reading"))
    other = replace(signed, reading=replace(signed.reading, index=2))
    refused(told_otherwise("order.reading", (encode(other),)), "each reading of the order is under the identity key")


def test_a_reading_of_another_order() -> None:
    made = story()
    reading = made.reading(intent(151), 1)
    refused(told_otherwise("order.reading", (reading,)), "each reading of the order", reason=Reason.DIGEST_MISMATCH)


def test_a_refusal_that_nobody_has_signed() -> None:
    signed = decode(SignedRefusal, document("order.refusal"))
    other = replace(signed, refusal=replace(signed.refusal, detail="something else"))
    refused(told_otherwise("order.refusal", (encode(other),)), "cosigner 4 has refused, HALTED")
    stranger = replace(signed, refusal=replace(signed.refusal, index=9))
    refused(told_otherwise("order.refusal", (encode(stranger),)), "there is no cosigner 9")


def test_a_decision_about_another_order() -> None:
    given = approve(intent(151), "olga", under=story().workspace)
    refused(
        told_otherwise("order.decision", (encode(given),)), "olga has decided APPROVE", reason=Reason.CHALLENGE_MISMATCH
    )


def test_a_decision_by_another_key() -> None:
    given = approve(intent(150), "olga", under=story().workspace)
    forged = replace(given, signature=approve(intent(150), "ravi", under=story().workspace).signature)
    refused(told_otherwise("order.decision", (encode(forged),)), "olga has decided APPROVE")


def test_a_decision_that_names_bytes_which_nobody_had_chosen() -> None:
    given = approve(intent(150), "olga", under=story().workspace)
    bound = replace(given, claim=replace(given.claim, execution=b"e" * 32))
    pack = told_otherwise("order.decision", (encode(bound),))
    refused(pack, "olga has decided APPROVE", reason=Reason.EXACT_BYTES_NEEDED)


def test_a_request_for_something_else_than_was_proposed() -> None:
    request = replace(decode(SignRequest, document(AUTHORIZED)), proposal=propose(intent(151)))
    refused(
        told_otherwise(AUTHORIZED, (encode(request),)),
        "before cosigners were asked",
        "something else than was proposed",
    )


def test_a_request_with_too_few_approvals() -> None:
    request = decode(SignRequest, document(AUTHORIZED))
    pack = told_otherwise(AUTHORIZED, (encode(replace(request, approvals=request.approvals[:1])),))
    refused(pack, "before cosigners were asked", reason=Reason.APPROVAL_MISSING)


def test_a_request_with_an_approval_that_the_log_does_not_have() -> None:
    request = decode(SignRequest, document(AUTHORIZED))
    again = tuple(approve(intent(150), one, under=whole().workspace) for one in ("olga", "ravi"))
    pack = told_otherwise(AUTHORIZED, (encode(replace(request, approvals=again)),))
    refused(pack, "before cosigners were asked", "the log does not say when olga approved")


def _until(event: str) -> Story:
    """The story as far as before the first such entry of the order."""
    made = whole()
    index = next(i for i, one in enumerate(made.items) if _about(one) == (event, TXN))
    cut = rebuilt(made, made.items[:index])
    cut._newest = {}
    for one in cut.items:
        entry = read_entry(one.entry)
        cut._newest[entry.subject] = entry.index
    return cut


REQUEST = decode(SignRequest, document(AUTHORIZED))


def test_a_request_whose_plain_decision_is_not_what_the_rules_say() -> None:
    made = _until("order.signing")
    wrong = replace(REQUEST, decision=b"d" * 32)
    made.tell(AUTHORIZED, TXN, encode(wrong), at=NOW + 100)
    refused(made.pack(), "the plain decision in it is what the rules of version 1 say")


def test_a_request_under_a_version_that_is_not_in_the_chain() -> None:
    made = _until("order.signing")
    made.tell(AUTHORIZED, TXN, encode(replace(REQUEST, workspace=b"w" * 32)), at=NOW + 100)
    refused(made.pack(), "before cosigners were asked", reason=Reason.POLICY_VERSION_MISMATCH)


def test_two_requests_for_two_signatures() -> None:
    made = _until("order.signing")
    other = replace(REQUEST, execution=replace(EXECUTION, nonce=8))
    made.tell(AUTHORIZED, TXN, encode(other), at=NOW + 100)
    refused(made.pack(), "cosigners were asked for two different signatures")


def test_a_request_for_another_nonce_than_was_chosen() -> None:
    made = _until(AUTHORIZED)
    made.tell(AUTHORIZED, TXN, encode(replace(REQUEST, execution=replace(EXECUTION, nonce=8))), at=NOW + 100)
    refused(made.pack(), "nonce, gas and fees were chosen, and written down, before that")


def test_a_transaction_that_another_key_has_signed() -> None:
    made = _until("order.signed")
    made.sign(intent(150), EXECUTION, secret=12345)
    refused(made.pack(), "what was signed is exactly what was asked for", reason=Reason.SIGNATURE_INVALID)


def test_a_transaction_that_did_not_wait_as_the_rules_say() -> None:
    wait = "- rule: require-wait\n  require: {delay: 1h}\n  when: {action: TRANSFER}\n"
    made = Story()
    made.change(rules=(*workspace().rules, *rules(wait)))
    made.wallet()
    made.order()
    refused(made.pack(), "what was signed is exactly what was asked for", "it did not wait", reason=Reason.DELAYED)


def test_a_message_that_another_key_has_signed() -> None:
    permit = "- rule: permit-messages\n  permit:\n  when: {action: MESSAGE, initiator.role: trader}\n"
    made = Story(replace(workspace(), rules=(*workspace().rules, *rules(permit))))
    pinned = workspace_digest(made.workspace)
    made.wallet()
    made.order(message(), execution=None, by=())
    verify_pack(write_pack(made.pack()), pinned)
    made.sign(message(), None, secret=12345)
    words = "what was signed is exactly what was asked for"
    refused(made.pack(), words, "another key has signed it", reason=Reason.SIGNATURE_INVALID, pinned=pinned)


def test_a_transaction_that_nobody_was_asked_for() -> None:
    made = _until("order.signed")
    made.sign(intent(150), replace(EXECUTION, nonce=9))
    refused(made.pack(), "what was signed is exactly what was asked for", reason=Reason.INTENT_TX_MISMATCH)
    other = _until("order.signed")
    other.sign(intent(150, to=b"\x44" * 20), EXECUTION)
    refused(other.pack(), "what was signed is exactly what was asked for", reason=Reason.INTENT_TX_MISMATCH)


def test_a_transaction_that_was_sent_under_another_hash() -> None:
    refused(told_otherwise("order.sending", (), note="0x" + "00" * 32), "it was written down before it was sent")


def test_a_withdrawal_is_its_initiators() -> None:
    key = keys().desk
    signed = key.withdraw(intent(150))
    made = _until("order.approved")
    made.tell("order.cancelled", TXN, encode(signed), actor="desk")
    said = "\n".join(verify_pack(write_pack(made.pack()), PINNED).claims)
    assert "desk has signed that she does not want it any more" in said
    forged = _until("order.approved")
    forged.tell("order.cancelled", TXN, encode(replace(signed, signature=bytes(64))), actor="desk")
    refused(forged.pack(), "desk has signed that she does not want it any more")
    other = _until("order.approved")
    another = key.withdraw(intent(151))
    other.tell("order.cancelled", TXN, encode(another), actor="desk")
    refused(other.pack(), "it is about another order")


def test_a_withdrawal_says_whether_another_order_takes_its_place() -> None:
    key = keys().desk
    for event, instead in (("order.replaced", None), ("order.cancelled", intent(151))):
        made = _until("order.approved")
        made.tell(event, TXN, encode(key.withdraw(intent(150), instead)), actor="desk")
        refused(made.pack(), "her word is not what the log says came of it")


def test_a_denial_is_shown_and_ends_nothing_by_itself() -> None:
    made = _until("order.approved")
    denial = approve(intent(150), "olga", Verdict.DENY, under=made.workspace)
    made.tell("order.decision", TXN, encode(denial), actor="olga")
    made.tell("order.denied", TXN, note="APPROVAL_DENIED")
    said = "\n".join(verify_pack(write_pack(made.pack(by=FOUR)), PINNED).claims)
    assert "olga has decided DENY" in said
    assert "the order is DENIED" in said
