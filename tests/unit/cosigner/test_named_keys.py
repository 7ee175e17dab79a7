"""A wish names its key, and a node compares: what is meant for one key or committee does nothing to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cosigner.guard import Dealing
from cosigner.vault import SealedAux
from oms_core.encoding import encode
from oms_core.errors import Conflict, CountersealError, Reason
from oms_core.keys import Change, ChangeKey, KeyState
from oms_core.protocol.create_key import confirmation
from oms_core.protocol.shares import Epoch, KeyMaterial, aux_digest
from tests.people import NOW, change, change_request, workspace
from tests.unit.cosigner.epochs import ALL, confirmed, dealt
from tests.unit.cosigner.node import KEY_ID, Node, activate, material
from tests.unit.cosigner.specs import about_the_key, deal, dealing, new_moduli, refused
from tests.unit.cosigner.test_keys import asked

EPOCH = material().public
STAYING = (2, 3, 4, 5)
LIKE = KEY_ID[:16] + b"another key's id"
HUGE = (1 << 200, 10**1500, 10**5000)


pytestmark = pytest.mark.usefixtures("at_now")


def as_key(held: KeyMaterial, key_id: bytes) -> KeyMaterial:
    return replace(held, share=replace(held.share, key_id=key_id))


def untouched(node: Node) -> None:
    """The tests' key is as it was."""
    assert (node.vault.find_key("wal_1").key_id, node.vault.find_key("wal_1").state) == (KEY_ID, KeyState.ACTIVE)
    assert node.vault.epoch(KEY_ID, 0) == material()


# Wallets


def false_epoch(wallet_id: str, key_id: bytes) -> tuple[bytes, ...]:
    """Four nodes lie together: they confirm an epoch that nobody has dealt."""
    made = {j: as_key(held, key_id) for j, held in dealt(1, STAYING).items()}
    return tuple(confirmed(j, confirmation(wallet_id, held)) for j, held in made.items())


@pytest.mark.parametrize("said", ["wal_1", "wal_2"])
def test_a_resharing_of_one_wallet_takes_no_share_of_another_wallets_key_away(node: Node, said: str) -> None:
    activate(node)
    for key_id in (KEY_ID, LIKE):
        wish = about_the_key(Change.RESHARE, wallet_id="wal_2", key_id=key_id)
        with pytest.raises(CountersealError):
            node.keys.commit(KEY_ID, false_epoch(said, KEY_ID), asked(wish))
        with pytest.raises(CountersealError):
            node.keys.commit(key_id, false_epoch(said, key_id), asked(wish))
    untouched(node)
    assert node.keys.certificates() == []


def test_a_session_for_one_wallet_deals_and_receives_nothing_of_another_wallets_key(node: Node) -> None:
    activate(node)
    node.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", material().aux))
    wish = about_the_key(Change.RESHARE, wallet_id="wal_2", parties=ALL, threshold=3)
    request, later = deal(wish), deal(wish, EPOCH)
    assert refused(node.guard, new_moduli(request, epoch=2), request).reason == Reason.EPOCH_STALE
    assert refused(node.guard, dealing(later, new_dealers=STAYING), later).reason == Reason.EPOCH_STALE
    untouched(node)


@pytest.mark.parametrize(
    "end",
    [
        lambda node: node.vault.commit_epoch(LIKE, 1),
        lambda node: node.vault.destroy_epochs(LIKE, 2),
        lambda node: node.vault.advance_key(LIKE, 0, KeyState.DEACTIVATED, KeyState.DESTROYED),
    ],
    ids=["commit", "leave", "destroy"],
)
def test_what_happens_to_a_key_whose_id_begins_alike_leaves_this_one_alone(
    node: Node, end: Callable[[Node], None]
) -> None:
    activate(node)
    node.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", material().aux))
    node.vault.put_key("wal_2", as_key(material(), LIKE), KeyState.DEACTIVATED)
    node.vault.put_key("wal_2", as_key(dealt()[1], LIKE))
    node.vault.put_aux("wal_2", LIKE, 2, SealedAux("L112", material().aux))
    end(node)
    untouched(node)
    assert node.vault.aux(KEY_ID, 1).aux == material().aux
    assert node.vault.newest_epoch(KEY_ID) == 1


