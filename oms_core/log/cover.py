"""What a note of the log is worth to whoever relies on it: how many witnesses stand behind it, and since when.

An order is signed under a head that covers its entry. With full cosignatures there is no other history beside this one;
with fewer, but an honest one among them, there may be as many as `share` of them side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from oms_core.errors import Malformed, ProofInvalid, Reason, Refused
from oms_core.log.note import Note, Verifier, cosignatures, verify_log
from oms_core.log.quorum import degraded, full, share, vouched_at


class Mode(StrEnum):
    """What is signed: all that is allowed; with limits divided, and exact approvals only; nothing."""

    FULL = "FULL"
    DEGRADED = "DEGRADED"
    STOPPED = "STOPPED"


def mode_of(count: int, n: int) -> Mode:
    """What cosignatures of ``count`` of ``n`` witnesses are enough for."""
    return Mode.FULL if count >= full(n) else Mode.DEGRADED if count >= degraded(n) else Mode.STOPPED


@dataclass(frozen=True, slots=True)
class Cover:
    """A head that enough witnesses have cosigned. ``count``: how many; ``share``: by what limits over time are divided.

    ``vouched_at`` (Unix seconds): at this time or later an honest witness saw this as the newest head.
    """

    size: int
    root: bytes
    count: int
    share: int
    vouched_at: int

    @property
    def full(self) -> bool:
        """Whether there can be no other history beside this one."""
        return self.share == 1

    @property
    def mode(self) -> Mode:
        """FULL or DEGRADED."""
        return Mode.FULL if self.full else Mode.DEGRADED


def cover(note: Note, log: Verifier, witnesses: Mapping[int, Verifier], until: int) -> Cover:
    """What the note is worth, of cosignatures up to ``until`` (Unix seconds); later ones do not count.

    Raises `Refused` (NOT_LOGGED) if the log has not signed it, if a cosignature is forged, or if so few have cosigned
    that all of them may lie.
    """
    try:
        checkpoint, times = verify_log(note, log), cosignatures(note, tuple(witnesses.values()), until)
    except (ProofInvalid, Malformed) as error:
        raise Refused(f"not a head of the log: {error.message}", Reason.NOT_LOGGED) from error
    n, count = len(witnesses), len(times)
    mode = mode_of(count, n)
    if mode is Mode.STOPPED:
        text = f"{count} witnesses have cosigned this head of the log, and {degraded(n)} are needed"
        raise Refused(text, Reason.NOT_LOGGED)
    divided = 1 if mode is Mode.FULL else share(n)
    return Cover(checkpoint.size, checkpoint.root, count, divided, vouched_at(times.values(), n))


def check_covers(found: Cover, index: int, now: int, fresh_for: int) -> None:
    """The head holds the entry, and is at most ``fresh_for`` seconds old. Raises `Refused`: NOT_LOGGED, LOG_STALE."""
    if index >= found.size:
        text = f"entry {index} is not in the log of {found.size} entries that was cosigned"
        raise Refused(text, Reason.NOT_LOGGED)
    if found.vouched_at < now - fresh_for:
        text = f"the witnesses' newest word on the log is {now - found.vouched_at} seconds old"
        raise Refused(text, Reason.LOG_STALE)


def check_window(full_at: int, now: int, degraded_window: int) -> None:
    """Full cosignatures have been seen within the window (seconds). Raises `Refused` (LOG_STALE).

    Whoever is shown less for longer may have been left behind: with too few, nobody could tell.
    """
    if full_at < now - degraded_window:
        since = f"for {now - full_at} seconds" if full_at else "ever"
        text = f"this node has not seen the log with full cosignatures {since}; see `cosigner trust-log`"
        raise Refused(text, Reason.LOG_STALE)


def check_clock(remembered: int, now: int, skew: int) -> None:
    """The clock has not gone behind what this node has itself seen (Unix seconds). Raises `Refused` (LOG_STALE)."""
    if now < remembered - skew:
        text = f"this node's clock is {remembered - now} seconds behind what it has seen of the log"
        raise Refused(text, Reason.LOG_STALE)
