"""`oms inbox`, `approve`, `deny`, `authenticator`: what waits for a person, and her decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from oms.authenticator import SoftwareAuthenticator
from oms.cli.shared import Settings, call
from oms.client import Client
from oms_core.approvals import Verdict
from oms_core.authorize import expected_claim
from oms_core.errors import NotFound, Reason, Refused

_KEY = click.option(
    "--key", "key", type=click.Path(path_type=Path), required=True, help="The software authenticator's file."
)


@click.command()
@click.argument("approver")
@click.pass_context
def inbox(context: click.Context, approver: str) -> None:
    """What waits for APPROVER."""
    waiting = call(context, lambda client, _: client.inbox(approver))
    for one in waiting:
        click.echo("\n".join([one.subject_id, *(f"  {line}" for line in one.lines)]))
    if not waiting:
        click.echo("nothing waits")


@click.command()
@click.argument("approver")
@click.argument("subject_id")
@_KEY
@click.pass_context
def approve(context: click.Context, approver: str, subject_id: str, key: Path) -> None:
    """Approve an order or a wallet."""
    _decide(context, approver, subject_id, key, Verdict.APPROVE, "")


@click.command()
@click.argument("approver")
@click.argument("subject_id")
@_KEY
@click.option("--because", default="", help="Shown to whoever asked.")
@click.pass_context
def deny(context: click.Context, approver: str, subject_id: str, key: Path, because: str) -> None:
    """Deny an order or a wallet."""
    _decide(context, approver, subject_id, key, Verdict.DENY, because)


@click.group("authenticator")
def group() -> None:
    """Software authenticators, for development."""


@group.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--rp-id", default="localhost", show_default=True)
def new(path: Path, rp_id: str) -> None:
    """Make one; prints what a workspace registers."""
    made = SoftwareAuthenticator.create(path, rp_id).credential
    click.echo(f'credential_id = "{made.credential_id.hex()}"')
    click.echo(f'public_key = "{made.public_key.hex()}"')
    click.echo(f'aaguid = "{made.aaguid.hex()}"')


def _decide(context: click.Context, approver: str, subject_id: str, key: Path, verdict: Verdict, comment: str) -> None:
    authenticator = SoftwareAuthenticator(key)

    async def work(client: Client, read: Settings) -> str:
        for one in await client.inbox(approver):
            if one.subject_id != subject_id:
                continue
            # What is signed is made here, from the document that was read; the coordinator's claim only has to match.
            own = expected_claim(one.subject, await client.workspace(), approver, Verdict.APPROVE, one.claim.expires_at)
            if own != one.claim:
                raise Refused("the coordinator asks to sign something else than it shows", Reason.CHALLENGE_MISMATCH)
            approval = authenticator.approve(replace(own, verdict=verdict), read.origin)
            return await client.decide(subject_id, approval, comment)
        raise NotFound(f"{subject_id} does not wait for {approver}", Reason.UNKNOWN_TRANSACTION)

    click.echo(f"{subject_id} is {call(context, work)}")
