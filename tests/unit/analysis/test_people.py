"""The fewest people: the search finds what trying all sets finds."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.analysis.people import Undecided, fewest
from oms_core.policy.rules import Quorum, Requirement
from oms_core.workspace.assigning import Voter, satisfied

some = st.sampled_from
voters = st.lists(
    st.builds(
        Voter,
        user_id=some(["u1", "u2", "u3", "u4", "u5", "u6"]),
        person_id=some(["p1", "p2", "p3", "p4", "p5"]),
        team=some(["red", "blue"]),
        site=some(["north", "south"]),
        groups=st.lists(some(["a", "b"]), unique=True).map(tuple),
        roles=st.lists(some(["c"]), unique=True).map(tuple),
        device_bound=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda voter: voter.user_id,
).map(tuple)
quorums = st.builds(
    Quorum,
    threshold=st.integers(1, 3),
    users=st.lists(some(["u1"]), max_size=1).map(tuple),
    groups=st.lists(some(["a", "b"]), unique=True).map(tuple),
    roles=st.lists(some(["c"]), unique=True).map(tuple),
    distinct_teams=st.booleans(),
    distinct_sites=st.booleans(),
    device_bound=st.booleans(),
)
requirements = st.builds(
    Requirement,
    all_of=st.lists(quorums, max_size=2).map(tuple),
    any_of=st.lists(quorums, max_size=2).map(tuple),
    overlap=st.booleans(),
    expires_in=st.just(0),
    delay=st.just(0),
    cosigners=st.just(()),
)


def tried(asked: list[Requirement], able: tuple[Voter, ...]) -> int | None:
    people = sorted({voter.person_id for voter in able})
    for size in range(len(people) + 1):
        for chosen in combinations(people, size):
            here = tuple(voter for voter in able if voter.person_id in chosen)
            if all(satisfied(one, here) for one in asked):
                return size
    return None


@settings(max_examples=300, deadline=None)
@given(st.lists(requirements, max_size=3), voters)
def test_it_finds_what_trying_all_sets_finds(asked: list[Requirement], able: tuple[Voter, ...]) -> None:
    found = fewest(asked, able)
    assert (found.cost if found else None) == tried(asked, able)
    if found:
        here = tuple(voter for voter in able if voter.person_id in found.people)
        assert all(satisfied(one, here) for one in asked)


def person(name: str, *groups: str) -> Voter:
    return Voter(name, name, "team", "site", groups, (), True)


def quorum(threshold: int, *groups: str) -> Quorum:
    return Quorum(threshold, (), groups, (), False, False, False)


def all_of(*asked: Quorum) -> Requirement:
    return Requirement(asked, (), False, 0, 0, ())


def test_rules_may_share_people_and_a_rules_quorums_may_not() -> None:
    able = (person("both", "a", "b"), person("one", "a"), person("other", "b"))
    shared = fewest([all_of(quorum(1, "a")), all_of(quorum(1, "b"))], able)
    apart = fewest([all_of(quorum(1, "a"), quorum(1, "b"))], able)
    assert shared is not None
    assert apart is not None
    assert (shared.people, len(apart.people)) == (("both",), 2)


def test_people_who_cost_nothing_are_there_already() -> None:
    able = (person("risky", "risk"), person("olga", "operations"), person("omar", "operations"))
    asked = [Requirement((), (quorum(1, "risk"), quorum(2, "operations")), False, 0, 0, ())]
    found = fewest(asked, able, lambda name: int(name == "risky"))
    assert found is not None
    assert found.cost == 0, "there is a way without anybody of risk"


def test_what_nobody_can_meet_has_no_set_of_people() -> None:
    assert fewest([all_of(quorum(2, "a"))], (person("alone", "a"),)) is None


def test_a_search_that_is_too_long_says_so() -> None:
    able = tuple(Voter(f"u{at}", f"p{at}", f"team{at}", "site", ("a",), (), True) for at in range(16))
    with pytest.raises(Undecided):
        fewest([all_of(quorum(8, "a"))], able, budget=100)


def test_many_people_of_one_kind_are_as_quick_as_few() -> None:
    able = tuple(person(f"p{at:03}", "a") for at in range(200))
    found = fewest([all_of(quorum(20, "a"))], able)
    assert found is not None
    assert found.people == tuple(f"p{at:03}" for at in range(20))
