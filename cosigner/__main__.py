"""The operator's commands: set up a node, look at it, run its two processes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cosigner import logs
from cosigner.commands_log import COMMANDS
from cosigner.config import Config, load
from cosigner.frames import read_frame, write_frame
from oms_core.backup import Label
from oms_core.chains.intent import Proposal, subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, LocalError, NotFound, Reason
from oms_core.evidence import ReadRequest, SignedRefusal
from oms_core.words import in_words
from oms_core.workspace import Workspace, workspace_digest
from oms_core.workspace.check import check_workspace
from proto import cosigner_pb2 as pb


@click.group()
@click.option("--config", "path", type=click.Path(path_type=Path), default=Path("cosigner.toml"), show_default=True)
@click.pass_context
def cli(context: click.Context, path: Path) -> None:
    """One cosigner: it holds a share of each key and decides for itself."""
    context.obj = path


@cli.command("init-token")
@click.pass_obj
def init_token(path: Path) -> None:
    """Make the HSM token with its two keys; prints the node's card for the key ceremony."""
    from cosigner.hsm import initialise

    config = load(path)
    click.echo(initialise(config.hsm, config.index).text(), nl=False)


@cli.command("card")
@click.pass_obj
def show_card(path: Path) -> None:
    """Print the node's card: index and public keys."""
    from cosigner.hsm import Token

    config = load(path)
    token = Token(config.hsm, config.index)
    click.echo(token.card.text(), nl=False)
    token.close()


@cli.command()
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option("--digest", required=True, help="The digest, in hex, as agreed at the ceremony.")
@click.pass_obj
def pin(path: Path, workspace: Path, digest: str) -> None:
    """Pin the version of the workspace that this node begins with, once and for good.

    That is version 0 at the key ceremony, and the current one for a node that joins later; the digest is agreed upon.
    """
    from cosigner.hsm import Token
    from cosigner.store import open_store
    from cosigner.vault import Vault

    config = load(path)
    read = decode(Workspace, _read(workspace), 4 << 20)
    check_workspace(read)
    if workspace_digest(read).hex() != digest.lower():
        raise LocalError("the file is not the workspace of that digest", Reason.POLICY_VERSION_MISMATCH)
    token = Token(config.hsm, config.index)
    own = [member for member in read.roster if member.index == config.index]
    if not own or (own[0].identity, own[0].witness) != (token.public, token.witness):
        raise LocalError("the workspace's roster does not hold this node's keys", Reason.PEER_IDENTITY)
    Vault(open_store(config.store), token).pin_workspace(read)
    click.echo(f"pinned workspace {read.name} version {read.version} {digest.lower()}")
    token.close()


@cli.command()
@click.pass_obj
def enclave(path: Path) -> None:
    """Run the enclave: no network, holds the shares."""
    from cosigner.enclave import Enclave, check_socket_directory, harden

    config = load(path)
    harden()
    logs.configure("enclave", config.index)
    check_socket_directory(config.socket)
    made = Enclave(config)
    made.parts.local.start(made.vault.workspace())
    _run(made.serve())


@cli.command()
@click.pass_obj
def gateway(path: Path) -> None:
    """Run the gateway: dials the coordinators, holds no secret."""
    from cosigner.gateway import run

    config = load(path)
    logs.configure("gateway", config.index)
    _run(run(config))


@cli.command()
@click.pass_obj
def status(path: Path) -> None:
    """Ask the running enclave how it is; makes it use its HSM."""
    config = load(path)
    answer = asyncio.run(_ask(config, pb.ToCosigner(id=1, get_status=pb.GetStatus())))
    if answer.WhichOneof("body") == "failed":
        raise LocalError(answer.failed.detail, Reason(answer.failed.reason))
    said = answer.status
    click.echo(f"cosigner {said.index}  HSM {said.hsm}  boot generation {said.boot_generation}")
    click.echo(f"up {said.uptime_seconds} s  open sessions {said.open_sessions}")
    click.echo(f"workspace version {said.version} {said.workspace.hex()}")
    if said.rolled_back:
        click.echo(f"ROLLED BACK: {said.rolled_back}. This node refuses everything; see `cosigner reconcile`")
    if said.halted:
        click.echo(f"HALTED: {said.halted}. This node takes part in nothing; see `cosigner resume`")
    click.echo(f"log {said.log_mode}  {said.log_size} entries {said.log_root.hex()[:16]}  {_full(said.log_full_at)}")
    if said.log_detail:
        click.echo(f"  {said.log_detail}")
    for wallet in said.wallets:
        click.echo(f"wallet {wallet.wallet_id}  {wallet.state}  epoch {wallet.epoch}  key {wallet.key_id.hex()[:16]}")
    for stock in said.stock:
        where = "/".join(["m", *map(str, stock.path)])
        quorum = ", ".join(map(str, stock.quorum))
        kind = f"{stock.wallet_id}  path {where}  with {quorum}"
        click.echo(f"presignatures {kind}: {stock.count}, oldest {stock.oldest_seconds} s")
    for index in said.convicted:
        click.echo(f"CONVICTED: cosigner {index}; nothing is signed with it. See `cosigner convictions`")


