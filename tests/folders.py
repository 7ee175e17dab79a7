"""Folders that last as long as the process does: what tests share stays there, and goes with the run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

_made: list[Path] = []


def lasting(prefix: str) -> Path:
    """A new one."""
    _made.append(Path(tempfile.mkdtemp(prefix=prefix)))
    return _made[-1]


def remove() -> None:
    """All of them."""
    while _made:
        shutil.rmtree(_made.pop(), ignore_errors=True)
