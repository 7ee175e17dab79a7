"""What a figure looks like."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number: its name, what it counts, its value, and under which conditions."""

    name: str
    unit: str
    value: float
    conditions: dict[str, object] = field(default_factory=dict)

    def line(self) -> str:
        """One JSON object."""
        return json.dumps({"figure": self.name, "value": round(self.value, 3), "unit": self.unit, **self.conditions})


@contextmanager
def peak() -> Iterator[list[float]]:
    """By how many MiB this process's memory grew at most, in the list's one place."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, found = _memory("VmRSS"), [0.0]
    yield found
    found[0] = _memory("VmHWM") - before


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def show(figures: Iterable[Figure]) -> None:
    """Print figures as they are measured."""
    for figure in figures:
        print(figure.line(), flush=True)


def command(figures: Callable[[int], Iterable[Figure]], entries: int) -> click.Command:
    """A group's figures, of a log of so many entries."""
    option = click.Option(["--entries"], default=entries, show_default=True)
    return click.Command(None, callback=lambda entries: show(figures(entries)), params=[option])
