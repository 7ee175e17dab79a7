"""`oms policy`: read rules, ask them about an order that nobody has proposed, see why an order stands where it does.

Everything is computed here, by the code that decides, and nothing is written anywhere. Exit code 1 says that something
was found: an order that would not pass, a mistake in rules, a property that does not hold.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from oms.cli import policy_analysis as tools
from oms.cli.policy_sources import (
    AT,
    FILE,
    account_of,
    asset_of,
    clock,
    past_of,
    past_order,
    say,
    workspace_of,
)
from oms.cli.shared import call
from oms_core.analysis.backtest import PastOrder, Replay
from oms_core.analysis.explain import decision_lines, moment, rules_lines
from oms_core.analysis.orders import KEYS, WITHOUT_DESTINATION, Deed, Order, words
from oms_core.analysis.quotas import Share, quota_shares
from oms_core.chains.intent import Intent
from oms_core.errors import Malformed
from oms_core.policy.decision import Decision, Given, Outcome
from oms_core.policy.facts import Facts, Observation, Provenance, Spend
from oms_core.policy.judge import judge
from oms_core.policy.limits import Keys, horizon
from oms_core.policy.rules import Action
from oms_core.policy.spends import Judged
from oms_core.policy.units import decimal
from oms_core.workspace import Assurance, Workspace, user

_INTEGER = re.compile(r"-?[0-9]{1,78}\Z")
_PAST = click.option(
    "--past", type=click.Path(path_type=Path), help="Past orders, one a line, instead of the coordinator's."
)


@click.group("policy")
def group() -> None:
    """The rules that decide: what they say, what is wrong with them, what can be proved of them."""


@group.command()
@FILE
@click.pass_context
def show(context: click.Context, path: Path | None) -> None:
    """Print the rules as people write them: DENY, LIMIT, REQUIRE, PERMIT."""
    click.echo(rules_lines(workspace_of(context, path)))


@group.command()
@click.option("--initiator", required=True, help="User id of who would propose.")
@click.option("--wallet", "wallet_id", required=True)
@click.option("--action", type=click.Choice([one.value for one in Action]), default="TRANSFER", show_default=True)
@click.option("--to", default="", help="An address, or entry:ID of the address book or registry.")
@click.option("--asset", "symbol", default="", help="Symbol or CAIP-19 name; a call's is the chain's own coin.")
@click.option("--amount", default="0", help="In whole units of the asset, such as 1.5.")
@click.option("--chain", default="", help="CAIP-2 name, where no asset says it.")
@click.option("--data", default="", help="A call's data, as hex.")
@click.option("--path", "steps", default="", help="The account below the wallet's key, as in 0/17.")
@click.option("--fee", type=click.IntRange(min=0), default=0, help="Fee at most, in wei.")
@click.option("--purpose", default="")
@click.option("--approved-by", "approvers", multiple=True, help="User id of who would have approved; repeatable.")
@click.option("--observed", multiple=True, help="NAME=VALUE of an observed fact; repeatable.")
@click.option("--every/--applying", default=True, help="Show every rule, or only those that apply.")
@_PAST
@AT
@FILE
@click.pass_context
def evaluate(context: click.Context, /, path: Path | None, at: int | None, past: Path | None, **asked: str) -> None:
    """Ask the rules about an order that nobody has proposed. Nothing has been spent before, unless --past says so."""
    workspace, now = workspace_of(context, path), clock(at)
    made = _order(workspace, asked, now)
    facts = made.facts
    if past is not None:
        facts = Facts(now, spent_before(workspace, past_of(context, past, 0), now), facts.observed, now)
    given = [Given(name, _key(workspace, name), now) for name in asked["approvers"]]
    _decided(context, judge(workspace, made.subject, facts, given), bool(asked["every"]), words(made, workspace))


def _order(workspace: Workspace, asked: dict[str, str], now: int) -> Order:
    action, chain = Action(asked["action"]), asked["chain"]
    deed = Deed(action, "")
    if action not in KEYS:
        asset = asset_of(workspace, asked["symbol"]) if asked["symbol"] else None
        chain = chain or (asset.asset.partition("/")[0] if asset else "")
        if not chain:
            raise Malformed("name an asset or a chain")
        amount = decimal(asked["amount"], asset.decimals if asset else 18)
        moves = action in {Action.TRANSFER, Action.APPROVE}
        if moves and asset is None:
            raise Malformed(f"a {action} is of an asset")
        if action is Action.TRANSFER and not amount:
            raise Malformed("a TRANSFER is of some --amount")
        name = asset.asset if asset and moves else ""
        deed = Deed(action, chain, name, amount if moves else 0, 0 if moves else amount, "", _hex(asked["data"]))
    if asked["to"] and action in WITHOUT_DESTINATION:
        raise Malformed(f"a {action} goes --to nobody")
    to = account_of(workspace, chain, asked["to"]) if asked["to"] else b""
    steps = tuple(map(_step, asked["steps"].split("/"))) if asked["steps"] else ()
    observed = tuple(map(_observation, asked["observed"]))
    return Order(
        asked["initiator"], asked["wallet_id"], deed, to, now, steps, int(asked["fee"]), 21_000,
        asked["purpose"], observed,
    )  # fmt: skip


def _step(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text[:11]) >= 1 << 31 or len(text) > 10:
        raise Malformed(f"{text[:20]!r} is no step of a path as in 0/17: each is a number below 2^31")
    return int(text)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise Malformed("data is hex") from None


def _observation(text: str) -> Observation:
    name, equals, value = text.partition("=")
    if not equals:
        raise Malformed(f"{text[:40]!r} is not NAME=VALUE")
    return Observation(name, -1, int(value) if _INTEGER.match(value) else value, Provenance.OWN)


def _key(workspace: Workspace, name: str) -> Assurance:
    """The best kind of key that somebody has."""
    kinds = [key.assurance for key in user(workspace, name).credentials if not key.revoked]
    return Assurance.DEVICE_BOUND if Assurance.DEVICE_BOUND in kinds else Assurance.SYNCED


def _decided(context: click.Context, decision: Decision, every: bool, what: str) -> None:
    table: dict[str, object] = {
        "order": what,
        "outcome": decision.outcome,
        "reason": decision.reason or "",
        "objections": [f"{one.rule_id}: {one.reason}: {one.text}" for one in decision.objections],
        "needs": [need.words for need in decision.needs],
        "trace": [f"{line.kind} {line.rule_id}: {line.applies}: {line.text}" for line in decision.trace],
        "digest": decision.digest.hex(),
    }
    say(context, table, [what, *decision_lines(decision, every)])
    if decision.outcome is Outcome.DENY:
        context.exit(1)


def spent_before(workspace: Workspace, past: list[PastOrder], now: int) -> tuple[Spend, ...]:
    """What earlier orders, those that were signed, count against limits."""
    replay = Replay(workspace, horizon(workspace))
    earlier = sorted((one for one in past if one.at < now), key=lambda one: (one.at, one.order_id))
    for one in earlier:
        replay.add(one)
    last = PastOrder("", earlier[-1].subject, now, (), False) if earlier else None
    return replay.facts(last).spent if last else ()


@group.command()
@click.argument("transaction_id")
@click.option("--every/--applying", default=True, help="Show every rule, or only those that apply.")
@click.option("--most", type=click.IntRange(1, 100_000), default=2_000, help="How many earlier orders to count.")
@AT
@FILE
@click.pass_context
def explain(
    context: click.Context, transaction_id: str, every: bool, most: int, at: int | None, path: Path | None
) -> None:
    """Why an order stands where it does: what the coordinator says, and what the rules say here."""
    tx = call(context, lambda client, _: client.transaction(transaction_id))
    if not context.obj[1]:
        click.echo(f"{tx.transaction_id}  {tx.state}" + (f"  {tx.reason}: {tx.detail}" if tx.reason else ""))
        for refusal in tx.refusals:
            click.echo(f"  refused by cosigner {refusal.index} {refusal.name}: {refusal.reason}: {refusal.detail}")
    one, workspace = past_order(tx), workspace_of(context, path)
    when = one.at if at is None else at
    past = [other for other in past_of(context, None, most) if other.order_id != one.order_id]
    facts = Facts(when, spent_before(workspace, past, when), one.observed, one.at)
    said = {name for need in tx.needs for name in need.given}
    given = [Given(name, _key(workspace, name), when) for name in sorted(said)]
    _decided(context, judge(workspace, one.subject, facts, given), every, _named(one.subject, when))


def _named(subject: Judged, at: int) -> str:
    kind = "order" if isinstance(subject, Intent) else "wish about keys"
    return f"{kind} of {subject.initiator} from {subject.wallet_id}, judged as of {moment(at)}"


@group.command()
@click.option("--rule", "rule_id", default="", help="One LIMIT; all, if left out.")
@click.option("--initiator", default="")
@click.option("--wallet", "wallet_id", default="")
@click.option("--to", default="", help="An address, or entry:ID.")
@click.option("--asset", "symbol", default="")
@click.option("--protocol", default="")
@click.option("--most", type=click.IntRange(1, 100_000), default=2_000, help="How many earlier orders to count.")
@_PAST
@AT
@FILE
@click.pass_context
def quota(
    context: click.Context, /, path: Path | None, at: int | None, past: Path | None, most: int, **asked: str
) -> None:
    """How much of each limit is used, and what is left, by orders that were signed.

    What a limit counts apart, and is not named, is told for each that has used some of it.
    """
    workspace, now = workspace_of(context, path), clock(at)
    asset = asset_of(workspace, asked["symbol"]).asset if asked["symbol"] else ""
    chain = asset.partition("/")[0]
    to = account_of(workspace, chain, asked["to"]) if asked["to"] else b""
    keys = Keys(asked["initiator"], asked["wallet_id"], chain, to, asset, asked["protocol"])
    facts = Facts(now, spent_before(workspace, past_of(context, past, most), now))
    shares = list(quota_shares(workspace, facts, keys, asked["rule_id"]))
    lines = [one.words for one in shares] or ["the rules have no limit"]
    say(context, {"quota": [_figures(one) for one in shares]}, lines)


def _figures(one: Share) -> dict[str, object]:
    """A cap for machines: amounts as whole numbers in text, in base units, micro-USD or operations; Unix seconds."""
    table: dict[str, object] = {"rule": one.rule_id, "whose": one.whose, "words": one.words}
    if (held := one.held) is not None:
        asset = one.asset.asset if one.asset else ""
        table |= {"unit": held.unit, "asset": asset, "maximum": str(held.maximum)}
        if held.window_end:
            table |= {"used": str(held.used), "left": str(one.left), "operations": held.count}
            table |= {"starts": held.window_start, "ends": held.window_end}
    return table


for command in (tools.check, tools.diff, tools.prove, tools.cheapest, tools.backtest, tools.import_fireblocks):
    group.add_command(command)
