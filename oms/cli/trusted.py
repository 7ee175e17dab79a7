"""What a person who verifies trusts: what the command line names, or else the configured workspace."""

from __future__ import annotations

import json
from pathlib import Path

import click

from auditor import trusted
from auditor.report import NOTE
from oms.cli.shared import settings
from oms_core.workspace import Workspace

WORKSPACE = click.option(
    "--workspace", "pinned", type=click.Path(path_type=Path), help="The workspace as agreed, unless it is configured."
)
DIGEST = click.option("--digest", default="", help="Its digest in hex.")


def agreed(context: click.Context, pinned: Path | None, digest: str) -> tuple[bytes, Workspace | None]:
    """The digest that was agreed, and the workspace if its file is at hand. Raises `LocalError`, `Malformed`."""
    workspace = trusted.read_workspace(pinned) if pinned is not None else None
    if workspace is None and not digest:
        workspace = settings(context).pinned()
    return trusted.agreed(workspace, digest)


def agreed_workspace(context: click.Context, pinned: Path | None) -> Workspace:
    """The workspace itself. Raises as `agreed`."""
    workspace = agreed(context, pinned, "")[1]
    assert workspace is not None
    return workspace


def tell(context: click.Context, lines: list[str]) -> None:
    """Print what a verification came to: its lines, or for machines what is so, what is to be noted, what is wrong."""
    if not context.obj[1]:
        click.echo("\n".join(lines))
        return
    named = {"ok": "ok  ", "notes": f"{NOTE} ", "wrong": "WRONG  ", "verified": "VERIFIED "}
    told = {name: [one.removeprefix(head) for one in lines if one.startswith(head)] for name, head in named.items()}
    click.echo(json.dumps(told | {"verified": "".join(told["verified"])}))
