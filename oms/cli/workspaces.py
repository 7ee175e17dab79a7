"""`oms workspace`: read a workspace before trusting it."""

from __future__ import annotations

from pathlib import Path

import click

from oms.cli.shared import call
from oms_core.chains.evm import to_checksum
from oms_core.encoding import decode
from oms_core.errors import LocalError, Reason
from oms_core.policy.text import rules_to_yaml
from oms_core.policy.units import usd
from oms_core.workspace import Workspace, workspace_digest
from oms_core.workspace.change import unsatisfiable
from oms_core.workspace.check import check_workspace
from oms_core.workspace.words import governance_words


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
        keys = f"{sum(not key.revoked for key in user.credentials)} FIDO2, {len(user.proposal_keys)} proposal"
        state = "" if user.enabled else "  DISABLED"
        lines.append(f"  {user.user_id:12} {user.name:20} {user.team:14} {', '.join(user.roles):26} {keys}{state}")
    lines.append("roles")
    lines += [f"  {role.role:20} {', '.join(role.may)}; wallets {', '.join(role.wallets)}" for role in read.roles]
    lines += [f"  never together: {pair.first} and {pair.second} ({pair.why})" for pair in read.incompatible]
    lines.append("groups")
    lines += [f"  {group.group_id:12} {', '.join(group.members)}" for group in read.groups]
    lines.append("cosigners")
    lines += [
        f"  {m.index}  {m.name:12} {m.operator:12} {m.team:10} {m.site:12} {m.identity.hex()[:20]}…"
        for m in read.roster
    ]
    return lines + _registry(read) + _rules(read)


def _registry(read: Workspace) -> list[str]:
    lines = ["assets"]
    lines += [f"  {one.symbol:8} {one.asset}  {one.decimals} decimals, {_price(one.usd_micro)}" for one in read.assets]
    lines.append("address book")
    lines += [f"  {e.entry_id:14} {to_checksum(e.address)}  {e.chain}  {e.state}  {e.label}" for e in read.address_book]
    lines.append("contracts")
    for entry in read.contracts:
        lines.append(f"  {entry.entry_id:14} {to_checksum(entry.address)}  {entry.chain}  {entry.state}  {entry.label}")
        lines += [f"    {method}" for method in entry.methods]
    return lines


def _rules(read: Workspace) -> list[str]:
    lines = ["governance"]
    lines += [f"  {governance_words(one)}" for one in read.governance]
    lines.append(f"  {read.refusals_block_at} refusals of cosigners end an order")
    lines.append("rules")
    lines += [f"  {line}" for line in rules_to_yaml(read.rules, read.assets).splitlines()]
    return lines + [f"WARNING: {unmet.words}" for unmet in unsatisfiable(read)]


def _price(usd_micro: int) -> str:
    return usd(usd_micro) if usd_micro else "no price"
