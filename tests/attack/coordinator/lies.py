"""Hostile behaviours: each takes an attempt and makes it one that has to be refused, for a reason that is known.

They are registered by name, in `orders`, `approvals` and `sessions`; several may be applied to one attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from oms_core.errors import Reason
from tests.attack.coordinator.scene import Attempt, Scene

Apply = Callable[[Scene, Attempt], Attempt]


@dataclass(frozen=True)
class Lie:
    """``ids`` are the named attacks that it belongs to; ``reasons`` why a cosigner refuses it.

    ``stolen`` are its reasons where the coordinator holds the desk's proposal key as well, if they are others.
    """

    name: str
    ids: tuple[str, ...]
    apply: Apply
    reasons: frozenset[Reason]
    stolen: frozenset[Reason]

    def tell(self, scene: Scene, attempt: Attempt) -> Attempt:
        """The attempt with this lie in it."""
        told = self.apply(scene, attempt)
        return replace(told, done=(*attempt.done, self.name))

    def expected(self, attempt: Attempt) -> frozenset[Reason]:
        """Why it is refused."""
        return self.stolen if attempt.stolen else self.reasons


LIES: dict[str, Lie] = {}


def lie(*ids: str, reasons: tuple[Reason, ...], stolen: tuple[Reason, ...] = ()) -> Callable[[Apply], Apply]:
    """Register a behaviour under the name of its function."""

    def register(apply: Apply) -> Apply:
        name = apply.__name__.replace("_", " ")
        assert name not in LIES, name
        LIES[name] = Lie(name, ids, apply, frozenset(reasons), frozenset(stolen or reasons))
        return apply

    return register
