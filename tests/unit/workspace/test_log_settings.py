"""What has to hold of the log's settings, and how a change of them counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Malformed, Reason, Refused
from oms_core.workspace import Direction, Workspace
from oms_core.workspace.change import check_successor
from oms_core.workspace.check import check_workspace
from oms_core.workspace.parts import direction, parts
from oms_core.workspace.roster import check_identities
from tests.people import following, witness, workspace

PLAIN = workspace()


def settings(**changes: object) -> Workspace:
    return replace(PLAIN, log=replace(PLAIN.log, **changes))  # type: ignore[arg-type]


def keyed(index: int, key: bytes) -> Workspace:
    roster = tuple(replace(one, witness=key) if one.index == index else one for one in PLAIN.roster)
    return replace(PLAIN, roster=roster)


@pytest.mark.parametrize("origin", ["", "Example.org", "https://example.org", "a b", "x/", "a/b/c/d/e/f", "ä"])
def test_an_origin_that_is_no_plain_name_is_refused(origin: str) -> None:
    with pytest.raises(Malformed, match=r"log\.origin"):
        check_workspace(settings(origin=origin))


@pytest.mark.parametrize("bad", [settings(public=b"x" * 31), keyed(2, b""), keyed(2, b"x" * 33)])
def test_keys_that_are_not_ed25519_keys_are_refused(bad: Workspace) -> None:
    with pytest.raises(Malformed, match="32 bytes"):
        check_workspace(bad)


@pytest.mark.covers("L07")
@pytest.mark.parametrize("other", [0, 3])
def test_one_key_for_two_witnesses_or_for_a_witness_and_the_log_is_refused(other: int) -> None:
    with pytest.raises(Malformed, match="witness keys are not unique"):
        check_workspace(keyed(2, witness(other)))


@pytest.mark.parametrize(
    "bad", [{"fresh_for": 4}, {"fresh_for": 90_000}, {"degraded_window": 59}, {"degraded_window": 32 * 86_400}]
)
def test_times_that_make_no_sense_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(Malformed, match="is not between"):
        check_workspace(settings(**bad))


def test_a_log_keeps_its_name_for_ever() -> None:
    with pytest.raises(Malformed, match=r"log\.origin"):
        check_successor(PLAIN, following(log=replace(PLAIN.log, origin="example.org/other")))


@pytest.mark.parametrize("name", ["fresh_for", "degraded_window"])
def test_to_trust_the_past_for_longer_loosens_and_for_less_time_tightens(name: str) -> None:
    longer = settings(**{name: getattr(PLAIN.log, name) + 1})
    assert direction(PLAIN, longer) is Direction.LOOSEN
    assert direction(longer, PLAIN) is Direction.TIGHTEN


def test_another_key_of_the_log_or_of_a_witness_loosens_and_is_shown() -> None:
    for changed in (settings(public=witness(9)), keyed(2, witness(9))):
        assert direction(PLAIN, changed) is Direction.LOOSEN
        assert any(witness(9).hex() in part.words for part in parts(PLAIN, changed))


def test_a_witness_key_that_moves_or_comes_back_is_refused() -> None:
    roster = tuple(replace(one, witness=witness({1: 2, 2: 1}.get(one.index, one.index))) for one in PLAIN.roster)
    with pytest.raises(Refused, match="the witness key of cosigner 1") as caught:
        check_identities(following(roster=roster), PLAIN, ())
    assert caught.value.reason is Reason.PEER_IDENTITY
    with pytest.raises(Refused, match="was replaced before"):
        check_identities(PLAIN, keyed(2, witness(9)), (PLAIN,))


def test_older_versions_are_read_only_where_a_key_is_new() -> None:
    read = list[Workspace]()
    older = (read.append(one) or one for one in (PLAIN, PLAIN))  # type: ignore[func-returns-value]
    check_identities(following(), PLAIN, older)
    assert read == []
    check_identities(keyed(2, witness(9)), PLAIN, older)
    assert read == [PLAIN, PLAIN]