def test_two_keys_of_one_wallet_never_count(node: Node) -> None:
    activate(node)
    node.vault.put_key("wal_1", as_key(dealt()[1], LIKE))
    for attempt in (
        lambda: node.vault.commit_epoch(LIKE, 1),
        lambda: node.vault.advance_key(LIKE, 1, KeyState.PENDING, KeyState.PRE_ACTIVE),
        lambda: node.vault.put_key("wal_1", as_key(dealt(2)[1], LIKE), KeyState.ACTIVE),
    ):
        with pytest.raises(Conflict) as caught:
            attempt()
        assert caught.value.reason == Reason.WRONG_STATE
    untouched(node)


# New members


JOINING = (1, 2, 3, 4)


def joining(wish: ChangeKey, epoch: Epoch) -> tuple[object, object]:
    """A session that deals ``epoch`` to the committee with node 1, and its request."""
    request = deal(wish, epoch)
    aux = aux_digest(dealt(1, JOINING)[1].aux)
    made = dealing(request, new_dealers=STAYING, new_receivers=JOINING, new_aux=aux, epoch_hash=epoch.hash)
    return made, request


@pytest.fixture
def new(node: Node) -> Node:
    """A node that holds nothing of the key but moduli for its next epoch."""
    node.vault.pin_workspace(workspace())
    node.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", dealt(1, JOINING)[1].aux))
    return node


def about_joining(**changes: object) -> ChangeKey:
    return about_the_key(Change.RESHARE, parties=JOINING, threshold=3, **changes)


def test_a_new_member_takes_the_epoch_of_the_key_that_people_named(new: Node) -> None:
    made, request = joining(about_joining(), EPOCH)
    granted = new.guard.decide(made, request, NOW)  # type: ignore[arg-type]
    assert isinstance(granted, Dealing)
    assert granted.material is None


@pytest.mark.parametrize(
    ("wish", "epoch"),
    [
        (about_joining(public_key=dealt()[1].share.public_shares[0][1].to_bytes()), EPOCH),
        (about_joining(chain_code=bytes(32)), EPOCH),
        (about_joining(), replace(EPOCH, public_key=dealt()[1].share.public_shares[0][1])),
        (about_joining(), replace(EPOCH, chain_code=bytes(32))),
        (about_joining(), replace(EPOCH, key_id=LIKE)),
        (about_joining(), replace(EPOCH, epoch=1)),
    ],
    ids=["a wish of another key", "of another chain code", "another key", "another chain code", "another id", "later"],
)
def test_a_new_member_takes_no_epoch_of_another_key_or_chain_code(new: Node, wish: ChangeKey, epoch: Epoch) -> None:
    made, request = joining(wish, epoch)
    assert refused(new.guard, made, request).reason == Reason.EPOCH_STALE  # type: ignore[arg-type]


def test_a_holder_does_not_deal_for_a_wish_of_another_public_key_or_chain_code(node: Node) -> None:
    activate(node)
    for changes in ({"public_key": b"\x02" + b"x" * 32}, {"chain_code": bytes(32)}, {"key_id": LIKE}):
        request = deal(about_the_key(**changes))
        assert refused(node.guard, new_moduli(request), request).reason == Reason.EPOCH_STALE


@pytest.mark.parametrize("others", [ALL, (1, 2, 3, 5), (1, 2, 3)])
def test_moduli_of_another_committee_are_not_dealt_to(node: Node, others: tuple[int, ...]) -> None:
    """They were made in an honest session, but with other nodes than those that are to receive."""
    node.vault.pin_workspace(workspace())
    public = tuple(peer for peer in material().aux.public if peer.index in others)
    aux = replace(material().aux, public=public)
    node.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", aux))
    request = deal(about_joining(), EPOCH)
    made = dealing(request, new_dealers=STAYING, new_receivers=JOINING, new_aux=aux_digest(aux))
    assert refused(node.guard, made, request).reason == Reason.DIGEST_MISMATCH


def test_a_node_that_was_away_for_an_epoch_receives_and_does_not_deal(node: Node) -> None:
    activate(node)
    aux = material().aux
    node.vault.put_aux("wal_1", KEY_ID, 2, SealedAux("L112", aux))
    later = dealt()[1].public
    request = deal(about_the_key(Change.RESHARE, epoch=1, parties=ALL, threshold=3), later)
    changes: dict[str, object] = {"epoch": 1, "epoch_hash": later.hash, "new_epoch": 2}
    granted = node.guard.decide(dealing(request, **changes, new_dealers=STAYING), request, NOW)
    assert isinstance(granted, Dealing)
    assert granted.material is None
    assert refused(node.guard, dealing(request, **changes), request).reason == Reason.UNKNOWN_WALLET


