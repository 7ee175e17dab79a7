"""A proof that an entry is in the log, which anybody can check offline with the keys alone (C2SP tlog-proof).

It holds the entry's index, the path to the root, and the checkpoint with the witnesses' lines. The entry itself, or
what it is made from, is kept beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from oms_core.errors import Malformed, Reason
from oms_core.log.lines import base64, read_back, read_base64, read_number, read_path, read_text
from oms_core.log.note import LIMIT, Note, read_checkpoint, read_note, write_note

HEADER = "c2sp.org/tlog-proof@v1"
EXTRA_LIMIT = 64 * 1024
PROOF_LIMIT = LIMIT + 4096 + EXTRA_LIMIT * 4 // 3


@dataclass(frozen=True, slots=True)
class LogProof:
    """Where an entry stands, and under which signed head. ``extra`` is the application's, and nobody has signed it."""

    index: int
    path: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None


def write_proof(proof: LogProof) -> str:
    """The proof's text. Raises `Malformed` for what `read_proof` would not read."""
    extra = [] if proof.extra is None else [f"extra {base64(proof.extra)}"]
    lines = [HEADER, *extra, f"index {proof.index}", *map(base64, proof.path), "", write_note(proof.note)]
    return read_back("\n".join(lines), proof, read_proof)


def read_proof(text: str | bytes) -> LogProof:
    """Read a proof. Nothing is verified yet. Raises `Malformed`."""
    before, empty, note = read_text(text, PROOF_LIMIT).partition("\n\n")
    lines = before.split("\n")
    if not empty or lines.pop(0) != HEADER:
        raise Malformed("not a proof of an entry in a log")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = read_base64(lines.pop(0).removeprefix("extra "), "extra data")
    if not lines or not lines[0].startswith("index "):
        raise Malformed("a proof has an index")
    index = read_number(lines.pop(0).removeprefix("index "), "index")
    if extra is not None and len(extra) > EXTRA_LIMIT:
        raise Malformed(f"more than {EXTRA_LIMIT} bytes of extra data", Reason.TOO_LARGE)
    found = LogProof(index, read_path(lines, "path"), read_note(note), extra)
    read_checkpoint(found.note.body)
    return found
