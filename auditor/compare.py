"""Other heads of the log held against its present one: an older head, a witness's, one from a newspaper.

Whoever has the tree is asked for what shows that an older head is a beginning of it. Two heads of the log that do not
fit are evidence against it, which needs neither witnesses nor the coordinator's word.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from auditor.logs import Answer, Ask, Extends, Items, Path
from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.log.conflict import LogConflict, verify_conflict
from oms_core.log.note import Checkpoint, Verifier, read_note, verify_log
from oms_core.log.tree import EMPTY_ROOT, Frontier, leaf_hash, verify_consistency


@dataclass(frozen=True, slots=True)
class Compared:
    """The other head, words for how it stands to ours, and the evidence if the two do not fit.

    ``ahead`` is a head of more entries than the log shows now: it has lost some, or hides them.
    """

    head: Checkpoint
    words: str
    conflict: LogConflict | None = None
    ahead: bool = False


def compare(ours: str, other: str, log: Verifier) -> Generator[Ask, Answer, Compared]:
    """How another head stands to ours. Raises `ProofInvalid` if either is not the log's, or the tree is not ours."""
    mine, theirs = verify_log(read_note(ours), log), verify_log(read_note(other), log)
    if theirs.size > mine.size:
        text = f"of {theirs.size} entries, and the log shows {mine.size} now: it has lost some, or hides them"
        return Compared(theirs, text, ahead=True)
    if theirs.size in (0, mine.size):
        right = EMPTY_ROOT if theirs.size == 0 else mine.root
        return _judged(ours, other, log, theirs, right, ())
    root = yield from _root(theirs.size)
    proof = yield Extends(theirs.size, mine.size)
    if not isinstance(proof, tuple):
        raise Malformed("without its tree, a log cannot be compared with an older head")
    verify_consistency(theirs.size, root, mine.size, mine.root, proof)
    power = theirs.size.bit_count() == 1
    return _judged(ours, other, log, theirs, root, (root, *proof) if power else proof)


def _judged(ours: str, other: str, log: Verifier, theirs: Checkpoint, root: bytes, path: tuple[bytes, ...]) -> Compared:
    if theirs.root == root:
        return Compared(theirs, f"of {theirs.size} entries: the log begins with it")
    conflict = LogConflict(other, ours, path)
    return Compared(theirs, verify_conflict(conflict, [log]), conflict)


def _root(size: int) -> Generator[Ask, Answer, bytes]:
    """The root of the first entries of the tree that is asked: from its last leaf, and that leaf's path."""
    items = yield Items(size - 1, 1)
    path = yield Path(size - 1, size)
    if not isinstance(items, list) or not items or not isinstance(path, tuple):
        raise Malformed("without its tree, a log cannot be compared with an older head")
    try:
        return Frontier(size - 1, tuple(reversed(path))).append(leaf_hash(items[0].entry)).root()
    except Malformed as error:
        raise ProofInvalid("the path of an entry has not the length of its place", Reason.DIGEST_MISMATCH) from error
