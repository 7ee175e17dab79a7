"""`oms workspace`: read a workspace before trusting it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click

from oms.cli.shared import call
from oms_core.chains.evm import to_checksum
from oms_core.encoding import decode
from oms_core.errors import LocalError, Reason
from oms_core.policy.rules import Rule
from oms_core.workspace import Workspace, workspace_digest
from oms_core.workspace.check import check_workspace


@click.group("workspace")
def group() -> None:
    """The people, cosigners, addresses and rules that decide."""


@group.command()
@click.option("--file", "path", type=click.Path(path_type=Path), help="A workspace file, instead of the coordinator's.")
@click.pass_context
def show(context: click.Context, path: Path | None) -> None:
    """Print a workspace in words, with the digest that cosigners pin."""
    if path is None:
        read = call(context, lambda client, _: client.workspace())
    else:
        try:
            read = decode(Workspace, path.read_bytes(), 4 << 20)
        except OSError:
            raise LocalError(f"cannot read {path.name}", Reason.CONFIG_INVALID) from None
    check_workspace(read)
    click.echo("\n".join(_lines(read)))


def _lines(read: Workspace) -> list[str]:
    lines = [f"{read.name} version {read.version}", f"digest {workspace_digest(read).hex()}", "people"]
    for user in read.users:
        keys = f"{len(user.credentials)} FIDO2, {len(user.proposal_keys)} proposal"
        lines.append(f"  {user.user_id:12} {user.name:20} {user.team:12} {', '.join(user.roles):20} {keys}")
    lines.append("cosigners")
    lines += [
        f"  {m.index}  {m.name:12} {m.operator:12} {m.team:10} {m.site:12} {m.identity.hex()[:20]}…"
        for m in read.roster
    ]
    lines.append("address book")
    lines += [f"  {e.entry_id:14} {to_checksum(e.address)}  {e.chain}  {e.label}" for e in read.address_book]
    lines.append("rules")
    lines += [f"  {_sentence(rule)}" for rule in read.rules]
    return lines


def _sentence(rule: Rule) -> str:
    shown = []
    for field in fields(rule):
        value = getattr(rule, field.name)
        if field.name == "rule_id":
            continue
        if isinstance(value, tuple):
            value = ", ".join(to_checksum(v) if isinstance(v, bytes) else str(v) for v in value) or "none"
        shown.append(f"{field.name.replace('_', ' ')} {value}")
    return f"{type(rule).__name__.upper():8} {rule.rule_id}: {'; '.join(shown)}"
