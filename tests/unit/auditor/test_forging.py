"""Packs that somebody makes up, with the log and as many cosigners as he likes on his side: what is false is noticed.

The log's key, cosigners and coordinator may all lie here. What they cannot forge is what people, and the wallet's key,
have signed; and what they leave out of the log is not taken for what stands in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from auditor.pack import Pack, write_pack
from auditor.report import Report
from auditor.verify import verify_pack
from oms_core.authorize import execution_digest
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import ProofInvalid, Reason
from oms_core.evidence import CreateRequest, SignRequest
from oms_core.log.entries import AUTHORIZED, WORKSPACE_APPROVED, read_entry
from oms_core.log.note import Checkpoint, write_note
from oms_core.workspace import Direction, Governance, workspace_digest
from tests.evidence import DENY, TXN, WALLET, Story
from tests.logs import signed
from tests.people import (
    EXECUTION,
    NOW,
    approve,
    committee,
    following,
    intent,
    propose,
    reform,
    rules,
    wish,
    witness,
    workspace,
    workspace_request,
)
from tests.unit.auditor.test_claims import REQUEST, _until, document, refused, told_otherwise, whole

PINNED = workspace_digest(workspace())
DAY = 86_400


def verified(made: Story, at: int = NOW + 200, **other: Any) -> Report:
    pack = replace(made.pack(**other), checkpoint=made.note(by=(1, 2, 3, 4), at=at).decode())
    return verify_pack(write_pack(pack), PINNED)


def begun() -> Story:
    """A wallet under a version of the workspace, and no order yet."""
    made = Story()
    made.wallet()
    return made


# What was done, and what stands in the log of it


def test_an_order_that_was_signed_though_nobody_was_asked_by_the_log() -> None:
    """Its authorisation was left out of the log, or stands there under another name."""
    made = _until(AUTHORIZED)
    made.tell(AUTHORIZED, "txn_elsewhere", encode(REQUEST), at=NOW + 100)
    made.tell("order.signing", TXN)
    made.sign(intent(150), EXECUTION)
    refused(made.pack(), "no entry says that cosigners were asked for it", reason=Reason.NOT_LOGGED)


def test_an_order_that_was_signed_before_the_log_says_that_anybody_was_asked() -> None:
    made = _until(AUTHORIZED)
    made.tell("order.signing", TXN, at=NOW + 100)
    made.sign(intent(150), EXECUTION)
    made.tell(AUTHORIZED, TXN, encode(REQUEST))
    refused(made.pack(), "it was signed before cosigners were asked", reason=Reason.NOT_LOGGED)


def test_an_order_that_was_confirmed_and_of_which_no_signature_is_shown() -> None:
    for ends in ("order.confirmed", "order.mined", "order.broadcast"):
        made = _until("order.signed")
        made.tell(ends, TXN, note=f"in block 5 0x{'ab' * 32}")
        refused(made.pack(), "its states follow one on the other", reason=Reason.WRONG_STATE)


def test_a_transaction_that_was_confirmed_and_never_sent() -> None:
    made = _until("order.sending")
    made.tell("order.confirmed", TXN, note=f"in block 5 0x{'ab' * 32}")
    refused(made.pack(), "its states follow one on the other", "does not go from SIGNED to CONFIRMED")


def test_an_order_that_was_signed_after_people_denied_it() -> None:
    made = _until("order.approved")
    made.tell("order.decision", TXN, encode(approve(intent(150), "carol", DENY, under=made.workspace)), actor="carol")
    made.tell("order.denied", TXN, note="APPROVAL_DENIED")
    made.tell("order.execution", TXN, encode(EXECUTION))
    made.tell(AUTHORIZED, TXN, encode(REQUEST), at=NOW + 100)
    made.tell("order.signing", TXN)
    made.sign(intent(150), EXECUTION)
    refused(made.pack(), "its states follow one on the other", "is DENIED, and cannot become SIGNING")


def test_a_denial_that_was_passed_over_is_said() -> None:
    made = _until("order.approved")
    made.tell("order.decision", TXN, encode(approve(intent(150), "carol", DENY, under=made.workspace)), actor="carol")
    index = made.tell("order.approved", TXN)
    made.tell("order.execution", TXN, encode(EXECUTION))
    made.tell(AUTHORIZED, TXN, encode(REQUEST), at=NOW + 100)
    made.tell("order.signing", TXN)
    made.sign(intent(150), EXECUTION)
    said = verified(made).lines()
    assert any(f"carol had denied it in entry {index - 1}" in one and one.startswith("NOTE") for one in said)


def test_a_second_signature_of_which_the_first_does_not_speak() -> None:
    """Every signature that the log holds is looked at, and not the last one alone."""
    made = _until("order.signed")
    made.sign(intent(150), replace(EXECUTION, nonce=9))
    made.tell("order.signed", TXN, decode_raw(), note="by cosigners 1, 2, 3")
    refused(made.pack(), "what was signed is exactly what was asked for", reason=Reason.INTENT_TX_MISMATCH)


def decode_raw() -> bytes:
    return document("order.signed")


def test_an_order_that_was_asked_for_and_not_signed_is_not_shown_to_be_without_a_signature() -> None:
    made = _until("order.signed")
    made.tell("order.expired", TXN)
    said = "\n".join(verified(made).lines())
    assert "NOTE: no entry says that it was signed" in said
    assert "the order is EXPIRED" in said


# Approvals


def test_an_approval_of_another_order_in_the_place_of_one() -> None:
    other = approve(intent(151), "ravi", under=whole().workspace)
    request = replace(REQUEST, approvals=(REQUEST.approvals[0], other))
    pack = told_otherwise(AUTHORIZED, (encode(request),))
    refused(pack, "before cosigners were asked", reason=Reason.CHALLENGE_MISMATCH)


def test_an_approval_that_stands_there_twice_for_two() -> None:
    request = replace(REQUEST, approvals=(REQUEST.approvals[0], REQUEST.approvals[0]))
    pack = told_otherwise(AUTHORIZED, (encode(request),))
    refused(pack, "before cosigners were asked", reason=Reason.DUPLICATE_PERSON)


def test_an_approval_that_no_entry_has_may_not_hide_behind_another_that_was_erased() -> None:
    again = tuple(approve(intent(150), one, under=whole().workspace) for one in ("olga", "ravi"))
    pack = told_otherwise(AUTHORIZED, (encode(replace(REQUEST, approvals=again)),))
    place = next(i for i, one in enumerate(pack.items) if read_entry(one.item.entry).event == "order.decision")
    blank = replace(pack.items[place], item=replace(pack.items[place].item, record=b"", salt=b""))
    items = (*pack.items[:place], blank, *pack.items[place + 1 :])
    refused(replace(pack, items=items), "the log does not say when olga approved")


def test_a_refusal_of_another_order_is_said_to_be_none_of_this_one() -> None:
    said = told_otherwise("order.refusal", (whole().refusal(intent(151), 4),))
    lines = verify_pack(write_pack(said), PINNED).lines()
    assert any(one.startswith("NOTE") and "is no request about this order" in one for one in lines)
    assert not any("is no request about this order" in one for one in verified(whole()).lines())


# Versions of the workspace


def test_what_was_asked_under_a_version_after_the_next_one_was_due() -> None:
    """Whoever has been revoked may be in the version before: no honest cosigner follows that any more."""
    made = begun()
    before = made.workspace
    made.change(refusals_block_at=2)
    after = made.workspace
    made.workspace = before
    made.tell("cosigner.attached", "cosigner-1", at=NOW + 90)
    made.order()
    made.workspace = after
    refused(made.pack(), "a newer version of the workspace was due", reason=Reason.POLICY_VERSION_MISMATCH)


def test_a_key_that_was_asked_for_under_a_version_after_the_next_one_was_due() -> None:
    made = Story()
    before = made.workspace
    made.change(refusals_block_at=2)
    after, made.workspace = made.workspace, before
    made.tell("cosigner.attached", "cosigner-1", at=NOW + 90)
    made.wallet()
    made.order()
    made.workspace = after
    refused(made.pack(), "its key is confirmed by each", "a newer version of the workspace was due")


def test_a_key_that_was_confirmed_before_the_log_says_that_anybody_was_asked() -> None:
    made, asked = Story(), wish()
    approvals = tuple(approve(asked, one, under=made.workspace) for one in ("sam", "sonja"))
    request = CreateRequest(propose(asked), workspace_digest(made.workspace), approvals)
    made.tell("wallet.pending_approval", WALLET, encode(request.proposal))
    made.tell("wallet.pre_active", WALLET, made.confirmations(subject_digest(asked), asked.parties))
    made.tell(AUTHORIZED, WALLET, encode(request))
    made.order()
    refused(made.pack(), "its key is confirmed by each", "before they were asked")


def test_a_delay_of_a_change_that_was_written_down_afterwards_counts_too() -> None:
    """A coordinator's remark may say that nodes stood on it already; it is no way around the wait."""
    slow = (workspace().governance[0], Governance(Direction.LOOSEN, committee(2, 3600)))
    made = Story(replace(workspace(), governance=slow))
    pinned = workspace_digest(made.workspace)
    permit = "- rule: permit-more\n  permit:\n  when: {action: TRANSFER, initiator.role: trader}\n"
    looser = following(made.workspace, rules=(*workspace().rules, *rules(permit)))
    asked = reform(looser)
    approvals = [approve(asked, one, under=made.workspace) for one in ("alice", "carol")]
    made.tell(WORKSPACE_APPROVED, "chg_1", encode(workspace_request(asked, *approvals)), note="learnt")
    made.workspace = looser
    made.wallet()
    made.order()
    refused(made.pack(), "did not count yet", reason=Reason.DELAYED, pinned=pinned)


