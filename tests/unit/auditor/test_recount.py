"""What cosigners count from the whole log, counted again by an auditor: what was done and was too much is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.__main__ import main
from auditor.logs import LogReport, drive, verify_log
from oms_core.chains.intent import Execution, Intent, subject_digest
from oms_core.encoding import encode
from oms_core.errors import ProofInvalid
from oms_core.evidence import CreateRequest, SignRequest
from oms_core.log.entries import AUTHORIZED, FORMERLY
from oms_core.log.entries import NOW as RENAMED
from oms_core.workspace import workspace_digest
from tests.evidence import TXN, WALLET, Story, story
from tests.people import EXECUTION, NOW, RULES, approve, intent, keys, propose, rules, wish, workspace
from tests.unit.auditor.test_logs import coordinator, exported

LIMIT = """
- rule: limit-minutes
  limit: {amount: "1,500", every: 10m}
  when: {asset: ETH, fee: no}
"""


def recounted(made: Story, begins_with: bytes = b"") -> LogReport:
    pinned = begins_with or workspace_digest(workspace())
    return drive(verify_log(made.note(at=NOW + 800), pinned, None, True), coordinator(made, made.items))


def wrong(made: Story, *words: str, begins_with: bytes = b"") -> None:
    report = recounted(made, begins_with)
    said = report.lines()
    assert report.recount is not None
    assert report.recount.wrong == sum(one.startswith("WRONG") for one in said) == 1
    assert not any(one.startswith("VERIFIED") for one in said)
    [finding] = report.recount.findings
    for one in words:
        assert one in finding
    with pytest.raises(ProofInvalid) as caught:
        report.check()
    assert finding in caught.value.message


def plain() -> Story:
    made = Story()
    made.wallet()
    return made


def numbered(number: int, amount: int = 150) -> tuple[Intent, Execution]:
    """An order like no other, with its nonce."""
    return intent(amount, intent_id=f"int_{number:026}"), replace(EXECUTION, nonce=number)


def told(made: Story, number: int, amount: int = 150, at: int = NOW + 100) -> None:
    order, execution = numbered(number, amount)
    begin(made, made.request(order, execution, "olga", "ravi"), f"txn_{number}", at)
    made.tell("order.signing", f"txn_{number}")
    made.sign(order, execution, f"txn_{number}")


def begin(made: Story, request: SignRequest, txn: str, at: int = NOW + 100) -> int:
    made.tell("order.submitted", txn, encode(request.proposal))
    for approval in request.approvals:
        made.tell("order.decision", txn, encode(approval))
    made.tell("order.approved", txn)
    return made.tell(AUTHORIZED, txn, encode(request), at=at)


def test_a_log_in_which_all_is_as_it_may_be_is_counted_and_verified() -> None:
    assert "VERIFIED example.org/log" in recounted(story()).lines()
    report = recounted(plain_orders())
    assert report.recount is not None
    assert (report.recount.requests, report.recount.done, report.recount.findings) == (4, 4, [])
    said = "\n".join(report.lines())
    assert "of 4 requests to cosigners came 4 signed orders and keys" in said
    assert "VERIFIED example.org/log" in said
    report.check()


def plain_orders() -> Story:
    made = plain()
    for number in range(3):
        told(made, number)
    return made


def test_without_records_or_from_the_middle_it_is_said_that_nothing_was_counted() -> None:
    made = plain_orders()
    answer = coordinator(made, made.items)
    for first, records in ((5, True), (0, False)):
        report = drive(verify_log(made.note(), b"", made.workspace, records, first), answer)
        assert report.recount is None
        assert any(one.startswith("NOTE: approvals and limits were not counted") for one in report.lines())


def test_orders_that_were_signed_above_a_limit_over_time_are_named() -> None:
    """Of 2,000 a day, as the tests' workspace has it."""
    made = plain()
    told(made, 1, 900)
    told(made, 2, 900)
    recounted(made).check()
    told(made, 3, 900)
    wrong(made, "txn_3 was signed", "are above")


