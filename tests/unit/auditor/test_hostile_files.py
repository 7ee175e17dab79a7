"""Files that somebody else made: whatever stands in them ends in an error with its reason, soon, and prints nothing."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.__main__ import main
from auditor.files import Export, Folder
from auditor.lines import read_line, write_line
from auditor.logs import EntryWrong, drive, verify_log
from auditor.pack import read_pack, write_pack
from auditor.proofs import entry_proof
from auditor.report import Claims, iso, printable, when
from oms_core.encoding import encode
from oms_core.errors import LocalError, Malformed, ProofInvalid, Reason
from oms_core.log.note import read_checkpoint, read_note
from oms_core.log.tiles import entries_path, tile_path
from oms_core.workspace import workspace_digest
from tests.evidence import story
from tests.people import workspace
from tests.unit.auditor.test_logs import PINNED, SIZE, edited, exported, folder, from_files, long

DIGEST = ("--digest", workspace_digest(workspace()).hex())


def line(place: int = 20, /, records: bool = True, **said: object) -> str:
    """A line of an export that says something else in plain than its entry does."""
    head = read_checkpoint(read_note(long().note()).body)
    return json.dumps(json.loads(write_line(long().items[place], head, records)) | said)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("index", 21),
        ("time", "2020-01-01T00:00:00Z"),
        ("event", "order.denied"),
        ("subject", "txn_9"),
        ("previous", 0),
        ("actor", "mallory"),
        ("credential", "00"),
        ("note", "nothing happened"),
        ("erased", True),
        ("erased", 0),
    ],
)
def test_a_line_that_says_in_plain_what_its_entry_does_not_say_is_refused(said: str, value: object) -> None:
    with pytest.raises(Malformed, match=f"entry 20 says another {said}"):
        read_line(line(**{said: value}))


def test_a_line_whose_record_was_taken_out_says_so_or_is_refused() -> None:
    with pytest.raises(Malformed, match="entry 20 says another actor"):
        read_line(line(record="", salt=""))
    gone = {"actor": "", "credential": "", "note": "", "erased": True, "record": "", "salt": ""}
    assert read_line(line(**gone)) == (replace(long().items[20], record=b"", salt=b""), True)


def test_a_line_that_says_a_thing_twice_is_refused() -> None:
    with pytest.raises(Malformed, match="twice"):
        read_line('{"event": "order.denied", ' + line()[1:])


def test_a_line_that_names_another_root_of_the_checkpoint_is_refused() -> None:
    head = read_checkpoint(read_note(long().note()).body)
    assert read_line(line(), head)
    for said in ({"root": "00" * 32}, {"size": head.size - 1}):
        with pytest.raises(Malformed, match=f"another {next(iter(said))}"):
            read_line(line(**said), head)
    assert read_line(line(size=21, root="00" * 32), head)  # of an earlier export, before this one in the file


def test_a_line_that_says_more_than_an_export_does_or_less_is_refused() -> None:
    less = json.loads(line())
    del less["note"]
    for said in (line(Actor="mallory"), line(records=False, salt=""), json.dumps(less)):
        with pytest.raises(Malformed):
            read_line(said)


def test_an_export_has_records_with_all_of_its_lines_or_with_none(tmp_path: Path) -> None:
    file = exported(long(), list(long().items), tmp_path / "log.jsonl")
    lines = file.read_text().splitlines()
    lines[20] = line(records=False)
    file.write_text("\n".join([*lines, ""]))
    with pytest.raises(Malformed, match="with all of its lines, or with none"):
        from_files(Export(file))


def verify_part(file: Path, first: int, last: int) -> None:
    source = Export(file)
    drive(verify_log(source.note, PINNED, long().workspace, source.records, first, last), source.answer)


def test_the_beginning_of_an_export_alone_is_under_no_checkpoint(tmp_path: Path) -> None:
    """Without tiles nothing ties the first entries to the checkpoint: whatever they say would be verified."""
    with pytest.raises(Malformed, match="by its tiles"):
        verify_part(exported(long(), edited(30, note="something else"), tmp_path / "log.jsonl"), 0, 40)


def test_a_part_of_a_whole_export_is_not_taken_for_entries_that_were_moved(tmp_path: Path) -> None:
    file = exported(long(), list(long().items), tmp_path / "log.jsonl")
    source = Export(file, Folder(folder(long(), tmp_path / "tiles")))
    said = drive(verify_log(source.note, PINNED, long().workspace, source.records, 600, 900), source.answer)
    assert (said.first, said.last) == (600, 899)


@pytest.mark.parametrize(
    "text",
    [
        '{"checkpoint":"\\ud800"}\n',
        '{"checkpoint":""}\n',
        '{"checkpoint":"a\\n1\\n\\n"}\n',
        '{"checkpoint":"' + "a" * 20_000 + '"}\n',
        "\x00" * 100,
        "[" * 100_000,
        '{"index": ' + "9" * 10_000 + "}",
    ],
)
def test_an_export_that_ends_in_nonsense_is_refused(text: str, tmp_path: Path) -> None:
    file = exported(long(), list(long().items)[:3], tmp_path / "log.jsonl")
    whole = file.read_text().splitlines(keepends=True)
    file.write_text("".join(whole[:-1]) + text)
    with pytest.raises((Malformed, ProofInvalid)):
        from_files(Export(file))
    file.write_bytes(b"\xff\xfe\n")
    with pytest.raises((Malformed, LocalError)):
        Export(file)


@pytest.mark.timeout(300)
def test_a_folder_of_tiles_with_pipes_devices_or_endless_files_in_it_is_refused_at_once(tmp_path: Path) -> None:
    path = folder(long(), tmp_path)
    for place in (path / entries_path(3), path / tile_path(0, 2), path / "checkpoint"):
        place.unlink()
        os.mkfifo(place)
        with pytest.raises(LocalError, match="not a regular file"):
            from_files(Folder(path), 600)
        place.unlink()
        place.symlink_to("/dev/zero")
        with pytest.raises(LocalError, match="not a regular file"):
            from_files(Folder(path), 600)
        place.unlink()
        with place.open("wb") as file:
            file.truncate(1 << 33)
        with pytest.raises(Malformed) as caught:
            from_files(Folder(path), 600)
        assert caught.value.reason == Reason.TOO_LARGE
        place.unlink()
        folder(long(), tmp_path)


def test_a_tile_or_a_bundle_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = folder(long(), tmp_path)
    for place, error in ((path / entries_path(3), EntryWrong), (path / tile_path(0, 2), LocalError)):
        whole = place.read_bytes()
        for part in (b"", whole[:1], whole[:-1]):
            place.write_bytes(part)
            with pytest.raises((Malformed, error)):
                from_files(Folder(path), 600)
        place.write_bytes(whole)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", ["pack", "proof", "anchor", "conflict", "ots"])
def test_a_file_without_an_end_is_read_no_further_than_it_may_be_long(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "workspace").write_bytes(encode(workspace()))
    pinned = ("--workspace", str(tmp_path / "workspace"))
    if command == "ots":
        (tmp_path / "checkpoint").write_bytes(long().note())
        pinned = ("--checkpoint", str(tmp_path / "checkpoint"), "--block", f"1={'00' * 32}")
    assert main([command, "/dev/zero", *pinned]) == 2
    assert "more than" in capsys.readouterr().err
    nested = tmp_path / "nested"
    for data in (b"", b"\x9f", b"\x81" * 100_000, b"\x9b" + b"\xff" * 8, b"\x5b" + b"\xff" * 8, b"\xa1" * 5000):
        nested.write_bytes(data)
        assert main([command, str(nested), *pinned]) == 2
    assert main([command, "no\0name", *pinned]) == 2
    assert main([command, str(tmp_path), *pinned]) == 2


def test_a_pack_of_millions_of_empty_lists_is_refused_before_they_are_made() -> None:
    """Each would take sixty times its one byte."""
    began = time.thread_time()
    flat = b"\x9a" + (60 << 20).to_bytes(4, "big") + b"\x80" * (60 << 20)
    many = b"\x82" + (b"\x9a" + (600_000).to_bytes(4, "big") + b"\x80" * 600_000) * 2
    for data in (flat, many):
        with pytest.raises(Malformed) as caught:
            read_pack(data)
        assert caught.value.reason == Reason.TOO_LARGE
    assert time.thread_time() - began < 20  # seconds of our own work, however busy others are


def test_a_number_of_a_block_that_nobody_could_count_to_is_refused(tmp_path: Path) -> None:
    for file in ("checkpoint", "ots"):
        (tmp_path / file).write_bytes(long().note())
    for number in ("9" * 5000, "", "-1", "²", str(1 << 63)):
        block = f"{number}={'00' * 32}"
        said = ["ots", str(tmp_path / "ots"), "--checkpoint", str(tmp_path / "checkpoint"), f"--block={block}"]
        assert main(said) == 2


@pytest.mark.parametrize("at", [0, -1, 1 << 40, (1 << 63) - 1, -(1 << 70)])
def test_a_time_beyond_the_calendar_is_shown_by_its_number(at: int) -> None:
    assert when(at)
    assert iso(at)
    assert when(1 << 40) == f"second {1 << 40}"


def test_a_checkpoint_that_was_cosigned_beyond_the_calendar_is_no_crash() -> None:
    far = (1 << 63) - 1
    made = long()
    note = made.note(times=dict.fromkeys((1, 2, 3, 4), far))
    source: Callable[..., Any] = lambda asked: made.items[asked.start : asked.start + asked.limit]  # noqa: E731
    cut = made.fork(1)
    note = cut.note(times=dict.fromkeys((1, 2, 3, 4), far))
    assert f"second {far}" in "\n".join(drive(verify_log(note, PINNED, None, True), source).lines())


HOSTILE = "\x1b[2J\x1b]0;title\x07\r\n\u202eno\u2066\u200b\x9b\ud800ok"


def test_what_others_wrote_cannot_act_upon_a_terminal_or_turn_what_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(HOSTILE).isprintable()
    assert printable("Zoë signs 3 €") == "Zoë signs 3 €"
    assert len(printable("a" * 10_000_000)) < 2000
    claims = Claims()
    claims.add(HOSTILE)
    with pytest.raises(ProofInvalid) as caught, claims.claim(HOSTILE):
        raise Malformed(HOSTILE)
    assert caught.value.message.isprintable()
    assert claims.words[0].isprintable()


def test_a_pack_whose_names_are_hostile_is_refused_in_printable_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = replace(story().pack(), subject="txn_\x1b[2J\u202e")
    (tmp_path / "pack").write_bytes(write_pack(pack))
    assert main(["pack", str(tmp_path / "pack"), *DIGEST]) == 1
    said = capsys.readouterr()
    assert "txn_" in said.err
    assert all(one.isprintable() for one in (said.out + said.err).splitlines())


def test_sizes_at_the_edge_of_what_a_tree_can_have_are_refused(tmp_path: Path) -> None:
    path = folder(long(), tmp_path)
    text = long().note().decode()
    for size in (0, 1, SIZE - 1, SIZE + 1, (1 << 63) - 1, 1 << 63, 1 << 64):
        (path / "checkpoint").write_text(text.replace(f"\n{SIZE}\n", f"\n{size}\n"))
        for first in ("0", "1", str(size), str(size - 1), "-1", str(1 << 62), str(1 << 200)):
            assert main(["log", "--tiles", str(path), *DIGEST, f"--from={first}"]) != 0


def _mutated(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed, taken out, put in, or copied from elsewhere."""
    made, place = bytearray(data), chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            made[place] ^= chance.randrange(1, 256)
        case 1:
            del made[place : place + chance.choice([1, 2, 50])]
        case 2:
            made[place:place] = chance.randbytes(chance.choice([1, 3, 9]))
        case _:
            other = chance.randrange(len(data))
            made[place : place + 8] = made[other : other + 8]
    return bytes(made)


def test_whatever_is_changed_in_a_file_ends_in_an_exit_code_that_says_so(tmp_path: Path) -> None:
    made, chance = story(), random.Random(11)
    (tmp_path / "workspace").write_bytes(encode(made.workspace))
    proof = entry_proof(made.items[5].entry, made.tree.inclusion(5), read_note(made.note()), made.workspace)
    export = exported(made, list(made.items), tmp_path / "log.jsonl").read_bytes()
    files = (
        (("log", *DIGEST, "--export"), export),
        (("pack", *DIGEST), write_pack(made.pack())),
        (("proof", "--workspace", str(tmp_path / "workspace")), proof.encode()),
    )
    for command, data in files:
        file = tmp_path / "file"
        file.write_bytes(data)
        assert main([*command, str(file)]) == 0
        for _ in range(40):
            if (other := _mutated(data, chance)) != data:
                file.write_bytes(other)
                assert main([*command, str(file)]) in (1, 2)
