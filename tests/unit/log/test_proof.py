"""Proofs of entries as texts that are checked offline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Malformed
from oms_core.log.note import Note, write_note
from oms_core.log.proof import EXTRA_LIMIT, LogProof, read_proof, write_proof
from tests.logs import WITNESSES, Tree, entries, signed

TREE = Tree(entries(300))
NOTE = signed(TREE.checkpoint(), *WITNESSES[:4])
PROOF = LogProof(77, TREE.inclusion(77), NOTE)


def test_a_proof_is_written_as_specified() -> None:
    lines = write_proof(replace(PROOF, extra=b"age-v1")).split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra YWdlLXYx", "index 77"]
    assert lines[3 + len(PROOF.path)] == ""
    assert "\n".join(lines[4 + len(PROOF.path) :]) == write_note(NOTE)
    assert not any(line.startswith("extra") for line in write_proof(PROOF).split("\n"))


def test_every_proof_is_read_from_its_text() -> None:
    for index in range(0, 300, 7):
        proof = LogProof(index, TREE.inclusion(index), NOTE, None if index % 2 else bytes(index))
        assert read_proof(write_proof(proof).encode()) == proof


def test_the_only_entry_of_a_log_has_an_empty_path() -> None:
    one = Tree(entries(1))
    proof = read_proof(write_proof(LogProof(0, (), signed(one.checkpoint()))))
    assert proof.path == ()


TEXT = write_proof(replace(PROOF, extra=b"age-v1"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("@v1", "@v2"),
        TEXT.replace("index 77", "index 077"),
        TEXT.replace("index 77", "index -7"),
        TEXT.replace("index 77", "Index 77"),
        TEXT.replace("index 77\n", ""),
        TEXT.replace("extra YWdlLXYx", "extra YWdlLXY"),
        TEXT.replace("extra YWdlLXYx", "extra YWdlLXYx\nextra YWdlLXYx"),
        TEXT.replace("extra YWdlLXYx\nindex 77", "index 77\nextra YWdlLXYx"),
        TEXT.replace("index 77\n", "index 77\n\n"),
        TEXT.replace("\n\n", "\n", 1),
        TEXT.replace("index 77\n", "index 77\nAAAA\n"),
        TEXT.replace("index 77\n", "index 77\n" + ("A" * 43 + "=\n") * 63),
        TEXT + "\n",
        TEXT.replace("\n", "\r\n"),
        " " + TEXT,
    ],
)
def test_a_proof_is_read_in_its_one_form_alone(text: str) -> None:
    assert read_proof(TEXT).extra == b"age-v1"
    with pytest.raises(Malformed):
        read_proof(text)


def test_what_would_not_read_back_is_not_written() -> None:
    assert read_proof(write_proof(replace(PROOF, extra=b""))).extra == b""
    wrong = [
        replace(PROOF, index=-1),
        replace(PROOF, path=(b"short",)),
        replace(PROOF, note=Note("text", NOTE.signatures)),
        replace(PROOF, extra=bytes(EXTRA_LIMIT + 1)),
    ]
    for proof in wrong:
        with pytest.raises(Malformed):
            write_proof(proof)
