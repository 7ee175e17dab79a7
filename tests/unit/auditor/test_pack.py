"""Evidence packs: what they show, and that whatever is changed in one is noticed."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import pytest

from auditor.heads import verify_head
from auditor.pack import Held, Pack, read_pack, write_pack
from auditor.report import Report
from auditor.verify import verify_pack
from oms_core.encoding import encode
from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.log.entries import KEPT, read_entry
from oms_core.workspace import workspace_digest
from tests import people
from tests.evidence import TXN, Story, message, story
from tests.people import workspace
from tests.witnessed import THREE, TWO

PINNED = workspace_digest(workspace())


@cache
def told() -> Story:
    return story()


@cache
def written() -> bytes:
    return write_pack(told().pack())


def verified(pack: Pack, pinned: bytes = PINNED) -> Report:
    return verify_pack(write_pack(pack), pinned)


def refused(pack: Pack, words: str) -> ProofInvalid:
    """The one error, which names the claim."""
    with pytest.raises(ProofInvalid) as caught:
        verified(pack)
    assert caught.value.message.startswith("does not hold: ")
    assert words in caught.value.message
    return caught.value


def at(pack: Pack, event: str, subject: str = TXN) -> int:
    """The place of an entry in a pack."""
    entries = [read_entry(held.item.entry) for held in pack.items]
    return next(i for i, one in enumerate(entries) if (one.event, one.subject) == (event, subject))


def without(pack: Pack, *places: int) -> Pack:
    return replace(pack, items=tuple(one for i, one in enumerate(pack.items) if i not in places))


def erased(pack: Pack, *places: int) -> Pack:
    """As if somebody had the records erased."""
    items = [
        replace(one, item=replace(one.item, record=b"", salt=b"")) if i in places else one
        for i, one in enumerate(pack.items)
    ]
    return replace(pack, items=tuple(items))


def test_a_pack_says_of_an_order_all_that_an_auditor_wants_to_know() -> None:
    report = verified(told().pack())
    said = "\n".join(report.claims)
    assert (report.subject, report.size, report.cosigners) == (TXN, told().size, (1, 2, 3, 4))
    for words in (
        "the workspace that was agreed",
        "people changed the workspace in entry 2",
        "signed by the log and by its witnesses, as version 1 names them",
        "cosigners 1, 2, 3, 4 of 5, in full",
        "without a gap",
        "confirmed by each of cosigners 1, 2, 3, 4, 5",
        "desk has signed the proposal",
        "says what each rule came to",
        "cosigners 1, 2, 3 read in it what is read in it here",
        "cosigner 4 has refused, HALTED",
        "olga has decided APPROVE",
        "ravi has decided APPROVE",
        "the rules permit it with these approvals",
        "the plain decision in it is what the rules of version 1 say",
        "exactly what was asked for",
        "found it CONFIRMED in block 5",
        "the order is CONFIRMED",
    ):
        assert words in said


def test_a_message_is_shown_with_its_signature() -> None:
    made = Story()
    permit = "- rule: permit-messages\n  permit:\n  when: {action: MESSAGE, initiator.role: trader}\n"
    made.change(rules=(*workspace().rules, *people.rules(permit)))
    made.wallet()
    made.order(message(), execution=None, by=())
    said = "\n".join(verified(made.pack()).claims)
    assert "exactly what was asked for, by the wallet's key" in said
    assert "the signed transaction is" not in said


def test_three_of_five_cosigners_are_enough_and_two_are_not() -> None:
    assert "in part" in "\n".join(verified(told().pack(by=THREE)).claims)
    error = refused(told().pack(by=TWO), "the checkpoint is signed by the log and by its witnesses")
    assert error.reason == Reason.QUORUM_UNAVAILABLE


def test_a_line_of_a_stranger_under_the_checkpoint_is_refused() -> None:
    pack = told().pack()
    stranger = "— example.org/log/cosigner-9 " + pack.checkpoint.splitlines()[-1].split(" ")[-1] + "\n"
    refused(replace(pack, checkpoint=pack.checkpoint + stranger), "who is not of the roster")


def test_a_line_that_stands_twice_under_the_checkpoint_is_refused() -> None:
    pack = told().pack()
    again = pack.checkpoint.splitlines()[-1] + "\n"
    refused(replace(pack, checkpoint=pack.checkpoint + again), "two lines by one key")


def test_another_workspace_than_the_agreed_one_is_refused() -> None:
    with pytest.raises(ProofInvalid, match="the log begins with the workspace that was agreed"):
        verified(told().pack(), b"x" * 32)


def test_a_pack_of_another_log_under_the_same_keys_is_refused() -> None:
    pack, other = told().pack(), told().fork(20)
    other.tree.append(b"something else")
    other.items.append(other.items[0])
    refused(replace(pack, checkpoint=other.note(by=(1, 2, 3, 4)).decode()), "each entry stands in the log")


@pytest.mark.parametrize("event", ["order.submitted", "order.decision", "authorized", "order.signing"])
def test_an_entry_of_the_order_that_is_left_out_leaves_a_gap(event: str) -> None:
    pack = told().pack()
    refused(without(pack, at(pack, event)), "")


def test_a_gap_is_named() -> None:
    pack = told().pack()
    refused(without(pack, at(pack, "order.reading")), f"about {TXN} lead one to the other without a gap")
    refused(without(pack, at(pack, "wallet.decision", "wal_1")), "about wallet wal_1 lead one to the other")


def test_entries_in_another_order_are_refused() -> None:
    pack = told().pack()
    items = list(pack.items)
    items[-1], items[-2] = items[-2], items[-1]
    refused(replace(pack, items=tuple(items)), "each stands once, and their times never fall")
    refused(replace(pack, items=(*pack.items, pack.items[-1])), "each stands once")


def test_an_entry_that_does_not_belong_to_it_is_refused() -> None:
    made = told()
    other = next(i for i, one in enumerate(made.items) if read_entry(one.entry).subject == "txn_other")
    refused(made.pack(also=(other,)), "the pack holds nothing else")


def test_what_nothing_rests_on_may_be_erased_and_it_is_said() -> None:
    pack = told().pack()
    places = (at(pack, "order.reading"), at(pack, "order.decision"), at(pack, "order.approved"))
    said = "\n".join(verified(erased(pack, *places)).lines())
    assert "NOTE: not here, erased or left out, are the records of entries" in said
    assert f"{read_entry(pack.items[places[1]].item.entry).index} (order.decision)" in said


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        ("order.signed", TXN),
        ("authorized", TXN),
        ("authorized", "wal_1"),
        ("wallet.pre_active", "wal_1"),
        ("workspace.approved", "chg_1"),
        ("log.genesis", ""),
    ],
)
def test_what_something_rests_on_may_not_be_erased(event: str, subject: str) -> None:
    pack = told().pack()
    assert "erased" in refused(erased(pack, at(pack, event, subject)), "").message or event == "log.genesis"


def test_a_pack_of_what_was_got_back_from_cosigners_rests_on_the_records_that_they_keep() -> None:
    pack = told().pack()
    events = [read_entry(held.item.entry).event for held in pack.items]
    lost = [place for place, event in enumerate(events) if event not in KEPT]
    assert {events[place] for place in lost} >= {"order.submitted", "wallet.pending_approval", "order.decision"}
    whole, kept = verified(pack).lines(), verified(erased(pack, *lost)).lines()
    for words in ("has signed the proposal", "so the wallet's account is", "what was signed is exactly what was asked"):
        assert [one for one in kept if words in one] == [one for one in whole if words in one] != []


def test_half_an_erased_record_is_no_record() -> None:
    pack = told().pack()
    place = at(pack, "order.reading")
    one = pack.items[place]
    half = Held(replace(one.item, record=b""), one.path)
    items = (*pack.items[:place], half, *pack.items[place + 1 :])
    refused(replace(pack, items=items), "is the one that its entry commits to")


def test_a_record_of_another_entry_is_refused() -> None:
    pack = told().pack()
    place = at(pack, "order.signed")
    one, other = pack.items[place], pack.items[place - 1]
    swapped = Held(replace(one.item, record=other.item.record, salt=other.item.salt), one.path)
    items = (*pack.items[:place], swapped, *pack.items[place + 1 :])
    refused(replace(pack, items=items), "is the one that its entry commits to")


def test_nothing_may_be_missing_at_the_end_or_follow() -> None:
    data = written()
    for length in (0, 1, 10, len(data) // 2, len(data) - 1):
        with pytest.raises(Malformed):
            verify_pack(data[:length], PINNED)
    for more in (b"\0", b"\xf6", data):
        with pytest.raises(Malformed):
            verify_pack(data + more, PINNED)


def _flipped(places: list[int], seed: int) -> list[int]:
    """Of these places, those at which another byte is not noticed."""
    data, chance, unnoticed = written(), random.Random(seed), []
    for place in places:
        other = bytearray(data)
        other[place] ^= chance.randrange(1, 256)
        try:
            verify_pack(bytes(other), PINNED)
        except (Malformed, ProofInvalid):
            continue
        unnoticed.append(place)
    return unnoticed


def test_no_byte_of_a_pack_may_be_another_dense_sample() -> None:
    data = written()
    verify_pack(data, PINNED)
    places = [*range(0, len(data), 211), *range(60), *range(len(data) - 60, len(data))]
    assert _flipped(places, 1) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_byte_of_a_pack_may_be_another() -> None:
    assert _flipped([*range(len(written()))], 2) == []


def test_no_byte_of_the_checkpoint_may_be_another() -> None:
    text = read_pack(written()).checkpoint.encode()
    newest = told().workspace
    for place in range(len(text)):
        other = bytearray(text)
        other[place] ^= 1 << place % 8
        with pytest.raises((Malformed, ProofInvalid)):
            verify_head(bytes(other), newest)


def test_a_pack_of_nothing_and_one_of_something_else_are_refused() -> None:
    refused(replace(told().pack(), items=()), "the log begins with the workspace that was agreed")
    with pytest.raises(Malformed, match="a pack is about an order"):
        verified(replace(told().pack(), subject="wal_1"))
    refused(replace(told().pack(), subject="txn_other"), "txn_other")
    with pytest.raises(Malformed):
        verify_pack(encode(people.intent()), PINNED)


def test_a_block_may_not_be_named_where_there_is_no_anchor() -> None:
    with pytest.raises(ProofInvalid) as caught:
        verify_pack(written(), PINNED, b"b" * 32)
    assert caught.value.reason == Reason.ANCHOR_MISMATCH
