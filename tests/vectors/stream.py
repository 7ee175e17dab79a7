"""The vectors' randomness: a stream that anybody can make again from its label (docs/vectors.md, "The stream").

`seeded` puts a stream in the place of the operating system's generator. Whatever asks for randomness in another way
while it is there raises `Escaped`, so no vector can depend on what its label does not say.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn, TypeVar
from unittest.mock import patch

_DOMAIN = b"counterseal vectors"

Drawn = TypeVar("Drawn", int, bytes)

COVERED = ("randbelow", "token_bytes")
"""What code that the vectors run may ask `secrets` for."""


class Escaped(Exception):
    """Something asked for randomness that is not of the stream."""


class Stream:
    """Draw c of a label is SHAKE256(domain ‖ 00 ‖ label ‖ 00 ‖ c in 8 bytes), as many bytes as are asked for."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.drawn: list[int | bytes] = []
        self._count = 0

    def token_bytes(self, size: int) -> bytes:
        """``size`` bytes."""
        return self._log(self._draw(size))

    def randbelow(self, bound: int) -> int:
        """16 bytes more than the bound has, modulo the bound."""
        bound = int(bound)
        size = (bound.bit_length() + 7) // 8 + 16
        return self._log(int.from_bytes(self._draw(size), "big") % bound)

    def _draw(self, size: int) -> bytes:
        count, self._count = self._count, self._count + 1
        return hashlib.shake_256(b"\0".join((_DOMAIN, self.label.encode(), count.to_bytes(8, "big")))).digest(size)

    def _log(self, value: Drawn) -> Drawn:
        self.drawn.append(value)
        return value


@contextmanager
def seeded(stream: Stream) -> Iterator[Stream]:
    """All randomness of the block comes from ``stream``; whatever goes around it raises `Escaped`."""
    with ExitStack() as stack:
        for name in COVERED:
            stack.enter_context(patch.object(secrets, name, getattr(stream, name)))
        for name in ("choice", "randbits", "token_hex", "token_urlsafe"):
            stack.enter_context(patch.object(secrets, name, _refusing(f"secrets.{name}")))
        for name in ("random", "getrandbits", "randbytes"):
            stack.enter_context(patch.object(random.SystemRandom, name, _refusing(f"SystemRandom.{name}")))
        stack.enter_context(patch.object(random, "_urandom", _refusing("random._urandom")))
        stack.enter_context(patch.object(os, "urandom", _refusing("os.urandom")))
        stack.enter_context(patch.object(os, "getrandom", _refusing("os.getrandom"), create=True))
        yield stream


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise Escaped(f"{name} is not of the stream")

    return refuse
