"""Signed notes, checkpoints and cosignatures: the texts that a log and its witnesses sign.

C2SP signed-note, tlog-checkpoint and tlog-cosignature (Ed25519), as the log uses them: no extension lines, keys whose
name is the log's origin. Nothing here signs; whoever holds a key signs `log_message` or `cosignature_message`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from oms_core.errors import Malformed, ProofInvalid, Reason
from oms_core.log.lines import base64, has_controls, read_back, read_base64, read_hash, read_number, read_text
from oms_core.log.tree import HASH, MAX_SIZE

LOG = 0x01
WITNESS = 0x04
LIMIT = 16 * 1024
MAX_SIGNATURES = 32

_DASH = "— "
_SIGNATURE = 64
_P = 2**255 - 19
_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
# The y-coordinates of points of small order: under such a key anybody can make signatures that verify.
_SMALL_ORDER = {0, 1, _P - 1, _ORDER_8, _P - _ORDER_8}


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public Ed25519 key of 32 bytes, its name, and what it signs: `LOG` checkpoints or `WITNESS` cosignatures."""

    name: str
    key: bytes
    kind: int

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.kind not in (LOG, WITNESS):
            raise Malformed(f"signatures of kind {self.kind:#x} are not known here", Reason.UNSUPPORTED_TYPE)
        if len(self.key) != 32:
            raise Malformed("an Ed25519 key has 32 bytes")
        y = int.from_bytes(self.key, "little") & (1 << 255) - 1
        if y >= _P or y in _SMALL_ORDER:
            raise Malformed("the key is a point of small order, or not in its one form")

    @property
    def key_id(self) -> bytes:
        """The four bytes by which signature lines name the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key).digest()[:4]

    def vkey(self) -> str:
        """The key as text: name, id, kind and key."""
        return f"{self.name}+{self.key_id.hex()}+{base64(bytes([self.kind]) + self.key)}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read what `vkey` writes. Raises `Malformed`."""
        parts = read_text(text, LIMIT).split("+", 2)
        if len(parts) != 3:
            raise Malformed("a key's text has a name, an id and a key")
        data = read_base64(parts[2], "key")
        if not data:
            raise Malformed("a key's text has a kind and a key")
        found = cls(parts[0], data[1:], data[0])
        if found.key_id.hex() != parts[1]:
            raise Malformed("the id in a key's text is another key's")
        return found

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raises `ProofInvalid` if this key has not signed the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise ProofInvalid(f"{self.name} has not signed this", Reason.SIGNATURE_INVALID) from None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head of a log: how many entries the tree has, and its root."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or has_controls(self.origin):
            raise Malformed("a checkpoint's origin is one line of text")
        if not 0 <= self.size < MAX_SIZE or len(self.root) != HASH:
            raise Malformed("a checkpoint has a size below 2**63 and a root of 32 bytes")

    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. ``data`` is a signature of 64 bytes, with 8 bytes of time before it if a witness's."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> str:
        """The line with its newline."""
        return f"{_DASH}{self.name} {base64(self.key_id + self.data)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends with a newline, and signatures of it. Nothing here is verified yet."""

    body: str
    signatures: tuple[Signature, ...]

    def by(self, verifier: Verifier) -> list[Signature]:
        """The lines that name this key."""
        return [one for one in self.signatures if (one.name, one.key_id) == (verifier.name, verifier.key_id)]


def read_note(text: str | bytes, limit: int = LIMIT) -> Note:
    """Read a note. Raises `Malformed`, `TOO_LARGE` above ``limit`` bytes or 32 signatures."""
    whole = read_text(text, limit)
    split = whole.rfind("\n\n")
    if split < 0:
        raise Malformed("a note has an empty line before its signatures")
    return Note(whole[: split + 1], read_signatures(whole[split + 2 :], limit))


def read_signatures(text: str | bytes, limit: int = LIMIT) -> tuple[Signature, ...]:
    """Read one or more signature lines, such as a witness answers with. Raises `Malformed`."""
    lines = read_text(text, limit).split("\n")
    if len(lines) < 2 or lines.pop() != "":
        raise Malformed("signature lines end with a newline")
    if len(lines) > MAX_SIGNATURES:
        raise Malformed(f"more than {MAX_SIGNATURES} signatures", Reason.TOO_LARGE)
    return tuple(_read_signature(line) for line in lines)


def write_note(note: Note) -> str:
    """The note's text, as `read_note` reads it. Raises `Malformed` for what it would not read."""
    return read_back(f"{note.body}\n{''.join(one.line() for one in note.signatures)}", note, read_note)


