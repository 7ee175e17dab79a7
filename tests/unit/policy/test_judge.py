"""Decisions: what each kind of rule does, what holds without rules, and in which direction changes go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.chains.address import to_checksum
from oms_core.chains.operations import Operation
from oms_core.errors import NotFound, Reason
from oms_core.keys import Change, ChangeKey
from oms_core.policy.decision import Decision
from oms_core.policy.facts import Facts, Provenance
from oms_core.policy.hours import UTC
from oms_core.policy.judge import Outcome, judge, judge_operations
from oms_core.policy.rules import DAY, Hours, Kind, Operator, Rule
from oms_core.policy.rules import Test as Condition
from oms_core.workspace import ChangeWorkspace, EntryState, Role
from tests.unit.policy import world
from tests.unit.policy.world import (
    DOLLAR,
    ETHER,
    FROZEN,
    NOW,
    OPAQUE,
    USDC,
    allow,
    call,
    decide,
    deny,
    intent,
    limit,
    observed,
    pay,
    permit,
    quorum,
    require,
    test,
    token,
    usd,
    wish,
    workspace,
)

IS, ABOVE = Operator.IS, Operator.ABOVE


def reasons(decision: Decision) -> list[Reason]:
    return [objection.reason for objection in decision.objections]


def test_without_rules_nothing_is_permitted() -> None:
    assert reasons(decide([])) == [Reason.NO_PERMIT]
    assert decide([]).outcome is Outcome.DENY


def test_a_permit_without_tests_permits() -> None:
    assert decide([permit()]).outcome is Outcome.PERMIT


def test_a_denial_beats_a_permit() -> None:
    assert reasons(decide([permit(), deny(test("destination.tag", IS, "exchange"))])) == [Reason.DENIED_BY_RULE]


def test_a_denial_of_what_is_not_known_says_that_it_is_not_known() -> None:
    decision = decide([permit(), deny(test("simulation.loss_usd", ABOVE, 5))])
    assert reasons(decision) == [Reason.FACT_UNKNOWN]


def test_all_tests_of_a_rule_have_to_hold_and_one_that_does_not_is_enough_against_unknown_ones() -> None:
    unknown = test("simulation.loss_usd", ABOVE, 5)
    assert decide([permit(), deny(unknown, test("action", IS, "CALL"))]).outcome is Outcome.PERMIT
    assert decide([permit(), deny(test("action", IS, "CALL"), unknown)]).outcome is Outcome.PERMIT
    assert decide([permit(), deny(test("action", IS, "TRANSFER"), unknown)]).outcome is Outcome.DENY


def test_every_operation_has_to_fit_some_permit_not_all_the_same() -> None:
    transfers, calls = permit(test("action", IS, "TRANSFER")), permit(test("action", IS, "CALL"), rule_id="calls")
    assert decide([transfers, calls], pay(), call()).outcome is Outcome.PERMIT
    decision = decide([transfers], pay(), call())
    assert reasons(decision) == [Reason.NO_PERMIT]
    assert decision.objections[0].operation == 1


def test_a_denial_of_any_operation_is_one_of_the_order() -> None:
    decision = decide([permit(), deny(test("action", IS, "CALL"))], pay(), call())
    assert [(no.reason, no.operation) for no in decision.objections] == [(Reason.DENIED_BY_RULE, 1)]


def test_an_order_that_does_nothing_is_not_permitted() -> None:
    decision = judge_operations(workspace(permit()), intent(), (), Facts(NOW))
    assert reasons(decision) == [Reason.NO_PERMIT]


def test_a_rule_that_is_not_in_force_does_nothing() -> None:
    later, over = replace(deny(), starts=NOW + 1, rule_id="a"), replace(deny(), ends=NOW, rule_id="b")
    off = replace(deny(), enabled=False, rule_id="c")
    assert decide([permit(), later, over, off]).outcome is Outcome.PERMIT
    for inside in (replace(deny(), starts=NOW), replace(deny(), ends=NOW + 1)):
        assert decide([permit(), inside]).outcome is Outcome.DENY
    assert decide([replace(permit(), enabled=False)]).outcome is Outcome.DENY


def test_hours_open_and_close_a_rule_and_outside_what_is_known_of_them_it_is_strict() -> None:
    friday = Hours(UTC, (4,), 8 * 60, 18 * 60, ())  # NOW is a Friday, 08:00
    for hours, then in ((friday, Outcome.PERMIT), (replace(friday, opens=8 * 60 + 1), Outcome.DENY)):
        assert decide([replace(permit(), during=hours)]).outcome is then
    assert decide([permit(), replace(deny(), during=friday)]).outcome is Outcome.DENY
    assert decide([permit(), replace(deny(), during=replace(friday, days=(0, 5)))]).outcome is Outcome.PERMIT
    assert decide([replace(permit(), during=replace(friday, closed=(NOW // DAY,)))]).outcome is Outcome.DENY
    forgotten = replace(friday, zone=replace(UTC, known_until=NOW))
    assert decide([replace(permit(), during=forgotten)]).outcome is Outcome.DENY
    assert reasons(decide([permit(), replace(deny(), during=forgotten)])) == [Reason.FACT_UNKNOWN]


# What holds without any rule.


def test_an_initiator_without_the_privilege_proposes_nothing() -> None:
    nothing = workspace(permit()).roles[1:]
    assert reasons(decide([permit()], roles=nothing)) == [Reason.NOT_ELIGIBLE]
    elsewhere = (Role("trader", world.workspace().roles[0].may, ("wal_cold",)), *nothing)
    assert reasons(decide([permit()], roles=elsewhere)) == [Reason.NOT_ELIGIBLE]


def test_an_initiator_who_is_disabled_proposes_nothing() -> None:
    off = tuple(replace(user, enabled=user.user_id != "desk") for user in world.workspace().users)
    assert reasons(decide([permit()], users=off)) == [Reason.NOT_ELIGIBLE]


def test_who_may_propose_orders_alone_proposes_no_keys() -> None:
    first, *others = world.workspace().roles
    orders = (replace(first, may=first.may[:1]), *others)
    assert reasons(judge_on(wish(), permit(), roles=tuple(orders))) == [Reason.NOT_ELIGIBLE]


def judge_on(subject: object, *rules: Rule, **changes: object) -> Decision:
    return judge(workspace(*rules, **changes), subject, Facts(NOW))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (allow(2**256 - 1, unlimited=True), Reason.UNLIMITED_ALLOWANCE),
        (call(delegate=True), Reason.ACTION_MISMATCH),
        (pay(to=FROZEN), Reason.ENTRY_SUSPENDED),
        (token(to=FROZEN), Reason.ENTRY_SUSPENDED),
        (OPAQUE, Reason.OPAQUE_CALL),
    ],
)
def test_no_rule_can_allow_it(operation: Operation, reason: Reason) -> None:
    assert reasons(decide([permit()], operation)) == [reason]


@pytest.mark.parametrize(
    "changes", [{"state": EntryState.REVOKED}, {"state": EntryState.SUSPENDED}, {"expires_at": NOW}], ids=str
)
def test_a_contract_that_is_revoked_suspended_or_expired_is_neither_called_nor_allowed_anything(
    changes: dict[str, object],
) -> None:
    (router,) = world.workspace().contracts
    spoilt = (replace(router, **changes),)
    for operation in (call(), allow()):
        assert reasons(decide([permit()], operation, contracts=spoilt)) == [Reason.ENTRY_SUSPENDED]
    fresh = (replace(router, expires_at=NOW + 1),)
    assert decide([permit()], call(), contracts=fresh).outcome is Outcome.PERMIT


@pytest.mark.parametrize("state", [EntryState.REVOKED, EntryState.SUSPENDED])
def test_a_token_whose_contract_is_out_of_use_is_moved_by_no_other_contract(state: EntryState) -> None:
    """As Permit2 does, or whoever has a signed permit."""
    (router,) = world.workspace().contracts
    stopped = replace(router, entry_id="coin", address=b"\x66" * 20, protocol="coin", state=state)
    asset = f"{world.CHAIN}/erc20:{to_checksum(stopped.address)}"
    for operation in (token(asset=asset, target=router.address), allow(asset=asset), token(asset=asset)):
        assert reasons(decide([permit()], operation, contracts=(router, stopped))) == [Reason.ENTRY_SUSPENDED]
        fine = (router, replace(stopped, state=EntryState.ACTIVE))
        assert decide([permit()], operation, contracts=fine).outcome is Outcome.PERMIT


def test_what_nobody_can_read_needs_a_permit_that_says_so() -> None:
    says = permit(test("opaque", IS, 1), rule_id="says")
    assert decide([says], OPAQUE).outcome is Outcome.PERMIT
    assert decide([permit(test("opaque", IS, 0))], OPAQUE).outcome is Outcome.DENY
    assert reasons(decide([permit(test("opaque", IS, 0, 1))], OPAQUE)) == [Reason.OPAQUE_CALL]
    assert reasons(decide([], OPAQUE)) == [Reason.OPAQUE_CALL, Reason.NO_PERMIT]


def test_a_stranger_is_not_found() -> None:
    with pytest.raises(NotFound):
        decide([permit()], subject=intent(initiator="nobody"))


def test_a_change_of_the_workspace_is_none_of_the_rules_business() -> None:
    change = ChangeWorkspace("chg_1", workspace(), "desk", "", NOW, NOW + 1)
    with pytest.raises(TypeError):
        judge_on(change, permit())


def test_wishes_about_keys_are_judged_as_what_they_are() -> None:
    assert judge_on(wish(), permit(test("action", IS, "KEY_CREATE"))).outcome is Outcome.PERMIT
    assert judge_on(wish(), permit(test("action", IS, "TRANSFER"))).outcome is Outcome.DENY


def test_the_operations_of_an_order_are_read_from_its_bytes() -> None:
    assert judge_on(intent(), permit(test("action", IS, "TRANSFER"))).outcome is Outcome.PERMIT
    assert judge_on(intent(), permit(test("action", IS, "CALL"))).outcome is Outcome.DENY


# Rules that cannot be evaluated.

BROKEN = (
    test("no.such.field", IS, 1),
    test("amount", ABOVE, "much"),
    test("amount", ABOVE),
    test("action", ABOVE, 5),
    test("opaque", Operator.STARTS, "y"),
)


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_rule_that_cannot_be_evaluated_objects_or_asks_and_never_permits(broken: object) -> None:
    assert isinstance(broken, world.Test)
    assert reasons(decide([permit(), deny(broken)])) == [Reason.FACT_UNKNOWN]
    assert reasons(decide([permit(), limit(usd(10**9), when=(broken,))])) == [Reason.FACT_UNKNOWN]
    assert reasons(decide([permit(broken)])) == [Reason.NO_PERMIT]
    assert decide([permit(), require(quorum(1, "risk"), when=(broken,))]).outcome is Outcome.NEEDS_APPROVAL


@pytest.mark.parametrize(
    "empty",
    [world.rule("r", Kind.LIMIT), world.rule("r", Kind.REQUIRE), require(quorum(0, "risk"))],
    ids=["a limit without caps", "a requirement of nothing", "a threshold of 0"],
)
def test_a_rule_without_what_makes_it_one_objects(empty: Rule) -> None:
    assert reasons(decide([permit(), empty])) == [Reason.FACT_UNKNOWN]


def test_a_rule_of_more_tests_than_can_be_named_objects() -> None:
    many = tuple(test("args.0", Operator.IS_NOT, number) for number in range(61))
    assert reasons(decide([permit(), deny(*many)])) == [Reason.FACT_UNKNOWN]


# The trace.


def test_the_trace_has_a_line_for_each_rule_with_the_first_test_that_was_not_met() -> None:
    rules = [
        permit(test("action", IS, "TRANSFER"), test("amount.usd", Operator.AT_MOST, 5 * DOLLAR)),
        deny(rule_id="a"),
    ]
    first, second = decide(rules).trace
    assert (first.rule_id, first.applies, first.test) == ("a", True, "")
    assert (second.rule_id, second.applies, second.results) == ("permit", False, ("FALSE",))
    assert (second.field, second.observed, second.source) == ("amount.usd", "3,000 USD", "workspace")
    assert second.test == "amount.usd at most 5 USD"


def test_the_trace_says_what_was_claimed_by_whom() -> None:
    facts = Facts(NOW, (), (observed("simulation.loss_usd", 7, Provenance.CLAIMED),))
    (line,) = decide([permit(test("simulation.loss_usd", Operator.BELOW, 9))], facts=facts).trace
    assert (line.results, line.source, line.observed) == (("UNKNOWN",), "CLAIMED", "none, perhaps 7")


def test_a_permit_is_explained_by_the_operation_that_it_does_not_fit() -> None:
    (line,) = decide([permit(test("action", IS, "TRANSFER"))], pay(), call()).trace
    assert (line.applies, line.results, line.operation, line.observed) == (True, ("TRUE", "FALSE"), 1, "CALL")


def test_the_gravest_objection_comes_first() -> None:
    rules = [limit(usd(1)), deny(test("simulation.x", IS, 1), rule_id="z"), deny(rule_id="y")]
    decision = decide(rules, pay(to=FROZEN))
    assert reasons(decision) == [
        Reason.ENTRY_SUSPENDED, Reason.DENIED_BY_RULE, Reason.LIMIT_EXCEEDED, Reason.FACT_UNKNOWN, Reason.NO_PERMIT,
    ]  # fmt: skip
    assert decision.reason is Reason.ENTRY_SUSPENDED


@pytest.mark.parametrize("change", list(Change))
def test_to_stop_a_key_is_an_action_of_its_own(change: Change) -> None:
    key = (b"k" * 32, b"\x02" + b"x" * 32, b"c" * 32)
    asked = ChangeKey("wal_hot", *key, change, 0, 0, (), "desk", "", NOW - 10, NOW + 1000)
    allowed = judge_on(asked, permit(test("action", IS, "KEY_SUSPEND"))).outcome is Outcome.PERMIT
    assert allowed is (change is Change.SUSPEND)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (test("amount.usd", Operator.AT_MOST, 5 * DOLLAR), "at most 5 USD' does not hold: amount.usd is 3,000 USD"),
        (test("value", Operator.BELOW, 5), "value is 1 ETH"),
        (test("fee.total", Operator.ABOVE, ETHER), "fee.total is 0 ETH"),
        (test("destination.age", Operator.BELOW, DAY), "below 1d' does not hold: destination.age is 10d"),
        (test("opaque", IS, 1), "'opaque is yes' does not hold: opaque is no"),
        (test("amount", Operator.ABOVE, 2 * ETHER), "amount is 1 ETH"),
        (test("destination.lookalike", Operator.BELOW, 3), "destination.lookalike is 40"),
    ],
)  # fmt: skip
def test_the_trace_shows_numbers_in_the_units_in_which_rules_are_written(when: Condition, said: str) -> None:
    (line,) = decide([permit(when)]).trace
    assert said in line.text


def test_the_trace_shows_amounts_of_a_rules_asset_in_its_units_on_both_sides() -> None:
    rule = permit(test("asset", IS, USDC), test("amount", Operator.ABOVE, 5 * DOLLAR))
    (line,) = decide([rule], token(5 * DOLLAR)).trace
    assert line.text.startswith("'amount above 5 USDC' does not hold: amount is 5 USDC")
