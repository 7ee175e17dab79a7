"""Presignatures made beforehand: in this process's memory only, each taken out before it is used, gone after a restart.

There is no file to roll back, so none can be used twice. At most 64 unused ones for each key (rule R20).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from oms_core.errors import NotFound, Reason, Refused
from oms_core.protocol.shares import Presignature

LIMIT = 64
LIFETIME = 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class _Held:
    wallet_id: str
    presignature: Presignature = field(repr=False)
    since: float


@dataclass(frozen=True, slots=True)
class Stock:
    """What the pool holds for one wallet, path and quorum; ``oldest`` in seconds."""

    wallet_id: str
    path: tuple[int, ...]
    quorum: tuple[int, ...]
    count: int
    oldest: int


class Pool:
    """All unused presignatures of this node. Called on the event loop, and by the sessions' threads to put."""

    def __init__(self) -> None:
        self._held: dict[bytes, _Held] = {}
        self._putting = threading.Lock()

    def check_room(self, key_id: bytes) -> None:
        """Raises `Refused` (OVERLOADED) when the key has its 64."""
        self._expire()
        if sum(held.presignature.public.key_id == key_id for held in self._held.copy().values()) >= LIMIT:
            raise Refused(f"{LIMIT} presignatures of this key are unused", Reason.OVERLOADED)

    def put(self, wallet_id: str, presignature: Presignature) -> None:
        """Keep a fresh one. Raises `Refused` (OVERLOADED)."""
        with self._putting:
            self.check_room(presignature.public.key_id)
            self._held[presignature.public.id] = _Held(wallet_id, presignature, time.monotonic())

    def take(self, presignature_id: bytes, key_id: bytes, epoch: int, path: tuple[int, ...]) -> Presignature:
        """Take one out, for good: whatever happens next, it is not there again.

        Raises `NotFound` (PRESIGNATURE_UNKNOWN) if there is none of this id for this key, epoch and path.
        """
        self._expire()
        held = self._held.get(presignature_id)
        if held is None or (held.presignature.public.key_id, held.presignature.public.epoch) != (key_id, epoch):
            raise NotFound("no such presignature is held here", Reason.PRESIGNATURE_UNKNOWN)
        if held.presignature.public.path != path:
            raise NotFound("the presignature is bound to another path", Reason.PRESIGNATURE_UNKNOWN)
        try:
            return self._held.pop(presignature_id).presignature
        except KeyError:
            raise NotFound("the presignature was taken", Reason.PRESIGNATURE_UNKNOWN) from None

    def drop(self, ids: tuple[bytes, ...]) -> None:
        """Forget some that will not be used."""
        for presignature_id in ids:
            self._held.pop(presignature_id, None)

    def drop_key(self, key_id: bytes, below: int | None = None) -> None:
        """Forget all of a key, or those of epochs before ``below``."""
        for presignature_id, held in self._held.copy().items():
            public = held.presignature.public
            if public.key_id == key_id and (below is None or public.epoch < below):
                self._held.pop(presignature_id, None)

    def ids(self) -> tuple[bytes, ...]:
        """All that is held, oldest first."""
        self._expire()
        return tuple(self._held)

    def stock(self) -> list[Stock]:
        """What is held, for whom, and how old."""
        self._expire()
        held = list(self._held.values())
        kinds = Counter((one.wallet_id, one.presignature.public.path, one.presignature.public.quorum) for one in held)
        now = time.monotonic()
        return [
            Stock(*kind, count, int(now - min(one.since for one in held if _kind(one) == kind)))
            for kind, count in sorted(kinds.items())
        ]

    def _expire(self) -> None:
        oldest = time.monotonic() - LIFETIME
        for presignature_id, held in self._held.copy().items():
            if held.since < oldest:
                self._held.pop(presignature_id, None)


def _kind(held: _Held) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    return held.wallet_id, held.presignature.public.path, held.presignature.public.quorum
