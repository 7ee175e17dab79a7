"""Readers of what strangers send: whatever it is, only Malformed comes out, and what is read writes itself again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.encoding import encode
from oms_core.errors import Malformed, ProofInvalid
from oms_core.log import note, proof, tiles, witness
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.proof import LogProof
from tests.logs import LOG_KEY, VERIFIERS, WITNESSES, Tree, entries, request, signed

TREE = Tree(entries(40))
NOTE = signed(TREE.checkpoint(), *WITNESSES[:3])
# What each reader reads, how it is written again, and a good text to start from.
READERS: dict[str, tuple[Callable[[str], object], Callable[..., str], str]] = {
    "note": (note.read_note, note.write_note, note.write_note(NOTE)),
    "checkpoint": (note.read_checkpoint, lambda one: one.body(), NOTE.body),
    "key": (note.Verifier.parse, note.Verifier.vkey, VERIFIERS[0].vkey()),
    "lines": (
        note.read_signatures,
        lambda lines: "".join(one.line() for one in lines),
        WITNESSES[0].cosign(NOTE.body).line(),
    ),
    "request": (witness.read_request, witness.write_request, witness.write_request(request(TREE, 17))),
    "proof": (proof.read_proof, proof.write_proof, proof.write_proof(LogProof(7, TREE.inclusion(7), NOTE, b"x"))),
}
PIECES = st.one_of(
    st.sampled_from(
        ["\n", "\n\n", "— ", " ", "+", "=", "0", "old ", "index ", "extra ", "x", "/", "AAAA", "\x00", "\ud800"]
    ),
    st.text(max_size=6),
)


def survives(name: str, text: str) -> None:
    read, write, _ = READERS[name]
    try:
        value = read(text)
    except Malformed:
        return
    assert write(value) == text


@pytest.mark.parametrize("name", READERS)
def test_a_good_text_is_read_and_written_again(name: str) -> None:
    read, write, good = READERS[name]
    assert write(read(good)) == good


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60)
@given(data=st.data())
def test_a_text_with_something_cut_out_or_put_in_is_malformed_or_reads_as_what_it_says(
    name: str, data: st.DataObject
) -> None:
    good = READERS[name][2]
    begin = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(begin, min(len(good), begin + 50)))
    survives(name, good[:begin] + data.draw(PIECES) + good[end:])


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=30)
@given(text=st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_any_text_is_malformed_or_reads_as_what_it_says(name: str, text: str) -> None:
    survives(name, text)


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_any_bytes_are_malformed_or_read_as_what_they_say(data: bytes) -> None:
    for read in (note.read_note, note.read_signatures, witness.read_request, proof.read_proof):
        try:
            read(data)
        except Malformed:
            continue
    try:
        assert tiles.bundle(tiles.read_bundle(data)) == data
    except Malformed:
        assert data is not None


@settings(max_examples=60)
@given(st.text(max_size=80), st.lists(st.binary(max_size=40), max_size=4))
def test_a_conflict_of_anything_is_refused_in_our_own_words(text: str, path: list[bytes]) -> None:
    good = note.write_note(NOTE)
    for first, second in ((text, good), (good, text), (good, good)):
        with pytest.raises((Malformed, ProofInvalid)):
            verify_conflict(LogConflict(first, second, tuple(path)), [LOG_KEY.verifier])
    assert encode(LogConflict(good, good, tuple(path)))
