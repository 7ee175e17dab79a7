"""The fewest people: the search finds what trying all sets finds."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.analysis.people import Electorate, Undecided, electorate, fewest
from oms_core.policy.index import index_of
from oms_core.policy.require import Asking
from oms_core.policy.rules import Quorum, Requirement
from oms_core.workspace import Group, Privilege, User
from tests.unit.analysis.world import workspace
from tests.unit.policy.world import person, quorum

some = st.sampled_from


def body(*users: User, groups: dict[str, tuple[str, ...]]) -> Electorate:
    """Those who may approve orders for anybody but themselves."""
    made = workspace(users=users, groups=tuple(Group(name, members) for name, members in groups.items()))
    return electorate(Asking(index_of(made), "p-nobody", "wal_hot", Privilege.APPROVE_ORDERS))


users = st.lists(
    st.builds(
        person,
        user_id=some(["u1", "u2", "u3", "u4", "u5", "u6"]),
        role=some(["risk", "chief", "trader"]),
        team=some(["red", "blue"]),
        site=some(["north", "south"]),
        human=some(["p1", "p2", "p3", "p4", "p5"]),
        synced=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda one: one.user_id,
).map(tuple)
quorums = st.builds(
    Quorum,
    threshold=st.integers(1, 3),
    users=st.lists(some(["u1"]), max_size=1).map(tuple),
    groups=st.lists(some(["a", "b"]), unique=True).map(tuple),
    roles=st.lists(some(["chief"]), unique=True).map(tuple),
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


def tried(asked: list[Requirement], who: Electorate) -> int | None:
    for size in range(len(who.users) + 1):
        for chosen in combinations(sorted(who.users), size):
            if all(who.enough(one, chosen) for one in asked):
                return size
    return None


@settings(max_examples=200, deadline=None)
@given(st.lists(requirements, max_size=3), users)
def test_it_finds_what_trying_all_sets_finds(asked: list[Requirement], able: tuple[User, ...]) -> None:
    who = body(*able, groups={"a": ("u1", "u2", "u3"), "b": ("u3", "u4", "u5")})
    found = fewest(asked, who)
    assert (found.cost if found else None) == tried(asked, who)
    if found:
        assert all(who.enough(one, found.people) for one in asked)


def all_of(*asked: Quorum) -> Requirement:
    return Requirement(asked, (), False, 0, 0, ())


def test_rules_may_share_people_and_a_rules_quorums_may_not() -> None:
    able = (person("both", "risk"), person("one", "risk"), person("other", "risk"))
    who = body(*able, groups={"a": ("both", "one"), "b": ("both", "other")})
    shared = fewest([all_of(quorum(1, "a")), all_of(quorum(1, "b"))], who)
    apart = fewest([all_of(quorum(1, "a"), quorum(1, "b"))], who)
    assert shared is not None
    assert apart is not None
    assert (shared.people, len(apart.people)) == (("p-both",), 2)


def test_people_who_cost_nothing_are_there_already() -> None:
    able = (person("risky", "risk"), person("olga", "risk"), person("omar", "risk"))
    who = body(*able, groups={"risk": ("risky",), "operations": ("olga", "omar")})
    asked = [Requirement((), (quorum(1, "risk"), quorum(2, "operations")), False, 0, 0, ())]
    found = fewest(asked, who, lambda name: int(name == "p-risky"))
    assert found is not None
    assert found.cost == 0, "there is a way without anybody of risk"


def test_what_nobody_can_meet_has_no_set_of_people() -> None:
    assert fewest([all_of(quorum(2, "a"))], body(person("alone", "risk"), groups={"a": ("alone",)})) is None


def test_who_is_disabled_or_has_no_key_left_is_nobody() -> None:
    gone = replace(person("gone", "risk"), enabled=False)
    keyless = replace(person("keyless", "risk"), credentials=())
    assert fewest([all_of(quorum(1, "a"))], body(gone, keyless, groups={"a": ("gone", "keyless")})) is None


def test_a_search_that_is_too_long_says_so() -> None:
    able = tuple(person(f"u{at}", "risk", team=f"team{at}") for at in range(16))
    who = body(*able, groups={"a": tuple(one.user_id for one in able)})
    with pytest.raises(Undecided):
        fewest([all_of(quorum(8, "a"))], who, budget=100)


def test_many_people_of_one_kind_are_as_quick_as_few() -> None:
    able = tuple(person(f"u{at:03}", "risk") for at in range(60))
    who = body(*able, groups={"a": tuple(one.user_id for one in able)})
    found = fewest([all_of(quorum(10, "a"))], who)
    assert found is not None
    assert found.people == tuple(f"p-u{at:03}" for at in range(10))
