"""The rounds in which nodes are asked for cosignatures, and what they have cosigned so far."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field

from oms_core.log.note import Note, Signature, read_checkpoint, with_signatures, write_note
from oms_core.log.quorum import vouched_at

KEPT = 64  # heads
LATE = 1.0  # seconds that a round waits for those that have not answered


@dataclass(slots=True)
class Head:
    """A head of the log under the log's signatures, and each node's newest line with its time (Unix seconds)."""

    bare: Note
    size: int
    root: bytes
    lines: dict[int, tuple[Signature, int]] = field(default_factory=dict)

    def note(self) -> bytes:
        """The head with all its cosignatures."""
        return write_note(with_signatures(self.bare, (line for line, _ in self.lines.values()))).encode()

    def vouched(self, n: int) -> int:
        """The time at or after which an honest node saw it; 0 if too few have cosigned."""
        return vouched_at((at for _, at in self.lines.values()), n)


@dataclass(frozen=True, slots=True)
class Round:
    """One asking of all nodes for their cosignatures of a head: the newest there was ``asked_at`` (0: not known)."""

    number: int
    head: Head
    began: float
    asked_at: int

    @property
    def size(self) -> int:
        """The head's."""
        return self.head.size

    @property
    def bare(self) -> Note:
        """The head under the log's own signatures alone."""
        return self.head.bare


class Rounds:
    """Which round is under way, and who has answered in it."""

    def __init__(self) -> None:
        self.number = 0
        self.there: set[int] = set()
        """Who may be waited for."""
        self.cosigned: dict[int, float] = {}
        """When each node last cosigned the head of a round in time, by our monotonic clock."""
        self._current: Round | None = None
        self._answered: dict[int, int] = {}  # node: the newest round that it has answered
        self._heads: OrderedDict[int, Head] = OrderedDict()
        self._told = 0

    @property
    def current(self) -> Round:
        """The round under way; there is one once `begin` was called."""
        assert self._current is not None
        return self._current

    def begin(self, bare: Note, size: int, asked_at: int = 0) -> None:
        """A new round: for a new head, or once more for the same."""
        if size not in self._heads:
            self._heads[size] = Head(bare, size, read_checkpoint(bare.body).root)
            while len(self._heads) > KEPT:
                self._heads.popitem(last=False)
        self.number += 1
        self._current = Round(self.number, self._heads[size], time.monotonic(), asked_at)

    def age(self) -> float:
        """Seconds since the round began."""
        return time.monotonic() - self._current.began if self._current else float("inf")

    def over(self) -> bool:
        """Whether nobody is to be waited for any more."""
        return self._current is None or self.age() > LATE or all(not self.lacks(index) for index in self.there)

    def lacks(self, index: int) -> bool:
        """Whether this node has still to be asked, or to answer, in this round."""
        return self._current is not None and self._answered.get(index, 0) < self.number

    def add(self, index: int, target: Round, line: Signature, at: int, prompt: float) -> None:
        """A verified cosignature. Who takes longer than ``prompt`` seconds is not counted on: his comes too late."""
        target.head.lines[index] = (line, at)
        self._answered[index] = max(target.number, self._answered.get(index, 0))
        if (now := time.monotonic()) - target.began <= prompt:
            self.cosigned[index] = now

    def failed(self, index: int, target: Round) -> None:
        """It does not cosign in this round."""
        self._answered[index] = max(target.number, self._answered.get(index, 0))

    def take_done(self) -> Head | None:
        """The head of the round, once, when it is over."""
        if self._current is None or self._told >= self.number or not self.over():
            return None
        self._told = self.number
        return self._current.head

    def heads(self, index: int) -> list[Head]:
        """Heads with an entry in them, newest first."""
        return [one for size, one in reversed(self._heads.items()) if size > index]

    def newest(self) -> Head | None:
        """The head of the newest round that anybody has cosigned; the newest there is, if nobody has."""
        cosigned = [one for one in self.heads(-1) if one.lines]
        return cosigned[0] if cosigned else self._current.head if self._current else None
