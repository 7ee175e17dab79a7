"""Proofs of entries as texts that are checked offline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.log.note import Note, write_note
from oms_core.log.proof import EXTRA_LIMIT, LogProof, read_proof, verify_proof, write_proof
from oms_core.log.tree import leaf_hash
from tests.logs import LOG_KEY, NOW, VERIFIERS, WITNESSES, Tree, entries, signed

TREE = Tree(entries(300))
KEYS = [LOG_KEY.verifier]
NOTE = signed(TREE.checkpoint(), *WITNESSES[:4])
PROOF = LogProof(77, TREE.inclusion(77), NOTE)
LEAF = leaf_hash(TREE.entries[77])


def test_a_proof_is_written_as_specified() -> None:
    lines = write_proof(replace(PROOF, extra=b"age-v1")).split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra YWdlLXYx", "index 77"]
    assert lines[3 + len(PROOF.path)] == ""
    assert "\n".join(lines[4 + len(PROOF.path) :]) == write_note(NOTE)
    assert not any(line.startswith("extra") for line in write_proof(PROOF).split("\n"))


def test_every_entry_is_proven_by_its_text() -> None:
    for index in range(0, 300, 7):
        proof = LogProof(index, TREE.inclusion(index), NOTE, None if index % 2 else bytes(index))
        read = read_proof(write_proof(proof).encode())
        assert read == proof
        vouched = verify_proof(read, leaf_hash(TREE.entries[index]), KEYS, VERIFIERS, 4)
        assert vouched.checkpoint == TREE.checkpoint()
        assert vouched.cosigned == {one.verifier.name: NOW for one in WITNESSES[:4]}


def test_the_only_entry_of_a_log_has_an_empty_path() -> None:
    one = Tree(entries(1))
    proof = read_proof(write_proof(LogProof(0, (), signed(one.checkpoint()))))
    verify_proof(proof, leaf_hash(one.entries[0]), KEYS, (), 0)


def test_too_few_cosigners_prove_nothing() -> None:
    with pytest.raises(ProofInvalid) as caught:
        verify_proof(PROOF, LEAF, KEYS, VERIFIERS, 5)
    assert caught.value.reason is Reason.QUORUM_UNAVAILABLE
    with pytest.raises(ProofInvalid):
        verify_proof(PROOF, LEAF, KEYS, VERIFIERS[1:4], 4)
    with pytest.raises(ProofInvalid):
        verify_proof(PROOF, LEAF, [], VERIFIERS, 4)


def test_another_entry_place_or_path_is_not_proven() -> None:
    wrong = [
        (PROOF, leaf_hash(TREE.entries[78])),
        (replace(PROOF, index=76), LEAF),
        (replace(PROOF, index=300), LEAF),
        (replace(PROOF, path=PROOF.path[1:]), LEAF),
        (replace(PROOF, path=(*PROOF.path, LEAF)), LEAF),
        (replace(PROOF, note=signed(TREE.checkpoint(299), *WITNESSES[:4])), LEAF),
    ]
    for proof, leaf in wrong:
        with pytest.raises(ProofInvalid):
            verify_proof(proof, leaf, KEYS, VERIFIERS, 4)


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
