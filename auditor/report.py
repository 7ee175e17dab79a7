"""What was verified, in words: claims in the order in which they are read, and the first that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from oms_core.errors import CountersealError, ProofInvalid, Reason


@dataclass(frozen=True, slots=True)
class Report:
    """What has been verified about ``subject``; ``size`` is of the tree under the checkpoint, ``cosigners`` its own."""

    subject: str
    size: int
    cosigners: tuple[int, ...]
    claims: tuple[str, ...]

    def lines(self) -> list[str]:
        """What has been verified, in words."""
        return [*(f"ok  {words}" for words in self.claims), f"VERIFIED {self.subject}"]


class Claims:
    """Claims as they come to hold, one after the other."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @contextmanager
    def claim(self, words: str) -> Iterator[None]:
        """What is checked inside stands for these words. Raises `ProofInvalid` with them if any of it fails."""
        try:
            yield
        except CountersealError as error:
            raise ProofInvalid(f"does not hold: {words}: {error.message}", error.reason) from error
        self.words.append(words)

    def add(self, words: str) -> None:
        """Something that follows from what was verified."""
        self.words.append(words)


def must(holds: bool, otherwise: str, reason: Reason = Reason.DIGEST_MISMATCH) -> None:
    """Raises `ProofInvalid` with what is the case instead."""
    if not holds:
        raise ProofInvalid(otherwise, reason)


def when(at: int) -> str:
    """A time (Unix seconds) as people read it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: int) -> str:
    """The same as machines read it (RFC 3339)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def numbers(found: tuple[int, ...]) -> str:
    """Cosigners, as they are listed."""
    return ", ".join(map(str, found)) or "none"
