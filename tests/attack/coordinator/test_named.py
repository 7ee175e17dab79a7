"""The named attacks of a hostile coordinator and on approvals, that need no memory: all lies of each, at every node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attack.coordinator import nodes
from tests.attack.coordinator.lies import LIES
from tests.attack.coordinator.nodes import ALL, Five
from tests.attack.coordinator.scene import Scene
from tests.attack.coordinator.trying import Tally, every_honest_node_refuses, hostile, the_legal_order_is_signed
from tests.attack.table import ATTACKS

pytestmark = pytest.mark.attack
QUORUMS = ((1, 2, 3), (1, 4, 5))
Refused = Callable[[str], None]


@pytest.fixture(scope="module")
def standing(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Five]:
    with nodes.fresh(prepared, tmp_path_factory.mktemp("standing") / "nodes") as made:
        yield made


@pytest.fixture
def refused(standing: Five) -> Refused:
    """All lies of a named attack are refused by all five, and an honest order is signed afterwards."""

    def all_of(name: str) -> None:
        scene, tally = Scene(standing.workspace, nodes.material(1), seed=sum(name.encode())), Tally()
        for lie in LIES.values():
            if name in lie.ids:
                for stolen in (False, True):
                    attempt = hostile(scene, (1, 2, 3), [lie], stolen)
                    every_honest_node_refuses(scene, standing, attempt, QUORUMS, (), tally)
        assert tally.decisions >= len(ALL)
        assert sum(tally.reasons.values()) == tally.decisions
        assert standing.blamed() == set()
        the_legal_order_is_signed(scene, standing, (2, 3, 5), ())

    return all_of


def test_every_lie_belongs_to_a_named_attack() -> None:
    assert {name for lie in LIES.values() for name in lie.ids} <= set(ATTACKS)


@pytest.mark.covers("C01")
def test_an_order_that_the_right_people_have_not_approved_is_refused_by_every_node(refused: Refused) -> None:
    refused("C01")


@pytest.mark.covers("C02")
def test_approvals_proposals_and_digests_of_another_order_serve_no_other(refused: Refused) -> None:
    refused("C02")


@pytest.mark.covers("C03")
def test_an_approval_that_is_there_twice_counts_as_an_attack_and_not_as_two(refused: Refused) -> None:
    refused("C03")


@pytest.mark.covers("C04")
def test_nothing_of_an_order_can_be_changed_after_its_approval(refused: Refused) -> None:
    refused("C04")


@pytest.mark.covers("C05")
def test_an_order_under_another_version_of_the_workspace_is_refused(refused: Refused) -> None:
    refused("C05")


@pytest.mark.covers("C06")
def test_a_key_that_was_revoked_approves_nothing(refused: Refused) -> None:
    refused("C06")


@pytest.mark.covers("C07")
def test_a_denial_stops_an_order_and_cannot_be_shown_as_an_approval(refused: Refused) -> None:
    refused("C07")


@pytest.mark.covers("C08")
def test_a_session_that_lies_about_its_quorum_its_key_or_its_epoch_is_refused(refused: Refused) -> None:
    refused("C08")


@pytest.mark.covers("C12")
def test_a_session_belongs_to_one_request(refused: Refused) -> None:
    refused("C12")


@pytest.mark.covers("C14")
def test_more_approvals_than_anybody_reads_are_not_read(refused: Refused) -> None:
    refused("C14")


@pytest.mark.covers("C16")
def test_an_order_dated_back_or_ahead_is_refused(refused: Refused) -> None:
    refused("C16")


@pytest.mark.covers("C18")
def test_a_test_signature_is_not_given_for_an_order(refused: Refused) -> None:
    refused("C18")


@pytest.mark.covers("C19")
def test_a_message_or_a_permit_is_not_signed_in_the_place_of_a_transaction(refused: Refused) -> None:
    refused("C19")


@pytest.mark.covers("C20")
def test_dangerous_calls_are_refused_also_when_people_were_tricked_into_approving_them(refused: Refused) -> None:
    refused("C20")


@pytest.mark.covers("C22")
def test_words_that_differ_from_the_order_or_hide_something_are_refused(refused: Refused) -> None:
    refused("C22")


@pytest.mark.covers("C23")
def test_the_same_number_in_another_assets_units_is_another_order(refused: Refused) -> None:
    refused("C23")


@pytest.mark.covers("C24")
def test_an_order_for_one_chain_serves_on_no_other(refused: Refused) -> None:
    refused("C24")


@pytest.mark.covers("A01")
def test_an_assertion_from_elsewhere_is_refused(refused: Refused) -> None:
    refused("A01")


@pytest.mark.covers("A02")
def test_an_assertion_without_user_verification_is_refused(refused: Refused) -> None:
    refused("A02")


@pytest.mark.covers("A03")
def test_an_assertion_over_another_challenge_is_refused(refused: Refused) -> None:
    refused("A03")


@pytest.mark.covers("A04")
def test_a_key_that_can_be_copied_does_not_stand_for_one_that_cannot(refused: Refused) -> None:
    refused("A04")


@pytest.mark.covers("A05")
def test_an_assertion_of_another_kind_or_without_a_signature_is_refused(refused: Refused) -> None:
    refused("A05")


@pytest.mark.covers("A06")
def test_a_stolen_session_at_a_front_end_moves_nothing_to_a_stranger(refused: Refused) -> None:
    refused("A06")


@pytest.mark.covers("A08")
def test_an_assertion_from_inside_anothers_page_is_refused(refused: Refused) -> None:
    refused("A08")


@pytest.mark.covers("A11")
def test_a_persons_second_account_does_not_make_her_two(refused: Refused) -> None:
    refused("A11")


@pytest.mark.covers("A12")
def test_nobody_approves_an_order_of_her_own(refused: Refused) -> None:
    refused("A12")


@pytest.mark.covers("A13")
def test_what_was_shown_has_to_be_what_is_signed(refused: Refused) -> None:
    refused("A13")


@pytest.mark.covers("A14")
def test_an_edited_order_has_no_approvals(refused: Refused) -> None:
    refused("A14")


@pytest.mark.covers("A15")
def test_an_approval_ends_when_it_said_and_begins_when_it_was_asked(refused: Refused) -> None:
    refused("A15")
