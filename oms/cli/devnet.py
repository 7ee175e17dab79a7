"""`oms devnet`: a whole network on this machine."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import click

from oms.devnet.network import Network, how_to_use
from oms.devnet.processes import stop_recorded
from oms_core.errors import LocalError, Reason

_ROOT = click.option("--root", type=click.Path(path_type=Path), default=".devnet", show_default=True)


@click.group("devnet")
def group() -> None:
    """Five cosigners, a coordinator and a chain as processes on loopback."""


@group.command()
@_ROOT
@click.option("--level", type=click.Choice(["L112", "L128"]), default="L112", show_default=True)
def up(root: Path, level: str) -> None:
    """Hold a ceremony in a fresh folder and start everything."""
    if root.exists():
        raise LocalError(f"{root} exists; `oms devnet down` stops and removes it", Reason.CONFIG_INVALID)
    root.mkdir(mode=0o700)
    network = Network(root.resolve(), level=level, keep=True)
    network.prepare(lambda line: click.echo(f"  {line}"))
    network.start()
    try:
        asyncio.run(network.attached(range(1, network.count + 1), 60))
    except BaseException:
        network.stop()
        raise
    click.echo("\n".join(how_to_use(root)))


@group.command()
@_ROOT
@click.option("--keep-files", is_flag=True)
def down(root: Path, keep_files: bool) -> None:
    """Stop everything and remove the folder."""
    count = stop_recorded(root / "logs")
    if not keep_files:
        shutil.rmtree(root, ignore_errors=True)
    click.echo(f"stopped {count} processes")


@group.command()
@click.option("--keep", is_flag=True, help="Leave the network running.")
def demo(keep: bool) -> None:
    """The whole story in one run."""
    from oms.devnet.demo import main

    main(keep)
