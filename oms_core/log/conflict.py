"""Two heads of one log that cannot both be true, shown so that anybody can judge who knows the log's keys.

Either they have one size and two roots; or a path leads from the newer root, as signed, to another older root than the
one that is signed. The log's own signatures are the evidence: neither a witness nor a coordinator can make one up.
"""

from __future__ import annotations

from collections.abc import Sequence

from oms_core.encoding import document
from oms_core.errors import ProofInvalid
from oms_core.log.note import Checkpoint, Verifier, read_note, verify_log
from oms_core.log.tree import EMPTY_ROOT, roots_by_consistency


@document("log-conflict/1")
class LogConflict:
    """Two notes that the log has signed, older first, and the `consistency_path` between them; none, if of one size."""

    first: str
    second: str
    proof: tuple[bytes, ...]


def verify_conflict(conflict: LogConflict, log: Sequence[Verifier]) -> str:
    """Words for what the log has done. Raises `ProofInvalid` if this shows nothing, or `Malformed`."""
    older = verify_log(read_note(conflict.first), *log)
    newer = verify_log(read_note(conflict.second), *log)
    if older.origin != newer.origin:
        raise ProofInvalid("the two heads are of two logs")
    if older.size > newer.size:
        raise ProofInvalid("the older head does not stand first")
    if older.size in (0, newer.size):
        return _at_one_size(older, newer, conflict.proof)
    found, leads_to = roots_by_consistency(older.size, newer.size, conflict.proof)
    if leads_to != newer.root:
        raise ProofInvalid("the path does not lead to the newer root")
    if found == older.root:
        raise ProofInvalid("the newer tree begins with the older one")
    return (
        f"the log {older.origin} has signed a head of {older.size} entries with the root {older.root.hex()}, "
        f"and one of {newer.size} entries which begins with another tree, of the root {found.hex()}"
    )


def _at_one_size(older: Checkpoint, newer: Checkpoint, proof: Sequence[bytes]) -> str:
    """Two roots of one tree, or a root of the empty tree that no tree has: no path is needed."""
    if proof:
        raise ProofInvalid("there is nothing to prove by a path")
    if older.size == 0 and (older.root != EMPTY_ROOT or (newer.size == 0 and newer.root != EMPTY_ROOT)):
        return f"the log {older.origin} has signed a root of the empty tree that it does not have"
    if older.size != newer.size or older.root == newer.root:
        raise ProofInvalid("the newer tree begins with the older one")
    return (
        f"the log {older.origin} has signed two heads of {older.size} entries, "
        f"with the roots {older.root.hex()} and {newer.root.hex()}"
    )
