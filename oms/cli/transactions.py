"""`oms transfer` and `oms tx`: propose a transfer, look at orders, follow one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from oms.cli.shared import Settings, call, show
from oms.cli.wallets import parse_path
from oms.client import Client
from oms_core.chains.evm import NATIVE_DECIMALS
from oms_core.chains.intent import Proposal, subject_digest
from oms_core.encoding import decode
from oms_core.errors import Reason
from oms_core.policy.units import decimal
from oms_core.words import in_words
from proto import oms_pb2 as pb


@click.command()
@click.argument("wallet_id")
@click.argument("to")
@click.argument("amount")
@click.option("--purpose", default="")
@click.option("--request-id", default="", help="The same id again gives the same order.")
@click.option("--hours", type=click.IntRange(1, 720), default=24, show_default=True)
@click.option("--path", default="", help="The account below the wallet's key that pays, as in 0/17.")
@click.option("--yes", is_flag=True, help="Sign without asking; with --json nobody is asked.")
@click.pass_context
def transfer(
    context: click.Context,
    wallet_id: str,
    to: str,
    amount: str,
    purpose: str,
    request_id: str,
    hours: int,
    path: str,
    yes: bool,
) -> None:
    """Propose to send AMOUNT (in whole coins, such as 1.5) to TO (an address, or entry:ID of the address book)."""
    wei = decimal(amount, NATIVE_DECIMALS)

    async def work(client: Client, read: Settings) -> pb.Transaction:
        intent, lines = await client.prepare_transfer(
            wallet_id, to, wei, read.user, purpose, valid_seconds=hours * 3600, path=parse_path(path)
        )
        if not yes and not context.obj[1]:
            click.echo("\n".join(lines))
            click.confirm("Sign this proposal?", abort=True)
        return await client.submit(read.signer().propose(intent), request_id)

    show_transaction(context, call(context, work))


@click.group("tx")
def group() -> None:
    """Orders."""


@group.command("show")
@click.argument("transaction_id")
@click.option("--every", is_flag=True, help="With every rule, also those that do not apply.")
@click.pass_context
def show_one(context: click.Context, transaction_id: str, every: bool) -> None:
    """One order with its way, its rules and its refusals."""
    tx = call(context, lambda client, _: client.transaction(transaction_id))
    show(context, tx, describe(tx, every))


@group.command("list")
@click.option("--wallet", default="")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@click.pass_context
def list_all(context: click.Context, wallet: str, limit: int) -> None:
    """Orders, newest first."""
    for tx in call(context, lambda client, _: client.transactions(wallet, limit)):
        show(context, tx, [f"{tx.transaction_id}  {tx.state:17} {tx.reason:22} {tx.lines[0]}"])


@group.command("proposal")
@click.argument("transaction_id")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.pass_context
def save_proposal(context: click.Context, transaction_id: str, out: Path) -> None:
    """Write an order's signed proposal to a file: what `cosigner read` takes."""
    tx = call(context, lambda client, _: client.transaction(transaction_id))
    out.write_bytes(tx.proposal)
    show(context, tx, [f"{out.name}: {len(tx.proposal)} bytes  {_words(tx)}"])


@group.command()
@click.argument("transaction_id")
@click.pass_context
def watch(context: click.Context, transaction_id: str) -> None:
    """Follow an order until it has ended."""

    async def work(client: Client, _: Settings) -> None:
        async for tx in client.watch_transaction(transaction_id):
            why = f"  {tx.reason}: {tx.detail}" if tx.reason else ""
            show(context, tx, [f"{tx.state}{why}{f'  {tx.hash}' if tx.hash else ''}"])

    call(context, work)


def show_transaction(context: click.Context, tx: pb.Transaction) -> None:
    """Print an order."""
    show(context, tx, describe(tx))


def describe(tx: pb.Transaction, every: bool = False) -> list[str]:
    """An order in lines; without ``every``, only with rules that have a part in it."""
    lines = [f"{tx.transaction_id}  {tx.state}" + (f"  {tx.reason}: {tx.detail}" if tx.reason else "")]
    lines.append(f"  check words: {_words(tx)}")
    lines += [f"  {line}" for line in tx.lines]
    lines += [f"  {_clock(stage.at)}  {stage.state:17} {stage.note}" for stage in tx.stages]
    for need in tx.needs:
        given = ", ".join(need.given) or "nobody yet"
        lines.append(f"  rule {need.rule_id}: {len(need.given)} of {need.required} by {need.role} ({given})")
    lines += _rules(tx, every)
    lines += [f"  refused by cosigner {r.index} {r.name}: {r.reason}: {r.detail}" for r in tx.refusals]
    lines += [f"  {tx.agreement}"] if tx.agreement else []
    for one in tx.readings:
        if not one.same:
            lines += [f"    cosigner {one.index} {one.name} reads: {line}" for line in one.lines]
    if tx.replaces:
        lines.append(f"  in the place of {tx.replaces}, whose approvals do not count for it")
    if tx.hash:
        signers = ", ".join(map(str, tx.signers))
        lines.append(f"  {tx.hash}  signed by cosigners {signers}; block {tx.block_number or 'none yet'}")
    return lines


def _rules(tx: pb.Transaction, every: bool) -> list[str]:
    """What rules came to. Where nothing permits an order, each PERMIT is there with what it lacks."""
    kept = [line for line in tx.trace if every or _counts(line, tx.reason == Reason.NO_PERMIT)]
    lines = [f"  rule {line}" for line in kept]
    if len(kept) < len(tx.trace):
        lines.append(f"  {len(tx.trace) - len(kept)} other rules do not apply: `--every` shows why")
    return lines


def _counts(line: str, permits: bool) -> bool:
    return ": no, " not in line or (permits and line.startswith("PERMIT "))


def _words(tx: pb.Transaction) -> str:
    """Made from the order itself, not from what the coordinator says of it."""
    return in_words(subject_digest(decode(Proposal, tx.proposal).subject))


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
