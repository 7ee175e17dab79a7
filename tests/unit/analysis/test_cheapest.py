"""The cheapest way: who is enough, alone or by changing the rules first, and that fewer are not."""

from __future__ import annotations

from dataclasses import replace

from oms_core.analysis.cheapest import cheapest
from oms_core.analysis.properties import And
from oms_core.policy.decision import Outcome
from oms_core.policy.judge import Given, judge
from oms_core.policy.rules import Operator
from oms_core.policy.rules import Test as Condition
from oms_core.workspace import Assurance, Workspace
from tests.unit.analysis.world import NOW, USDC, workspace

PERMIT = "- rule: all\n  permit:\n  when: {action: TRANSFER}\n"
ASKS = "{approvals: 2, from groups: [risk], distinct teams: yes}"
TWO = f"- rule: two\n  require: {ASKS}\n  when: {{amount.usd: above 100 USD}}\n"
MILLION = Condition("amount.usd", Operator.AT_LEAST, (10**12,))


def people(under: Workspace, amount: Condition = MILLION, **more: object) -> dict[str, int]:
    found = cheapest(under, "wal_cold", amount, NOW, **more)  # type: ignore[arg-type]
    assert not found.open_questions
    return {one.how.partition(",")[0].replace(" as the rules stand", ""): one.people for one in found.routes}


def test_with_a_permit_alone_it_takes_who_proposes() -> None:
    assert people(workspace(PERMIT))["by an order"] == 1


def test_approvers_are_added_and_suffice() -> None:
    under = workspace(PERMIT + TWO)
    found = cheapest(under, "wal_cold", MILLION, NOW)
    (route,) = (one for one in found.routes if one.order and one.orders == 1)
    assert (route.people, len(route.approvers)) == (3, 2)
    assert route.order is not None
    users = [one.user_id for one in under.users if one.person_id in route.approvers]
    given = tuple(Given(name, Assurance.DEVICE_BOUND, NOW) for name in users)
    assert judge(under, route.order.subject, route.order.facts, given).outcome is Outcome.PERMIT
    assert judge(under, route.order.subject, route.order.facts, given[:1]).outcome is Outcome.NEEDS_APPROVAL


def test_a_thousand_small_orders_are_a_way_round_a_bound() -> None:
    found = people(workspace(PERMIT + TWO), parts=(1, 10_000))
    assert (found["by an order"], found["by 10000 orders"]) == (3, 1)


def test_changing_the_rules_first_is_a_way_of_its_own() -> None:
    under = workspace(PERMIT + TWO.replace("2, from", "3, from"))
    found = cheapest(under, "wal_cold", MILLION, NOW)
    (route,) = (one for one in found.routes if one.order is None)
    assert (route.proposer, route.approvers, route.delay) == ("p-cleo", ("p-sam", "p-sonja"), 86_400)
    assert found.routes[0] is route, "three people and a day, where the rules ask for four"


def test_where_all_is_denied_only_the_change_is_left() -> None:
    assert list(people(workspace(""))) == ["by changing the workspace first"]
    nobody = replace(workspace(PERMIT), governance=(), users=())
    assert cheapest(nobody, "wal_cold", MILLION, NOW).routes == ()


def test_an_amount_of_one_asset_and_another_class_of_destinations() -> None:
    booked = PERMIT.replace("TRANSFER", "TRANSFER, destination.type: WHITELISTED")
    hundred = Condition("amount", Operator.AT_LEAST, (100 * 10**6,))
    asset = Condition("asset", Operator.IS, (USDC,))
    assert "by an order" not in people(workspace(booked), hundred, to=asset_to("ONE_TIME", asset))
    assert people(workspace(booked), hundred, to=asset_to("WHITELISTED", asset))["by an order"] == 1


def asset_to(kind: str, asset: Condition) -> object:
    return And((asset, Condition("destination.type", Operator.IS, (kind,))))


def test_one_person_with_two_users_counts_once() -> None:
    under = workspace(PERMIT + "- rule: two\n  require: {approvals: 2, from users: [ravi, ravi2, rosa]}\n")
    found = cheapest(under, "wal_cold", MILLION, NOW)
    (route,) = (one for one in found.routes if one.order and one.orders == 1)
    assert route.approvers == ("p-ravi", "p-rosa")
