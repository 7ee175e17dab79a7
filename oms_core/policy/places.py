"""A call's decoded arguments by where they stand, put in order once for however many tests ask for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from oms_core.chains.operations import Argument

_INDEX = re.compile(r"\[(?:[0-9]+|\*)\]")


class Places:
    """Values by their place, and by its shape: the same with ``[*]`` for each index."""

    def __init__(self, arguments: Iterable[Argument]) -> None:
        self._at: dict[str, list[int | str]] = {}
        self._alike: dict[str, list[Argument]] = {}
        for one in arguments:
            self._at.setdefault(one.place, []).append(one.value)
            if "[" in one.place:
                self._alike.setdefault(_shape(one.place), []).append(one)

    def find(self, place: str) -> tuple[int | str, ...]:
        """What stands at a place, or with ``[*]``, which is any one index, at all that fit; nothing if none does."""
        if "[*]" not in place:
            return tuple(self._at.get(place, ()))
        alike = self._alike.get(shape := _shape(place), [])
        if place != shape:  # some indices are given
            fits = re.compile(re.escape(place).replace(re.escape("[*]"), r"\[[0-9]+\]"))
            alike = [one for one in alike if fits.fullmatch(one.place)]
        return tuple(one.value for one in alike)


def _shape(place: str) -> str:
    return _INDEX.sub("[*]", place)
