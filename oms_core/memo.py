"""Remembering what was found last: by a key, or by the identity of a large frozen document, which costs to hash."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Generic, TypeVar

D = TypeVar("D")
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


def by_identity(size: int) -> Callable[[Callable[[D], R]], Callable[[D], R]]:
    """Keep a pure function's results for the ``size`` documents that were asked about last.

    The documents are kept with them, so that no other one can come to have the identity of one that is remembered.
    """

    def decorate(function: Callable[[D], R]) -> Callable[[D], R]:
        held: OrderedDict[int, tuple[D, R]] = OrderedDict()

        @wraps(function)
        def remembered(document: D) -> R:
            known = held.get(id(document))
            if known is None or known[0] is not document:
                known = (document, function(document))
                held[id(document)] = known
                while len(held) > size:
                    held.popitem(last=False)
            return known[1]

        return remembered

    return decorate
