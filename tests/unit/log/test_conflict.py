"""A forked log is shown by its own signatures; an honest one is never."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.encoding import decode, encode
from oms_core.errors import ProofInvalid
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.note import LOG, Checkpoint, write_note
from oms_core.log.tree import EMPTY_ROOT, consistency_path
from tests.logs import LOG_KEY, ORIGIN, Signer, Tree, against, entries, signed

KEYS = [LOG_KEY.verifier]
OURS = Tree(entries(300))
FORK = Tree([*entries(150), *entries(150, "other")])


def text(tree: Tree, size: int | None = None) -> str:
    return write_note(signed(tree.checkpoint(size)))


@pytest.mark.parametrize("size", [151, 152, 200, 255, 256, 257, 299, 300])
def test_a_fork_of_any_size_is_shown_to_somebody_who_has_neither_tree(size: int) -> None:
    conflict = against(OURS, signed(FORK.checkpoint(size)))
    said = verify_conflict(decode(LogConflict, encode(conflict)), KEYS)
    assert FORK.root(size).hex() in said
    assert OURS.root(size).hex() in said
    assert ORIGIN in said


@pytest.mark.parametrize("size", [0, 1, 64, 128, 150])
def test_a_head_from_before_the_fork_shows_nothing(size: int) -> None:
    with pytest.raises(ProofInvalid):
        verify_conflict(against(OURS, signed(FORK.checkpoint(size))), KEYS)


@settings(max_examples=80)
@given(old=st.integers(1, 300), new=st.integers(1, 300), fork=st.integers(0, 300))
def test_a_conflict_is_shown_exactly_where_the_trees_part(old: int, new: int, fork: int) -> None:
    old, new = sorted((old, new))
    other = Tree([*entries(fork), *entries(300 - fork, "other")])
    conflict = against(OURS, signed(other.checkpoint(old)), new)
    with pytest.raises(ProofInvalid) if old <= fork else nullcontext():
        verify_conflict(conflict, KEYS)


@settings(max_examples=80)
@given(old=st.integers(0, 300), new=st.integers(0, 300), path_of=st.integers(0, 300))
def test_no_two_heads_of_an_honest_log_are_a_conflict(old: int, new: int, path_of: int) -> None:
    """Whatever path is put between them: the honest one, another fork's, one of another size, none."""
    old, new = sorted((old, new))
    for tree in (OURS, FORK):
        for proof in ((), consistency_path(*sorted((path_of, new)), tree.hashes()), (EMPTY_ROOT,) * 4):
            with pytest.raises(ProofInvalid):
                verify_conflict(LogConflict(text(OURS, old), text(OURS, new), proof), KEYS)


def test_a_signed_root_of_the_empty_tree_that_it_does_not_have_is_a_conflict() -> None:
    rootless = signed(Checkpoint(ORIGIN, 0, OURS.root()))
    wrong = write_note(rootless)
    right = write_note(signed(Checkpoint(ORIGIN, 0, EMPTY_ROOT)))
    assert "empty" in verify_conflict(against(OURS, rootless), KEYS)
    assert "empty" in verify_conflict(LogConflict(right, wrong, ()), KEYS)
    assert "empty" in verify_conflict(LogConflict(wrong, wrong, ()), KEYS)
    with pytest.raises(ProofInvalid):
        verify_conflict(LogConflict(right, right, ()), KEYS)


def test_nobody_convicts_a_log_of_what_it_has_not_signed() -> None:
    stranger = Signer(ORIGIN, LOG, "stranger")
    forged = write_note(signed(FORK.checkpoint(), log=stranger))
    with pytest.raises(ProofInvalid):
        verify_conflict(LogConflict(forged, text(OURS), ()), KEYS)
    with pytest.raises(ProofInvalid):
        verify_conflict(LogConflict(text(OURS), forged, ()), KEYS)


def test_heads_of_two_logs_are_no_conflict() -> None:
    other = Signer("another.example/log", LOG)
    theirs = write_note(signed(FORK.checkpoint(origin="another.example/log"), log=other))
    both = [LOG_KEY.verifier, other.verifier]
    with pytest.raises(ProofInvalid):
        verify_conflict(LogConflict(theirs, text(OURS), ()), both)


def test_a_spoilt_path_shows_nothing() -> None:
    conflict = against(OURS, signed(FORK.checkpoint(200)))
    for at, one in enumerate(conflict.proof):
        wrong = (*conflict.proof[:at], bytes([one[0] ^ 1]) + one[1:], *conflict.proof[at + 1 :])
        with pytest.raises(ProofInvalid):
            verify_conflict(replace(conflict, proof=wrong), KEYS)
    for wrong in ((), conflict.proof[1:], conflict.proof[:-1], (*conflict.proof, EMPTY_ROOT)):
        with pytest.raises(ProofInvalid):
            verify_conflict(replace(conflict, proof=wrong), KEYS)
    with pytest.raises(ProofInvalid):
        verify_conflict(LogConflict(conflict.second, conflict.first, conflict.proof), KEYS)
    with pytest.raises(ProofInvalid):
        verify_conflict(LogConflict(text(OURS, 300), text(FORK, 300), (EMPTY_ROOT,)), KEYS)
