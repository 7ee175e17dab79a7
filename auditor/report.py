"""What was verified, in words: claims in the order in which they are read, and the first that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from oms_core.errors import CountersealError, ProofInvalid, Reason

NOTE = "NOTE:"
SHOWN = 1000  # characters of a line that somebody else may have written


@dataclass(frozen=True, slots=True)
class Report:
    """What has been verified about ``subject``; ``size`` is of the tree under the checkpoint, ``cosigners`` its own."""

    subject: str
    size: int
    cosigners: tuple[int, ...]
    claims: tuple[str, ...]

    def lines(self) -> list[str]:
        """What was shown, what was not, and that nothing failed."""
        said = [words if words.startswith(NOTE) else f"ok  {words}" for words in self.claims]
        return [*said, f"VERIFIED {self.subject}"]


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
            text = f"does not hold: {printable(words)}: {printable(error.message.removeprefix('does not hold: '))}"
            raise ProofInvalid(text, error.reason) from error
        self.add(words)

    def add(self, words: str) -> None:
        """Something that follows from what was verified."""
        self.words.append(printable(words))

    def note(self, words: str) -> None:
        """Something that was not shown, or has to be looked at."""
        self.add(f"{NOTE} {words}")


def must(holds: bool, otherwise: str, reason: Reason = Reason.DIGEST_MISMATCH) -> None:
    """Raises `ProofInvalid` with what is the case instead."""
    if not holds:
        raise ProofInvalid(otherwise, reason)


def when(at: int) -> str:
    """A time (Unix seconds) as people read it."""
    return _written(at, "%Y-%m-%d %H:%M:%S UTC")


def iso(at: int) -> str:
    """The same as machines read it (RFC 3339)."""
    return _written(at, "%Y-%m-%dT%H:%M:%SZ")


def _written(at: int, form: str) -> str:
    """A time beyond the calendar, which a liar may name, by its number."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime(form)
    except (OverflowError, ValueError, OSError):
        return f"second {at}"


def printable(text: str) -> str:
    """A line in which nothing acts upon a terminal, hides, or turns the order of what is read.

    What others wrote may hold control and formatting characters; they are shown by their numbers.
    """
    if not text.isprintable():
        text = "".join(one if one.isprintable() else f"\\u{{{ord(one):x}}}" for one in text[:SHOWN])
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def numbers(found: tuple[int, ...]) -> str:
    """Cosigners, as they are listed."""
    return ", ".join(map(str, found)) or "none"
