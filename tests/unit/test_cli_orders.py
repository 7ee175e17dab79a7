"""What people see at the command line: what applies to an order, what was decided, and words for machines."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner, Result

from oms.cli import cli
from oms.cli.approvals import decided
from oms.cli.transactions import describe
from oms.cli.trusted import tell
from oms.client import Client
from oms_core.approvals import Verdict
from oms_core.chains.intent import Message
from oms_core.encoding import encode
from oms_core.errors import LocalError, Malformed, Reason
from proto import oms_pb2 as pb
from tests.people import intent, propose

TRACE = (
    "DENY never: no, 'action is CALL' does not hold: action is TRANSFER (bytes)",
    "PERMIT book: no, 'destination.type is WHITELISTED' does not hold: destination.type is ONE_TIME (workspace)",
    "REQUIRE risk: all of it holds",
)


def order(reason: str = "") -> pb.Transaction:
    stages = [pb.Stage(state="SUBMITTED", at=1_795_304_061.812)]
    return pb.Transaction(
        transaction_id="txn_1", state="REJECTED", reason=reason, proposal=encode(propose(intent())), stages=stages,
        trace=TRACE,
    )  # fmt: skip


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_an_order_is_shown_with_the_rules_that_apply_and_with_all_only_if_somebody_asks() -> None:
    assert [line for line in describe(order()) if "rule " in line] == ["  rule REQUIRE risk: all of it holds"]
    assert "  2 other rules do not apply: `--every` shows why" in describe(order())
    assert [line for line in describe(order(), every=True) if "rule " in line] == [f"  rule {one}" for one in TRACE]


def test_an_order_that_nothing_permits_is_shown_with_what_each_permit_lacks() -> None:
    shown = [line for line in describe(order(Reason.NO_PERMIT)) if "rule " in line]
    assert shown == [f"  rule {one}" for one in TRACE[1:]]


def test_a_stage_has_its_day_and_its_zone() -> None:
    assert any(line.startswith("  2026-11-21T23:34:21.812Z  SUBMITTED") for line in describe(order()))


def test_a_decision_is_told_apart_from_the_state_that_follows_it() -> None:
    said = decided("txn_1", "ravi", Verdict.DENY, "PENDING_APPROVAL")
    assert said == "ravi has denied txn_1; it was PENDING_APPROVAL until now, and goes on by itself"


def test_an_amendment_that_changes_nothing_is_not_made() -> None:
    done = run("tx", "amend", "txn_1")
    assert done.exit_code == 2
    assert "--amount, --to or --purpose" in done.output


@pytest.mark.parametrize("words", [("--gas", "-1", "message", "wal_1", "x"), ("message", "wal_1", "x", "--gas", "-1")])
def test_what_all_kinds_of_orders_may_say_stands_before_or_behind_the_kind(words: tuple[str, ...]) -> None:
    done = run("propose", *words)
    assert done.exit_code == 2
    assert "Invalid value for '--gas'" in done.output


async def test_a_count_of_gas_that_does_not_fit_is_malformed() -> None:
    client = Client.__new__(Client)
    with pytest.raises(Malformed, match="no count of gas"):
        await client.prepare("wal_1", Message("x"), "desk", gas_limit_cap=1 << 64)


def test_a_configuration_that_is_not_there_says_how_to_name_another() -> None:
    done = run("--config", "nowhere.toml", "status")
    assert isinstance(done.exception, LocalError)
    assert str(done.exception) == (
        "CONFIG_INVALID: nowhere.toml: cannot be read: No such file or directory; "
        "name another file by --config or OMS_CONFIG"
    )


def test_a_verification_is_told_to_machines_by_what_is_so_noted_and_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(cli, obj=(None, True))
    tell(context, ["ok  it is so", "NOTE: mind this", "VERIFIED txn_1"])
    told = {"ok": ["it is so"], "notes": ["mind this"], "wrong": [], "verified": "txn_1"}
    assert json.loads(capsys.readouterr().out) == told