# Heads


def headed(head: Checkpoint) -> Pack:
    """The pack under another head, which the log and its witnesses have signed."""
    made = whole()
    by = (made.witnesses[i] for i in (1, 2, 3, 4))
    return replace(made.pack(), checkpoint=write_note(signed(head, *by, at=NOW + 200, log=made.log)))


def test_entries_of_a_time_after_that_of_their_witnesses_are_refused() -> None:
    made = whole()
    pack = replace(made.pack(), checkpoint=made.note(by=(1, 2, 3, 4), at=NOW - 3600).decode())
    refused(pack, "none is of a later time than its witnesses say that it is")
    times = {1: NOW - 3600, 2: NOW - 3600, 3: NOW - 3600, 4: NOW + DAY}
    pack = replace(made.pack(), checkpoint=made.note(by=(1, 2, 3, 4), times=times).decode())
    refused(pack, "none is of a later time than its witnesses say that it is")
    liars = {1: NOW - 3600, 2: NOW - 3600, 3: NOW + 200, 4: NOW + 200}
    verify_pack(write_pack(replace(made.pack(), checkpoint=made.note(by=(1, 2, 3, 4), times=liars).decode())), PINNED)


def test_witnesses_of_an_older_roster_do_not_vouch_for_a_head_after_it() -> None:
    made = begun()
    gone = made.workspace.roster[3]
    fresh = replace(gone, witness=witness(9))
    made.change(roster=(*made.workspace.roster[:3], fresh, *made.workspace.roster[4:]))
    made.order()
    verify_pack(write_pack(made.pack(by=(1, 2, 3, 5))), PINNED)
    report = verify_pack(write_pack(made.pack(by=(1, 2, 3, 4))), PINNED)
    assert report.cosigners == (1, 2, 3)  # the fourth line is by a key that cosigner 4 had once
    refused(made.pack(by=(1, 2, 4)), "2 of 5 cosigners", reason=Reason.QUORUM_UNAVAILABLE)
    pack = made.pack(by=(1, 2, 3, 4))
    forged = pack.checkpoint.splitlines()
    forged[-1] = forged[-1][:-6] + "AAAA" + forged[-1][-2:]
    refused(replace(pack, checkpoint="\n".join([*forged, ""])), "checkpoint", reason=Reason.SIGNATURE_INVALID)


