"""Where the tools for rules have their workspaces, past orders and conditions from; and how they print."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from oms.cli.shared import call
from oms.client import Client
from oms_core.analysis.backtest import PastOrder, from_lines
from oms_core.chains.evm import parse_address
from oms_core.chains.intent import CreateWallet, Intent, Proposal
from oms_core.encoding import decode
from oms_core.errors import LocalError, Malformed, Reason
from oms_core.keys import ChangeKey
from oms_core.policy.rules import Zone
from oms_core.policy.text import rules_from_yaml
from oms_core.policy.tree import Items, read_tree
from oms_core.workspace import AddressEntry, Asset, ContractEntry, Workspace
from oms_core.workspace.text import workspace_from_mapping, workspace_from_yaml
from proto import oms_pb2 as pb

PAGE = 200  # orders
LIMIT = 4 << 20  # bytes
FILE = click.option(
    "--file", "path", type=click.Path(path_type=Path),
    help="A workspace (document, YAML or TOML), or rules alone (YAML), instead of the coordinator's.",
)  # fmt: skip
_LATEST = 253_402_300_799  # the last second of the year 9999
AT = click.option("--at", type=click.IntRange(0, _LATEST), help="Unix second at which to decide; now, if left out.")


def clock(at: int | None) -> int:
    """The time that is meant."""
    return int(time.time()) if at is None else at


def workspace_of(context: click.Context, path: Path | None) -> Workspace:
    """The workspace in a file, or the coordinator's; rules alone stand in the coordinator's."""
    if path is not None and not _rules_alone(path):
        return _read(path)
    current = call(context, lambda client, _: client.workspace())
    return current if path is None else with_rules(current, path)


def draft_of(path: Path, current: Workspace) -> Workspace:
    """The draft in a file: a whole workspace, or rules that take the place of the current ones."""
    return with_rules(current, path) if _rules_alone(path) else _read(path)


def with_rules(current: Workspace, path: Path) -> Workspace:
    """The same workspace with the rules of a file."""
    return replace(current, rules=rules_from_yaml(_text(path), current.assets, zones_of(current)))


def zones_of(workspace: Workspace) -> tuple[Zone, ...]:
    """The zones that its rules name already, so that others may name them."""
    named = [rule.during.zone for rule in workspace.rules if rule.during]
    named += [cap.zone for rule in workspace.rules for cap in rule.caps if cap.zone]
    return tuple({zone.name: zone for zone in named}.values())


def _rules_alone(path: Path) -> bool:
    return path.suffix in {".yaml", ".yml"} and isinstance(read_tree(_text(path)), Items)


def _read(path: Path) -> Workspace:
    if path.suffix in {".yaml", ".yml"}:
        return workspace_from_yaml(_text(path))
    if path.suffix == ".toml":
        try:
            return workspace_from_mapping(tomllib.loads(_text(path)))
        except tomllib.TOMLDecodeError as error:
            raise Malformed(f"{path.name}: {error}") from None
    try:
        return decode(Workspace, path.read_bytes(), LIMIT)
    except OSError:
        raise LocalError(f"cannot read {path.name}", Reason.CONFIG_INVALID) from None


def text_of(path: Path) -> str:
    """A file's text. Raises `LocalError`."""
    return _text(path)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise LocalError(f"cannot read {path.name}", Reason.CONFIG_INVALID) from None


def past_of(context: click.Context, path: Path | None, most: int) -> list[PastOrder]:
    """Past orders of a file, one a line; or the coordinator's, the newest ``most``."""
    if path is not None:
        return list(from_lines(_text(path).splitlines()))

    async def work(client: Client, _: object) -> list[PastOrder]:
        found: list[PastOrder] = []
        before = ""
        while len(found) < most:
            page = await client.transactions("", min(PAGE, most - len(found)), before)
            found += [past_order(tx) for tx in page]
            if len(page) < PAGE:
                break
            before = page[-1].transaction_id
        return found[:most]

    return call(context, work)


def past_order(tx: pb.Transaction) -> PastOrder:
    """An order as the coordinator kept it: decided when it was submitted, counted if it was signed."""
    subject = decode(Proposal, tx.proposal).subject
    if not isinstance(subject, Intent | CreateWallet | ChangeKey):
        raise Malformed(f"{tx.transaction_id} is not about orders or keys")
    at = int(tx.stages[0].at) if tx.stages else subject.valid_from
    return PastOrder(tx.transaction_id, subject, at, (), bool(tx.hash))


def asset_of(workspace: Workspace, symbol: str) -> Asset:
    """A registered asset by symbol or CAIP-19 name. Raises `Malformed`."""
    found = [one for one in workspace.assets if symbol in {one.symbol, one.asset}]
    if len(found) != 1:
        raise Malformed(
            f"{symbol[:60]!r} is {'no registered asset' if not found else 'several assets: name one in full'}"
        )
    return found[0]


def account_of(workspace: Workspace, chain: str, text: str) -> bytes:
    """An EIP-55 address, or ``entry:ID`` of the address book or the registry. Raises `Malformed`."""
    if not text.startswith("entry:"):
        return parse_address(text)
    entries: list[AddressEntry | ContractEntry] = [*workspace.address_book, *workspace.contracts]
    for entry in entries:
        if entry.entry_id == text.removeprefix("entry:") and entry.chain == chain:
            return entry.address
    raise Malformed(f"there is no entry {text.removeprefix('entry:')[:60]!r} on {chain}")


def say(context: click.Context, table: dict[str, object], lines: Iterator[str] | list[str]) -> None:
    """Print: as one line of JSON, or as lines."""
    if context.obj[1]:
        click.echo(json.dumps(table))
    else:
        for line in lines:
            click.echo(line)


def columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows of a table, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
