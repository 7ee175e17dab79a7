"""`oms key`: deal a wallet's key anew, or move it to another state; follow it until it is done."""

from __future__ import annotations

import time

import click

from oms.cli.shared import Settings, call, show
from oms.cli.wallets import confirmed
from oms.client import Client
from oms_core.encoding import decode, encode
from oms_core.errors import ProofInvalid
from oms_core.keys import Change, ChangeKey, SignedKeyReceipt
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import identities
from proto import oms_pb2 as pb

_PURPOSE = click.option("--purpose", default="")
_HOURS = click.option("--hours", type=click.IntRange(1, 720), default=24, show_default=True)


@click.group("key")
def group() -> None:
    """Refresh, reshare, suspend, resume, deactivate, destroy a wallet's key; people have to approve."""


@group.command()
@click.argument("wallet_id")
@click.option("--parties", required=True, help="Who holds the key afterwards, as in 1,2,4,5.")
@click.option("--threshold", type=int, required=True)
@_PURPOSE
@_HOURS
@click.pass_context
def reshare(context: click.Context, wallet_id: str, parties: str, threshold: int, purpose: str, hours: int) -> None:
    """Deal the key to other cosigners, or under another threshold. The address stays."""
    try:
        indices = tuple(sorted(int(index) for index in parties.split(",")))
    except ValueError:
        raise click.BadParameter("parties are indices, as in 1,2,3") from None
    _propose(context, wallet_id, Change.RESHARE, purpose, hours, indices, threshold)


def _plain(change: Change, text: str) -> None:
    @click.command(str(change).lower(), help=text)
    @click.argument("wallet_id")
    @_PURPOSE
    @_HOURS
    @click.pass_context
    def command(context: click.Context, wallet_id: str, purpose: str, hours: int) -> None:
        _propose(context, wallet_id, change, purpose, hours)

    group.add_command(command)


_plain(Change.REFRESH, "Deal the key anew to those who hold it; old shares are destroyed. The address stays.")
_plain(Change.SUSPEND, "Sign nothing until the key is resumed.")
_plain(Change.RESUME, "Sign again.")
_plain(Change.DEACTIVATE, "Never sign again.")
_plain(Change.COMPROMISE, "Declare the key compromised: never sign again.")
_plain(Change.DESTROY, "Destroy all shares of a deactivated or compromised key, for ever.")


@group.command("show")
@click.argument("change_id")
@click.pass_context
def show_one(context: click.Context, change_id: str) -> None:
    """One change, with the receipts of the nodes that have carried it out, verified here."""

    async def work(client: Client, _: Settings) -> tuple[pb.KeyChange, list[str]]:
        change, workspace = await client.key_change(change_id), await client.workspace()
        keys, lines = identities(workspace), []
        for data in change.receipts:
            signed = decode(SignedKeyReceipt, data, 4096)
            receipt = signed.receipt
            try:
                verify_identity(keys[receipt.index], "key-receipt", encode(receipt), signed.signature)
                verdict = "signature verified"
            except ProofInvalid:
                verdict = "SIGNATURE INVALID"
            lines.append(f"  cosigner {receipt.index}: epoch {receipt.epoch} {receipt.state}, {verdict}")
        return change, lines

    change, lines = call(context, work)
    _show(context, change, lines)


@group.command("list")
@click.argument("wallet_id", default="")
@click.pass_context
def list_all(context: click.Context, wallet_id: str) -> None:
    """All changes, or those of a wallet."""
    for change in call(context, lambda client, _: client.key_changes(wallet_id)):
        _show(context, change)


@group.command()
@click.argument("change_id")
@click.pass_context
def watch(context: click.Context, change_id: str) -> None:
    """Follow a change until it is done or has failed."""

    async def work(client: Client, _: Settings) -> None:
        async for change in client.watch_key_change(change_id):
            _show(context, change)

    call(context, work)


def _propose(
    context: click.Context,
    wallet_id: str,
    change: Change,
    purpose: str,
    hours: int,
    parties: tuple[int, ...] = (),
    threshold: int = 0,
) -> None:
    async def work(client: Client, read: Settings) -> pb.KeyChange:
        said, now = await confirmed(client, wallet_id), int(time.time())
        wish = ChangeKey(
            wallet_id=wallet_id,
            key_id=said.key_id,
            public_key=said.public_key.to_bytes(),
            chain_code=said.chain_code,
            change=change,
            epoch=said.epoch,
            threshold=threshold,
            parties=parties,
            initiator=read.user,
            purpose=purpose,
            valid_from=now,
            valid_until=now + hours * 3600,
        )
        return await client.change_key(read.signer().propose(wish))

    _show(context, call(context, work))


def _show(context: click.Context, change: pb.KeyChange, more: list[str] | None = None) -> None:
    lines = [f"{change.change_id}  {change.change} of {change.wallet_id}  {change.state}"]
    if change.reason or change.detail:
        lines.append(f"  {change.reason}: {change.detail}")
    if change.owing and change.state in ("COMMITTING", "DONE"):
        lines.append(f"  not told yet: cosigners {', '.join(map(str, change.owing))}")
    show(context, change, lines + (more or []))
