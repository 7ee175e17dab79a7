"""`oms wallet`: make, list, show, watch."""

from __future__ import annotations

import time
from pathlib import Path

import click

from oms.cli.shared import Settings, call, show
from oms.client import Client
from oms_core.backup import DrillRecord
from oms_core.chains.evm import address_of, to_checksum
from oms_core.chains.intent import CreateWallet
from oms_core.crypto.bip32 import check_path, derive, xpub
from oms_core.encoding import decode
from oms_core.errors import Malformed, Reason, Refused
from oms_core.protocol.shares import KeyConfirmation, SignedConfirmation, check_confirmations
from oms_core.workspace import identities
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
@click.option("--drill", is_flag=True, help="Active only when backups of a quorum have signed a test.")
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
    drill: bool,
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
            now + hours * 3600, drill,
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
@click.option("--path", default="", help="Below the wallet's key, as in 0/17; no hardened steps.")
@click.pass_context
def address(context: click.Context, wallet_id: str, path: str) -> None:
    """A deposit address of a wallet, derived here from what its cosigners have signed."""
    said, steps = call(context, lambda client, _: confirmed(client, wallet_id)), parse_path(path)
    key = derive(said.public_key, said.chain_code, steps)
    click.echo(f"{to_checksum(address_of(key.public_key))}  {wallet_id}{''.join(f'/{step}' for step in steps)}")


@group.command("xpub")
@click.argument("wallet_id")
@click.option("--path", default="", help="Below the wallet's key, as in 0; no hardened steps.")
@click.pass_context
def show_xpub(context: click.Context, wallet_id: str, path: str) -> None:
    """The extended public key (BIP32) of a wallet or of a path: all addresses below can be derived from it."""
    said = call(context, lambda client, _: confirmed(client, wallet_id))
    click.echo(xpub(said.public_key, said.chain_code, parse_path(path)))


@group.command("drill")
@click.argument("wallet_id")
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.pass_context
def submit_drill(context: click.Context, wallet_id: str, file: Path) -> None:
    """Hand in what `cosigner drill` has written."""
    record = decode(DrillRecord, file.read_bytes(), 4096)
    _show(context, call(context, lambda client, _: client.submit_drill(wallet_id, record.signature)))


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


async def confirmed(client: Client, wallet_id: str) -> KeyConfirmation:
    """The key as every one of its cosigners has signed it. Raises `ProofInvalid` if the coordinator shows another."""
    wallet, keys = await client.wallet(wallet_id), identities(await client.workspace())
    signed = tuple(decode(SignedConfirmation, data, 4096) for data in wallet.confirmations)
    if not signed:
        raise Refused(f"wallet {wallet_id} has no key yet", Reason.WRONG_STATE)
    return check_confirmations(signed, {j: keys[j] for j in wallet.parties})


def parse_path(text: str) -> tuple[int, ...]:
    """A path such as 0/17. Raises `Malformed`."""
    try:
        path = tuple(int(step) for step in text.split("/") if text)
    except ValueError:
        raise Malformed(f"{text[:40]!r} is not a path such as 0/17") from None
    check_path(path)
    return path
