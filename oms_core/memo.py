"""Remembering what was computed from a large frozen document, by its identity: hashing it would cost more."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

D = TypeVar("D")
R = TypeVar("R")


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