@pytest.mark.parametrize("size", [0, 1, 29, 33, 1 << 62, (1 << 63) - 1])
def test_a_checkpoint_of_another_size_than_its_proofs_are_for(size: int) -> None:
    made = whole()
    refused(
        headed(Checkpoint(made.origin, size, made.tree.root())), "each entry stands in the log under this checkpoint"
    )


def test_a_checkpoint_of_another_log_that_the_same_keys_have_signed() -> None:
    made = whole()
    pack = headed(Checkpoint("example.org/other", made.size, made.tree.root()))
    refused(pack, "the checkpoint is signed by the log", reason=Reason.SIGNATURE_INVALID)


# Honest packs of every kind


def _ended(*states: str, since: str = "order.approved") -> str:
    made = _until(since)
    for state in states:
        made.tell(state, TXN)
    return "\n".join(verified(made).lines())


@pytest.mark.parametrize(
    ("since", "states", "ended"),
    [
        ("order.approved", (), "PENDING_APPROVAL"),
        ("order.pending_approval", ("order.rejected",), "REJECTED"),
        ("order.approved", ("order.denied",), "DENIED"),
        ("order.approved", ("order.expired",), "EXPIRED"),
        ("order.approved", ("order.cancelled",), "CANCELLED"),
        ("order.approved", ("order.replaced",), "REPLACED"),
        ("order.signing", ("order.rejected",), "REJECTED"),
        ("order.signing", (), "APPROVED"),
        ("order.signed", ("order.approved",), "APPROVED"),
        ("order.signed", ("order.approved", "order.pending_approval", "order.expired"), "EXPIRED"),
        ("order.signed", ("order.quarantined",), "QUARANTINED"),
        ("order.sending", (), "SIGNED"),
        ("order.sending", ("order.quarantined",), "QUARANTINED"),
        ("order.mined", (), "BROADCAST"),
        ("order.confirmed", ("order.broadcast",), "BROADCAST"),
        ("order.confirmed", ("order.failed_on_chain",), "FAILED_ON_CHAIN"),
    ],
)
def test_an_honest_pack_of_an_order_that_came_this_far_is_verified(
    since: str, states: tuple[str, ...], ended: str
) -> None:
    assert f"the order is {ended} since" in _ended(*states, since=since)


