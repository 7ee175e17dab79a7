"""`oms inbox`, `approve`, `deny`, `authenticator`: what waits for a person, and her decision."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click

from oms.authenticator import SoftwareAuthenticator
from oms.cli.shared import Settings, call
from oms.client import Client, Waiting
from oms_core.approvals import Verdict
from oms_core.authorize import expected_claim
from oms_core.chains.intent import CreateWallet, subject_digest
from oms_core.chains.render import Rendering, render, rendering_digest
from oms_core.errors import NotFound, Reason, Refused
from oms_core.readings import agreement, readings_needed
from oms_core.words import in_words
from oms_core.workspace import Workspace, member

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
        click.echo("\n".join(lines))
    if not waiting:
        click.echo("nothing waits")


@click.command()
@click.argument("approver")
@click.argument("subject_id")
@_KEY
@click.option("--despite-difference", "despite", is_flag=True, help="Press even if cosigners read something else.")
@click.pass_context
def approve(context: click.Context, approver: str, subject_id: str, key: Path, despite: bool) -> None:
    """Approve an order or a wallet, if the cosigners' signed readings agree with what is shown here."""
    decide(context, approver, subject_id, key, Verdict.APPROVE, "", despite)


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
    context: click.Context, approver: str, subject_id: str, key: Path, verdict: Verdict, comment: str, despite: bool
) -> None:
    """Show what waits, make the claim here, and hand the press of the key in."""
    authenticator = SoftwareAuthenticator(key)

    async def work(client: Client, read: Settings) -> str:
        one = next((one for one in await client.inbox(approver) if one.subject_id == subject_id), None)
        if one is None:
            raise NotFound(f"{subject_id} does not wait for {approver}", Reason.UNKNOWN_TRANSACTION)
        workspace = await client.workspace()
        click.echo("\n".join(prompt(one, workspace)), err=True)
        if verdict is Verdict.APPROVE and not despite:
            check_readings(one, workspace)
        # What is signed is made here, from the document that was read; the coordinator's claim only has to match.
        said = one.claim
        own = expected_claim(one.subject, workspace, approver, Verdict.APPROVE, said.decided_at, said.expires_at)
        if own != said:
            raise Refused("the coordinator asks to sign something else than it shows", Reason.CHALLENGE_MISMATCH)
        approval = authenticator.approve(replace(own, verdict=verdict, decided_at=int(time.time())), read.origin)
        return await client.decide(subject_id, approval, comment)

    click.echo(f"{subject_id} is {call(context, work)}")


def prompt(one: Waiting, workspace: Workspace) -> list[str]:
    """What a person reads before she presses, all of it made here: words, sentences, and who reads it how."""
    lines = [f"{one.subject_id}  {in_words(subject_digest(one.subject))}"]
    lines += [f"  {line}" for line in render(one.subject, workspace).lines]
    found = agreement(one.subject, workspace, [reading.signed_reading for reading in one.readings])
    lines.append(f"  {len(found.same)} of {len(workspace.roster)} cosigners read this the same way")
    sentences = {reading.index: reading.lines for reading in one.readings}
    for other in found.different:
        name = member(workspace, other.index).name
        lines.append(f"  cosigner {other.index} {name} reads it DIFFERENTLY: {other.rendering.hex()[:16]}")
        if rendering_digest(Rendering(tuple(sentences[other.index]))) == other.rendering:
            lines += [f"    {line}" for line in sentences[other.index]]
    if found.invalid:
        lines.append(f"  {found.invalid} readings are not what a cosigner signed about this")
    for no in one.refusals:
        lines.append(f"  cosigner {no.index} {no.name} would REFUSE it: {no.reason}: {no.detail}")
    return lines


def check_readings(one: Waiting, workspace: Workspace) -> None:
    """Raises `Refused` if a cosigner reads something else than is shown here, or too few have said what they read."""
    found = agreement(one.subject, workspace, [reading.signed_reading for reading in one.readings])
    if not found.unanimous:
        raise Refused("not all cosigners read what you read; see --despite-difference", Reason.READINGS_DIFFER)
    threshold = one.subject.threshold if isinstance(one.subject, CreateWallet) else 0
    if len(found.same) < (needed := readings_needed(workspace, threshold)):
        text = f"{len(found.same)} of at least {needed} cosigners have said what they read; see --despite-difference"
        raise Refused(text, Reason.READINGS_MISSING)
