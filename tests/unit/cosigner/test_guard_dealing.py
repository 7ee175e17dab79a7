"""What a cosigner takes part in when a key is dealt anew: only what was approved, from the epoch that it holds."""

from __future__ import annotations

import pytest

from cosigner.guard import Dealing
from cosigner.vault import SealedAux
from oms_core.errors import Reason
from oms_core.evidence import ChangeRequest
from oms_core.keys import Change, KeyState
from oms_core.protocol.shares import aux_digest
from tests.people import NOW, approve, change_request, workspace
from tests.unit.cosigner.epochs import dealt
from tests.unit.cosigner.node import KEY_ID, Node, activate, material
from tests.unit.cosigner.specs import ALL, about_the_key, deal, dealing, new_moduli, refused

EPOCH = material().public
STAYING = (2, 3, 4, 5)
RESHARE = about_the_key(Change.RESHARE)
JOINING = about_the_key(Change.RESHARE, parties=(1, 2, 3, 4), threshold=3)


@pytest.fixture
def ready(node: Node) -> Node:
    """An active key, and moduli for its epoch 1."""
    activate(node)
    node.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", material().aux))
    return node


def test_the_moduli_of_an_approved_refresh_are_made(guard: object, node: Node) -> None:
    request = deal()
    granted = node.guard.decide(new_moduli(request), request, NOW)
    assert isinstance(granted, Dealing)
    assert (granted.epoch, granted.aux) == (None, None)


def test_an_approved_refresh_deals_the_share_that_is_held_to_the_moduli_that_were_made(ready: Node) -> None:
    request = deal(epoch=EPOCH)
    granted = ready.guard.decide(dealing(request), request, NOW)
    assert isinstance(granted, Dealing)
    assert granted.material == material()
    assert granted.epoch == EPOCH
    assert granted.aux == SealedAux("L112", material().aux)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parties": (1, 2, 3, 4)}, Reason.INTENT_TX_MISMATCH),
        ({"threshold": 4}, Reason.INTENT_TX_MISMATCH),
        ({"epoch_hash": bytes(32)}, Reason.INTENT_TX_MISMATCH),
        ({"epoch": 0}, Reason.EPOCH_STALE),
        ({"key_id": bytes(32)}, Reason.EPOCH_STALE),
    ],
)
def test_moduli_for_another_committee_key_or_epoch_are_not_made(
    guard: object, node: Node, changes: dict[str, object], reason: Reason
) -> None:
    request = deal()
    assert refused(node.guard, new_moduli(request, **changes), request).reason == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"new_dealers": (1, 2, 3)}, Reason.INTENT_TX_MISMATCH),
        ({"new_receivers": (1, 2, 3, 4)}, Reason.INTENT_TX_MISMATCH),
        ({"new_threshold": 4}, Reason.INTENT_TX_MISMATCH),
        ({"new_threshold": 2}, Reason.INTENT_TX_MISMATCH),
        ({"new_epoch": 2}, Reason.UNKNOWN_WALLET),
        ({"new_aux": bytes(32)}, Reason.DIGEST_MISMATCH),
        ({"new_epoch": 0}, Reason.MALFORMED),
        ({"threshold": 4}, Reason.INTENT_TX_MISMATCH),
        ({"level": "L128"}, Reason.CONFIG_INVALID),
        ({"epoch_hash": bytes(32)}, Reason.EPOCH_STALE),
        ({"key_id": bytes(32)}, Reason.EPOCH_STALE),
    ],
)
def test_a_refresh_that_is_not_the_approved_one_is_refused(
    ready: Node, changes: dict[str, object], reason: Reason
) -> None:
    request = deal(epoch=EPOCH)
    assert refused(ready.guard, dealing(request, **changes), request).reason == reason


def test_a_refresh_is_dealt_only_from_the_epoch_that_is_held(ready: Node) -> None:
    other = dealt()[1].public
    for epoch, made in ((None, {}), (other, {}), (other, {"epoch_hash": other.hash})):
        request = deal(epoch=epoch)
        assert refused(ready.guard, dealing(request, **made), request).reason == Reason.EPOCH_STALE


