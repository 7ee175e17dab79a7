"""`oms policy check, diff, prove, cheapest, backtest, import-fireblocks`: what can be known before rules decide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from oms.cli.policy_sources import (
    AT,
    FILE,
    asset_of,
    clock,
    columns,
    draft_of,
    past_of,
    say,
    text_of,
    workspace_of,
)
from oms_core.analysis.advice import advise
from oms_core.analysis.anomalies import anomalies
from oms_core.analysis.backtest import Report, Shift
from oms_core.analysis.backtest import backtest as replayed
from oms_core.analysis.cheapest import ANYBODY, Route
from oms_core.analysis.cheapest import cheapest as ways
from oms_core.analysis.checks import Problem, check_rules
from oms_core.analysis.diff import Example, difference
from oms_core.analysis.explain import decision_lines
from oms_core.analysis.fireblocks import import_policy
from oms_core.analysis.orders import words
from oms_core.analysis.patterns import Names
from oms_core.analysis.properties import And, parse_condition, parse_property
from oms_core.analysis.prove import MILLISECONDS, Verdict
from oms_core.analysis.prove import prove as proved
from oms_core.errors import Malformed
from oms_core.policy import units
from oms_core.policy.decision import Decision
from oms_core.policy.rules import Operator, Test
from oms_core.policy.writing import rules_to_yaml
from oms_core.workspace import Workspace, workspace_digest

_MOST = click.option("--most", type=click.IntRange(1, 100_000), default=10_000, show_default=True)
_PAST = click.option("--past", type=click.Path(path_type=Path), help="Past orders, one a line.")
_DRAFT = click.argument("draft", type=click.Path(path_type=Path))


@click.command()
@_PAST
@AT
@FILE
@click.pass_context
def check(context: click.Context, path: Path | None, at: int | None, past: Path | None) -> None:
    """Rules that are dead, shadowed, or ask for approvals that nobody can give; with --past, orders nothing permits.

    What may be meant, such as that no rule bounds fees, is said as well, and is no finding.
    """
    workspace = workspace_of(context, path)
    found = check_rules(workspace, clock(at))
    gaps = replayed(workspace, workspace, past_of(context, past, 0)).gaps if past else {}
    advice = advise(workspace, clock(at))
    rows = [(one.problem.value, one.about, one.text) for one in (*found, *advice)]
    rows += [("GAP", f"{count} past orders", f"no rule permits: {gap}") for gap, count in sorted(gaps.items())]
    say(context, {"findings": rows}, columns(rows) if rows else ["nothing found"])
    if any(one.problem is not Problem.NOT_KNOWN for one in found) or gaps:
        context.exit(1)


@click.command()
@_DRAFT
@click.option("--most", type=click.IntRange(1, 100), default=12, show_default=True, help="Examples of each effect.")
@AT
@FILE
@click.pass_context
def diff(context: click.Context, draft: Path, path: Path | None, at: int | None, most: int) -> None:
    """Orders that fare otherwise under DRAFT (a workspace, or rules alone)."""
    old = workspace_of(context, path)
    found = difference(old, draft_of(draft, old), clock(at), most)
    table = [[one.effect, words(one.order, old), _short(one.before), _short(one.after)] for one in found.examples]
    lines = [line for one in found.examples for line in _compared(one, old)]
    if found.none:
        lines.append("nothing changes")
    elif not found.complete:
        lines.append("there may be more" if found.examples else "no such order was found, and not all were looked at")
    say(context, {"examples": table, "complete": found.complete}, lines)
    if found.examples:
        context.exit(1)


def _compared(one: Example, workspace: Workspace) -> Iterator[str]:
    yield f"{one.effect}  {words(one.order, workspace)}"
    yield f"  before  {_short(one.before)}"
    yield f"  after   {_short(one.after)}"


def _short(decision: Decision | None) -> str:
    if decision is None:
        return "cannot be proposed"
    said = [decision.detail] if decision.objections else [need.words for need in decision.needs]
    return ": ".join([decision.outcome.value, *said[:1]]) + ("; ".join(["", *said[1:]]))


@click.command()
@click.argument("text")
@click.option("--seconds", type=click.IntRange(1, 3600), default=MILLISECONDS // 1000, show_default=True)
@AT
@FILE
@click.pass_context
def prove(context: click.Context, text: str, path: Path | None, at: int | None, seconds: int) -> None:
    """Prove TEXT of all orders, as in "amount.usd > 1,000,000 -> approvals(risk) >= 2", or show one that refutes it."""
    workspace = workspace_of(context, path)
    asked = parse_property(text)
    answer = proved(workspace, asked, clock(at), seconds * 1000)
    found = answer.counterexample
    table: dict[str, object] = {
        "verdict": answer.verdict,
        "detail": answer.detail,
        "workspace": workspace_digest(workspace).hex(),
        "order": words(found.order, workspace) if found else "",
        "people": list(found.people) if found else [],
        "decision": found.decision.digest.hex() if found else "",
    }
    lines = [f"{answer.verdict}: {asked.text}", f"  {answer.detail}"]
    if found:
        lines += [f"  {words(found.order, workspace)}", f"  passes with {_people(found.people)}"]
        lines += [f"  {line}" for line in decision_lines(found.decision, every=False)]
    say(context, table, lines)
    if answer.verdict is not Verdict.PROVED:
        context.exit(1)


def _people(people: tuple[str, ...]) -> str:
    return f"approvals by {', '.join(people)}" if people else "no approvals"


@click.command()
@click.argument("wallet_id")
@click.argument("amount")
@click.option("--to", default="", help='A class of destinations, as in "destination.tag = exchange"; else anybody.')
@click.option("--parts", default="1,10,100", show_default=True, help="In how many orders it may leave.")
@AT
@FILE
@click.pass_context
def cheapest(
    context: click.Context, wallet_id: str, amount: str, to: str, parts: str, path: Path | None, at: int | None
) -> None:
    """The fewest people who can move AMOUNT ("1,000,000 USD", "100 USDC") out of WALLET_ID to an arbitrary address."""
    workspace = workspace_of(context, path)
    bound, asset = _bound(workspace, amount)
    where = parse_condition(to) if to else ANYBODY
    condition = And((where, asset)) if asset else where
    counts = tuple(sorted({units.whole(part) for part in parts.split(",")}))
    if min(counts) < 1:
        raise Malformed("parts are 1 or more")
    found = ways(workspace, wallet_id, bound, clock(at), condition, counts)
    table: dict[str, object] = {
        "routes": [[one.people, one.how, one.proposer, list(one.approvers), one.delay] for one in found.routes],
        "open": list(found.open_questions),
    }
    lines = [line for one in found.routes for line in _route(one, workspace)] or ["there is no way"]
    say(context, table, [*lines, *(f"not known: {one}" for one in found.open_questions)])
    if found.open_questions:
        context.exit(1)


def _bound(workspace: Workspace, text: str) -> tuple[Test, Test | None]:
    """The amount as a test, and the asset that it is of, unless it is in USD."""
    number, _, symbol = text.partition(" ")
    if symbol == "USD":
        return Test("amount.usd", Operator.AT_LEAST, (units.micro_usd(text),)), None
    asset = asset_of(workspace, symbol)
    wanted = units.decimal(number, asset.decimals)
    return Test("amount", Operator.AT_LEAST, (wanted,)), Test("asset", Operator.IS, (asset.asset,))


def _route(one: Route, workspace: Workspace) -> Iterator[str]:
    waits = f", after {units.duration(one.delay)}" if one.delay else ""
    approve = f" and {', '.join(one.approvers)} approve" if one.approvers else ""
    yield f"{one.people} {'person' if one.people == 1 else 'people'} {one.how}{waits}: {one.proposer} proposes{approve}"
    if one.order:
        yield f"  {words(one.order, workspace)}"


@click.command()
@_DRAFT
@_PAST
@_MOST
@FILE
@click.pass_context
def backtest(context: click.Context, draft: Path, past: Path | None, most: int, path: Path | None) -> None:
    """Decide past orders once more under DRAFT: what would have been denied, permitted, or asked of others."""
    old = workspace_of(context, path)
    report = replayed(old, draft_of(draft, old), past_of(context, past, most))
    table: dict[str, object] = {
        "orders": report.total,
        "counts": {shift.value: report.counts[shift] for shift in Shift},
        "examples": {s.value: [[e.order_id, e.before, e.after] for e in these] for s, these in report.examples.items()},
        "gaps": dict(report.gaps),
    }
    say(context, table, list(_reported(report)))
    if report.counts[Shift.SAME] < report.total:
        context.exit(1)


def _reported(report: Report) -> Iterator[str]:
    yield f"{report.total} orders"
    yield from columns([(f"  {shift}", str(report.counts[shift])) for shift in Shift])
    for shift, examples in sorted(report.examples.items()):
        yield f"{shift}, as"
        for one in examples:
            yield f"  {one.order_id}"
            yield f"    before  {one.before}"
            yield f"    after   {one.after}"
    for gap, count in report.gaps.most_common():
        yield f"no rule permits {count} of them: {gap}"


@click.command("import-fireblocks")
@click.argument("policy", type=click.Path(path_type=Path))
@click.option("--names", "mapping", type=click.Path(path_type=Path), help="What their ids are called here, as JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the rules; else they are printed.")
@click.option("--prefix", default="fb", show_default=True, help="What the ids of the rules begin with.")
@FILE
@click.pass_context
def import_fireblocks(
    context: click.Context, policy: Path, mapping: Path | None, out: Path | None, prefix: str, path: Path | None
) -> None:
    """Translate a Fireblocks policy (version 2, JSON) into rules whose order does not matter."""
    workspace = workspace_of(context, path)
    made = import_policy(text_of(policy), names_of(mapping, workspace), workspace, prefix)
    found = anomalies(made.steps)
    text = rules_to_yaml(made.rules, workspace.assets)
    if out is not None:
        out.write_text(text + "\n")
    rows = [("NOTE", str(one.place), one.name, one.text) for one in made.notes]
    rows += [(one.anomaly.value, str(one.second), f"with {one.first}", one.text) for one in found]
    table: dict[str, object] = {"rules": text, "notes": [list(row) for row in rows]}
    say(
        context,
        table,
        [*([] if out else [text]), *columns(rows), f"{len(made.steps)} of theirs, {len(made.rules)} here"],
    )
    if rows:
        context.exit(1)


def names_of(mapping: Path | None, workspace: Workspace) -> Names:
    """The names of a file; what it leaves out is called the same here, if there is such a thing."""
    tables: dict[str, dict[str, str | None]] = {
        "users": {one.user_id: one.user_id for one in workspace.users},
        "groups": {one.group_id: one.group_id for one in workspace.groups},
        "wallets": {one.wallet_id: one.wallet_id for one in workspace.wallets},
        "assets": {one.symbol: one.asset for one in workspace.assets if _alone(workspace, one.symbol)},
        "entries": {name: name for name in _entries(workspace)},
        "tags": {},
        "types": {},
    }
    try:
        read = json.loads(text_of(mapping)) if mapping is not None else {}
    except (ValueError, RecursionError):
        raise Malformed("names: not JSON") from None
    if not isinstance(read, dict):
        raise Malformed("names are a JSON object of users, groups, wallets, assets, entries, tags, types")
    for kind, names in read.items():
        if kind not in tables or not isinstance(names, dict):
            raise Malformed(f"names: there is no {str(kind)[:40]!r}")
        if not all(name is None or isinstance(name, str) for name in names.values()):
            raise Malformed(f"names.{kind}: a name is text, or null for what there is not here")
        tables[kind].update(names)
    return Names(**tables)


def _entries(workspace: Workspace) -> list[str]:
    return [one.entry_id for one in workspace.address_book] + [one.entry_id for one in workspace.contracts]


def _alone(workspace: Workspace, symbol: str) -> bool:
    return [one.symbol for one in workspace.assets].count(symbol) == 1