def test_an_honest_pack_of_an_order_whose_approvals_name_its_bytes_is_verified() -> None:
    """As where too few witnesses vouch for the log."""
    made = begun()
    exact = [_bound(made, one, execution_digest(EXECUTION)) for one in ("olga", "ravi")]
    request = replace(made.request(intent(150), EXECUTION), approvals=tuple(exact))
    made.tell("order.submitted", TXN, encode(request.proposal))
    made.tell("order.pending_approval", TXN)
    made.tell("order.execution", TXN, encode(EXECUTION))
    for one in exact:
        made.tell("order.decision", TXN, encode(one))
    made.tell("order.approved", TXN)
    made.tell(AUTHORIZED, TXN, encode(request), at=NOW + 100)
    made.tell("order.signing", TXN)
    made.sign(intent(150), EXECUTION)
    assert "CONFIRMED" in "\n".join(verified(made, by=(1, 2, 3)).lines())


def _bound(made: Story, who: str, execution: bytes) -> Any:
    return approve(intent(150), who, under=made.workspace, execution=execution)


def test_an_honest_pack_of_an_order_that_was_asked_for_again_under_the_next_version_is_verified() -> None:
    """What was asked for under the version before, when that was over, was refused: it is said, and harms nothing."""
    made = begun()
    before = made.workspace
    made.change(refusals_block_at=2)
    after, made.workspace = made.workspace, before
    made.tell("cosigner.attached", "cosigner-1", at=NOW + 90)
    old = made.request(intent(150), EXECUTION, "olga", "ravi")
    made.tell("order.submitted", TXN, encode(old.proposal))
    made.tell("order.pending_approval", TXN)
    for approval in old.approvals:
        made.tell("order.decision", TXN, encode(approval))
    made.tell("order.approved", TXN)
    made.tell("order.execution", TXN, encode(EXECUTION))
    made.tell(AUTHORIZED, TXN, encode(old), at=NOW + 100)
    made.tell("order.signing", TXN)
    made.tell("order.approved", TXN)
    made.workspace = after
    new = replace(made.request(intent(150), EXECUTION), proposal=old.proposal, approvals=old.approvals)
    made.tell(AUTHORIZED, TXN, encode(new), at=NOW + 110)
    made.tell("order.signing", TXN)
    made.sign(intent(150), EXECUTION)
    said = verified(made).lines()
    assert any(one.startswith("NOTE") and "version 1 was due by entry" in one for one in said)


def test_a_report_says_what_no_pack_shows() -> None:
    said = "\n".join(one for one in verified(whole()).lines() if one.startswith("NOTE"))
    for words in ("limits over time", "an approval was used once only", "what came after", "names the one before it"):
        assert words in said


@pytest.mark.parametrize("event", ["order.formerly", "order.now"])
def test_what_the_log_says_of_an_order_by_another_id_is_said_to_be_missing(event: str) -> None:
    """A denial may stand there, and what was approved here never came to be known to those who read that."""
    made = whole()
    made.tell(event, TXN, note="txn_other", actor="operator")
    said = verified(made).lines()
    assert any(one.startswith("NOTE") and "another id as well, txn_other" in one for one in said)


def test_what_is_asked_for_is_decoded_as_a_request_for_a_signature() -> None:
    assert isinstance(decode(SignRequest, document(AUTHORIZED)), SignRequest)
    with pytest.raises(ProofInvalid):
        verify_pack(write_pack(told_otherwise(AUTHORIZED, (document(AUTHORIZED, WALLET),))), PINNED)
