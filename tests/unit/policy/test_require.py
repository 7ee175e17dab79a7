"""Requirements: who may approve, whose approval fills which seat, and what else has to be there before a signature."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from oms_core.errors import Reason
from oms_core.policy.decision import Decision, Given
from oms_core.policy.facts import Facts
from oms_core.policy.judge import Outcome, judge_operations
from oms_core.policy.matching import Candidate, assign
from oms_core.policy.rules import DAY, Operator, Quorum, Rule
from oms_core.workspace import Assurance, Credential, Privilege, Role, User, Workspace
from tests.unit.policy.world import (
    DESK,
    NOW,
    PEOPLE,
    decide,
    given,
    intent,
    pay,
    permit,
    person,
    quorum,
    require,
    test,
    wish,
    workspace,
)


def asked(*rules: Rule, by: tuple[Given, ...] = (), **changes: object) -> Decision:
    return decide([permit(), *rules], approvers=by, **changes)  # type: ignore[arg-type]


def met(*rules: Rule, by: tuple[str, ...], **changes: object) -> bool:
    decision = asked(*rules, by=given(*by), **changes)
    assert decision.outcome in (Outcome.PERMIT, Outcome.NEEDS_APPROVAL)
    assert (decision.outcome is Outcome.PERMIT) is not any(need.missing for need in decision.needs)
    return decision.outcome is Outcome.PERMIT


TWO = require(quorum(2, "risk"))


def test_as_many_people_as_the_threshold_have_to_approve() -> None:
    assert not met(TWO, by=())
    assert not met(TWO, by=("ravi",))
    assert met(TWO, by=("ravi", "rosa"))
    assert met(TWO, by=("ravi", "rosa", "remy"))
    assert asked(TWO).reason is Reason.APPROVAL_MISSING


def test_a_need_names_who_has_approved_and_who_still_could() -> None:
    (need,) = asked(TWO, by=given("ravi")).needs
    assert (need.rule_id, need.required, need.given, need.missing) == ("require", 2, ("ravi",), 1)
    assert need.eligible == ("remy", "rosa", "sync")
    assert need.words == "require: 1 of 2 approvals by groups risk"


def test_two_users_of_one_person_are_one_approval() -> None:
    assert not met(TWO, by=("ravi", "ravi2"))
    assert met(TWO, by=("ravi", "ravi2", "rosa"))


def test_the_initiators_person_never_counts_by_whatever_user() -> None:
    ravi = replace(person("ravi", "risk"), roles=("risk", "trader"))
    users = (DESK, ravi, *PEOPLE[1:])
    rules = workspace(permit(), TWO, users=users)
    mine = judge_operations(rules, intent(initiator="ravi"), (pay(),), Facts(NOW), given("ravi2", "rosa"))
    assert mine.outcome is Outcome.NEEDS_APPROVAL
    assert mine.needs[0].eligible == ("remy", "sync")


@pytest.mark.parametrize("name", ["sam", "desk", "nobody"])
def test_an_approval_by_somebody_whom_nobody_asked_does_not_count(name: str) -> None:
    assert not met(TWO, by=("ravi", name))


def test_who_is_disabled_revoked_without_a_key_or_without_the_privilege_is_not_eligible() -> None:
    rosa = PEOPLE[1]
    spoilt: list[User] = [
        replace(rosa, enabled=False),
        replace(rosa, credentials=()),
        replace(rosa, credentials=tuple(replace(key, revoked=True) for key in rosa.credentials)),
        replace(rosa, roles=("security",)),
        replace(rosa, roles=()),
    ]
    for one in spoilt:
        users = (DESK, PEOPLE[0], one, *PEOPLE[2:])
        assert not met(TWO, by=("ravi", "rosa"), users=users)
        assert met(TWO, by=("ravi", "remy"), users=users)


def test_a_privilege_for_other_wallets_is_none_here() -> None:
    roles = tuple(replace(role, wallets=("wal_cold",)) if role.role == "risk" else role for role in workspace().roles)
    assert not met(TWO, by=("ravi", "rosa"), roles=roles)
    assert met(TWO, by=("ravi", "rosa"), roles=roles, subject=intent(wallet_id="wal_cold"))


def test_orders_and_keys_are_approved_by_different_privileges() -> None:
    anybody = require(replace(quorum(1), users=("sam", "ravi", "cleo")))
    for subject, able in ((intent(), {"ravi", "cleo"}), (wish(), {"sam", "cleo"})):
        assert {name for name in ("sam", "ravi", "cleo") if met(anybody, by=(name,), subject=subject)} == able


def test_people_are_named_by_user_group_or_role() -> None:
    for one in (replace(quorum(1), users=("cleo",)), quorum(1, "chiefs"), replace(quorum(1), roles=("chief",))):
        assert met(require(one), by=("cleo",))
        assert not met(require(one), by=("rosa",))


# One person, one seat.


def test_a_person_fills_one_quorum_only() -> None:
    both = require(quorum(1, "risk"), quorum(1, "chiefs"))
    assert not met(both, by=("ravi",))
    assert met(both, by=("ravi", "cleo"))
    assert met(both, by=("ravi", "rosa"))  # ravi is a chief, too: he sits there, and rosa for risk
    assert not met(both, by=("rosa", "remy"))


def test_where_people_may_overlap_one_fills_every_quorum_that_she_is_in() -> None:
    assert met(require(quorum(1, "risk"), quorum(1, "chiefs"), overlap=True), by=("ravi",))
    assert not met(require(quorum(2, "risk"), quorum(1, "chiefs"), overlap=True), by=("ravi",))


def test_different_rules_may_be_met_by_the_same_person() -> None:
    assert met(require(quorum(1, "risk"), rule_id="one"), require(quorum(1, "chiefs"), rule_id="two"), by=("ravi",))


def test_all_requirements_that_apply_add_up() -> None:
    one, two = require(quorum(1, "risk"), rule_id="one"), require(quorum(1, "chiefs"), rule_id="two")
    assert not met(one, two, by=("rosa",))
    assert met(one, two, by=("rosa", "cleo"))
    assert met(one, replace(two, when=(test("action", Operator.IS, "CALL"),)), by=("rosa",))


def test_one_of_several_quorums_is_enough_and_only_that_one_is_named() -> None:
    either = require(any_of=(quorum(2, "risk"), quorum(1, "chiefs")))
    assert met(either, by=("cleo",))
    assert met(either, by=("rosa", "remy"))
    assert not met(either, by=("rosa",))
    (need,) = asked(either, by=given("cleo")).needs
    assert need.given == ("cleo",)
    assert [need.missing for need in asked(either, by=given("rosa")).needs] == [1, 1]


def test_the_chosen_one_of_several_takes_nobody_from_those_that_all_have_to_be_filled() -> None:
    mixed = require(quorum(1, "chiefs"), any_of=(quorum(1, "chiefs"), quorum(2, "risk")))
    assert not met(mixed, by=("cleo",))
    assert met(mixed, by=("cleo", "ravi"))
    assert not met(mixed, by=("ravi", "rosa"))
    assert met(mixed, by=("ravi", "rosa", "remy"))


# Teams, sites and keys.


def test_people_of_one_team_do_not_count_together_where_teams_have_to_differ() -> None:
    apart = require(replace(quorum(2, "risk"), distinct_teams=True))
    assert not met(apart, by=("ravi", "remy"))
    assert met(apart, by=("ravi", "rosa"))


def test_people_of_one_site_do_not_count_together_where_sites_have_to_differ() -> None:
    apart = require(replace(quorum(2, "risk"), distinct_sites=True))
    assert not met(apart, by=("ravi", "rosa"))
    assert met(apart, by=("ravi", "remy"))


def test_teams_and_sites_may_have_to_differ_both() -> None:
    apart = require(replace(quorum(2, "risk"), distinct_teams=True, distinct_sites=True))
    assert not met(apart, by=("ravi", "rosa"))
    assert not met(apart, by=("ravi", "remy"))
    assert met(apart, by=("rosa", "remy"))
    assert met(apart, by=("ravi", "rosa", "remy"))


def test_only_keys_that_cannot_leave_their_device_count_where_a_quorum_says_so() -> None:
    bound = require(replace(quorum(1, "risk"), device_bound=True))
    assert asked(bound, by=given("rosa", kind=Assurance.SYNCED)).outcome is Outcome.NEEDS_APPROVAL
    assert asked(bound, by=given("rosa")).outcome is Outcome.PERMIT
    assert "sync" not in asked(bound).needs[0].eligible
    assert "sync" in asked(TWO).needs[0].eligible
    assert asked(require(quorum(1, "risk")), by=given("sync", kind=Assurance.SYNCED)).outcome is Outcome.PERMIT


def test_an_approval_stops_counting_when_it_is_too_old_for_the_rule() -> None:
    fresh = require(quorum(1, "risk"), expires_in=3600)
    for age, outcome in ((0, Outcome.PERMIT), (3599, Outcome.PERMIT), (3600, Outcome.NEEDS_APPROVAL)):
        decision = asked(fresh, by=given("ravi", at=NOW - age))
        assert decision.outcome is outcome
        assert decision.approvals_expire_in == 3600
    assert asked(require(quorum(1, "risk")), by=given("ravi", at=0)).outcome is Outcome.PERMIT


# Delays and cosigners.


def delayed(seen_at: int | None, *rules: Rule, by: tuple[Given, ...] = ()) -> Decision:
    return decide([permit(), *rules], facts=Facts(NOW, seen_at=seen_at), approvers=by)


def test_a_delay_counts_from_when_it_was_first_seen() -> None:
    wait = require(delay=DAY)
    for seen_at, outcome in ((NOW - DAY, Outcome.PERMIT), (NOW - DAY + 1, Outcome.DELAY), (None, Outcome.DELAY)):
        decision = delayed(seen_at, wait)
        assert (decision.outcome, decision.delay) == (outcome, DAY)
        assert decision.ready_at == (None if seen_at is None else seen_at + DAY)
    assert delayed(None, wait).reason is Reason.DELAYED


def test_the_longest_delay_counts_and_people_are_asked_in_the_meantime() -> None:
    rules = (require(quorum(1, "risk"), delay=60, rule_id="a"), require(delay=3600, rule_id="b"))
    assert delayed(NOW, *rules).outcome is Outcome.NEEDS_APPROVAL
    assert delayed(NOW, *rules, by=given("ravi")).delay == 3600
    assert delayed(NOW - 3600, *rules, by=given("ravi")).outcome is Outcome.PERMIT


def test_cosigners_of_all_rules_that_apply_have_to_be_among_the_signers() -> None:
    off = require(cosigners=(5,), rule_id="c", when=(test("action", Operator.IS, "CALL"),))
    assert asked(require(cosigners=(3, 1)), require(cosigners=(1, 2), rule_id="b"), off).cosigners == (1, 2, 3)


def test_the_strictest_expiry_is_told() -> None:
    rules = (require(quorum(1, "risk"), expires_in=60, rule_id="a"), require(quorum(1, "risk"), expires_in=30))
    assert asked(*rules).approvals_expire_in == 30


# Matching, against trying everything.

TEAMS, SITES = ("a", "b", "c"), ("x", "y")
candidates = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(TEAMS), st.sampled_from(SITES)), max_size=6).map(
    lambda rows: [Candidate(f"u{at}", f"p{who}", team, site) for at, (who, team, site) in enumerate(rows)]
)
flags = st.tuples(st.booleans(), st.booleans())


def legal(one: Quorum, chosen: tuple[Candidate, ...]) -> bool:
    people, teams, sites = ({getattr(c, name) for c in chosen} for name in ("person_id", "team", "site"))
    return (
        len(people) == len(chosen)
        and (not one.distinct_teams or len(teams) == len(chosen))
        and (not one.distinct_sites or len(sites) == len(chosen))
    )


def possible(quorums: list[Quorum], pools: list[list[Candidate]]) -> bool:
    """Whether all seats can be filled, by trying all."""
    if not quorums:
        return True
    for chosen in combinations(pools[0], quorums[0].threshold):
        if legal(quorums[0], chosen):
            taken = {one.person_id for one in chosen}
            rest = [[one for one in pool if one.person_id not in taken] for pool in pools[1:]]
            if possible(quorums[1:], rest):
                return True
    return False


@settings(max_examples=400, deadline=None)
@drawn(st.lists(st.tuples(st.integers(1, 3), flags, candidates), min_size=1, max_size=3))
def test_all_seats_are_filled_whenever_they_can_be(
    asked_for: list[tuple[int, tuple[bool, bool], list[Candidate]]],
) -> None:
    quorums = [Quorum(n, (), (), (), teams, sites, False) for n, (teams, sites), _ in asked_for]
    pools = [pool for _, _, pool in asked_for]
    seats = assign(quorums, pools, overlap=False)
    chosen = [tuple(one for one in pool if one.user_id in names) for pool, names in zip(pools, seats, strict=True)]
    assert all(legal(one, some) for one, some in zip(quorums, chosen, strict=True))
    people = [one.person_id for some in chosen for one in some]
    assert len(set(people)) == len(people)
    assert all(len(names) <= one.threshold for one, names in zip(quorums, seats, strict=True))
    full = all(len(names) == one.threshold for one, names in zip(quorums, seats, strict=True))
    assert full is possible(quorums, pools)


def test_matching_does_not_depend_on_the_order_of_approvals() -> None:
    pool = [Candidate(name, name, team, "x") for name, team in (("a", "1"), ("b", "1"), ("c", "2"))]
    one = [Quorum(2, (), (), (), True, False, False), Quorum(1, (), (), (), False, False, False)]
    found = {tuple(assign(one, [mixed, mixed], overlap=False)) for mixed in permutations(pool)}
    assert len(found) == 1


def test_a_crowd_of_approvals_takes_no_time() -> None:
    crowd = tuple(
        User(f"u{n:02}", f"p{n}", "U", f"team-{n % 4}", f"site-{n % 4}", ("risk",),
             (Credential(b"%d" % n, b"", bytes(16), Assurance.DEVICE_BOUND, b"", False),), (), True)
        for n in range(32)
    )  # fmt: skip
    everybody = replace(quorum(5), roles=("risk",), distinct_teams=True, distinct_sites=True)
    rules: Workspace = workspace(
        permit(), require(everybody), users=(DESK, *crowd),
        roles=(workspace().roles[0], Role("risk", (Privilege.APPROVE_ORDERS,), ("*",))),
    )  # fmt: skip
    everyone = tuple(Given(user.user_id, Assurance.DEVICE_BOUND, NOW) for user in crowd)
    decision = judge_operations(rules, intent(), (pay(),), Facts(NOW), everyone)
    assert [len(need.given) for need in decision.needs] == [4]
