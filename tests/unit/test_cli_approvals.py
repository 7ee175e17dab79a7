"""What a person's own tool shows her before she presses, and when it does not let her."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oms.cli.named import Named
from oms.cli.prompts import check_readings, prompt
from oms.client import Waiting
from oms_core.approvals import Verdict
from oms_core.authorize import expected_claim
from oms_core.chains.intent import Execution, Subject, subject_digest
from oms_core.chains.render import Rendering, render, rendering_digest
from oms_core.encoding import encode
from oms_core.errors import LocalError, Reason, Refused
from oms_core.evidence import ReadRequest, Refusal, SignedReading, SignedRefusal
from oms_core.policy.facts import Facts
from oms_core.readings import SHOWN_WITHIN, read
from oms_core.words import in_words
from oms_core.workspace import AddressEntry, EntryState, Workspace, workspace_digest
from proto import oms_pb2 as pb
from tests.parties import identity
from tests.people import CHAIN, EXECUTION, NOW, STRANGE, following, intent, propose, reform, wish, workspace

LARGE = intent(500)


def reading(
    index: int, subject: Subject = LARGE, lines: tuple[str, ...] = (), signer: int = 0, at: int = NOW
) -> pb.CosignerReading:
    """As the coordinator passes it on; of other sentences, or under another's key, if a test wants."""
    request = ReadRequest(propose(subject), workspace_digest(workspace()))
    made, rendering = read(index, request, workspace(), Facts(at))
    if lines:
        rendering = Rendering(lines)
        made = replace(made, rendering=rendering_digest(rendering))
    signed = SignedReading(made, identity(signer or index).sign("reading", encode(made)))
    return pb.CosignerReading(index=index, signed_reading=encode(signed), lines=rendering.lines, same=True)


def waiting(*readings: pb.CosignerReading, subject: Subject = LARGE, refusals: tuple[bytes, ...] = ()) -> Waiting:
    """In a person's inbox."""
    claim = expected_claim(subject, workspace(), "ravi", Verdict.APPROVE, NOW, NOW + 100)
    shown = tuple(pb.CosignerRefusal(index=9, reason="LIES", signed_refusal=data) for data in refusals)
    return Waiting("txn_1", subject, ("what the coordinator says",), claim, (), propose(subject), readings, shown)


def refused(one: Waiting, under: Workspace | None = None, pinned: Workspace | None = None) -> Reason:
    with pytest.raises(Refused) as caught:
        check_readings(one, under or workspace(), pinned)
    return caught.value.reason


def test_words_and_sentences_are_made_from_the_order_and_not_from_what_is_said_of_it() -> None:
    lines = prompt(waiting(*map(reading, range(1, 6))), workspace())
    assert lines[0] == f"txn_1  {in_words(subject_digest(LARGE))}"
    assert [line.strip() for line in lines[1:-1]] == list(render(LARGE, workspace()).lines)
    assert lines[-1] == "  5 of 5 cosigners read this the same way"
    assert not any("what the coordinator says" in line for line in lines)


def test_a_majority_that_reads_the_same_lets_a_person_press() -> None:
    check_readings(waiting(*map(reading, range(1, 6))), workspace(), workspace())
    check_readings(waiting(reading(2), reading(3), reading(5)), workspace(), workspace())


def test_one_that_reads_something_else_keeps_a_person_from_pressing_and_is_shown_with_its_sentences() -> None:
    one = waiting(*map(reading, (1, 2, 3, 4)), reading(5, lines=("Send it all to Mallory.",)))
    assert refused(one) == Reason.READINGS_DIFFER
    lines = prompt(one, workspace())
    assert "  4 of 5 cosigners read this the same way" in lines
    assert lines[lines.index("  cosigner 5 node-5 reads it DIFFERENTLY:") + 1] == "    Send it all to Mallory."


def test_sentences_that_a_cosigner_did_not_sign_are_not_shown_as_its_own() -> None:
    other = reading(5, lines=("Send it all to Mallory.",))
    other.lines[:] = render(LARGE, workspace()).lines
    lines = prompt(waiting(other), workspace())
    after = lines[lines.index("  cosigner 5 node-5 reads it DIFFERENTLY:") + 1].strip()
    assert bytes.fromhex(after) == rendering_digest(Rendering(("Send it all to Mallory.",)))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_coordinator_that_leaves_readings_out_gets_no_approval(count: int) -> None:
    assert refused(waiting(*map(reading, range(1, count + 1)))) == Reason.READINGS_MISSING


def test_one_reading_shown_three_times_is_one() -> None:
    assert refused(waiting(reading(1), reading(1), reading(1))) == Reason.READINGS_MISSING


def test_readings_that_no_cosigner_signed_are_an_alarm_and_no_gap() -> None:
    forged = [reading(i, signer=1) for i in (2, 3)]
    one = waiting(reading(1), reading(4), reading(5), *forged)
    assert refused(one) == Reason.READINGS_DIFFER
    assert "  2 readings are not what a cosigner signed about this" in prompt(one, workspace())


def test_readings_of_another_order_say_nothing_about_this() -> None:
    assert refused(waiting(*(reading(i, intent(501)) for i in range(1, 6)))) == Reason.READINGS_DIFFER


