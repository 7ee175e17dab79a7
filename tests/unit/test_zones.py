"""Zones for rules are what the tz database says, to the second at which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from oms.zones import zone, zones_named
from oms_core.errors import Malformed
from oms_core.policy.hours import offset
from oms_core.policy.text import rules_from_yaml

NOW = 1_800_000_000


@pytest.mark.parametrize("name", ["Europe/Zurich", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_a_zone_has_the_offsets_of_the_database_around_every_change(name: str) -> None:
    made, place = zone(name, NOW), ZoneInfo(name)
    moments = [at + delta for at, _ in made.offsets[1:] for delta in (-1, 0, 1)]
    for at in (*moments, *range(made.offsets[0][0], made.known_until, 86_400 * 7 + 3600)):
        east = datetime.fromtimestamp(at, UTC).astimezone(place).utcoffset()
        assert east is not None
        assert offset(made, at) == east.total_seconds()


def test_where_clocks_never_change_there_is_one_offset() -> None:
    assert [minutes for _, minutes in zone("Asia/Kolkata", NOW).offsets] == [330]


def test_rules_that_name_zones_can_be_read_with_those_that_they_name() -> None:
    text = """
    - rule: desk-hours
      permit:
      during: {zone: Europe/Zurich, days: [mon-fri], from: 08:00, to: 18:00}
    - rule: monthly
      limit: {usd: 1,000, every: month, zone: "America/New_York"}
    - rule: daily
      limit: {usd: 1,000, every: day, zone: UTC}
    """
    zones = zones_named(text, NOW)
    assert [one.name for one in zones] == ["America/New_York", "Europe/Zurich"]
    assert rules_from_yaml(text, zones=zones)[0].during is not None


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", ""])
def test_a_zone_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        zone(name, NOW)
