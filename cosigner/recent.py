"""Remembering what was found last, by a key, in whichever thread it is asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Recent(Generic[K, R]):
    """What was found for the ``size`` keys that were asked about last. May be used from any thread."""

    def __init__(self, size: int) -> None:
        self._size, self._held, self._turn = size, OrderedDict[K, R](), threading.Lock()

    def get(self, key: K, find: Callable[[], R]) -> R:
        """What was found for this key, or is found now. What ``find`` raises comes out, and is not remembered."""
        with self._turn:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        found = find()
        with self._turn:
            self._held[key] = found
            if len(self._held) > self._size:
                self._held.popitem(last=False)
        return found