def test_a_wallet_wants_as_many_readings_as_will_sign_with_it() -> None:
    wanted = wish(wallet_id="wal_2", threshold=4)
    three = [reading(i, wanted) for i in (1, 2, 3)]
    assert refused(waiting(*three, subject=wanted)) == Reason.READINGS_MISSING
    check_readings(waiting(*three, reading(4, wanted), subject=wanted), workspace(), None)


def test_a_coordinator_with_a_workspace_and_cosigners_of_its_own_gets_no_approval_where_one_is_pinned() -> None:
    """It shows a roster of keys that it holds itself: all five agree, and none of them is in the person's own file."""
    others = tuple(replace(one, identity=identity(one.index % 5 + 1).public) for one in workspace().roster)
    pinned = replace(workspace(), roster=others)
    all_five = waiting(*map(reading, range(1, 6)))
    assert refused(all_five, pinned=pinned) == Reason.POLICY_VERSION_MISMATCH
    check_readings(all_five, workspace(), None)


def test_cosigners_that_stayed_vouch_for_a_roster_in_which_some_were_replaced() -> None:
    older = tuple(replace(one, identity=identity(1).public) if one.index > 3 else one for one in workspace().roster)
    check_readings(waiting(*map(reading, range(1, 6))), workspace(), replace(workspace(), roster=older))


def test_refusals_are_shown_as_cosigners_signed_them_and_others_as_nobodys() -> None:
    said = Refusal(b"", bytes(32), 4, Reason.VELOCITY_EXCEEDED, "daily: too much", NOW)
    good = encode(SignedRefusal(said, identity(4).sign("refusal", encode(said))))
    bad = encode(SignedRefusal(said, identity(3).sign("refusal", encode(said))))
    lines = prompt(waiting(reading(1), refusals=(good, bad, b"junk")), workspace())
    assert lines[-3:] == [
        "  cosigner 4 node-4 would REFUSE it: VELOCITY_EXCEEDED: daily: too much",
        "  a refusal that no cosigner has signed",
        "  a refusal that no cosigner has signed",
    ]


# A change that brings in entries, whose ages count from when it says it was written


ENTRY = AddressEntry("new", "New", CHAIN, STRANGE, (), EntryState.ACTIVE, NOW)
LISTING = reform(following(address_book=(*workspace().address_book, ENTRY)), valid_until=NOW + 9000)
LATE = NOW + SHOWN_WITHIN + 1


def test_a_change_that_cosigners_read_soon_after_it_was_written_may_be_approved_whenever_people_come_to_it() -> None:
    check_readings(
        waiting(*(reading(i, LISTING, at=LATE - 1) for i in range(1, 6)), subject=LISTING), workspace(), None
    )


@pytest.mark.parametrize("early", [0, 1, 2])
def test_an_entry_that_is_dated_back_before_cosigners_were_shown_it_keeps_a_person_from_pressing(early: int) -> None:
    """Two of five may lie about when they read it."""
    all_five = [reading(i, LISTING, at=NOW if i <= early else LATE) for i in range(1, 6)]
    assert refused(waiting(*all_five, subject=LISTING)) == Reason.EXPIRED


def test_two_cosigners_that_come_late_keep_nobody_from_pressing() -> None:
    all_five = [reading(i, LISTING, at=NOW if i <= 3 else LATE) for i in range(1, 6)]
    check_readings(waiting(*all_five, subject=LISTING), workspace(), None)


def test_a_change_without_new_entries_may_have_been_written_long_ago() -> None:
    plain = reform(following(incompatible=()), valid_until=NOW + 9000)
    check_readings(waiting(*(reading(i, plain, at=LATE) for i in range(1, 6)), subject=plain), workspace(), None)


# Naming the exact transaction


def naming(nonce: int, fee: int = 1) -> Execution:
    return replace(EXECUTION, nonce=nonce, max_fee_per_gas=EXECUTION.max_fee_per_gas + fee)


def test_who_has_named_an_orders_nonce_names_no_other_one_since_both_could_be_sent(tmp_path: Path) -> None:
    named = Named(tmp_path / "ravi.key")
    named.check(LARGE, naming(7))
    named.note(LARGE, naming(7))
    again = Named(tmp_path / "ravi.key")  # her tool is started anew
    again.check(LARGE, naming(7, fee=5))
    again.check(intent(500, intent_id="int_9"), naming(8))
    with pytest.raises(Refused, match="nonce 7") as caught:
        again.check(LARGE, naming(8))
    assert caught.value.reason is Reason.NONCE_CONFLICT
    again.note(LARGE, naming(8))  # she has looked: nonce 7 is another transaction's
    Named(tmp_path / "ravi.key").check(LARGE, naming(8))


def test_what_names_no_transaction_is_not_remembered(tmp_path: Path) -> None:
    named = Named(tmp_path / "ravi.key")
    named.check(LARGE, None)
    named.note(LARGE, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", '{"a": "b"}', "\0"])
def test_a_memory_that_cannot_be_read_lets_nobody_press(tmp_path: Path, content: str) -> None:
    (tmp_path / "ravi.key.named").write_text(content)
    with pytest.raises(LocalError) as caught:
        Named(tmp_path / "ravi.key")
    assert caught.value.reason is Reason.CONFIG_INVALID