def test_what_was_asked_for_above_a_limit_and_never_signed_is_nothing_wrong_and_counts() -> None:
    """Cosigners refused it: that is what they are for. But they count it, as does an auditor."""
    made = plain()
    told(made, 1, 900)
    for number in (2, 3):
        order, execution = numbered(number, 900)
        begin(made, made.request(order, execution, "olga", "ravi"), f"txn_{number}")
    made.tell("order.rejected", "txn_3")
    recounted(made).check()
    told(made, 4, 150)
    wrong(made, "txn_4 was signed")


@pytest.mark.parametrize(("after", "permitted"), [(0, True), (400, True), (500, False)])
def test_what_was_permitted_at_any_moment_of_a_session_counts_as_permitted(after: int, permitted: bool) -> None:
    """An approver's clock is ahead: nodes weigh the request by their own clocks, while the entry is good."""
    made = plain()
    order, execution = numbered(1)
    given = (approve(order, one, decided_at=NOW + after, expires_at=NOW + 900) for one in ("olga", "ravi"))
    begin(made, replace(made.request(order, execution), approvals=tuple(given)), "txn_1", NOW)
    made.sign(order, execution, "txn_1")
    if permitted:
        recounted(made).check()
    else:
        wrong(made, "txn_1 was signed", "in the future")


@pytest.mark.parametrize(("at", "permitted"), [(NOW + 699, False), (NOW + 700, True)])
def test_a_request_is_held_against_the_window_of_its_entry_however_long_its_session_takes(
    at: int, permitted: bool
) -> None:
    first = replace(workspace(), rules=(*workspace().rules, *rules(LIMIT)))
    made = Story(first)
    made.wallet()
    told(made, 1, 900)
    order, execution = numbered(2, 900)
    given = (approve(order, one, under=first, expires_at=NOW + 900) for one in ("olga", "ravi"))
    begin(made, replace(made.request(order, execution), approvals=tuple(given)), "txn_2", at)
    made.sign(order, execution, "txn_2")
    if permitted:
        recounted(made, workspace_digest(first)).check()
    else:
        wrong(made, "txn_2 was signed", "are above", begins_with=workspace_digest(first))


def test_an_order_that_was_asked_for_again_counts_from_when_it_was_last() -> None:
    first = replace(workspace(), rules=(*workspace().rules, *rules(LIMIT)))
    made = Story(first)
    made.wallet()
    order, execution = numbered(1, 900)
    request = made.request(order, execution)
    given = tuple(approve(order, one, under=first, expires_at=NOW + 900) for one in ("olga", "ravi"))
    begin(made, replace(request, approvals=given), "txn_1", NOW)
    made.tell(AUTHORIZED, "txn_1", encode(replace(request, approvals=given)), at=NOW + 380)
    order, execution = numbered(2, 900)
    given = tuple(approve(order, one, under=first, expires_at=NOW + 900) for one in ("olga", "ravi"))
    begin(made, replace(made.request(order, execution), approvals=given), "txn_2", NOW + 400)
    made.sign(order, execution, "txn_2")
    wrong(made, "txn_2 was signed", "are above", begins_with=workspace_digest(first))


@pytest.mark.parametrize(("after", "permitted"), [(300, True), (420, False)])
def test_a_request_that_is_logged_again_is_weighed_against_what_was_asked_for_since(
    after: int, permitted: bool
) -> None:
    """Nodes go by the newest entry; but a session that was begun by the one before may not be over yet."""
    made = plain()
    order, execution = numbered(1, 900)
    given = tuple(approve(order, one, expires_at=NOW + 900) for one in ("olga", "ravi"))
    request = replace(made.request(order, execution), approvals=given)
    begin(made, request, "txn_1", NOW + 10)
    for number in (2, 3):
        other, its = numbered(number, 900)
        begin(made, made.request(other, its, "olga", "ravi"), f"txn_{number}", NOW + 20)
    again = made.tell(AUTHORIZED, "txn_1", encode(request), at=NOW + 10 + after)
    made.sign(order, execution, "txn_1")
    if permitted:
        recounted(made).check()
    else:
        wrong(made, "txn_1 was signed", f"the request of entry {again} was not permitted", "are above")


