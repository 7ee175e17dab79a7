"""`oms policy` on files: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oms.cli import cli
from oms_core.analysis.backtest import to_line
from oms_core.encoding import encode
from tests.unit.analysis.test_backtest import past
from tests.unit.analysis.test_fireblocks import rule
from tests.unit.analysis.world import NOW, workspace
from tests.unit.policy.world import STRANGER

PERMIT = "- rule: all\n  permit:\n  when: {action: TRANSFER}\n"
BIG = "- rule: big\n  require: {approvals: 2, from groups: [risk]}\n  when: {amount.usd: above 1,000 USD}\n"
TRADERS = "- rule: traders\n  deny:\n  when: {initiator.group: chiefs}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "workspace.cbor"
    path.write_bytes(encode(workspace(PERMIT + BIG)))
    return path


def run(*arguments: object, as_json: bool = False) -> Result:
    return CliRunner().invoke(cli, [*(["--json"] if as_json else []), "policy", *map(str, arguments)])


def test_rules_are_shown_as_they_are_written(file: Path) -> None:
    done = run("show", "--file", file)
    assert done.exit_code == 0
    assert "above 1,000 USD" in done.output


def test_a_check_that_finds_something_ends_with_one(file: Path) -> None:
    done = run("check", "--file", file, "--at", NOW)
    assert done.exit_code == 1
    assert "group chiefs" in done.output


def test_an_order_that_nobody_proposed_is_judged_and_nothing_is_written(file: Path) -> None:
    before = sorted(file.parent.iterdir())
    asked = ("evaluate", "--file", file, "--initiator", "desk", "--wallet", "wal_hot", "--to", "entry:kraken",
             "--asset", "USDC", "--at", NOW)  # fmt: skip
    small, big = run(*asked, "--amount", "1000"), run(*asked, "--amount", "1000.000001")
    assert small.output.splitlines()[1] == "PERMIT"
    assert big.output.splitlines()[1] == "NEEDS_APPROVAL (APPROVAL_MISSING)"
    given = run(*asked, "--amount", "2000", "--approved-by", "ravi", "--approved-by", "rosa")
    assert given.output.splitlines()[1] == "PERMIT"
    denied = run(*asked[:4], "ravi", *asked[5:], "--amount", "1", as_json=True)
    assert (denied.exit_code, json.loads(denied.output)["reason"]) == (1, "NOT_ELIGIBLE")
    assert sorted(file.parent.iterdir()) == before


def test_a_property_is_proved_or_refuted_by_an_order(file: Path) -> None:
    holds = run("prove", "amount.usd > 1,000 -> approvals(risk) >= 2", "--file", file, "--at", NOW)
    fails = run("prove", "amount.usd >= 1,000 -> approvals(risk) >= 2", "--file", file, "--at", NOW)
    assert (holds.exit_code, holds.output.partition(":")[0]) == (0, "PROVED")
    assert (fails.exit_code, fails.output.partition(":")[0]) == (1, "REFUTED")


def test_the_cheapest_way_is_shown_first(file: Path) -> None:
    done = run("cheapest", "wal_cold", "1,000,000 USD", "--parts", "1,10000", "--file", file, "--at", NOW)
    assert done.exit_code == 0
    assert done.output.startswith("1 person by 10000 orders")


def test_a_draft_of_rules_alone_is_compared_with_what_is_there(file: Path, tmp_path: Path) -> None:
    draft = tmp_path / "draft.yaml"
    draft.write_text(PERMIT)
    done = run("diff", draft, "--file", file, "--at", NOW)
    assert done.exit_code == 1
    assert "APPROVALS" in done.output
    draft.write_text(BIG + PERMIT)
    same = run("diff", draft, "--file", file, "--at", NOW)
    assert (same.exit_code, same.output) == (0, "nothing changes\n")


def test_past_orders_are_decided_once_more(file: Path, tmp_path: Path) -> None:
    draft, lines = tmp_path / "draft.yaml", tmp_path / "past.jsonl"
    draft.write_text(PERMIT.replace("TRANSFER}", "TRANSFER, destination.type: WHITELISTED}"))
    lines.write_text("".join(to_line(one) + "\n" for one in (past("a", 1), past("b", 1, to=STRANGER))))
    done = run("backtest", draft, "--past", lines, "--file", file)
    assert done.exit_code == 1
    assert "NEWLY_DENIED     1" in done.output
    assert "no rule permits 1 of them: TRANSFER by desk" in done.output


def test_quotas_count_past_orders_that_were_signed(file: Path, tmp_path: Path) -> None:
    lines = tmp_path / "past.jsonl"
    lines.write_text(to_line(past("a", 300)) + "\n")
    limited = tmp_path / "limited.cbor"
    limited.write_bytes(encode(workspace("- rule: daily\n  limit: {usd: 1,000, every: 24h}\n")))
    done = run("quota", "--past", lines, "--file", limited, "--at", NOW + 60)
    assert "300 USD used, 700 USD left, 1 operations" in done.output


def test_a_policy_of_theirs_becomes_rules_that_can_be_read_again(file: Path, tmp_path: Path) -> None:
    policy, out = tmp_path / "policy.json", tmp_path / "rules.yaml"
    theirs = [
        rule("BLOCK", initiator={"users": ["tara"]}),
        rule(amount={"range": {"max": "5"}, "currency": "EUR"}),
        rule(),
    ]
    policy.write_text(json.dumps({"policy": {"rules": theirs}}))
    done = run("import-fireblocks", policy, "--out", out, "--file", file)
    assert done.exit_code == 1
    assert "amounts in EUR are not known here" in done.output
    assert run("diff", out, "--file", file, "--at", NOW).exit_code == 1


@pytest.mark.parametrize("name", ["absent.cbor", "broken.yaml", "broken.cbor"])
def test_files_that_cannot_be_read_are_said_to_be_so(tmp_path: Path, name: str) -> None:
    if name.startswith("broken"):
        (tmp_path / name).write_text("- rule: x\n  surprise:\n")
    done = run("show", "--file", tmp_path / name)
    assert done.exit_code != 0
    assert done.exception is not None
