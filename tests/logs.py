"""A log in memory with its keys and witnesses, for the tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oms_core.log import note, tiles
from oms_core.log.conflict import LogConflict
from oms_core.log.note import LOG, WITNESS, Checkpoint, Note, Signature, Verifier
from oms_core.log.tree import Hashes, consistency_path, consistency_proof, inclusion_proof, leaf_hash, root
from oms_core.log.witness import AddCheckpoint

ORIGIN = "log.example/counterseal"
NOW = 1_790_000_000


class Signer:
    """A named key that signs what it is given."""

    def __init__(self, name: str, kind: int, seed: str = "") -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256((seed or name).encode()).digest())
        self.verifier = Verifier(name, self.key.public_key().public_bytes_raw(), kind)

    def log_line(self, body: str) -> Signature:
        return note.log_signature(self.verifier, self.key.sign(note.log_message(body)))

    def cosign(self, body: str, at: int = NOW) -> Signature:
        return note.cosignature(self.verifier, at, self.key.sign(note.cosignature_message(body, at)))


class Tree:
    """A tree over stored tiles."""

    def __init__(self, entries: Iterable[bytes] = ()) -> None:
        self.entries: list[bytes] = []
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.append(*entries)

    def append(self, *entries: bytes) -> None:
        leaves = [leaf_hash(entry) for entry in entries]
        self.tiles.update(tiles.new_tiles(len(self.entries), leaves, self.read))
        self.entries.extend(entries)

    def read(self, level: int, index: int) -> bytes:
        return self.tiles[level, index]

    @property
    def size(self) -> int:
        return len(self.entries)

    def hashes(self, size: int | None = None) -> Hashes:
        return tiles.hashes_from(self.read, self.size if size is None else size)

    def root(self, size: int | None = None) -> bytes:
        size = self.size if size is None else size
        return root(size, self.hashes(size))

    def checkpoint(self, size: int | None = None, origin: str = ORIGIN) -> Checkpoint:
        return Checkpoint(origin, self.size if size is None else size, self.root(size))

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        return inclusion_proof(index, self.size if size is None else size, self.hashes())

    def consistency(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        return consistency_proof(old, self.size if new is None else new, self.hashes())


LOG_KEY = Signer(ORIGIN, LOG)
WITNESSES = tuple(Signer(f"witness.example/{number}", WITNESS) for number in range(5))
VERIFIERS = tuple(one.verifier for one in WITNESSES)


def entries(count: int, of: str = "entry") -> list[bytes]:
    """As many different entries."""
    return [f"{of} {number}".encode() for number in range(count)]


def signed(checkpoint: Checkpoint, *witnesses: Signer, at: int = NOW, log: Signer = LOG_KEY) -> Note:
    """The checkpoint, signed by the log and cosigned by these."""
    body = checkpoint.body()
    return Note(body, (log.log_line(body), *(one.cosign(body, at) for one in witnesses)))


def request(tree: Tree, old: int, new: int | None = None) -> AddCheckpoint:
    """What an honest log asks of a witness that stands at ``old``."""
    return AddCheckpoint(old, tree.consistency(old, new), signed(tree.checkpoint(new)))


def against(tree: Tree, foreign: Note, size: int | None = None) -> LogConflict:
    """Another head beside that of this tree, with the path by which whoever has the tree would show a conflict."""
    ours = tree.checkpoint(size)
    path = consistency_path(note.read_checkpoint(foreign.body).size, ours.size, tree.hashes())
    return LogConflict(note.write_note(foreign), note.write_note(signed(ours)), path)
