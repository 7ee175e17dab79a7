"""The operator's commands: set up a node, look at it, run its two processes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from cosigner import logs
from cosigner.config import Config, load
from cosigner.frames import read_frame, write_frame
from oms_core.encoding import decode
from oms_core.errors import CountersealError, LocalError, Reason
from oms_core.workspace import Workspace, check_workspace, workspace_digest
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
    from cosigner.hsm import card, initialise

    config = load(path)
    click.echo(card(config.index, initialise(config.hsm, config.index)), nl=False)


@cli.command("card")
@click.pass_obj
def show_card(path: Path) -> None:
    """Print the node's card: index and identity key."""
    from cosigner.hsm import Token, card

    config = load(path)
    token = Token(config.hsm, config.index)
    click.echo(card(config.index, token.public), nl=False)
    token.close()


@cli.command()
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option("--digest", required=True, help="The digest, in hex, as agreed at the ceremony.")
@click.pass_obj
def pin(path: Path, workspace: Path, digest: str) -> None:
    """Pin version 0 of the workspace, once and for good."""
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
    if not own or own[0].identity != token.public:
        raise LocalError("the workspace's roster does not hold this node's identity key", Reason.PEER_IDENTITY)
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
    made.vault.workspace()
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
    click.echo(f"up {said.uptime_seconds} s  open sessions {said.open_sessions}  workspace {said.workspace.hex()[:16]}")
    for wallet in said.wallets:
        click.echo(f"wallet {wallet.wallet_id}  {wallet.state}  epoch {wallet.epoch}  key {wallet.key_id.hex()[:16]}")


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
