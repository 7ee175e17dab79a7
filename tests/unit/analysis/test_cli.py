"""`oms policy` on files: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oms.cli import cli, main, policies, policy_sources
from oms_core.analysis.backtest import PastOrder, to_line
from oms_core.chains.intent import Proposal
from oms_core.encoding import encode
from oms_core.errors import CountersealError, Malformed
from oms_core.policy.text import rules_from_yaml
from oms_core.workspace import Workspace
from proto import oms_pb2 as pb
from tests.unit.analysis.test_backtest import past
from tests.unit.analysis.test_fireblocks import rule
from tests.unit.analysis.world import ASSETS, NOW, workspace
from tests.unit.policy.world import STRANGER

PERMIT = "- rule: all\n  permit:\n  when: {action: TRANSFER}\n"
BIG = "- rule: big\n  require: {approvals: 2, from groups: [risk]}\n  when: {amount.usd: above 1,000 USD}\n"


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


class Coordinator:
    """What the tools ask of a coordinator, from memory."""

    def __init__(self, under: Workspace, *orders: PastOrder) -> None:
        self.under = under
        self.kept = [
            pb.Transaction(
                transaction_id=one.order_id,
                state="CONFIRMED" if one.signed else "PENDING_APPROVAL",
                proposal=encode(Proposal(one.subject, "desk-1", bytes(64))),
                stages=[pb.Stage(state="SUBMITTED", at=one.at)],
                hash="0x00" if one.signed else "",
                needs=[pb.ApprovalNeed(rule_id="big", given=["ravi"])],
            )
            for one in orders
        ]

    async def workspace(self) -> Workspace:
        return self.under

    async def transaction(self, transaction_id: str) -> pb.Transaction:
        return next(one for one in self.kept if one.transaction_id == transaction_id)

    async def transactions(self, wallet: str, limit: int, before: str) -> list[pb.Transaction]:
        names = [one.transaction_id for one in self.kept]
        start = names.index(before) + 1 if before else 0
        return self.kept[start : start + limit]


def test_an_order_is_explained_with_what_was_spent_and_approved_before(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = PERMIT + BIG + "- rule: daily\n  limit: {usd: 5,000, every: 24h}\n"
    orders = [past("late", 9, at=99), past("asked", 2_000, at=50, signed=False), past("early", 1_500)]
    held = Coordinator(workspace(limited), *orders)

    def call(_context: object, work: Callable[[Coordinator, None], Awaitable[object]]) -> object:
        return asyncio.run(work(held, None))  # type: ignore[arg-type]

    monkeypatch.setattr(policies, "call", call)
    monkeypatch.setattr(policy_sources, "call", call)
    monkeypatch.setattr(policy_sources, "PAGE", 2)
    done = run("explain", "asked")
    assert done.exit_code == 0, done.output
    assert "needed, big: 1 of 2 approvals by groups risk (ravi); could approve: remy, rosa, sync" in done.output
    assert "limit daily: 3,500 USD of 5,000 USD, 1,500 USD of it before" in done.output
    assert "destination.type" not in done.output, "no rule looked at it"


def test_the_rules_in_the_handbook_can_be_read() -> None:
    text = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()
    example = text.partition("    - rule:")[1] + text.partition("    - rule:")[2].partition("\n| kind")[0]
    rules = rules_from_yaml(textwrap.dedent(example), ASSETS)
    assert [one.rule_id for one in rules] == ["desk-to-the-book", "big-transfers-need-risk", "daily", "not-at-night"]


ASKED = ("evaluate", "--initiator", "desk", "--wallet", "wal_hot", "--to", "entry:kraken", "--asset", "USDC")


@pytest.mark.parametrize(
    "arguments",
    [
        (*ASKED, "--amount", "1", "--path", "0'/17"),
        (*ASKED, "--amount", "1", "--path", "0//7"),
        (*ASKED, "--amount", "1", "--path", f"{1 << 31}"),
        (*ASKED, "--amount", "1", "--observed", "risk.score"),
        (*ASKED, "--amount", "-5"),
        (*ASKED, "--amount", "1.000"),
        (*ASKED, "--action", "CALL", "--data", "0x5"),
        (*ASKED, "--action", "CALL", "--data", "0x55"),
        (*ASKED, "--action", "DEPLOY"),
        (*ASKED, "--to", "entry:nobody"),
        (*ASKED, "--approved-by", "nobody"),
        (*ASKED, "--initiator", "nobody"),
        ASKED,
        ("prove", "asset = USDC -> denied"),
        ("prove", "amount.usd > 1e6 -> denied"),
        ("prove", "("),
        ("cheapest", "wal_hot", "5"),
        ("cheapest", "wal_hot", "5 USD", "--parts", "0"),
        ("cheapest", "wal_hot", "5 USD", "--parts", "a"),
        ("cheapest", "wal_hot", "5 USD", "--to", "destination.entry = krakn"),
        ("quota", "--to", "0x55"),
        ("diff", "nothing.yaml"),
    ],
)
def test_what_is_mistyped_is_refused_in_words_and_not_taken_for_something_else(
    file: Path, arguments: tuple[str, ...]
) -> None:
    done = run(*arguments, "--file", file, "--at", NOW)
    assert isinstance(done.exception, CountersealError), (done.output, done.exception)


@pytest.mark.parametrize("text", ["--5", "5" * 5000, "½", "\u0665"])
def test_what_was_observed_is_a_number_or_a_text(file: Path, text: str) -> None:
    done = run(*ASKED, "--amount", "1", "--observed", f"risk.score={text}", "--file", file, "--at", NOW)
    assert done.exception is None, done.exception


@pytest.mark.parametrize("at", [-1, 1 << 40])
def test_a_time_beyond_the_calendar_is_refused(file: Path, at: int) -> None:
    assert "not in the range" in run("check", "--file", file, "--at", at).output


def test_a_fee_below_nothing_is_refused(file: Path) -> None:
    assert "not in the range" in run(*ASKED, "--amount", "1", "--fee", "-1", "--file", file).output


def test_names_of_theirs_that_are_no_json_are_refused(file: Path, tmp_path: Path) -> None:
    (theirs := tmp_path / "policy.json").write_text("[]")
    (names := tmp_path / "names.json").write_text("{")
    done = run("import-fireblocks", theirs, "--names", names, "--file", file)
    assert isinstance(done.exception, Malformed)


def test_a_file_that_cannot_be_written_is_said_in_one_line(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (theirs := tmp_path / "policy.json").write_text("[]")
    out = tmp_path / "nowhere" / "rules.yaml"
    monkeypatch.setattr(
        "sys.argv", ["oms", "policy", "import-fireblocks", str(theirs), "--out", str(out), "--file", str(file)]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"CONFIG_INVALID: {out}: No such file or directory\n"