def read_checkpoint(body: str) -> Checkpoint:
    """Read a note's body as a checkpoint of exactly three lines. Raises `Malformed`."""
    lines = read_text(body, LIMIT).split("\n")
    if len(lines) != 4 or lines[3] != "":
        raise Malformed("a checkpoint has three lines")
    return Checkpoint(lines[0], read_number(lines[1], "tree's size"), read_hash(lines[2], "root"))


def log_message(body: str) -> bytes:
    """What a log's key signs for this checkpoint. Raises `Malformed` if it is none: the key signs nothing else."""
    read_checkpoint(body)
    return body.encode()


def log_signature(verifier: Verifier, signature: bytes) -> Signature:
    """The line for an Ed25519 signature of `log_message`."""
    return _line(verifier, LOG, b"", signature)


def cosignature_message(body: str, at: int) -> bytes:
    """What a witness's key signs for this checkpoint at a time in Unix seconds. Raises `Malformed`."""
    read_checkpoint(body)
    _check_time(at)
    return f"cosignature/v1\ntime {at}\n{body}".encode()


def cosignature(verifier: Verifier, at: int, signature: bytes) -> Signature:
    """The line for an Ed25519 signature of `cosignature_message` of this time."""
    _check_time(at)
    return _line(verifier, WITNESS, at.to_bytes(8, "big"), signature)


def verify_log(note: Note, *log: Verifier) -> Checkpoint:
    """The checkpoint, if one of the log's keys has signed it; a key vouches for the origin that is its name.

    Raises `ProofInvalid` if none has, or if a line that names one of these keys does not verify; `Malformed`.
    """
    checkpoint = read_checkpoint(note.body)
    message = log_message(note.body)
    signed = False
    for verifier in log:
        if verifier.kind != LOG or verifier.name != checkpoint.origin:
            continue
        for one in note.by(verifier):
            verifier.verify(one.data, message)
            signed = True
    if not signed:
        raise ProofInvalid("no key of this log has signed the checkpoint", Reason.SIGNATURE_INVALID)
    return checkpoint


def cosignatures(note: Note, witnesses: Sequence[Verifier], until: int | None = None) -> dict[str, int]:
    """Which witnesses have cosigned, by name, and when (Unix seconds); the log's own signature is not looked at.

    A key that is listed under two names counts once, under the first; a name with two keys counts once; of several
    times, the latest counts. With ``until``, cosignatures of a later time do not count.
    Raises `ProofInvalid` if a line that names one of these keys does not verify; `Malformed` if this is no checkpoint.
    """
    read_checkpoint(note.body)
    found: dict[str, int] = {}
    counted: set[bytes] = set()
    for verifier in witnesses:
        times = [_verified_time(note, verifier, one) for one in note.by(verifier) if verifier.kind == WITNESS]
        times = [at for at in times if until is None or at <= until]
        if times and verifier.key not in counted:
            counted.add(verifier.key)
            found[verifier.name] = max(*times, found.get(verifier.name, 0))
    return found


def with_signatures(note: Note, more: Iterable[Signature]) -> Note:
    """The note with these lines too, each once."""
    return Note(note.body, tuple(dict.fromkeys((*note.signatures, *more))))


def _verified_time(note: Note, verifier: Verifier, line: Signature) -> int:
    at = int.from_bytes(line.data[:8], "big")
    if len(line.data) != 8 + _SIGNATURE or not 0 < at < MAX_SIZE:
        raise ProofInvalid(f"{verifier.name} has not cosigned this", Reason.SIGNATURE_INVALID)
    verifier.verify(line.data[8:], cosignature_message(note.body, at))
    return at


def _line(verifier: Verifier, kind: int, before: bytes, signature: bytes) -> Signature:
    if verifier.kind != kind or len(signature) != _SIGNATURE:
        raise Malformed("the signature or its key is of another kind")
    return Signature(verifier.name, verifier.key_id, before + signature)


def _read_signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise Malformed("a signature line has a dash, a name and a signature")
    _check_name(name)
    data = read_base64(encoded, "signature")
    if len(data) < 5:
        raise Malformed("a signature line has a key's id and a signature")
    return Signature(name, data[:4], data[4:])


def _check_name(name: str) -> None:
    if not name or has_controls(name) or any(one.isspace() or one == "+" for one in name):
        raise Malformed("a key's name is text without spaces and plus signs")


def _check_time(at: int) -> None:
    if not 0 < at < MAX_SIZE:
        raise Malformed("a cosignature's time is in Unix seconds, above 0 and below 2**63")
