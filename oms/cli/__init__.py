"""`oms`: the verbs of the SDK for people and scripts; `--json` prints what machines read."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from oms.cli import (
    amending,
    approvals,
    devnet,
    evidence,
    keys,
    logs,
    network,
    policies,
    proposals,
    transactions,
    wallets,
    workspaces,
)
from oms_core.errors import CountersealError, Reason


@click.group()
@click.option(
    "--config", "path", type=click.Path(path_type=Path), envvar="OMS_CONFIG", default="oms.toml", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@click.pass_context
def cli(context: click.Context, path: Path, as_json: bool) -> None:
    """Propose, approve and follow orders on a Counterseal network."""
    context.obj = (path, as_json)


cli.add_command(wallets.group)
cli.add_command(transactions.transfer)
cli.add_command(transactions.group)
transactions.group.add_command(amending.cancel)
transactions.group.add_command(amending.amend)
cli.add_command(proposals.group)
cli.add_command(approvals.inbox)
cli.add_command(approvals.approve)
cli.add_command(approvals.deny)
cli.add_command(approvals.group)
cli.add_command(network.status)
cli.add_command(workspaces.group)
cli.add_command(policies.group)
cli.add_command(keys.group)
cli.add_command(evidence.group)
cli.add_command(logs.group)
cli.add_command(devnet.group)


def main() -> None:
    """Entry point: an expected failure is one line, REASON: text, and exit code 2."""
    try:
        cli(standalone_mode=True)
    except CountersealError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except OSError as error:  # a file that is to be written, as a rule; what is read says so itself
        click.echo(f"{Reason.CONFIG_INVALID}: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        sys.exit(2)
