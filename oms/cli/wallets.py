"""`oms wallet`: make, list, show, watch."""

from __future__ import annotations

import time

import click

from oms.cli.shared import Settings, call, show
from oms.client import Client
from oms_core.chains.intent import CreateWallet
from proto import oms_pb2 as pb


@click.group("wallet")
def group() -> None:
    """Wallets: keys shared among the cosigners."""


@group.command()
@click.argument("wallet_id")
@click.option("--label", default="")
@click.option("--threshold", type=int, default=3, show_default=True)
@click.option("--parties", default="1,2,3,4,5", show_default=True)
@click.option("--level", type=click.Choice(["L112", "L128"]), default="L128", show_default=True)
@click.option("--purpose", default="")
@click.option("--hours", type=click.IntRange(1, 720), default=24, show_default=True)
@click.pass_context
def create(
    context: click.Context,
    wallet_id: str,
    label: str,
    threshold: int,
    parties: str,
    level: str,
    purpose: str,
    hours: int,
) -> None:
    """Propose a new wallet; it is made once enough people have approved."""
    try:
        indices = tuple(sorted(int(index) for index in parties.split(",")))
    except ValueError:
        raise click.BadParameter("parties are indices, as in 1,2,3") from None

    async def work(client: Client, read: Settings) -> pb.Wallet:
        now = int(time.time())
        wish = CreateWallet(
            wallet_id, label or wallet_id.removeprefix("wal_"), threshold, indices, level, read.user, purpose, now,
            now + hours * 3600,
        )  # fmt: skip
        return await client.create_wallet(read.signer().propose(wish))

    _show(context, call(context, work))


@group.command("list")
@click.pass_context
def list_all(context: click.Context) -> None:
    """All wallets."""
    for wallet in call(context, lambda client, _: client.wallets()):
        _show(context, wallet)


@group.command("show")
@click.argument("wallet_id")
@click.pass_context
def show_one(context: click.Context, wallet_id: str) -> None:
    """One wallet."""
    _show(context, call(context, lambda client, _: client.wallet(wallet_id)))


@group.command()
@click.argument("wallet_id")
@click.pass_context
def watch(context: click.Context, wallet_id: str) -> None:
    """Follow a wallet until it is active or has failed."""

    async def work(client: Client, _: Settings) -> None:
        async for event in client.watch_wallet(wallet_id):
            text = f"round {event.round:2} {event.step}" if event.step else event.wallet.state
            why = f"  {event.wallet.reason}: {event.wallet.detail}" if event.wallet.reason else ""
            show(context, event, [f"{event.elapsed_seconds:6.1f} s  {text}{why}"])

    call(context, work)


def _show(context: click.Context, wallet: pb.Wallet) -> None:
    lines = [f"{wallet.wallet_id}  {wallet.state}  {wallet.threshold} of {len(wallet.parties)}  {wallet.level}"]
    if wallet.address:
        lines.append(f"  address {wallet.address}, confirmed by {len(wallet.confirmations)} cosigners")
    if wallet.reason:
        lines.append(f"  {wallet.reason}: {wallet.detail}")
    show(context, wallet, lines)