# Numbers


@pytest.mark.parametrize("epoch", [5000, 1025, (1 << 31) - 1])
def test_an_epoch_that_is_too_far_ahead_is_refused(guard: object, node: Node, epoch: int) -> None:
    request = deal()
    assert refused(node.guard, new_moduli(request, epoch=epoch), request).reason == Reason.EPOCH_STALE
    assert isinstance(node.guard.decide(new_moduli(request, epoch=1024), request, NOW), Dealing)


@pytest.mark.parametrize("epoch", [1 << 31, 1 << 63, *HUGE], ids=["2^31", "2^63", "2^200", "10^1500", "10^5000"])
def test_an_epoch_that_no_store_could_hold_is_malformed(guard: object, node: Node, epoch: int) -> None:
    request, later = deal(), deal(epoch=EPOCH)
    assert refused(node.guard, new_moduli(request, epoch=epoch), request).reason == Reason.MALFORMED
    assert refused(node.guard, dealing(later, new_epoch=epoch), later).reason == Reason.MALFORMED
    wish = change(Change.SUSPEND, epoch=epoch)
    with pytest.raises(CountersealError) as caught:
        node.keys.change(encode(change_request(wish)))
    assert caught.value.reason == Reason.MALFORMED
    words = tuple(
        confirmed(j, replace(confirmation("wal_1", held), epoch=epoch)) for j, held in dealt(1, STAYING).items()
    )
    with pytest.raises(CountersealError) as caught:
        node.keys.commit(KEY_ID, words, asked(about_the_key(Change.RESHARE)))
    assert caught.value.reason == Reason.MALFORMED
    untouched(node)


def test_moduli_that_wait_block_their_own_number_alone_so_that_no_attempt_can_use_up_all(node: Node) -> None:
    activate(node)
    node.vault.put_aux("wal_1", KEY_ID, 3, SealedAux("L112", material().aux))
    request, later = deal(), deal(epoch=EPOCH)
    assert refused(node.guard, new_moduli(request, epoch=3), request).reason == Reason.EPOCH_STALE
    for free in (1, 2, 4):
        assert isinstance(node.guard.decide(new_moduli(request, epoch=free), request, NOW), Dealing)
    for other in (1, 2):
        assert refused(node.guard, dealing(later, new_epoch=other), later).reason == Reason.UNKNOWN_WALLET
    assert refused(node.guard, dealing(later, new_epoch=4), later).reason == Reason.UNKNOWN_WALLET
    assert isinstance(node.guard.decide(dealing(later, new_epoch=3), later, NOW), Dealing)


def test_a_number_stays_taken_when_what_had_it_is_gone(node: Node) -> None:
    activate(node)
    node.vault.put_key("wal_1", dealt(3)[1])
    node.vault.commit_epoch(KEY_ID, 3)
    node.vault.destroy_epochs(KEY_ID, 4)
    node.restart()
    assert node.vault.newest_epoch(KEY_ID) == 3
    request = deal(about_joining(epoch=3))
    made = {"parties": JOINING, "threshold": 3}
    assert refused(node.guard, new_moduli(request, epoch=3, **made), request).reason == Reason.EPOCH_STALE
    assert isinstance(node.guard.decide(new_moduli(request, epoch=4, **made), request, NOW), Dealing)


@pytest.mark.parametrize("number", HUGE, ids=["2^200", "10^1500", "10^5000"])
@pytest.mark.parametrize("name", ["epoch", "threshold", "valid_from", "valid_until", "parties"])
def test_a_wish_with_whatever_integer_is_malformed(node: Node, name: str, number: int) -> None:
    activate(node)
    for wanted in (Change.RESHARE, Change.SUSPEND):
        wish = about_the_key(wanted, **{name: (number,) if name == "parties" else number})
        for attempt in (
            lambda data: node.keys.change(data),
            lambda data: node.keys.commit(KEY_ID, false_epoch("wal_1", KEY_ID), data),
        ):
            with pytest.raises(CountersealError):
                attempt(encode(change_request(wish)))
        request = change_request(wish)
        assert refused(node.guard, new_moduli(request), request).reason in (Reason.MALFORMED, Reason.EXPIRED)
    untouched(node)
