"""The operator's commands about the log: what this node has followed, what others were shown, going on after a fork."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from cosigner.config import load
from oms_core.encoding import encode
from oms_core.errors import LocalError, Reason
from oms_core.log.conflict import verify_conflict
from oms_core.log.note import read_note
from oms_core.log.roster import log_verifier

TRUST = """\
From now on this node counts its window for degraded signing anew, and takes entries as they are dated; it has no
other way to know that it is shown the newest log. Ask another team whether their `cosigner head` fits, by
`cosigner compare-head`."""
DESPITE = """\
The log has signed two histories. This node goes on with the one that it has followed, and cosigns no other. That is
right only if the teams have agreed on which one it is. The evidence stays."""


@click.command("head")
@click.pass_obj
def show_head(path: Path) -> None:
    """Print the newest head of the log that this node has followed, as a signed note: for other teams to compare."""
    from cosigner import backup, logbook

    with backup.open_node(load(path), running=True) as node, node.store.begin() as connection:
        note = logbook.followed(connection).note
    if not note:
        raise LocalError("this node has followed nothing of the log yet", Reason.NOT_LOGGED)
    click.echo(note, nl=False)


@click.command("compare-head")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def compare_head(path: Path, file: Path) -> None:
    """Compare a head that another team or an auditor has, or a conflict, with the log that this node has followed.

    If the two do not fit, this node does nothing from now on.
    """
    from cosigner import backup, rumours

    try:
        data = file.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {file.name}: {error.strerror}", Reason.CONFIG_INVALID) from None
    with backup.open_node(load(path), running=True) as node:
        key = log_verifier(node.vault.workspace())
        with node.store.begin() as connection:
            said = rumours.compare(connection, data, key, int(time.time()))
    click.echo(said.words)
    if said.conflict:
        raise LocalError("the log has two histories", Reason.LOG_CONFLICT)


@click.command("log-conflict")
@click.option("--out", type=click.Path(path_type=Path), help="New file for the evidence.")
@click.pass_obj
def show_conflict(path: Path, out: Path | None) -> None:
    """Show the two heads, both signed by the log, for which this node does nothing; anybody can judge the evidence."""
    from cosigner import backup, conflicts

    with backup.open_node(load(path), running=True) as node:
        key = log_verifier(node.vault.workspace())
        with node.store.begin() as connection:
            stands = conflicts.standing(connection)
            found = stands or conflicts.newest(connection)
    if found is None:
        click.echo("no two heads of the log that do not fit are known here")
        return
    click.echo(verify_conflict(found, (key,)))
    click.echo("this node does nothing until `cosigner trust-log`" if stands else "the operator has said to go on")
    for note in (found.first, found.second):
        click.echo(f"\n{read_note(note).body}", nl=False)
    if out is not None:
        backup.write_new(out, encode(found))
        click.echo(f"\nevidence in {out.name}")


@click.command("trust-log")
@click.option("--despite-conflict", is_flag=True, help="Go on although the log has signed two histories.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def trust_log(path: Path, despite_conflict: bool, yes: bool) -> None:
    """Say that the log which this node is shown is the newest one, where it cannot tell. The enclave may run."""
    from cosigner import backup, rumours

    click.echo(DESPITE if despite_conflict else TRUST)
    if not yes:
        click.confirm("Is that so?", abort=True)
    with backup.open_node(load(path), running=True) as node:
        node.boots.check_newest()
        now = int(time.time())
        with node.store.begin() as connection:
            rumours.trust(connection, now, despite_conflict)
        ends = datetime.fromtimestamp(now + node.vault.workspace().log.degraded_window, UTC)
    click.echo(f"trusted; with less than full cosignatures this node goes on until {ends.isoformat()}")


COMMANDS = (show_head, compare_head, show_conflict, trust_log)