def test_asking_for_another_signature_hides_nothing_that_counts() -> None:
    """What is asked for once more comes to the end, where those are that were asked for last."""
    first = replace(workspace(), rules=rules(RULES.replace("2,000, every: 24h", "1,500, every: 10m")))
    made = Story(first)
    made.wallet()
    orders = [numbered(number, 900) for number in (1, 2, 3)]
    asked = []
    for one, at in zip(orders, (NOW, NOW + 600, NOW + 690), strict=True):
        given = (approve(one[0], who, under=first, decided_at=at, expires_at=NOW + 1000) for who in ("olga", "ravi"))
        asked.append(replace(made.request(*one), approvals=tuple(given)))
    begin(made, asked[0], "txn_1", NOW)
    begin(made, asked[1], "txn_2", NOW + 600)
    other = replace(asked[0], execution=replace(orders[0][1], nonce=9))
    made.tell(AUTHORIZED, "txn_1", encode(other), at=NOW + 610)
    begin(made, asked[2], "txn_3", NOW + 690)
    made.sign(*orders[2], "txn_3")
    recount = recounted(made, workspace_digest(first)).recount
    assert recount is not None
    _, finding = recount.findings
    assert "txn_3 was signed" in finding
    assert "are above" in finding


def test_a_counter_of_a_key_that_was_used_for_two_orders_is_named() -> None:
    made = plain()
    path, requests = keys().approvers["olga"]._path, []
    kept = json.loads(path.read_text())
    for number in (1, 2):
        path.write_text(json.dumps(kept | {"counter": kept["counter"] + 40}))
        order, execution = numbered(number)
        requests.append((order, execution, made.request(order, execution, "olga", "ravi")))
    for number, (order, execution, request) in enumerate(requests, 1):
        begin(made, request, f"txn_{number}")
        made.tell("order.signing", f"txn_{number}")
        made.sign(order, execution, f"txn_{number}")
    wrong(made, "txn_2 was signed", f"a key's counter, {kept['counter'] + 41}, was used for another approval")


def test_two_signatures_that_were_asked_for_one_order_are_named() -> None:
    made = plain()
    order, execution = numbered(1)
    request = made.request(order, execution, "olga", "ravi")
    first = begin(made, request, TXN)
    made.tell(AUTHORIZED, TXN, encode(replace(request, execution=replace(execution, nonce=9))), at=NOW + 110)
    wrong(made, f"another signature than in entry {first}")


def test_a_request_that_stands_in_the_log_under_another_name_is_named() -> None:
    """So a pack of the order would not show it."""
    made = plain()
    order, execution = numbered(1)
    request = made.request(order, execution, "olga", "ravi")
    made.tell("order.submitted", TXN, encode(request.proposal))
    made.tell(AUTHORIZED, "txn_elsewhere", encode(request), at=NOW + 100)
    wrong(made, "it asks, as txn_elsewhere, for what was submitted as txn_01")
    wrong(_asked_as(made, request, "txn_03", numbered(2)[0]), "another order than was submitted as txn_03")
    other = plain()
    begin(other, request, TXN)
    begin(other, request, "txn_02")
    wrong(other, "as txn_01")


def test_an_order_that_a_restored_database_was_asked_for_anew_has_two_names_if_the_log_says_so() -> None:
    for told_as in ((FORMERLY, RENAMED), (RENAMED, FORMERLY)):
        made = plain()
        order, execution = numbered(1)
        request = made.request(order, execution, "olga", "ravi")
        begin(made, request, TXN)
        made.tell("order.submitted", "txn_02", encode(request.proposal))
        for event, name in zip(told_as, (TXN, "txn_02"), strict=True):
            made.tell(event, name)
        made.tell(AUTHORIZED, "txn_02", encode(request), at=NOW + 100)
        made.sign(order, execution, "txn_02")
        if told_as == (FORMERLY, RENAMED):
            recounted(made).check()
        else:
            wrong(made, "as txn_01")


def _asked_as(other: Story, request: SignRequest, txn: str, submitted: Intent) -> Story:
    made = plain()
    made.tell("order.submitted", txn, encode(other.request(submitted, EXECUTION).proposal))
    made.tell(AUTHORIZED, txn, encode(request), at=NOW + 100)
    return made