@cli.command()
@click.option("--reason", default="", help="Shown to everybody whose orders wait for this node.")
@click.pass_obj
def halt(path: Path, reason: str) -> None:
    """Take part in nothing from now on, until `resume`. A running enclave obeys at once; restarts change nothing."""
    from cosigner.halt import Halt
    from cosigner.store import open_store

    stop = Halt(open_store(load(path).store))
    stop.halt(reason, int(time.time()))
    click.echo(f"halted: {stop.why()}")


@cli.command()
@click.pass_obj
def resume(path: Path) -> None:
    """Take part again after `halt`."""
    from cosigner.halt import Halt
    from cosigner.store import open_store

    click.echo("resumed" if Halt(open_store(load(path).store)).resume() else "this node was not halted")


@cli.command("read")
@click.argument("proposal", type=click.Path(path_type=Path))
@click.pass_obj
def read_proposal(path: Path, proposal: Path) -> None:
    """Show what the running enclave reads in a proposal's file, with the words to compare over the telephone."""
    config, read = load(path), decode(Proposal, _read(proposal), 8 << 20)
    status = asyncio.run(_ask(config, pb.ToCosigner(id=1, get_status=pb.GetStatus()))).status
    request = encode(ReadRequest(read, status.workspace))
    answer = asyncio.run(_ask(config, pb.ToCosigner(id=2, read=pb.Read(request=request))))
    click.echo(in_words(subject_digest(read.subject)))
    match answer.WhichOneof("body"):
        case "reading":
            click.echo("\n".join(f"  {line}" for line in answer.reading.lines))
        case "refused":
            no = decode(SignedRefusal, answer.refused.signed_refusal).refusal
            click.echo(f"  this node would refuse it: {no.reason}: {no.detail}")
        case _:
            raise LocalError(answer.failed.detail, Reason(answer.failed.reason))


@cli.group("recovery-key")
def recovery_key() -> None:
    """The key that this team keeps offline, and to which its backups are sealed."""


@recovery_key.command("new")
@click.argument("file", type=click.Path(path_type=Path))
def new_recovery_key(file: Path) -> None:
    """Make a recovery key: FILE is secret and goes offline, FILE.pub stays with the node."""
    from cosigner import backup

    public = backup.new_recovery_key(file)
    click.echo(
        f"{file.name} is secret: keep it offline, and where its loss would be noticed; {public.name} seals backups"
    )


@cli.command("backup")
@click.option("--to", "to", type=click.Path(path_type=Path), required=True, help="The new file.")
@click.option("--recovery", type=click.Path(path_type=Path), required=True, help="The recovery key's FILE.pub.")
@click.option("--wallet", default="", help="The wallet's id; may be left out if there is one only.")
@click.pass_obj
def make_backup(path: Path, to: Path, recovery: Path, wallet: str) -> None:
    """Write a backup of a wallet's share, sealed to the recovery key. The enclave may run."""
    from cosigner import backup

    with backup.open_node(_hardened(path), running=True) as node:
        label = backup.back_up(node, wallet, recovery, to)
    click.echo(f"{to.name}: {_told(label)}")


@cli.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--recovery-key", "secret", type=click.Path(path_type=Path), required=True, help="The secret file.")
@click.option("--signer", default="", help="Identity key, in hex, of the lost token that signed the backup.")
@click.option("--dry-run", is_flag=True, help="Check everything, change nothing.")
@click.pass_obj
def restore_backup(path: Path, file: Path, secret: Path, signer: str, dry_run: bool) -> None:
    """Put the share of a backup back into this node. The enclave must not run."""
    from cosigner import backup

    try:
        expected = bytes.fromhex(signer)
    except ValueError:
        raise LocalError("--signer is an identity key in hex", Reason.CONFIG_INVALID) from None
    with backup.open_node(_hardened(path)) as node:
        data, key = backup.read_file(file), backup.read_recovery_secret(secret)
        label = backup.restore(node, data, key, expected, dry_run)
    click.echo(f"{'would restore' if dry_run else 'restored'} {_told(label)}")


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reconcile(path: Path, yes: bool) -> None:
    """Say that this copy of the node is the one to go on with, after it was found rolled back."""
    from cosigner import backup

    with backup.open_node(_hardened(path)) as node:
        seen = node.boots.suspicion()
        if not seen:
            click.echo("nothing shows that this node is not its newest copy; there is nothing to reconcile")
            return
        click.echo(backup.MEANING.format(seen=seen))
        for clear in node.vault.all_keys():
            click.echo(f"  wallet {clear.wallet_id}  {clear.state}  epoch {clear.epoch}")
        if not yes:
            click.confirm("Is this copy the one to go on with, and does no other one run?", abort=True)
        click.echo(f"reconciled: boot generation {node.boots.reconcile(int(time.time()))}")


