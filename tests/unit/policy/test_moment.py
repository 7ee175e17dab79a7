"""By which clock rules are judged: by the log's, so that nodes which look at different moments come to one decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.policy.decision import Decision
from oms_core.policy.facts import Facts
from oms_core.policy.hours import UTC
from oms_core.policy.judge import Outcome
from oms_core.policy.rules import DAY, Calendar, Hours, Operator, Rule, Unit
from tests.unit.policy.world import (
    KRAKEN,
    NOW,
    ROUTER,
    call,
    decide,
    deny,
    given,
    limit,
    pay,
    permit,
    quorum,
    require,
    spent,
    test,
    usd,
    workspace,
)

CAME_OF_AGE = NOW + 1  # when what a test says "at least" of has become as old
BELOW, AT_LEAST = Operator.BELOW, Operator.AT_LEAST
ADDED = {one.entry_id: one.added_at for one in (*workspace().address_book, *workspace().contracts)}
AUDITED = workspace().contracts[0].audited_at
AGES = [
    ("destination.age", CAME_OF_AGE - ADDED["kraken"], pay(to=KRAKEN)),
    ("registry.age", CAME_OF_AGE - ADDED["router"], call(10**18, to=ROUTER)),
    ("registry.audit_age", CAME_OF_AGE - AUDITED, call(10**18, to=ROUTER)),
]
HOURS = Hours(UTC, (0, 1, 2, 3, 4, 5, 6), 0, NOW % DAY // 60, ())  # closes now: NOW is the first second after
LATER = (-60, 0, 1, 2, 60, 299)
"""Seconds after the entry at which nodes look: their clocks differ, and a session takes a while."""


def looks(*rules: Rule, at: int, operation: object = None, **facts: object) -> list[Decision]:
    """What nodes decide about what was logged ``at`` some second, each when it comes to it."""
    shown = [replace(Facts(at + after, logged_at=at), **facts) for after in LATER]  # type: ignore[arg-type]
    return [decide([permit(), *rules], operation or pay(), facts=one) for one in shown]  # type: ignore[arg-type]


def one_of(decisions: list[Decision]) -> Outcome:
    """All of them, to the last byte."""
    assert len({one.digest for one in decisions}) == 1
    assert len({one.trace for one in decisions}) == 1
    return decisions[0].outcome


@pytest.mark.parametrize(("field", "age", "operation"), AGES)
def test_an_age_in_a_limit_is_of_the_order_s_entry_and_not_of_whoever_looks(
    field: str, age: int, operation: object
) -> None:
    """What is too young is limited, to the second at which the log says that it was old enough."""
    young = limit(usd(1), when=(test(field, BELOW, age),))
    assert [one_of(looks(young, at=NOW + after, operation=operation)) for after in (0, 1)] == ["DENY", "PERMIT"]
    old = limit(usd(1), when=(test(field, AT_LEAST, age),))
    assert [one_of(looks(old, at=NOW + after, operation=operation)) for after in (0, 1)] == ["PERMIT", "DENY"]


@pytest.mark.parametrize(("field", "age", "operation"), AGES)
def test_an_age_in_any_other_rule_is_of_the_same_moment_as_in_a_limit(field: str, age: int, operation: object) -> None:
    young = test(field, BELOW, age)
    for rule in (deny(young), require(quorum(1, "risk"), when=(young,))):
        outcomes = [one_of(looks(rule, at=NOW + after, operation=operation)) for after in (0, 1)]
        assert outcomes[0] in (Outcome.DENY, Outcome.NEEDS_APPROVAL)
        assert outcomes[1] is Outcome.PERMIT


def test_a_limit_is_in_force_and_open_by_the_log_s_clock() -> None:
    closed = replace(limit(usd(1)), during=HOURS)
    assert [one_of(looks(closed, at=NOW + after)) for after in (-1, 0)] == ["DENY", "PERMIT"]
    begun, over = replace(limit(usd(1)), starts=NOW), replace(limit(usd(1)), ends=NOW)
    assert [one_of(looks(begun, at=NOW + after)) for after in (-1, 0)] == ["PERMIT", "DENY"]
    assert [one_of(looks(over, at=NOW + after)) for after in (-1, 0)] == ["DENY", "PERMIT"]


@pytest.mark.parametrize("calendar", Calendar)
def test_a_calendar_window_is_the_entry_s_over_midnight_and_the_ends_of_weeks_and_months(calendar: Calendar) -> None:
    midnight = {"DAY": 1_800_057_600, "WEEK": 1_800_230_400, "MONTH": 1_801_440_000}[calendar]
    cap = replace(usd(5000), calendar=calendar, zone=UTC)
    past = (spent(4000, at=midnight - 1), spent(1, at=midnight))
    outcomes = [one_of(looks(limit(cap), at=midnight + after, spent=past)) for after in (-1, 0)]
    assert outcomes == ["DENY", "PERMIT"]
    assert {(use.starts <= midnight - 1 < use.ends) for use in looks(limit(cap), at=midnight - 1)[0].limits} == {True}


def test_what_people_said_an_end_of_ends_by_each_nodes_own_clock() -> None:
    """An approval that a rule lets count for a minute, and a contract that may be called until a second."""
    asks = require(quorum(1, "risk"), expires_in=60)
    shown = [Facts(NOW + after, logged_at=NOW) for after in (59, 60)]
    decided = [decide([permit(), asks], facts=one, approvers=given("ravi")) for one in shown]
    assert [one.outcome for one in decided] == ["PERMIT", "NEEDS_APPROVAL"]
    expiring = (replace(workspace().contracts[0], expires_at=NOW + 60),)
    decided = [decide([permit()], call(), facts=one, contracts=expiring) for one in shown]
    assert [one.outcome for one in decided] == ["PERMIT", "DENY"]


def test_a_delay_is_over_by_the_clock_of_whoever_saw_the_order_first() -> None:
    waits = require(delay=100)
    shown = [Facts(NOW + after, seen_at=NOW, logged_at=NOW) for after in (99, 100)]
    assert [decide([permit(), waits], facts=one).outcome for one in shown] == ["DELAY", "PERMIT"]


def test_where_nothing_is_logged_rules_are_judged_as_of_now() -> None:
    when = test("destination.age", BELOW, 10 * DAY + 1)
    for after, outcome in ((0, "DENY"), (1, "PERMIT")):
        assert decide([permit(), deny(when)], facts=Facts(NOW + after)).outcome == outcome
    assert Unit.USD in {use.unit for use in decide([permit(), limit(usd(9000))]).limits}
