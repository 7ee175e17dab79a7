"""`oms workspace propose`, `diff`, `changes`, `change`, `watch`, `approve`, `withdraw`: the way to another version."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from oms.cli.approvals import decide
from oms.cli.shared import Settings, call
from oms.cli.shared import show as print_message
from oms.client import Client
from oms.zones import zones_named
from oms_core.approvals import Verdict
from oms_core.chains.intent import Proposal
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, LocalError, ProofInvalid, Reason
from oms_core.evidence import SignedAdoption, SignedScheduling
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import ChangeWorkspace, Workspace, identities
from oms_core.workspace.check import check_workspace
from oms_core.workspace.drafting import successor
from oms_core.workspace.parts import parts
from oms_core.workspace.sentences import sentences
from oms_core.workspace.text import workspace_from_yaml
from proto import oms_pb2 as pb

_LIMIT = 4 << 20  # bytes
_FILE = click.argument("file", type=click.Path(path_type=Path))


@click.command()
@_FILE
@click.pass_context
def diff(context: click.Context, file: Path) -> None:
    """What FILE would change: read and compared here, whatever the coordinator says of it."""

    async def work(client: Client, _: Settings) -> tuple[Workspace, Workspace]:
        current = await client.workspace()
        return current, _drafted(current, file)

    current, following = call(context, work)
    if parts(current, following):
        click.echo("\n".join(sentences(current, following)))
    else:
        click.echo("nothing changes")


@click.command()
@_FILE
@click.option("--purpose", default="", help="Why; people read it before they approve.")
@click.option("--hours", type=click.IntRange(1, 720), default=72, show_default=True, help="How long people may take.")
@click.option("--confirm-unsatisfiable", is_flag=True, help="Go on although rules or keys can no longer be used.")
@click.option("--yes", is_flag=True, help="Sign without asking; with --json nobody is asked.")
@click.pass_context
def propose(
    context: click.Context, file: Path, purpose: str, hours: int, confirm_unsatisfiable: bool, yes: bool
) -> None:
    """Ask for the next version, as FILE has it: YAML as people write it, or the canonical document."""

    async def work(client: Client, read: Settings) -> tuple[pb.WorkspaceChange, list[str]]:
        current = await client.workspace()
        following = _drafted(current, file)
        lines = list(sentences(current, following))
        if not yes and not context.obj[1]:
            click.echo("\n".join(lines))
            click.confirm("Sign this proposal?", abort=True)
        now = int(time.time())
        wish = ChangeWorkspace(
            change_id=f"chg_{secrets.token_hex(13)}",
            next=following,
            initiator=read.user,
            purpose=purpose,
            valid_from=now,
            valid_until=now + hours * 3600,
        )
        change = await client.propose_workspace(read.signer().propose(wish), confirm_unsatisfiable)
        return change, lines if yes else []

    change, lines = call(context, work)
    _show(context, change, lines)


@click.command()
@click.pass_context
def changes(context: click.Context) -> None:
    """All changes, oldest first."""
    for change in call(context, lambda client, _: client.workspace_changes()):
        _show(context, change, [])


@click.command("change")
@click.argument("change_id")
@click.pass_context
def show_change(context: click.Context, change_id: str) -> None:
    """One change: what it means, who decided what, and what cosigners have signed about it, verified here."""

    async def work(client: Client, _: Settings) -> tuple[pb.WorkspaceChange, list[str]]:
        change = await client.workspace_change(change_id)
        current = await client.workspace()
        return change, [*_told(change.report), *_decided(change), *_signed(change, current)]

    change, lines = call(context, work)
    _show(context, change, lines)


@click.command()
@click.argument("change_id")
@click.pass_context
def watch(context: click.Context, change_id: str) -> None:
    """Follow a change until nothing more is done for it."""

    async def work(client: Client, _: Settings) -> None:
        async for change in client.watch_workspace_change(change_id):
            _show(context, change, [])

    call(context, work)


@click.command()
@click.argument("approver")
@click.argument("change_id")
@click.option("--key", type=click.Path(path_type=Path), required=True, help="The software authenticator's file.")
@click.option("--despite-difference", "despite", is_flag=True, help="Press even if cosigners read something else.")
@click.pass_context
def approve(context: click.Context, approver: str, change_id: str, key: Path, despite: bool) -> None:
    """Approve a change, if the cosigners' signed readings agree with the sentences that are made here."""
    decide(context, approver, change_id, key, Verdict.APPROVE, "", despite)


