"""`coordinator`: serve, check a configuration, and what its operator does with the log."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator import logs
from coordinator.config import load
from coordinator.conflicts import Conflicts
from coordinator.database import open_database
from coordinator.erasing import entry_at, erase
from coordinator.journal import Journal
from coordinator.keybook import KeyBook
from coordinator.log_files import write_files
from coordinator.log_key import log_keys
from coordinator.recovering import recover_log
from coordinator.server import read_workspace, serve
from oms_core.errors import CountersealError
from oms_core.workspace import workspace_digest

T = TypeVar("T")

LIFT = """\
The log's key has signed two histories. This coordinator goes on with the one in its database. That is right only if the
teams have agreed on it, and nobody else has the key any more."""


@click.group()
@click.option("--config", "path", type=click.Path(path_type=Path), default=Path("coordinator.toml"), show_default=True)
@click.pass_context
def cli(context: click.Context, path: Path) -> None:
    """The coordinator: proposes, collects and relays; trusted for liveness alone."""
    context.obj = path


@cli.command("serve")
@click.pass_obj
def run(path: Path) -> None:
    """Serve OMS clients and cosigners until told to stop."""
    config = load(path)
    logs.configure("coordinator", config.executor_id)
    asyncio.run(serve(config))


@cli.command()
@click.pass_obj
def check(path: Path) -> None:
    """Read the configuration and the workspace, and say what they are."""
    config = load(path)
    workspace = read_workspace(config)
    click.echo(f"workspace {workspace.name} version {workspace.version} {workspace_digest(workspace).hex()}")
    click.echo(f"chain {config.chain.id}, {len(workspace.roster)} cosigners, {len(workspace.rules)} rules")


@cli.command()
@click.argument("index", type=int)
@click.pass_obj
def pardon(path: Path, index: int) -> None:
    """Choose a cosigner again that was proven to have lied. Each cosigner's operator has to do the same at home."""
    was = _on_database(path, lambda engine: KeyBook(engine).pardon(index))
    click.echo(f"cosigner {index} {'is pardoned' if was else 'was not in quarantine'}")


@cli.command("log-tiles")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def log_tiles(path: Path, folder: Path) -> None:
    """Write the log, without its records, as files for a web server (C2SP tlog-tiles); only what is new is written."""
    config = load(path)
    origin, (key, *others) = read_workspace(config).log.origin, log_keys(config.log)
    count = _on_database(path, lambda engine: write_files(Journal(engine, key, origin, *others), folder))
    click.echo(f"{count} files written to {folder}")


@cli.command("erase")
@click.argument("index", type=int)
@click.option("--reason", required=True, help="Why; it stands in the log, and is no place for personal data.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase_record(path: Path, index: int, reason: str, yes: bool) -> None:
    """Erase the record of one entry of the log, for good. The tree, and every proof, stays as it is."""
    if not yes:
        entry = _on_database(path, lambda engine: entry_at(engine, index))
        at = datetime.fromtimestamp(entry.at, UTC).isoformat()
        click.echo(f"entry {index} of {at}: {entry.event} {entry.subject}. Who did it, remarks and documents go.")
        click.confirm("Erase them, which nothing undoes but a backup?", abort=True)
    made = _on_database(path, lambda engine: erase(engine, index, reason))
    click.echo(f"the record of entry {index} is erased; entry {made} says so")


@cli.command("log-conflicts")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="New folder for the evidence.")
@click.pass_obj
def log_conflicts(path: Path, out: Path | None) -> None:
    """Show what proves that the log's key has signed two histories, and which of it stops all signing."""

    async def work(engine: AsyncEngine) -> tuple[list[str], list[bytes]]:
        found = Conflicts(engine)
        await found.load()
        return found.open, await found.documents()

    stands, documents = _on_database(path, work)
    click.echo(f"{len(documents)} conflicts are known, {len(stands)} stop all signing here")
    for words in stands:
        click.echo(words)
    if out is not None:
        out.mkdir(parents=True)
        for number, document in enumerate(documents):
            (out / f"{number}.conflict").write_bytes(document)


@cli.command("lift-conflicts")
@click.option("--reason", required=True, help="Why; it stands in the log, and is no place for personal data.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def lift_conflicts(path: Path, reason: str, yes: bool) -> None:
    """Go on although the log has signed two histories. Each cosigner's operator decides that at home, too."""
    click.echo(LIFT)
    if not yes:
        click.confirm("Is that so?", abort=True)
    count = _on_database(path, lambda engine: Conflicts(engine).lift(reason))
    click.echo(f"{count} conflicts are lifted; the evidence stays")


def _on_database(path: Path, work: Callable[[AsyncEngine], Coroutine[Any, Any, T]]) -> T:
    """Do something with the database of a configuration."""

    async def opened() -> T:
        engine = await open_database(load(path).database)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(opened())


@cli.command("recover")
@click.option("--without", multiple=True, type=int, metavar="INDEX", help="Do not wait for this cosigner.")
@click.option("--seconds", default=120.0, show_default=True, help="How long to wait for all the others.")
@click.pass_obj
def recover(path: Path, without: tuple[int, ...], seconds: float) -> None:
    """Take over from the cosigners what the database has lost of the log, before `serve`, after it was put back.

    It waits for all cosigners, since what one of them alone has followed would become a second history.
    """
    config = load(path)
    logs.configure("coordinator", config.executor_id, logging.CRITICAL)
    done = asyncio.run(recover_log(config, frozenset(without), seconds, click.echo))
    if done.first == done.size:
        click.echo(
            f"nothing is missing: no cosigner has followed more than is here; the longest has {done.size} entries"
        )
        return
    click.echo(f"entries {done.first} to {done.size - 1} are back; {done.again} of this database's own follow anew")
    click.echo("other records than those that cosigners keep are lost: remarks, traces, readings, refusals")


def main() -> None:
    """Entry point: an expected failure is one line, REASON: text, and exit code 2."""
    try:
        cli(standalone_mode=True)
    except CountersealError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
