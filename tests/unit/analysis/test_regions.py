"""Regions: what is cut, merged and compared holds for each order, value by value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_core.analysis.regions import (
    SEVERAL,
    Region,
    Tests,
    TooManyPieces,
    covered,
    opposite,
    overlap,
    simplified,
    subtract,
    within,
)
from oms_core.policy.rules import Operator
from oms_core.policy.rules import Test as Condition

IS, IS_NOT = Operator.IS, Operator.IS_NOT
Order = dict[str, frozenset[int | str]]

NAMES = ("a", "b", "c")
one_of = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True).map(tuple)
in_or_not = st.sampled_from([IS, IS_NOT])
texts = st.builds(Condition, st.sampled_from(["initiator.user", "initiator.role"]), in_or_not, one_of)
types = st.lists(st.sampled_from(["WHITELISTED", "OWN", "CONTRACT", "ONE_TIME"]), min_size=1, max_size=3).map(tuple)
listed = st.builds(Condition, st.just("destination.type"), in_or_not, types)
numbers = st.builds(
    Condition,
    st.just("amount"),
    st.sampled_from([Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST, IS, IS_NOT]),
    st.integers(0, 5).map(lambda n: (n,)),
)
actions = st.builds(Condition, st.just("action"), in_or_not, st.just(("TRANSFER",)))
conjunctions = st.lists(st.one_of(texts, numbers, listed, actions), max_size=5).map(tuple)
orders = st.fixed_dictionaries(
    {
        "initiator.user": st.sampled_from(NAMES).map(lambda name: frozenset({name})),
        "initiator.role": st.frozensets(st.sampled_from(NAMES)),
        "amount": st.integers(0, 6).map(lambda n: frozenset({n})),
        "destination.type": st.one_of(
            st.just(frozenset({"ONE_TIME"})),
            st.just(frozenset({"ONE_TIME", "OWN"})),
            st.frozensets(st.sampled_from(["WHITELISTED", "OWN", "CONTRACT"]), min_size=1),
        ),
        "action": st.sampled_from(["TRANSFER", "CALL"]).map(lambda name: frozenset({name})),
    }
)


def holds(test: Condition, order: Order) -> bool:
    values = order[test.field]
    match test.operator:
        case Operator.IS:
            return bool(values & set(test.values))
        case Operator.IS_NOT:
            return not values & set(test.values)
    (value,) = values
    edge = test.values[0]
    assert isinstance(value, int)
    assert isinstance(edge, int)
    return {
        Operator.ABOVE: value > edge,
        Operator.AT_LEAST: value >= edge,
        Operator.BELOW: value < edge,
        Operator.AT_MOST: value <= edge,
    }[test.operator]


def inside(tests: Tests, order: Order) -> bool:
    return all(holds(test, order) for test in tests)


def anywhere(region: Region, order: Order) -> int:
    return sum(inside(tests, order) for tests in region)


@given(conjunctions, orders)
def test_a_simplified_conjunction_holds_where_the_conjunction_does(tests: Tests, order: Order) -> None:
    made = simplified(tests)
    assert (made is not None and inside(made, order)) == inside(tests, order)


@given(conjunctions, conjunctions, orders)
def test_what_is_left_is_what_was_there_and_was_not_taken_and_no_piece_twice(
    tests: Tests, taken: Tests, order: Order
) -> None:
    left = subtract((tests,), taken)
    assert anywhere(left, order) == int(inside(tests, order) and not inside(taken, order))


@given(conjunctions, conjunctions, orders)
def test_within_is_true_of_each_order(inner: Tests, outer: Tests, order: Order) -> None:
    if within(inner, outer) and inside(inner, order):
        assert inside(outer, order)


@given(conjunctions, conjunctions, conjunctions, orders)
def test_what_is_covered_by_two_is_in_one_of_them(one: Tests, two: Tests, three: Tests, order: Order) -> None:
    if covered((one,), (two, three)) and inside(one, order):
        assert inside(two, order) or inside(three, order)


@given(conjunctions, conjunctions, orders)
def test_regions_with_an_order_in_common_overlap(one: Tests, other: Tests, order: Order) -> None:
    if inside(one, order) and inside(other, order):
        assert overlap((one,), (other,))


@given(st.one_of(texts, numbers, listed, actions), orders)
def test_the_opposite_holds_where_the_test_does_not(test: Condition, order: Order) -> None:
    against = opposite(test)
    assert against is not None
    assert holds(against, order) != holds(test, order)


def test_nothing_is_the_opposite_of_a_beginning() -> None:
    begins = Condition("source.path", Operator.STARTS, ("m/0/",))
    assert opposite(begins) is None
    assert subtract(((),), (begins,)) == ((),), "too much is left rather than too little"


def test_a_path_that_begins_with_two_different_things_is_nowhere() -> None:
    begins = [Condition("source.path", Operator.STARTS, (text,)) for text in ("m/0/", "m/1/")]
    assert simplified(begins) is None


def test_a_region_in_more_pieces_than_wanted_is_not_cut() -> None:
    taken = tuple(Condition(field, IS, ("x",)) for field in ("initiator.user", "source.wallet", "chain"))
    with pytest.raises(TooManyPieces):
        subtract(((),), taken, most=2)


def test_sets_are_not_merged_as_if_they_were_one_value() -> None:
    both = (Condition("initiator.role", IS, ("a",)), Condition("initiator.role", IS, ("b",)))
    assert simplified(both) is not None, "one may have two roles"
    assert "initiator.role" in SEVERAL
