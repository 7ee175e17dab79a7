"""What a person who verifies trusts: the workspace, or its digest, as it was agreed at the ceremony."""

from __future__ import annotations

from pathlib import Path

import click

from oms.cli.shared import settings
from oms_core.encoding import decode
from oms_core.errors import LocalError, Malformed, Reason
from oms_core.history import WORKSPACE_LIMIT
from oms_core.workspace import Workspace, workspace_digest

WORKSPACE = click.option(
    "--workspace", "pinned", type=click.Path(path_type=Path), help="The workspace as agreed, unless it is configured."
)
DIGEST = click.option("--digest", default="", help="Its digest in hex.")


def agreed(context: click.Context, pinned: Path | None, digest: str) -> tuple[bytes, Workspace | None]:
    """The digest that was agreed, and the workspace if its file is at hand. Raises `LocalError`, `Malformed`."""
    workspace: Workspace | None = None
    if pinned is not None:
        workspace = decode(Workspace, read_file(pinned), WORKSPACE_LIMIT)
    elif not digest:
        workspace = settings(context).pinned()
    if digest:
        trusted = read_hash(digest, "--digest")
        if workspace is not None and workspace_digest(workspace) != trusted:
            raise LocalError("the file is not the workspace of that digest", Reason.POLICY_VERSION_MISMATCH)
        return trusted, workspace
    if workspace is None:
        raise LocalError("name what was agreed at the ceremony: --workspace or --digest", Reason.CONFIG_INVALID)
    return workspace_digest(workspace), workspace


def agreed_workspace(context: click.Context, pinned: Path | None) -> Workspace:
    """The workspace itself. Raises as `agreed`."""
    workspace = agreed(context, pinned, "")[1]
    assert workspace is not None
    return workspace


def read_hash(text: str, option: str) -> bytes:
    """32 bytes in hex. Raises `Malformed`."""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != 32:
        raise Malformed(f"{option} has 32 bytes in hex")
    return data


def read_file(path: Path) -> bytes:
    """A file's content. Raises `LocalError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {path.name}: {error.strerror}", Reason.CONFIG_INVALID) from None
