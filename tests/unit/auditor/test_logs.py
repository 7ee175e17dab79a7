"""Whole logs: what is verified of them, and which entry is named when one was edited, taken out, put in or moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from auditor.compare import Compared, compare
from auditor.files import Export, Folder
from auditor.lines import read_line, write_end, write_line
from auditor.logs import Answer, Ask, EntryWrong, Extends, Items, LogReport, drive, verify_log
from auditor.logs import Path as PathOf
from auditor.proofs import entry_proof, verify_entry_proof
from oms_core.errors import LocalError, Malformed, ProofInvalid, Reason
from oms_core.log.conflict import verify_conflict
from oms_core.log.entries import Item, item, read_entry, read_record
from oms_core.log.note import LOG, Note, read_checkpoint, read_note, write_note
from oms_core.log.roster import log_verifier
from oms_core.log.tiles import bundle, entries_path, tile_path
from oms_core.workspace import workspace_digest
from tests.evidence import Story, story
from tests.logs import Signer
from tests.people import workspace
from tests.witnessed import FOUR, TWO, Logbook

PINNED = workspace_digest(workspace())
SIZE = 1300  # more than a chunk, and more than a tile


@cache
def long() -> Story:
    made = story()
    while made.size < SIZE:
        made.tell("order.submitted", f"txn_{made.size % 7}", note=f"number {made.size}")
    return made


def coordinator(made: Logbook, items: list[Item]) -> Callable[[Ask], Answer]:
    """One that has the tree as it was, and shows these items."""

    def answer(asked: Ask) -> Answer:
        match asked:
            case Items(start, limit):
                return items[start : start + limit]
            case PathOf(index, size):
                return made.tree.inclusion(index, size)
            case Extends(old, new):
                return made.tree.consistency(old, new)

    return answer


def verified(
    items: list[Item] | None = None, first: int = 0, last: int | None = None, records: bool = True
) -> LogReport:
    made = long()
    answer = coordinator(made, made.items if items is None else items)
    return drive(verify_log(made.note(), PINNED, made.workspace, records, first, last), answer)


def named(items: list[Item], records: bool = True) -> int:
    """The index that is named."""
    with pytest.raises(EntryWrong) as caught:
        verified(items, records=records)
    assert f"entry {caught.value.index}: " in caught.value.message
    assert caught.value.details["index"] == str(caught.value.index)
    return caught.value.index


def edited(index: int, **changes: object) -> list[Item]:
    """One entry says something else, with a commitment that fits."""
    items = list(long().items)
    entry = read_entry(items[index].entry)
    record = read_record(entry, items[index])
    assert record is not None
    told = {"event": entry.event, "subject": entry.subject, "at": entry.at, "note": record.note, **changes}
    again = replace(record, note=str(told["note"]))
    values = (index, told["at"], told["event"], told["subject"], entry.previous)
    items[index] = item(*values, again, items[index].salt)  # type: ignore[arg-type]
    return items


def test_a_whole_log_is_verified_to_the_newest_version_of_its_workspace() -> None:
    report = verified()
    assert (report.first, report.last, report.records, report.erased, report.versions) == (0, SIZE - 1, True, 0, 1)
    assert "VERIFIED example.org/log" in report.lines()
    assert report.head.full


def test_the_workspaces_chain_is_followed_to_whose_witnesses_sign() -> None:
    made = Story()
    made.change(refusals_block_at=2)
    made.tell("workspace.version", "chg_1")
    made.tell("order.submitted", "txn_1")
    report = drive(verify_log(made.note(), PINNED, None, True), coordinator(made, made.items))
    assert report.versions == 1


@pytest.mark.parametrize("adopted", [False, True])
def test_a_head_that_the_log_has_signed_by_two_keys_while_it_takes_another_is_verified(adopted: bool) -> None:
    made = Story()
    fresh = Signer(made.origin, LOG, "witness 8")
    made.change(log=replace(made.workspace.log, public=fresh.verifier.key))
    if adopted:
        made.tell("workspace.version", "chg_1")
    head = read_note(made.note())
    note = write_note(Note(head.body, (*head.signatures, fresh.log_line(head.body))))
    report = drive(verify_log(note, PINNED, None, True), coordinator(made, made.items))
    assert report.versions == adopted
    text = entry_proof(made.items[1].entry, made.tree.inclusion(1), read_note(note), made.workspace)
    assert verify_entry_proof(text, made.workspace)[0].index == 1
    forged = note.replace(fresh.log_line(head.body).line()[-20:-5], "A" * 15)
    with pytest.raises(ProofInvalid):
        drive(verify_log(forged, PINNED, None, True), coordinator(made, made.items))
    other = Signer(made.origin, LOG, "witness 9").log_line(head.body)
    with pytest.raises(ProofInvalid, match="not of the roster"):
        drive(verify_log(note + other.line(), PINNED, None, True), coordinator(made, made.items))


@pytest.mark.parametrize("index", [0, 1, 2, 17, 255, 256, 999, 1000, 1001, SIZE - 1])
def test_the_first_entry_that_was_edited_is_named(index: int) -> None:
    assert named(edited(index, note="something else")) == index
    assert named(edited(index, note="something else"), records=False) == index


@pytest.mark.parametrize("index", [40, 999, 1100])
def test_of_two_entries_that_were_edited_the_first_is_named_whatever_else_does_not_fit(index: int) -> None:
    items = edited(index, subject="txn_elsewhere")
    assert named(items) == index
    later = list(items)
    later[index + 20] = replace(later[index + 20], entry=b"no entry")
    assert named(later) == index


def test_a_record_that_was_edited_is_named() -> None:
    items = list(long().items)
    items[30] = replace(items[30], record=items[31].record, salt=items[31].salt)
    assert named(items) == 30
    items[30] = replace(long().items[30], record=b"")
    assert named(items) == 30


@pytest.mark.parametrize("index", [0, 5, 500, 1200, SIZE - 1])
def test_an_entry_that_was_taken_out_is_named(index: int) -> None:
    items = list(long().items)
    del items[index]
    assert named(items) == index


@pytest.mark.parametrize(("one", "other"), [(3, 4), (10, 900), (999, 1000)])
def test_entries_that_were_moved_are_named_by_the_first(one: int, other: int) -> None:
    items = list(long().items)
    items[one], items[other] = items[other], items[one]
    assert named(items) == one


def test_entries_that_were_moved_and_numbered_anew_are_named_by_the_first() -> None:
    items = list(long().items)
    for place, source in ((70, 71), (71, 70)):
        entry = read_entry(long().items[source].entry)
        record = read_record(entry, long().items[source])
        assert record is not None
        values = (place, entry.at, entry.event, entry.subject, entry.previous)
        items[place] = item(*values, record, long().items[source].salt)
    assert named(items) == 70


def test_an_entry_that_was_put_in_is_named() -> None:
    items = list(long().items)
    items.insert(60, items[60])
    assert named(items) == 61
    assert named([*items[:60], *edited(60, note="new")[60:61], *items[60:]]) == 60


def test_records_that_were_erased_are_counted() -> None:
    items = list(long().items)
    for index in (30, 40):
        items[index] = replace(items[index], record=b"", salt=b"")
    assert verified(items).erased == 2
    items[0] = replace(items[0], record=b"", salt=b"")
    assert named(items) == 0


@pytest.mark.parametrize(("first", "last"), [(0, 10), (1, 2), (256, 600), (999, 1300), (1299, None), (7, None)])
def test_a_part_is_verified_by_itself(first: int, last: int | None) -> None:
    report = verified(first=first, last=last)
    assert (report.first, report.last) == (first, (last or SIZE) - 1)


def test_a_part_of_which_an_entry_was_edited_is_refused_and_the_entry_named() -> None:
    made, items = long(), edited(300, note="something else")
    with pytest.raises(EntryWrong) as caught:
        drive(verify_log(made.note(), PINNED, made.workspace, True, 256, 600), coordinator(made, items))
    assert caught.value.index == 300
    with pytest.raises(Malformed):
        verified(first=SIZE)


def test_a_tree_that_is_not_the_one_under_the_checkpoint_is_refused() -> None:
    made, other = long(), long().fork(100)
    other.tree.append(*(one.entry for one in reversed(made.items[100:])))
    other.items += list(reversed(made.items[100:]))
    with pytest.raises(ProofInvalid, match="entry 100"):
        drive(verify_log(made.note(), PINNED, made.workspace, True), coordinator(made, other.items))
    with pytest.raises(ProofInvalid, match="not those under the checkpoint"):
        drive(verify_log(made.note(), PINNED, made.workspace, True, 500), coordinator(other, other.items))


def test_a_checkpoint_that_too_few_have_cosigned_or_of_another_log_is_refused() -> None:
    made = long()
    with pytest.raises(ProofInvalid) as caught:
        drive(verify_log(made.note(by=(1, 2)), PINNED, None, True), coordinator(made, made.items))
    assert caught.value.reason == Reason.QUORUM_UNAVAILABLE
    with pytest.raises(EntryWrong, match="another workspace than was agreed"):
        drive(verify_log(made.note(), b"x" * 32, None, True), coordinator(made, made.items))
    with pytest.raises(Malformed, match="the --workspace FILE is needed"):
        drive(verify_log(made.note(), PINNED, None, False), coordinator(made, made.items))


# Files


def folder(made: Logbook, path: Path) -> Path:
    """As a coordinator writes it."""
    files = {"checkpoint": made.note()}
    for (level, index), tile in made.tree.tiles.items():
        files[tile_path(level, index, len(tile) // 32)] = tile
    for number in range(-(-made.size // 256)):
        entries = [one.entry for one in made.items[number * 256 : number * 256 + 256]]
        files[entries_path(number, len(entries))] = bundle(entries)
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def exported(made: Logbook, items: list[Item], path: Path, records: bool = True, first: int = 0) -> Path:
    head = read_checkpoint(read_note(made.note()).body)
    lines = [write_line(one, head, records) for one in items[first:]]
    path.write_text("".join([*lines, write_end(made.note().decode())]))
    return path


def from_files(source: Folder | Export, first: int = 0) -> LogReport:
    made = long()
    return drive(verify_log(source.note, PINNED, made.workspace, source.records, first), source.answer)


def test_a_folder_of_tiles_is_verified_and_an_edited_bundle_named(tmp_path: Path) -> None:
    path = folder(long(), tmp_path)
    assert not from_files(Folder(path)).records
    assert from_files(Folder(path), 700).first == 700
    entries = [one.entry for one in edited(300, note="something else")[256:512]]
    (path / entries_path(1)).write_bytes(bundle(entries))
    with pytest.raises(EntryWrong) as caught:
        from_files(Folder(path))
    assert caught.value.index == 300
    (path / tile_path(0, 2)).unlink()
    with pytest.raises(LocalError):
        from_files(Folder(path), 600)
    with pytest.raises(LocalError):
        Folder(tmp_path / "nowhere")


def test_an_export_is_verified_alone_and_with_tiles_which_name_the_entry(tmp_path: Path) -> None:
    file = exported(long(), list(long().items), tmp_path / "log.jsonl")
    assert from_files(Export(file)).records
    short = exported(long(), list(long().items), tmp_path / "short.jsonl", records=False)
    assert not from_files(Export(short)).records
    wrong = exported(long(), edited(300, note="something else"), tmp_path / "wrong.jsonl")
    with pytest.raises(ProofInvalid):
        from_files(Export(wrong))
    with pytest.raises(EntryWrong) as caught:
        from_files(Export(wrong, Folder(folder(long(), tmp_path / "tiles"))))
    assert caught.value.index == 300


def test_lines_of_an_export_show_gaps_and_are_read_back(tmp_path: Path) -> None:
    made, head = long(), read_checkpoint(read_note(long().note()).body)
    line = json.loads(write_line(made.items[20], head, records=False))
    entry = read_entry(made.items[20].entry)
    assert (line["index"], line["event"], line["size"]) == (20, entry.event, SIZE)
    assert line["time"].endswith("Z")
    assert line["root"] == head.root.hex()
    assert read_line(write_line(made.items[20], head, records=True)) == (made.items[20], True)
    gone = list(made.items)
    del gone[44]
    with pytest.raises(EntryWrong) as caught:
        from_files(Export(exported(made, gone, tmp_path / "gone.jsonl")))
    assert caught.value.index == 44
    part = Export(exported(made, list(made.items), tmp_path / "part.jsonl", first=600))
    assert part.first == 600
    with pytest.raises(Malformed, match="by its tiles"):
        from_files(part, 600)
    tiled = Export(tmp_path / "part.jsonl", Folder(folder(made, tmp_path / "tiles")))
    assert from_files(tiled, 600).first == 600


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "{", '{"entry": 1}', '{"entry": "AA==", "leaf": ""}', '{"checkpoint": 1}', "[" * 9999],
)
def test_lines_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        read_line(text)


# Heads and proofs


def compared(made: Logbook, ours: bytes, other: bytes) -> Compared:
    answer = coordinator(made, made.items)
    return drive(compare(ours.decode(), other.decode(), log_verifier(workspace())), answer)


@pytest.mark.parametrize("size", [0, 1, 2, 64, 255, 256, 700, SIZE])
def test_an_older_head_of_the_same_log_fits_and_one_of_another_past_is_evidence(size: int) -> None:
    made = long()
    assert compared(made, made.note(), made.note(size)).conflict is None
    if size:
        other = made.fork(size - 1)
        other.add("order.submitted", "txn_forked")
        found = compared(made, made.note(), other.note())
        assert found.conflict is not None
        assert "has signed" in verify_conflict(found.conflict, [log_verifier(workspace())])


def test_a_head_of_more_entries_than_there_are_is_told() -> None:
    made = long()
    assert compared(made, made.note(100), made.note()).ahead


def test_a_head_that_the_log_has_not_signed_is_no_head() -> None:
    made = long()
    forged = made.note().replace(b"\n1300\n", b"\n1200\n")
    with pytest.raises(ProofInvalid):
        compared(made, made.note(), forged)


def test_the_proof_of_an_entry_holds_the_entry_and_is_verified_before_it_is_written() -> None:
    made = long()
    note = read_note(made.note(by=FOUR))
    text = entry_proof(made.items[77].entry, made.tree.inclusion(77), note, made.workspace)
    entry, vouched = verify_entry_proof(text, made.workspace)
    assert (entry.index, vouched.checkpoint.size) == (77, SIZE)
    path, fewer = made.tree.inclusion(77), read_note(made.note(by=TWO))
    wrong = ((78, path, note), (77, path[1:], note), (77, (*path, bytes(32)), note), (77, path, fewer))
    for place, way, under in wrong:
        with pytest.raises(ProofInvalid):
            entry_proof(made.items[place].entry, way, under, made.workspace)
    with pytest.raises((ProofInvalid, Malformed)):
        verify_entry_proof(text.replace("index 77", "index 78"), made.workspace)
