"""The proof of one entry (C2SP tlog-proof), with the entry itself as the proof's extra data."""

from __future__ import annotations

from auditor.heads import Vouched, known_lines, verify_head
from auditor.report import must
from oms_core.errors import Malformed
from oms_core.log.entries import Entry, read_entry
from oms_core.log.note import Note, write_note
from oms_core.log.proof import LogProof, read_proof, write_proof
from oms_core.log.tree import leaf_hash, verify_inclusion
from oms_core.workspace import Workspace


def entry_proof(entry: bytes, path: tuple[bytes, ...], note: Note, workspace: Workspace) -> str:
    """The text of a proof that verifies. Raises as `verify_entry_proof`."""
    text = write_proof(LogProof(read_entry(entry).index, path, known_lines(note, workspace), entry))
    verify_entry_proof(text, workspace)
    return text


def verify_entry_proof(text: str | bytes, workspace: Workspace) -> tuple[Entry, Vouched]:
    """The entry that a proof is about, and who vouches for it. Raises `ProofInvalid` or `Malformed`."""
    proof = read_proof(text)
    if proof.extra is None:
        raise Malformed("the proof does not hold its entry")
    entry = read_entry(proof.extra)
    must(entry.index == proof.index, "the entry is of another place than the proof")
    vouched = verify_head(write_note(proof.note), workspace)
    size, root = vouched.checkpoint.size, vouched.checkpoint.root
    verify_inclusion(leaf_hash(proof.extra), proof.index, size, proof.path, root)
    return entry, vouched
