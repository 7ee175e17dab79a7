"""What whoever verifies trusts: the workspace, or its digest, as it was agreed at the ceremony; and files as given."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from oms_core.encoding import decode
from oms_core.errors import LocalError, Malformed, Reason
from oms_core.history import WORKSPACE_LIMIT
from oms_core.workspace import Workspace, workspace_digest

FILE_LIMIT = 64 << 20  # bytes: no evidence is longer


def agreed(workspace: Workspace | None, digest: str) -> tuple[bytes, Workspace | None]:
    """The digest that was agreed, and the workspace if it is at hand. Raises `LocalError`, `Malformed`."""
    if digest:
        trusted = read_hash(digest, "--digest")
        if workspace is not None and workspace_digest(workspace) != trusted:
            raise LocalError("the file is not the workspace of that digest", Reason.POLICY_VERSION_MISMATCH)
        return trusted, workspace
    if workspace is None:
        raise LocalError("name what was agreed at the ceremony: --workspace or --digest", Reason.CONFIG_INVALID)
    return workspace_digest(workspace), workspace


def read_workspace(path: Path) -> Workspace:
    """A workspace's file. Raises `LocalError`, `Malformed`."""
    return decode(Workspace, read_file(path, WORKSPACE_LIMIT), WORKSPACE_LIMIT)


def read_hash(text: str, option: str) -> bytes:
    """32 bytes in hex. Raises `Malformed`."""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != 32:
        raise Malformed(f"{option} has 32 bytes in hex")
    return data


def read_file(path: Path, limit: int = FILE_LIMIT, *, regular: bool = False) -> bytes:
    """A file's content, at most ``limit`` bytes; ``regular``: no pipe or device, which might never end.

    Raises `LocalError` (CONFIG_INVALID) for what cannot be read, `Malformed` (TOO_LARGE).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | (os.O_NONBLOCK if regular else 0))
        with open(descriptor, "rb") as file:
            if regular and not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise LocalError(f"cannot read {path.name}: not a regular file", Reason.CONFIG_INVALID)
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not the name of a file"
        raise LocalError(f"cannot read {path.name}: {why}", Reason.CONFIG_INVALID) from None
    if len(data) > limit:
        raise Malformed(f"{path.name} has more than {limit} bytes", Reason.TOO_LARGE)
    return data
