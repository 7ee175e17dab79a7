"""Settings of the command line, and how it runs and prints."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from oms.client import Client, Tls
from oms.signer import ProposalSigner
from oms_core.encoding import decode
from oms_core.errors import Malformed
from oms_core.settings import invalid, parse, unreadable
from oms_core.workspace import Workspace

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the coordinator is, who I am, and with which keys.

    ``workspace`` is a version of the workspace that I have from the ceremony, or from people whom I trust: more than
    half of its cosigners have to vouch for whatever version the coordinator shows.
    """

    endpoint: str
    user: str
    tls: Tls
    proposal_key: Path | None = None
    proposal_key_id: str = ""
    origin: str = "http://localhost:8080"
    server_name: str = "coordinator.counterseal"
    workspace: Path | None = None

    def signer(self) -> ProposalSigner:
        """My proposal key. Raises `LocalError` if none is configured."""
        if self.proposal_key is None:
            raise invalid("configuration", "proposal_key is missing")
        return ProposalSigner.load(self.proposal_key, self.proposal_key_id)

    def pinned(self) -> Workspace | None:
        """The workspace that I have myself. Raises `LocalError` if the file is none."""
        if self.workspace is None:
            return None
        try:
            return decode(Workspace, self.workspace.read_bytes(), 32 << 20)
        except (OSError, Malformed) as error:
            raise invalid(self.workspace.name, "is not a readable workspace") from error


def settings(context: click.Context) -> Settings:
    """Read the configuration file."""
    path: Path = context.obj[0]
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path.name, error, "name another file by --config or OMS_CONFIG") from error
    return parse(Settings, text, path.name, lambda written: path.parent / Path(written).expanduser())


def call(context: click.Context, work: Callable[[Client, Settings], Awaitable[T]]) -> T:
    """Connect, do the work, disconnect."""
    read = settings(context)

    async def connected() -> T:
        async with Client(read.endpoint, read.tls, read.server_name) as client:
            return await work(client, read)

    return asyncio.run(connected())


def show(context: click.Context, message: Message, lines: list[str]) -> None:
    """Print a message: as JSON on one line, or in these lines."""
    if context.obj[1]:
        click.echo(MessageToJson(message, indent=None, preserving_proto_field_name=True))
    else:
        click.echo("\n".join(lines))
