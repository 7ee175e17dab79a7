"""What a token remembers, so that a restored disk is noticed: one object; the newer is there before the older goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pkcs11 import Attribute, ObjectClass

from oms_core.errors import LocalError, Reason
from oms_core.log.tree import EMPTY_ROOT, HASH

_LABEL = "counterseal-generation"
_BYTES = 3 * 8 + HASH


class Counters(NamedTuple):
    """How often the node has started, how often it has committed to something, and the log's tree that it follows.

    Each only rises, and the tree only grows: of two objects that a crash has left, the larger one is the newer.
    """

    generation: int
    writes: int
    size: int = 0
    root: bytes = EMPTY_ROOT

    def encoded(self) -> bytes:
        """As the token holds it: 56 bytes."""
        numbers = (self.generation, self.writes, self.size)
        return b"".join(number.to_bytes(8, "big") for number in numbers) + self.root

    @classmethod
    def decoded(cls, data: bytes) -> Counters:
        """What `encoded` writes."""
        generation, writes, size = (int.from_bytes(data[at : at + 8], "big") for at in (0, 8, 16))
        return cls(generation, writes, size, data[24:])

    def raised(self, writes: int, size: int, root: bytes) -> Counters:
        """With so many writes, and this tree, unless they are higher already: threads end in any order.

        Raises `LocalError` (LOG_FORKED) for another tree of the same size.
        """
        if size == self.size and root != self.root:
            raise LocalError(f"the token holds another tree of {size} entries", Reason.LOG_FORKED)
        tree = (size, root) if size > self.size else (self.size, self.root)
        return Counters(self.generation, max(writes, self.writes), *tree)


def held(session: Any) -> list[Any]:
    """The objects that there are: one; two after a crash; none in a token that has lost it."""
    return list(session.get_objects({Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: _LABEL}))


def read(session: Any) -> Counters:
    """The highest. Raises `LocalError` (HSM_KEY_UNSUITABLE) if there are none."""
    values = [value for one in held(session) if len(value := one[Attribute.VALUE] or b"") == _BYTES]
    if not values:
        raise LocalError("the token holds no boot generation", Reason.HSM_KEY_UNSUITABLE)
    return max(Counters.decoded(value) for value in values)


def write(session: Any, to: Counters) -> None:
    """One object more."""
    session.create_object(
        {
            Attribute.CLASS: ObjectClass.DATA,
            Attribute.LABEL: _LABEL,
            Attribute.TOKEN: True,
            Attribute.PRIVATE: True,
            Attribute.VALUE: to.encoded(),
        }
    )


def replace(session: Any, to: Counters, persist: Callable[[], None]) -> None:
    """Write the higher one before the lower one goes: a crash in between leaves both, and the higher counts."""
    older = held(session)
    write(session, to)
    persist()
    for one in older:
        one.destroy()