def test_a_request_for_an_order_that_was_submitted_before_the_log_began_is_said() -> None:
    made = plain()
    order, execution = numbered(1)
    made.tell(AUTHORIZED, TXN, encode(made.request(order, execution, "olga", "ravi")), at=NOW + 100)
    made.sign(order, execution)
    said = recounted(made).lines()
    assert any(one.startswith("NOTE: 1 of the requests are for orders that were not submitted here") for one in said)


def test_of_two_versions_that_were_asked_under_the_shorter_wait_counts() -> None:
    """Nodes may not have taken part by the first, which had to wait for longer."""
    wait = "- rule: require-wait\n  require: {delay: 1h}\n  when: {action: TRANSFER}\n"
    first = replace(workspace(), rules=(*workspace().rules, *rules(wait)))
    made = Story(first)
    made.wallet()
    order, execution = numbered(1)
    begin(made, made.request(order, execution, "olga", "ravi"), TXN, NOW + 50)
    made.change(rules=workspace().rules)
    made.tell("workspace.version", "chg_1", at=NOW + 140)
    again = replace(made.request(order, execution, "olga", "ravi"), proposal=made.request(order, execution).proposal)
    made.tell(AUTHORIZED, TXN, encode(again), at=NOW + 150)
    made.sign(order, execution)
    recounted(made, workspace_digest(first)).check()


def test_an_order_that_did_not_wait_is_named() -> None:
    wait = "- rule: require-wait\n  require: {delay: 1h}\n  when: {action: TRANSFER}\n"
    first = replace(workspace(), rules=(*workspace().rules, *rules(wait)))
    made = Story(first)
    made.wallet()
    told(made, 1)
    wrong(made, "txn_1 was signed, and did not wait", begins_with=workspace_digest(first))


def test_an_order_that_was_signed_and_that_nobody_was_asked_for_is_named() -> None:
    made = plain()
    order, execution = numbered(1)
    made.tell("order.submitted", TXN, encode(made.request(order, execution).proposal))
    made.sign(order, execution)
    wrong(made, "txn_01 was signed, and no entry before says that cosigners were asked for it")


def test_an_order_that_was_signed_with_an_approval_missing_is_named() -> None:
    made = plain()
    order, execution = numbered(1)
    begin(made, made.request(order, execution, "olga"), TXN)
    made.sign(order, execution)
    wrong(made, "txn_01 was signed", "was not permitted")


def test_another_transaction_than_was_asked_for_is_named() -> None:
    made = plain()
    order, execution = numbered(1)
    begin(made, made.request(order, execution, "olga", "ravi"), TXN)
    made.sign(order, replace(execution, nonce=5))
    wrong(made, "is not what cosigners were asked for")


def test_a_wallet_that_was_made_with_an_approval_missing_is_named() -> None:
    made, asked = Story(), wish()
    approvals = (approve(asked, "sam", under=made.workspace),)
    request = CreateRequest(propose(asked), workspace_digest(made.workspace), approvals)
    made.tell("wallet.pending_approval", WALLET, encode(request.proposal))
    made.tell(AUTHORIZED, WALLET, encode(request))
    made.tell("wallet.pre_active", WALLET, made.confirmations(subject_digest(asked), asked.parties))
    wrong(made, "wal_1 was made", "was not permitted")


def test_an_order_that_was_asked_for_under_a_version_after_the_next_one_was_due_is_named() -> None:
    """Also if the coordinator never went over to the next one."""
    made = plain()
    before = made.workspace
    made.change(refusals_block_at=2)
    made.workspace = before
    told(made, 1, at=NOW + 59)
    recounted(made).check()
    told(made, 2, at=NOW + 61)
    wrong(made, "txn_2 was signed", "version 1 of the workspace was due")


def test_the_command_names_what_is_wrong_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = plain()
    order, execution = numbered(1)
    begin(made, made.request(order, execution, "olga"), TXN)
    made.sign(order, execution)
    file = exported(made, list(made.items), tmp_path / "log.jsonl")
    assert main(["log", "--export", str(file), "--digest", workspace_digest(workspace()).hex()]) == 1
    said = capsys.readouterr()
    assert "WRONG  entry" in said.out
    assert "VERIFIED" not in said.out
    assert "1 of the log's entries are of what was not permitted" in said.err