@click.command()
@click.argument("change_id")
@click.pass_context
def withdraw(context: click.Context, change_id: str) -> None:
    """Go on no further with a change of yours. Once people have approved it, another change alone stops it."""

    async def work(client: Client, read: Settings) -> pb.WorkspaceChange:
        wish = decode(Proposal, (await client.workspace_change(change_id)).proposal, _LIMIT).subject
        assert isinstance(wish, ChangeWorkspace)
        return await client.withdraw_workspace(change_id, read.signer().withdraw(wish))

    _show(context, call(context, work), [])


COMMANDS = (diff, propose, changes, show_change, watch, approve, withdraw)


def _drafted(current: Workspace, file: Path) -> Workspace:
    """The next version from a file. Raises `Malformed` naming the field, `LocalError` for what cannot be read."""
    try:
        data = file.read_bytes()
    except OSError:
        raise LocalError(f"cannot read {file.name}", Reason.CONFIG_INVALID) from None
    text = data.decode(errors="replace") if file.suffix in (".yaml", ".yml") else ""
    now = int(time.time())
    drafted = workspace_from_yaml(text, zones=zones_named(text, now)) if text else decode(Workspace, data, _LIMIT)
    made = successor(current, drafted, now)
    check_workspace(made)
    return made


def _told(report: pb.WorkspaceReport) -> list[str]:
    lines = [f"  {part.direction}: {part.path}: {part.words}" for part in report.parts]
    lines.append(f"  {report.direction}: takes {report.approvals}")
    return lines + [f"  WARNING: {text}" for text in report.unsatisfiable]


def _decided(change: pb.WorkspaceChange) -> list[str]:
    return [
        f"  {one.user_id}: {one.verdict} at {_time(one.at)}, {one.state} {one.reason} {one.comment}".rstrip()
        for one in change.decisions
    ]


def _signed(change: pb.WorkspaceChange, current: Workspace) -> list[str]:
    """What each cosigner has said, if it is under the identity key of the current roster."""
    keys, lines = identities(current), []
    for data in change.schedulings:
        seen = decode(SignedScheduling, data, 4096)
        verdict = _verdict(keys.get(seen.scheduling.index, b""), "scheduling", seen.scheduling, seen.signature)
        lines.append(f"  cosigner {seen.scheduling.index}: seen approved {_time(seen.scheduling.at)}, {verdict}")
    for data in change.adoptions:
        said = decode(SignedAdoption, data, 4096)
        verdict = _verdict(keys.get(said.adoption.index, b""), "adoption", said.adoption, said.signature)
        what = f"version {said.adoption.version} {said.adoption.workspace.hex()[:16]}"
        lines.append(f"  cosigner {said.adoption.index}: stands on {what} since {_time(said.adoption.at)}, {verdict}")
    return lines


def _verdict(public: bytes, domain: str, said: object, signature: bytes) -> str:
    try:
        verify_identity(public, domain, encode(said), signature)
    except (ProofInvalid, CountersealError, ValueError):
        return "SIGNATURE INVALID"
    return "signature verified"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _show(context: click.Context, change: pb.WorkspaceChange, more: list[str]) -> None:
    lines = [f"{change.change_id}  version {change.version}  {change.digest.hex()[:16]}  {change.state}"]
    if change.reason or change.detail:
        lines.append("  " + ": ".join(filter(None, (change.reason, change.detail))))
    print_message(context, change, lines + more)
