"""`oms workspace`: read a workspace before trusting it, and take it to another version."""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from oms.cli.shared import call
from oms.cli.workspace_changes import COMMANDS
from oms_core.chains.evm import to_checksum
from oms_core.encoding import decode, encode
from oms_core.errors import LocalError, Reason
from oms_core.policy.text import rules_to_yaml
from oms_core.policy.units import usd
from oms_core.workspace import Workspace, workspace_digest
from oms_core.workspace.check import check_workspace
from oms_core.workspace.quorums import unsatisfiable
from oms_core.workspace.text import workspace_to_mapping
from oms_core.workspace.words import governance_words


@click.group("workspace")
def group() -> None:
    """The people, cosigners, addresses and rules that decide, and how they change."""


@group.command()
@click.option("--file", "path", type=click.Path(path_type=Path), help="A workspace file, instead of the coordinator's.")
@click.option("--digest", default="", help="An earlier version, by its digest in hex.")
@click.option("--out", type=click.Path(path_type=Path), help="A new file: .yaml to be changed, or canonical.")
@click.pass_context
def show(context: click.Context, path: Path | None, digest: str, out: Path | None) -> None:
    """Print a workspace in words, with the digest that cosigners pin."""
    try:
        wanted = bytes.fromhex(digest)
    except ValueError:
        raise LocalError("--digest is hex", Reason.CONFIG_INVALID) from None
    if path is None:
        read = call(context, lambda client, _: client.workspace(wanted))
    else:
        try:
            read = decode(Workspace, path.read_bytes(), 4 << 20)
        except OSError:
            raise LocalError(f"cannot read {path.name}", Reason.CONFIG_INVALID) from None
    check_workspace(read)
    if wanted and workspace_digest(read) != wanted:
        raise LocalError("that is not the workspace of this digest", Reason.POLICY_VERSION_MISMATCH)
    if out is not None:
        _write(out, read)
    click.echo("\n".join(_lines(read)))


class _Pages(yaml.SafeDumper):
    """Writes texts of several lines, such as the rules, as they are read."""


_Pages.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def _write(out: Path, read: Workspace) -> None:
    try:
        with out.open("xb") as file:
            text = yaml.dump(workspace_to_mapping(read), Dumper=_Pages, sort_keys=False, allow_unicode=True, width=120)
            file.write(text.encode() if out.suffix in (".yaml", ".yml") else encode(read))
    except OSError as error:
        raise LocalError(f"cannot write {out.name}: {error.strerror}", Reason.CONFIG_INVALID) from None


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


for command in COMMANDS:
    group.add_command(command)
