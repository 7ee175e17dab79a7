"""OpenTimestamps proof files (detached timestamps of format version 1), read and written byte for byte.

A proof is a tree. It begins at the SHA-256 of a file; operations make one message from another; what stands at an end
is an attestation: that this message is in a block's header, or that a calendar promises to see to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from oms_core.chains.keccak import keccak256
from oms_core.errors import Malformed, Reason

T = TypeVar("T")

MAGIC = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94"
VERSION = 1
PENDING = bytes.fromhex("83dfe30d2ef90c8e")
BITCOIN = bytes.fromhex("0588960d73d71901")
ETHEREUM = bytes.fromhex("30fe8087b5c7ead7")

MAX_FILE = 64 * 1024  # bytes
MAX_DEPTH = 256  # operations one after another, as in the reference library
MAX_MESSAGE = 4096  # bytes; of an operation's argument, too
MAX_PAYLOAD = 8192  # bytes
MAX_URI = 1000  # bytes
_URI = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:")
_ATTESTATION, _FORK = 0x00, 0xFF
_TAG = 8  # bytes


class Op(IntEnum):
    """What is done to a message, by its tag. There are others (SHA-1, RIPEMD-160, reverse, hexlify), not used here."""

    SHA256 = 0x08
    KECCAK256 = 0x67
    APPEND = 0xF0
    PREPEND = 0xF1


@dataclass(frozen=True, slots=True)
class Step:
    """An operation; ``argument`` is 1 to 4096 bytes to append or prepend, and empty for a hash."""

    op: Op
    argument: bytes = b""

    def done(self, message: bytes) -> bytes:
        """The next message. Raises `Malformed` if it has more than 4096 bytes."""
        match self.op:
            case Op.SHA256:
                return hashlib.sha256(message).digest()
            case Op.KECCAK256:
                return keccak256(message)
            case Op.APPEND:
                made = message + self.argument
            case Op.PREPEND:
                made = self.argument + message
        if not self.argument or len(made) > MAX_MESSAGE:
            raise Malformed(f"something is added to a message, which has at most {MAX_MESSAGE} bytes")
        return made


@dataclass(frozen=True, slots=True)
class Attestation:
    """A promise about a message: an 8-byte tag, and a payload that is kept whether the tag is known or not."""

    tag: bytes
    payload: bytes

    @property
    def height(self) -> int:
        """The block of a Bitcoin or Ethereum attestation. Raises `Malformed` for others."""
        if self.tag not in (BITCOIN, ETHEREUM):
            raise Malformed("this attestation names no block")
        return _whole(self.payload, _Reader.number)

    @property
    def uri(self) -> str:
        """The calendar of a pending attestation. Raises `Malformed` for others."""
        if self.tag != PENDING:
            raise Malformed("this attestation names no calendar")
        uri = _whole(self.payload, lambda reader: reader.sized(MAX_URI))
        if not _URI.issuperset(uri):
            raise Malformed("a calendar's address has letters, digits and -._/: only")
        return uri.decode()


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What follows from a message, in the order of the file: attestations, and steps with what follows from them."""

    branches: tuple[Attestation | tuple[Step, Timestamp], ...]


@dataclass(frozen=True, slots=True)
class Detached:
    """A proof file: the SHA-256 of the file that is stamped (32 bytes), and what follows from it."""

    digest: bytes
    timestamp: Timestamp


def in_block(height: int) -> Attestation:
    """That a message is the ``transactionsRoot`` of the Ethereum block of this height."""
    return Attestation(ETHEREUM, _number(height))


def read_ots(data: bytes) -> Detached:
    """Read a proof file, checking that every operation can be done.

    Raises `Malformed`: TOO_LARGE, UNSUPPORTED_TYPE for other versions, file hashes and operations, TRAILING_BYTES,
    MALFORMED.
    """
    if len(data) > MAX_FILE:
        raise Malformed(f"a proof file has at most {MAX_FILE} bytes", Reason.TOO_LARGE)
    reader = _Reader(data)
    if reader.take(len(MAGIC)) != MAGIC:
        raise Malformed("not an OpenTimestamps proof")
    if reader.number() != VERSION:
        raise Malformed("a proof file of another version", Reason.UNSUPPORTED_TYPE)
    if reader.byte() != Op.SHA256:
        raise Malformed("a proof about another hash of the file than SHA-256", Reason.UNSUPPORTED_TYPE)
    digest = reader.take(32)
    made = Detached(digest, _read(reader, digest, MAX_DEPTH))
    reader.end()
    return made