@cli.command("convictions")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write the evidence to, one file a peer.")
@click.pass_obj
def show_convictions(path: Path, out: Path | None) -> None:
    """List the peers that this node holds proof against."""
    from cosigner import backup
    from cosigner.convictions import Convictions

    with backup.open_node(load(path), running=True) as node:
        found = Convictions(node.store, node.token)
        for index in found.convicted():
            evidence = found.evidence(index) or b""
            versions = [node.vault.workspace(), *reversed(list(node.vault.older().values()))]
            click.echo(f"cosigner {index}  {backup.told_of(evidence, versions)}")
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                file = out / f"cosigner-{index}.evidence"
                backup.write_new(file, evidence)
                click.echo(f"  {len(evidence)} bytes of evidence in {file.name}")
        if not found.convicted():
            click.echo("no peer is convicted here")


@cli.command()
@click.argument("index", type=int)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def pardon(path: Path, index: int, yes: bool) -> None:
    """Let a convicted peer take part again. Its evidence is forgotten here: write it out before."""
    from cosigner import backup
    from cosigner.convictions import Convictions

    with backup.open_node(load(path), running=True) as node:
        found = Convictions(node.store, node.token)
        if index not in found.convicted():
            raise NotFound(f"cosigner {index} is not convicted here", Reason.UNKNOWN_USER)
        if not yes:
            click.echo("The proof that it lied is then gone from this node; `cosigner convictions --out DIR` keeps it.")
            click.confirm(f"Let cosigner {index} take part again?", abort=True)
        found.pardon(index)
    click.echo(f"cosigner {index} may take part again")


@cli.command()
@click.argument("backups", nargs=-1, required=True, metavar="BACKUP:RECOVERY_KEY...")
@click.option("--out", type=click.Path(path_type=Path), help="New file for the record of the drill.")
def drill(backups: tuple[str, ...], out: Path | None) -> None:
    """Prove that backups of a quorum sign, each opened in a process of its own; nothing of it is left behind."""
    from cosigner import backup
    from cosigner.drill import drill_backups

    pairs = [pair.rpartition(":") for pair in backups]
    if any(not colon or not file or not secret for file, colon, secret in pairs):
        raise LocalError("each backup is named as BACKUP:RECOVERY_KEY", Reason.CONFIG_INVALID)
    if out is not None and out.exists():
        raise LocalError(f"{out.name} exists already", Reason.CONFIG_INVALID)
    record = drill_backups([(Path(file), Path(secret)) for file, _, secret in pairs], click.echo)
    if out is not None:
        backup.write_new(out, encode(record))
        click.echo(f"record of the drill in {out.name}")


for command in COMMANDS:
    cli.add_command(command)


def _hardened(path: Path) -> Config:
    from cosigner.enclave import harden

    harden()
    return load(path)


def _told(label: Label) -> str:
    epoch = label.epoch
    made = datetime.fromtimestamp(label.made_at, UTC).isoformat(timespec="seconds")
    what = f"wallet {label.wallet_id}  {label.state}  epoch {epoch.epoch}  key {epoch.key_id.hex()[:16]}"
    return f"{what}  share {label.index} of {epoch.threshold}-of-{len(epoch.parties)}  made {made}"


def _full(at: int) -> str:
    return f"full cosignatures {int(time.time()) - at} s ago" if at else "no full cosignatures seen"


async def _ask(config: Config, request: pb.ToCosigner) -> pb.FromCosigner:
    try:
        reader, writer = await asyncio.open_unix_connection(str(config.socket))
    except OSError:
        raise LocalError("the enclave does not run", Reason.PEER_UNREACHABLE) from None
    try:
        await read_frame(reader, pb.FromCosigner, 64 * 1024)
        await write_frame(writer, request)
        return await asyncio.wait_for(read_frame(reader, pb.FromCosigner, config.max_message_bytes), 10)
    except (EOFError, TimeoutError):
        raise LocalError("the enclave does not answer", Reason.PEER_UNREACHABLE) from None
    finally:
        writer.close()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {path.name}: {error.strerror}", Reason.CONFIG_INVALID) from None


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run until done or told to stop; SIGTERM and SIGINT end cleanly."""

    async def until_told() -> None:
        task, told = asyncio.ensure_future(work), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        stop = asyncio.create_task(told.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        stop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(until_told())


def main() -> None:
    """Entry point: an expected failure is one line, REASON: text, and exit code 2."""
    try:
        cli(standalone_mode=True)
    except CountersealError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
