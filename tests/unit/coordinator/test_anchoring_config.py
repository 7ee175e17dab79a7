"""The configuration of anchoring: there or not, and refused where it would anchor itself for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.config import LEAST_ENTRIES, load
from oms.devnet import ceremony
from oms_core.errors import LocalError, Reason


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "coordinator").mkdir()
    return ceremony.coordinator_files(tmp_path, "a:1", "a:2", "eip155:31337", "http://a")


def refused(file: Path, was: str, now: str) -> str:
    file.write_text(file.read_text().replace(was, now))
    with pytest.raises(LocalError) as caught:
        load(file)
    assert caught.value.reason == Reason.CONFIG_INVALID
    return caught.value.message


def test_it_is_off_unless_it_is_told(file: Path) -> None:
    found = load(file).anchoring
    assert found is not None
    assert (found.wallet, found.user, found.minutes, found.entries) == ("wal_anchor", "anchor", 10, 1000)
    assert found.key.resolve() == (file.parent.parent / "people" / "anchor.pem").resolve()
    text = file.read_text()
    file.write_text(text[: text.index("[anchoring]")])
    assert load(file).anchoring is None


def test_anchors_that_would_only_follow_each_other_are_refused(file: Path) -> None:
    least = f"minutes = 10\nentries = {LEAST_ENTRIES}"
    assert "anchoring.entries" in refused(file, "minutes = 10", f"minutes = 10\nentries = {LEAST_ENTRIES - 1}")
    file.write_text(file.read_text().replace(f"entries = {LEAST_ENTRIES - 1}", f"entries = {LEAST_ENTRIES}"))
    found = load(file).anchoring
    assert found is not None
    assert found.entries == LEAST_ENTRIES
    assert "anchoring.minutes" in refused(file, least, "minutes = 0")


@pytest.mark.parametrize(("was", "now"), [('wallet = "wal_anchor"\n', ""), ("minutes = 10", 'minutes = "10"')])
def test_a_section_that_is_not_whole_is_refused(file: Path, was: str, now: str) -> None:
    assert "anchoring" in refused(file, was, now)


def test_an_unknown_key_is_refused(file: Path) -> None:
    assert "anchoring.hours" in refused(file, "minutes = 10", "minutes = 10\nhours = 1")
