"""Decoded arguments are found where they stand."""

from __future__ import annotations

import pytest

from oms_core.chains.operations import Argument
from oms_core.policy.places import Places

PLACES = ("0", "1[0]", "1[1]", "1[10]", "1.length", "2.0", "2.1[0].3", "2.1[1].3", "3[0][0]", "3[0][1]", "3[1][0]")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("0", "0"),
        ("1[1]", "1[1]"),
        ("1[*]", "1[0] 1[1] 1[10]"),
        ("2.1[*].3", "2.1[0].3 2.1[1].3"),
        ("3[*][*]", "3[0][0] 3[0][1] 3[1][0]"),
        ("3[0][*]", "3[0][0] 3[0][1]"),
        ("3[*][0]", "3[0][0] 3[1][0]"),
        ("3[*]", ""),
        ("1", ""),
        ("2.1[*]", ""),
        ("9[*]", ""),
    ],
)
def test_a_place_finds_what_stands_there_and_a_pattern_all_members_and_nothing_else(pattern: str, found: str) -> None:
    places = Places(Argument(place, "string", place) for place in PLACES)
    assert places.find(pattern) == tuple(found.split())