@pytest.mark.parametrize("state", [KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED])
def test_a_key_that_is_out_of_use_is_not_dealt_anew(ready: Node, state: KeyState) -> None:
    ready.vault.advance_key(KEY_ID, 0, KeyState.ACTIVE, state)
    request, later = deal(), deal(epoch=EPOCH)
    assert refused(ready.guard, new_moduli(request, epoch=2), request).reason == Reason.WRONG_STATE
    assert refused(ready.guard, dealing(later), later).reason == Reason.WRONG_STATE


def test_an_epoch_that_is_pending_here_is_not_dealt_again(ready: Node) -> None:
    ready.vault.put_key("wal_1", dealt()[1])
    request, later = deal(), deal(epoch=EPOCH)
    assert refused(ready.guard, new_moduli(request), request).reason == Reason.EPOCH_STALE
    assert refused(ready.guard, dealing(later), later).reason == Reason.EPOCH_STALE


@pytest.mark.parametrize(
    "wish",
    [
        about_the_key(Change.SUSPEND),
        about_the_key(Change.RESUME),
        about_the_key(Change.DESTROY),
        about_the_key(Change.REFRESH, epoch=1),
    ],
)
def test_a_wish_for_something_else_or_another_epoch_deals_nothing(ready: Node, wish: object) -> None:
    request = deal(wish, EPOCH)  # type: ignore[arg-type]
    reason = refused(ready.guard, dealing(request), request).reason
    assert reason in (Reason.INTENT_TX_MISMATCH, Reason.EPOCH_STALE)


def test_a_wish_without_its_approvals_deals_nothing(ready: Node) -> None:
    wish = about_the_key(Change.REFRESH)
    request: ChangeRequest = change_request(wish, approve(wish, "sam"))
    assert refused(ready.guard, new_moduli(request), request).reason == Reason.APPROVAL_MISSING


def test_a_node_that_leaves_deals_and_receives_nothing(ready: Node) -> None:
    request = deal(RESHARE, EPOCH)
    granted = ready.guard.decide(dealing(request, new_receivers=STAYING), request, NOW)
    assert isinstance(granted, Dealing)
    assert granted.material == material()
    assert granted.aux is None


@pytest.mark.parametrize(
    "changes", [{"new_receivers": ALL}, {"new_receivers": (2, 3, 4)}, {"new_receivers": STAYING, "new_threshold": 4}]
)
def test_a_key_is_not_dealt_to_another_committee_than_the_approved_one(ready: Node, changes: dict[str, object]) -> None:
    request = deal(RESHARE, EPOCH)
    assert refused(ready.guard, dealing(request, **changes), request).reason == Reason.INTENT_TX_MISMATCH


def test_a_new_member_receives_without_dealing(node: Node) -> None:
    node.vault.pin_workspace(workspace())
    node.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", dealt(1, (1, 2, 3, 4))[1].aux))
    aux = aux_digest(dealt(1, (1, 2, 3, 4))[1].aux)
    request = deal(JOINING, EPOCH)
    made = dealing(request, new_dealers=(2, 3, 4, 5), new_receivers=(1, 2, 3, 4), new_aux=aux)
    granted = node.guard.decide(made, request, NOW)
    assert isinstance(granted, Dealing)
    assert granted.material is None
    assert granted.aux is not None


def test_a_node_without_a_share_is_no_dealer(node: Node) -> None:
    node.vault.pin_workspace(workspace())
    node.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", material().aux))
    request = deal(JOINING, EPOCH)
    made = dealing(request, new_receivers=(1, 2, 3, 4))
    assert refused(node.guard, made, request).reason == Reason.UNKNOWN_WALLET


def test_nothing_is_dealt_with_a_peer_that_was_convicted_here(ready: Node) -> None:
    ready.convictions._keep(5, b"evidence")
    request = deal(epoch=EPOCH)
    assert refused(ready.guard, dealing(request), request).reason == Reason.CULPRIT_IDENTIFIED