def write_ots(proof: Detached) -> bytes:
    """The proof file. Raises `Malformed` for what `read_ots` would not read."""
    data = MAGIC + _number(VERSION) + bytes([Op.SHA256]) + proof.digest + _written(proof.timestamp, MAX_DEPTH)
    read_ots(data)
    return data


def attested(proof: Detached) -> Iterator[tuple[bytes, Attestation]]:
    """All attestations, each with the message that it is about."""
    waiting = [(proof.digest, proof.timestamp)]
    while waiting:
        message, timestamp = waiting.pop()
        for branch in timestamp.branches:
            if isinstance(branch, Attestation):
                yield message, branch
            else:
                waiting.append((branch[0].done(message), branch[1]))


def _read(reader: _Reader, message: bytes, depth: int) -> Timestamp:
    if not depth:
        raise Malformed(f"more than {MAX_DEPTH} operations one after another", Reason.TOO_LARGE)
    branches, more = list[Attestation | tuple[Step, Timestamp]](), True
    while more:
        tag = reader.byte()
        if more := tag == _FORK:
            tag = reader.byte()
        if tag == _ATTESTATION:
            branches.append(_attestation(reader))
            continue
        try:
            op = Op(tag)
        except ValueError:
            raise Malformed(f"operation {tag:#04x} is not known here", Reason.UNSUPPORTED_TYPE) from None
        step = Step(op, reader.sized(MAX_MESSAGE) if op in (Op.APPEND, Op.PREPEND) else b"")
        branches.append((step, _read(reader, step.done(message), depth - 1)))
    return Timestamp(tuple(branches))


def _attestation(reader: _Reader) -> Attestation:
    made = Attestation(reader.take(_TAG), reader.sized(MAX_PAYLOAD))
    if made.tag in (BITCOIN, ETHEREUM):
        _ = made.height
    elif made.tag == PENDING:
        _ = made.uri
    return made


def _written(timestamp: Timestamp, depth: int) -> bytes:
    if not timestamp.branches or not depth:
        raise Malformed(f"a timestamp leads to something, in at most {MAX_DEPTH} operations")
    parts = []
    for branch in timestamp.branches:
        if isinstance(branch, Attestation):
            parts.append(bytes([_ATTESTATION]) + branch.tag + _number(len(branch.payload)) + branch.payload)
            continue
        step, after = branch
        argument = _number(len(step.argument)) + step.argument if step.op in (Op.APPEND, Op.PREPEND) else b""
        parts.append(bytes([step.op]) + argument + _written(after, depth - 1))
    return b"".join(bytes([_FORK]) + part for part in parts[:-1]) + parts[-1]


def _number(value: int) -> bytes:
    """Little-endian groups of seven bits, the high bit set on all but the last."""
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _whole(payload: bytes, read: Callable[[_Reader], T]) -> T:
    reader = _Reader(payload)
    value = read(reader)
    reader.end()
    return value


class _Reader:
    """Bytes from the front to the end. Everything raises `Malformed`."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        if size > len(self._data) - self._at:
            raise Malformed("the proof file is truncated")
        self._at += size
        return self._data[self._at - size : self._at]

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """A number below 2^63 in its shortest form."""
        value = 0
        for shift in range(0, 63, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if shift and not byte:
                    raise Malformed("a number in a proof file is not in its shortest form")
                return value
        raise Malformed("a number in a proof file is too large")

    def sized(self, most: int) -> bytes:
        """Bytes behind their number."""
        size = self.number()
        if size > most:
            raise Malformed(f"{size} bytes in a proof file where at most {most} are allowed", Reason.TOO_LARGE)
        return self.take(size)

    def end(self) -> None:
        """Nothing more."""
        if self._at != len(self._data):
            raise Malformed("something follows in a proof file", Reason.TRAILING_BYTES)
