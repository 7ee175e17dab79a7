"""`oms tx cancel` and `oms tx amend`: take an order of one's own back before cosigners are asked to sign it."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

import click

from oms.cli import transactions
from oms.cli.proposals import destination
from oms.cli.shared import Settings, call
from oms.client import Client
from oms_core.chains.evm import NATIVE_DECIMALS, native_asset
from oms_core.chains.intent import Intent, Proposal, Transfer, subject_digest
from oms_core.chains.render import render
from oms_core.encoding import decode
from oms_core.errors import Malformed, NotFound, Reason
from oms_core.policy.units import decimal
from oms_core.words import in_words
from oms_core.workspace import Workspace, asset_named
from proto import oms_pb2 as pb


@click.command()
@click.argument("transaction_id")
@click.pass_context
def cancel(context: click.Context, transaction_id: str) -> None:
    """End an order of yours that no cosigner was asked to sign yet."""

    async def work(client: Client, read: Settings) -> pb.Transaction:
        order = _intent(await client.transaction(transaction_id))
        return await client.cancel(transaction_id, read.signer().withdraw(order))

    transactions.show_transaction(context, call(context, work))


@click.command()
@click.argument("transaction_id")
@click.option("--amount", default="", help="Another amount, in whole units of the asset.")
@click.option("--to", default="", help="Another destination: an address, or entry:ID.")
@click.option("--purpose", help="Another reason.")
@click.option("--yes", is_flag=True, help="Sign without asking; with --json nobody is asked.")
@click.pass_context
def amend(context: click.Context, transaction_id: str, amount: str, to: str, purpose: str | None, yes: bool) -> None:
    """Put another transfer in the place of one of yours; what people approved of it is void."""
    if not amount and not to and purpose is None:
        raise click.UsageError("say what is to be different: --amount, --to or --purpose")

    async def work(client: Client, read: Settings) -> pb.Transaction:
        old, workspace = _intent(await client.transaction(transaction_id)), await client.workspace()
        new = amended(old, workspace, amount, to, purpose)
        if not yes and not context.obj[1]:
            click.echo("\n".join([in_words(subject_digest(new)), *render(new, workspace).lines]))
            click.confirm(f"Sign this in the place of {transaction_id}, whose approvals end with it?", abort=True)
        signer = read.signer()
        return await client.amend(transaction_id, signer.propose(new), signer.withdraw(old, new))

    transactions.show_transaction(context, call(context, work))


def amended(old: Intent, workspace: Workspace, amount: str, to: str, purpose: str | None) -> Intent:
    """A new intent with what is to be different. Raises `Malformed` for what is no transfer, and `NotFound`."""
    if not isinstance(old.action, Transfer):
        raise Malformed("only a transfer is amended by amount and destination", Reason.UNSUPPORTED_TYPE)
    asset = asset_named(workspace, old.action.asset)
    decimals = asset.decimals if asset else NATIVE_DECIMALS
    if asset is None and old.action.asset != native_asset(old.chain):
        raise NotFound("the asset is not in this workspace", Reason.UNSUPPORTED_TYPE)
    action = replace(
        old.action,
        amount=decimal(amount, decimals) if amount else old.action.amount,
        to=destination(workspace, to) if to else old.action.to,
    )
    now = int(time.time())
    return replace(
        old,
        intent_id=f"int_{secrets.token_hex(13)}",
        action=action,
        purpose=old.purpose if purpose is None else purpose,
        valid_from=now,
        valid_until=now + old.valid_until - old.valid_from,
    )


def _intent(tx: pb.Transaction) -> Intent:
    subject = decode(Proposal, tx.proposal).subject
    assert isinstance(subject, Intent)
    return subject
