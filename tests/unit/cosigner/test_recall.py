"""A node keeps the log as it has followed it, entry after entry of each subject, and hands it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosigner import logbook, witness
from cosigner.store import log_items
from oms_core.encoding import encode
from oms_core.log.entries import AUTHORIZED, GENESIS, WORKSPACE_APPROVED, Entry, Item, read_entry, read_record
from oms_core.log.note import read_note, verify_log
from oms_core.log.roster import log_verifier
from oms_core.log.witness import Answer
from oms_core.workspace import workspace_digest
from tests.people import NOW, intent, sign_request
from tests.unit.cosigner.following import Follower
from tests.unit.cosigner.node import Node


@pytest.fixture
def follower(node: Node) -> Follower:
    """A node that has followed the beginning, an authorisation, and what people did."""
    made = Follower(node)
    for number in range(5):
        made.log.add("order.reading", f"txn_{number}", b"who read what", at=NOW)
    made.log.authorize(replace(sign_request(intent()), workspace=workspace_digest(made.workspace)), at=NOW)
    made.cosigned()
    return made


def test_all_entries_come_back_as_they_were_followed(follower: Follower) -> None:
    note, items = follower.witness.recall(0)
    assert [one.entry for one in items] == [one.entry for one in follower.log.items]
    head = verify_log(read_note(note), log_verifier(follower.workspace))
    assert (head.size, head.root) == (follower.log.size, follower.log.tree.root())


def test_a_node_keeps_the_records_that_cosigners_count_by_and_nobody_elses(follower: Follower) -> None:
    _, items = follower.witness.recall(0)
    held = {read_entry(one.entry).event for one in items if one.record}
    assert held == {GENESIS, AUTHORIZED}
    assert held <= {GENESIS, AUTHORIZED, WORKSPACE_APPROVED}
    for one, was in zip(items, follower.log.items, strict=True):
        entry = read_entry(one.entry)
        assert read_record(entry, one) == (read_record(entry, was) if entry.event in held else None)
    assert not any(b"who read what" in one.record for one in items)


def test_what_a_node_has_not_followed_it_does_not_hand_back(follower: Follower) -> None:
    follower.log.add("order.reading", "txn_9", at=NOW)
    assert len(follower.witness.recall(0)[1]) == follower.log.size - 1
    assert follower.witness.recall(follower.log.size - 1)[1] == []
    assert follower.witness.recall((1 << 63) - 1)[1] == []


def test_what_was_not_cosigned_because_it_does_not_lead_to_the_checkpoint_is_not_kept(follower: Follower) -> None:
    before = follower.witness.recall(0)
    follower.log.add("order.reading", "txn_9", at=NOW)
    wrong = Item(follower.log.items[0].entry, b"", b"")
    assert follower.ask(items=[wrong]).line == ""
    assert follower.witness.recall(0) == before


def test_one_answer_holds_no_more_than_a_message_may_but_something(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = follower.witness.recall(0)[1]
    monkeypatch.setattr(witness, "RECALL_BYTES", len(whole[1].entry) + len(whole[2].entry))
    assert follower.witness.recall(0)[1] == whole[:1]  # the workspace alone is more
    assert follower.witness.recall(1)[1] == whole[1:3]
    monkeypatch.setattr(logbook, "MAX_ITEMS", 4)
    monkeypatch.setattr(witness, "RECALL_BYTES", 1 << 20)
    assert follower.witness.recall(1)[1] == whole[1:5]


def appended(follower: Follower, entry: Entry) -> None:
    """To the log, as it stands."""
    follower.log.items.append(Item(encode(entry), b"", b""))
    follower.log.tree.append(encode(entry))


@pytest.mark.parametrize("previous", [-1, 0, 2, 6])
def test_an_entry_that_passes_over_one_of_its_subject_or_names_another_is_not_cosigned(
    follower: Follower, previous: int
) -> None:
    """Entry 3 is txn_2's; so whoever shows entries of txn_2 by themselves leaves none out."""
    follower.log.add("order.denied", "txn_2", at=NOW)
    follower.cosigned()
    place = follower.log.size
    appended(follower, Entry(place, NOW, "order.submitted", "txn_2", previous, bytes(32)))
    said = follower.ask()
    assert (said.answer, said.line) == (Answer.UNPROCESSABLE, "")
    assert f"names {previous} as the one before it, and that is 7" in said.detail
    assert follower.head.size == place


def test_an_entry_about_nothing_follows_on_none(follower: Follower) -> None:
    appended(follower, Entry(follower.log.size, NOW, "log.goes_on", "", 0, bytes(32)))
    assert follower.ask().answer is Answer.UNPROCESSABLE


def test_a_store_that_followed_before_it_kept_entries_goes_on_and_hands_back_what_comes_later(
    follower: Follower,
) -> None:
    with follower.node.store.begin() as connection:
        connection.execute(log_items.delete())
    began = follower.log.size
    follower.log.add("order.denied", "txn_2", at=NOW)
    follower.cosigned()
    follower.log.add("order.denied", "txn_3", at=NOW)
    follower.log.add("order.voided", "txn_3", at=NOW)
    follower.cosigned()
    assert [read_entry(one.entry).index for one in follower.witness.recall(0)[1]] == [began, began + 1, began + 2]
    appended(follower, Entry(follower.log.size, NOW, "order.voided", "txn_2", 3, bytes(32)))
    assert f"names 3 as the one before it, and that is {began}" in follower.ask().detail


def test_a_store_that_followed_before_it_kept_entries_takes_none_about_nothing_that_names_one(
    follower: Follower,
) -> None:
    with follower.node.store.begin() as connection:
        connection.execute(log_items.delete())
    appended(follower, Entry(follower.log.size, NOW, "log.goes_on", "", 0, bytes(32)))
    assert follower.ask().answer is Answer.UNPROCESSABLE
