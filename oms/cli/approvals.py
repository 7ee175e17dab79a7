"""`oms inbox`, `approve`, `deny`, `authenticator`: what waits for a person, and her decision."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import click

from oms.authenticator import SoftwareAuthenticator
from oms.cli.named import Named
from oms.cli.prompts import check_readings, own_claim, prompt
from oms.cli.shared import Settings, call
from oms.client import Client
from oms_core.approvals import Verdict
from oms_core.errors import NotFound, Reason

_KEY = click.option(
    "--key", "key", type=click.Path(path_type=Path), required=True, help="The software authenticator's file."
)


@click.command()
@click.argument("approver")
@click.pass_context
def inbox(context: click.Context, approver: str) -> None:
    """What waits for APPROVER."""

    async def work(client: Client, _: Settings) -> list[list[str]]:
        workspace = await client.workspace()
        return [prompt(one, workspace) for one in await client.inbox(approver)]

    waiting = call(context, work)
    for lines in waiting:
        subject_id, _, check_words = lines[0].partition("  ")
        told = {"subject_id": subject_id, "check_words": check_words, "lines": [line.strip() for line in lines[1:]]}
        click.echo(json.dumps(told) if context.obj[1] else "\n".join(lines))
    if not waiting and not context.obj[1]:
        click.echo("nothing waits")


@click.command()
@click.argument("approver")
@click.argument("subject_id")
@_KEY
@click.option("--despite-difference", "despite", is_flag=True, help="Press even if cosigners read something else.")
@click.option("--other-nonce", is_flag=True, help="The nonce named for this order before is used up on the chain.")
@click.pass_context
def approve(
    context: click.Context, approver: str, subject_id: str, key: Path, despite: bool, other_nonce: bool
) -> None:
    """Approve an order or a wallet, if the cosigners' signed readings agree with what is shown here.

    If you named an exact transaction of this order before, this one has to have the same account nonce.
    """
    decide(context, approver, subject_id, key, Verdict.APPROVE, "", despite, other_nonce)


@click.command()
@click.argument("approver")
@click.argument("subject_id")
@_KEY
@click.option("--because", default="", help="Shown to whoever asked.")
@click.pass_context
def deny(context: click.Context, approver: str, subject_id: str, key: Path, because: str) -> None:
    """Deny an order or a wallet."""
    decide(context, approver, subject_id, key, Verdict.DENY, because, despite=True)


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


def decide(
    context: click.Context,
    approver: str,
    subject_id: str,
    key: Path,
    verdict: Verdict,
    comment: str,
    despite: bool,
    other_nonce: bool = False,
) -> None:
    """Show what waits, make the claim here, and hand the press of the key in."""
    authenticator, named = SoftwareAuthenticator(key), Named(key) if verdict is Verdict.APPROVE else None

    async def work(client: Client, read: Settings) -> str:
        one = next((one for one in await client.inbox(approver) if one.subject_id == subject_id), None)
        if one is None:
            text = (
                f"{subject_id} does not wait for {approver}: see `oms inbox {approver}`, and who has decided what there"
            )
            raise NotFound(text, Reason.UNKNOWN_TRANSACTION)
        workspace = await client.workspace()
        click.echo("\n".join(prompt(one, workspace)), err=True)
        if verdict is Verdict.APPROVE and not despite:
            check_readings(one, workspace, read.pinned())
        own = own_claim(one, workspace, approver)
        if named is not None:
            if not other_nonce:
                named.check(one.subject, one.execution)
            named.note(one.subject, one.execution)
        approval = authenticator.approve(replace(own, verdict=verdict, decided_at=int(time.time())), read.origin)
        return await client.decide(subject_id, approval, comment)

    state = call(context, work)
    if context.obj[1]:
        click.echo(json.dumps({"subject_id": subject_id, "approver": approver, "verdict": verdict, "state": state}))
    else:
        click.echo(decided(subject_id, approver, verdict, state))


def decided(subject_id: str, approver: str, verdict: Verdict, state: str) -> str:
    """That a decision was taken, apart from the state, which follows a moment later."""
    done = "approved" if verdict is Verdict.APPROVE else "denied"
    return f"{approver} has {done} {subject_id}; it was {state} until now, and goes on by itself"
