"""Files that are there whole or not at all, with their final mode from the start."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certs.errors import AlreadyThere, FileTrouble, NoAuthority

PRIVATE, PUBLIC = 0o600, 0o644


def create(path: Path, data: bytes, mode: int) -> None:
    """Write a new file. Raises `AlreadyThere` if there is one of that name, `FileTrouble` if writing fails."""
    _put(path, data, mode, replace=False)


def replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file in place of the one that may be there. Raises `FileTrouble`."""
    _put(path, data, mode, replace=True)


def make_folder(path: Path) -> None:
    """Make a folder that only its owner enters; one that exists is left as it is. Raises `FileTrouble`."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise FileTrouble(f"cannot make the folder {path}: {error.strerror}") from None


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Only one process at a time is inside: two revocations at once would lose one. Raises `NoAuthority`."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        raise NoAuthority(f"there is no folder {directory}; run `certs init` first") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put(path: Path, data: bytes, mode: int, *, replace: bool) -> None:
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike a rename, this fails if the name is taken
        _sync_folder(path.parent)
    except FileExistsError:
        raise AlreadyThere(f"{path} exists and is not overwritten") from None
    except OSError as error:
        raise FileTrouble(f"cannot write {path}: {error.strerror}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _sync_folder(directory: Path) -> None:
    """The name, too, survives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
