"""`oms propose`: orders other than transfers of the chain's coin: tokens, allowances, calls, deployments, messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from oms.cli.shared import Settings, call
from oms.cli.transactions import show_transaction
from oms.cli.wallets import parse_path
from oms.client import Client
from oms_core.chains import abi
from oms_core.chains.evm import parse_address
from oms_core.chains.intent import Allow, Call, Deploy, Message, Transfer, TypedData, What
from oms_core.errors import Malformed, NotFound, Reason
from oms_core.policy.units import decimal
from oms_core.workspace import Asset, Workspace
from proto import oms_pb2 as pb

_Make = Callable[[Workspace], What | bytes]
HOURS = 24  # that an order is valid, unless it says otherwise


_TERMS = (
    click.option("--purpose", help="Why: people who approve read it."),
    click.option("--hours", type=click.IntRange(1, 720), help=f"How long it may take; {HOURS}, if left out."),
    click.option("--path", help="The account below the wallet's key, as in 0/17."),
    click.option("--max-fee", type=int, help="Network fee at most, in wei."),
    click.option("--gas", type=click.IntRange(min=0), help="Gas at most."),
    click.option("--yes", is_flag=True, help="Sign without asking; with --json nobody is asked."),
)


class _Terms(click.Command):
    """A kind of order: what all kinds may say stands before its name or behind it, where it counts more."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for option in reversed(_TERMS):
            option(self)

    def invoke(self, context: click.Context) -> Any:
        """Take the common options out of what the command itself is called with."""
        own = {name: context.params.pop(name) for name in ("purpose", "hours", "path", "max_fee", "gas", "yes")}
        before: dict[str, Any] = context.meta["terms"]
        context.meta["terms"] = before | {name: value for name, value in own.items() if value not in (None, False)}
        return super().invoke(context)


@click.group("propose")
@_TERMS[0]
@_TERMS[1]
@_TERMS[2]
@_TERMS[3]
@_TERMS[4]
@_TERMS[5]
@click.pass_context
def group(context: click.Context, /, **terms: Any) -> None:
    """Propose an order; what will be approved is shown before it is signed."""
    context.meta["terms"] = terms


group.command_class = _Terms


@group.command()
@click.argument("wallet_id")
@click.argument("symbol")
@click.argument("to")
@click.argument("amount")
@click.pass_context
def token(context: click.Context, wallet_id: str, symbol: str, to: str, amount: str) -> None:
    """Send AMOUNT of the asset SYMBOL to TO (an address, or entry:ID of the address book)."""

    def action(workspace: Workspace) -> What:
        asset = named(workspace, symbol)
        return Transfer(asset.asset, destination(workspace, to), decimal(amount, asset.decimals))

    _propose(context, wallet_id, action)


@group.command()
@click.argument("wallet_id")
@click.argument("symbol")
@click.argument("spender")
@click.argument("amount")
@click.pass_context
def allow(context: click.Context, wallet_id: str, symbol: str, spender: str, amount: str) -> None:
    """Let SPENDER (an address, or entry:ID) take up to AMOUNT of the asset SYMBOL; 0 takes it back."""

    def action(workspace: Workspace) -> What:
        asset = named(workspace, symbol)
        return Allow(asset.asset, destination(workspace, spender), decimal(amount, asset.decimals))

    _propose(context, wallet_id, action)


@group.command("call")
@click.argument("wallet_id")
@click.argument("to")
@click.argument("method", default="")
@click.argument("arguments", nargs=-1)
@click.option("--data", default="", help="Call data in hex, instead of METHOD and ARGUMENTS.")
@click.option("--value", default="0", help="The chain's coin that goes along, such as 0.5.")
@click.pass_context
def call_contract(
    context: click.Context, wallet_id: str, to: str, method: str, arguments: tuple[str, ...], data: str, value: str
) -> None:
    """Call METHOD, such as 'deposit(uint256)', of the contract TO (an address, or entry:ID) with ARGUMENTS."""
    if bool(method) == bool(data):
        raise click.UsageError("either a METHOD or --data")
    payload = abi.encode_texts(method, arguments) if method else _hex(data)
    wei = decimal(value, 18)
    _propose(context, wallet_id, lambda workspace: Call(destination(workspace, to), wei, payload))


@group.command()
@click.argument("wallet_id")
@click.argument("code", type=click.Path(exists=True, path_type=Path))
@click.option("--value", default="0", help="The chain's coin that goes along, such as 0.5.")
@click.pass_context
def deploy(context: click.Context, wallet_id: str, code: Path, value: str) -> None:
    """Create a contract from the init code in the file CODE (hex)."""
    action = Deploy(decimal(value, 18), _hex(code.read_text().strip()))
    _propose(context, wallet_id, lambda _: action)


@group.command()
@click.argument("wallet_id")
@click.argument("text")
@click.pass_context
def message(context: click.Context, wallet_id: str, text: str) -> None:
    """Sign TEXT under EIP-191."""
    _propose(context, wallet_id, lambda _: Message(text))


@group.command("typed-data")
@click.argument("wallet_id")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.pass_context
def typed_data(context: click.Context, wallet_id: str, file: Path) -> None:
    """Sign the EIP-712 data in the JSON file FILE."""
    text = file.read_text()
    _propose(context, wallet_id, lambda _: TypedData(text))


@group.command()
@click.argument("wallet_id")
@click.argument("transaction")
@click.pass_context
def raw(context: click.Context, wallet_id: str, transaction: str) -> None:
    """Propose what an unsigned TRANSACTION (hex) says; nonce, gas and fees are chosen anew within its own."""
    data = _hex(transaction)
    _propose(context, wallet_id, lambda _: data)


def named(workspace: Workspace, symbol: str) -> Asset:
    """The one asset with this symbol or CAIP-19 name. Raises `NotFound`, `Malformed` if there are several."""
    found = [one for one in workspace.assets if symbol in (one.symbol, one.asset)]
    if not found:
        raise NotFound(f"no asset {symbol[:40]!r} in this workspace", Reason.UNSUPPORTED_TYPE)
    if len(found) > 1:
        raise Malformed(f"{symbol} is the symbol of several assets: give the CAIP-19 name")
    return found[0]


def destination(workspace: Workspace, text: str) -> bytes:
    """20 bytes of an address, or of entry:ID in the address book or the contract registry."""
    if not text.startswith("entry:"):
        return parse_address(text, allow_lower=False)
    entries = {one.entry_id: one.address for one in workspace.contracts}
    entries |= {one.entry_id: one.address for one in workspace.address_book}
    if (entry_id := text.removeprefix("entry:")) in entries:
        return entries[entry_id]
    raise NotFound(f"no entry {text[:60]!r} in this workspace", Reason.BAD_ADDRESS)


def _propose(context: click.Context, wallet_id: str, make: _Make) -> None:
    terms = context.meta["terms"]
    purpose, path = terms["purpose"] or "", parse_path(terms["path"] or "")
    hours, gas = terms["hours"] or HOURS, terms["gas"] or 0

    async def work(client: Client, read: Settings) -> pb.Transaction:
        action = make(await client.workspace())
        intent, lines = await client.prepare(
            wallet_id, action, read.user, purpose, hours * 3600, path, terms["max_fee"], gas
        )
        if not terms["yes"] and not context.obj[1]:
            click.echo("\n".join(lines))
            click.confirm("Sign this proposal?", abort=True)
        return await client.submit(read.signer().propose(intent))

    show_transaction(context, call(context, work))


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise Malformed("not hex, two digits a byte") from None
