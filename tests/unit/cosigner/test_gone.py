"""What is destroyed stays destroyed: nothing that was pending, late, kept elsewhere or backed up brings a key back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from cosigner.hsm import Token
from cosigner.store import erasing, sealed
from cosigner.vault import SealedAux
from oms_core.encoding import encode
from oms_core.errors import CountersealError, NotFound, Reason, Refused
from oms_core.keys import Change, KeyState
from tests.people import NOW, approve, change, change_request
from tests.unit.cosigner.epochs import ALL, certificate, dealt
from tests.unit.cosigner.node import KEY_ID, Node, activate, material, wrapping_key
from tests.unit.cosigner.specs import about_the_key, deal, dealing, new_moduli, refused
from tests.unit.cosigner.test_keys import asked

AUX = SealedAux("L112", material().aux)
REFRESH, RESHARE = asked(about_the_key()), asked(about_the_key(Change.RESHARE))


class Crash(BaseException):
    """The machine stops."""


pytestmark = pytest.mark.usefixtures("at_now")


@pytest.fixture
def unused(node: Node) -> Node:
    """A key that is out of use, while epoch 1 and moduli for epoch 2 are pending."""
    activate(node)
    node.vault.put_key("wal_1", dealt()[1])
    node.vault.put_aux("wal_1", KEY_ID, 2, AUX)
    node.keys.change(asked(change(Change.DEACTIVATE)))
    return node


@pytest.fixture
def destroyed(unused: Node) -> Node:
    """All of it is destroyed."""
    assert unused.keys.change(asked(change(Change.DESTROY))).receipt.state == KeyState.DESTROYED
    return unused


def nothing_is_left(node: Node) -> None:
    assert node.vault.all_keys(pending=True) == []
    assert [wrapping_key(node, epoch) for epoch in range(4)] == [None] * 4
    with node.store.begin() as connection:
        assert connection.execute(select(sealed.c.name)).scalars().all() == ["workspace"]
        assert connection.execute(select(erasing)).all() == []


def test_with_a_key_goes_what_is_pending_of_it(destroyed: Node) -> None:
    nothing_is_left(destroyed)
    destroyed.restart()
    nothing_is_left(destroyed)


@pytest.mark.parametrize(
    "late",
    [
        lambda node: node.vault.put_key("wal_1", dealt()[1]),
        lambda node: node.vault.put_key("wal_1", dealt(2)[1]),
        lambda node: node.vault.put_key("wal_1", material(), KeyState.ACTIVE),
        lambda node: node.vault.put_key("wal_2", dealt(3)[1]),
        lambda node: node.vault.put_aux("wal_1", KEY_ID, 3, AUX),
        lambda node: node.vault.restore_key("wal_1", dealt()[1], KeyState.ACTIVE, drill=False),
        lambda node: node.vault.commit_epoch(KEY_ID, 1),
        lambda node: node.keys.commit(KEY_ID, certificate(dealt()), REFRESH),
        lambda node: node.keys.commit(
            KEY_ID, certificate(dealt(1, (2, 3, 4, 5))), asked(about_the_key(Change.RESHARE))
        ),
        lambda node: node.keys.change(asked(change(Change.RESUME))),
    ],
    ids=[
        "a pending epoch",
        "a later one",
        "the same",
        "under another wallet",
        "moduli",
        "a backup",
        "a commit",
        "a certificate",
        "a certificate without this node",
        "a wish to resume",
    ],
)
def test_nothing_late_brings_a_destroyed_key_back(destroyed: Node, late: Callable[[Node], None]) -> None:
    for _ in range(2):
        with pytest.raises(CountersealError) as caught:
            late(destroyed)
        assert isinstance(caught.value, Refused | NotFound)
        nothing_is_left(destroyed)
        destroyed.restart()


def test_no_session_is_granted_for_a_destroyed_key(destroyed: Node) -> None:
    wish = about_the_key(Change.RESHARE, parties=ALL, threshold=3)
    for epoch in (1, 2, 3, 1024, (1 << 31) - 1):
        request = deal(wish)
        assert refused(destroyed.guard, new_moduli(request, epoch=epoch), request).reason == Reason.EPOCH_STALE
    later = deal(wish, material().public)
    made = dealing(later, new_dealers=(2, 3, 4, 5), new_epoch=3)
    assert refused(destroyed.guard, made, later).reason == Reason.EPOCH_STALE


def test_a_crash_before_the_hsms_keys_are_destroyed_leaves_nothing_that_opens_after_the_next_start(
    unused: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unused.stop()
    old = unused.copy(tmp_path / "old")
    unused.start()
    destroy, count = Token.destroy, [0]

    def crash(token: Token, under: str) -> None:
        count[0] += 1
        if count[0] == 2:
            raise Crash
        destroy(token, under)

    with monkeypatch.context() as patched:
        patched.setattr(Token, "destroy", crash)
        with pytest.raises(Crash):
            unused.keys.change(asked(change(Change.DESTROY)))
    unused.restart()
    assert unused.vault.all_keys(pending=True) == []
    unused.vault.finish_erasing()
    nothing_is_left(unused)
    unused.stop()
    unused.take(old, store=True)
    unused.start()
    for epoch in (0, 1):
        with pytest.raises(CountersealError, match="destroyed"):
            unused.vault.epoch(KEY_ID, epoch)


def test_a_later_epoch_that_counts_is_not_replaced_by_an_earlier_certificate(node: Node) -> None:
    activate(node)
    node.vault.put_key("wal_1", dealt()[1])
    node.vault.put_key("wal_1", dealt(2)[1])
    node.keys.commit(KEY_ID, certificate(dealt(2)), REFRESH)
    with pytest.raises(CountersealError):
        node.keys.commit(KEY_ID, certificate(dealt()), REFRESH)
    with pytest.raises(Refused) as caught:
        node.vault.put_key("wal_1", dealt()[1])
    assert caught.value.reason == Reason.EPOCH_STALE
    assert [(c.epoch, c.state) for c in node.vault.all_keys(pending=True)] == [(2, "ACTIVE")]


def test_an_earlier_epoch_that_is_pending_beside_a_later_one_that_counts_is_not_committed(node: Node) -> None:
    activate(node)
    node.vault.put_key("wal_1", dealt(2)[1])
    node.vault.commit_epoch(KEY_ID, 2)
    with pytest.raises(CountersealError):
        node.vault.commit_epoch(KEY_ID, 1)
    assert node.vault.find_key("wal_1").epoch == 2


# Suspended


def at(wanted: Change, valid_from: int, purpose: str = "") -> bytes:
    wish = change(wanted, valid_from=valid_from, purpose=purpose)
    return encode(change_request(wish, approve(wish, "sam"), approve(wish, "sonja")))


def test_a_wish_to_resume_from_before_the_newest_suspend_is_no_answer_to_it(node: Node) -> None:
    """The coordinator held it back: people approved it when the key was suspended for another cause."""
    activate(node)
    node.keys.change(at(Change.SUSPEND, NOW - 50))
    node.keys.change(at(Change.SUSPEND, NOW - 20, "stolen"))
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            node.keys.change(at(Change.RESUME, NOW - 30))
        assert caught.value.reason == Reason.WRONG_STATE
        assert node.vault.find_key("wal_1").state == KeyState.SUSPENDED
        node.restart()
    node.keys.change(at(Change.RESUME, NOW - 20))
    assert node.vault.find_key("wal_1").state == KeyState.ACTIVE


def test_an_older_wish_to_suspend_that_comes_late_does_not_hide_the_newer_one(node: Node) -> None:
    activate(node)
    node.keys.change(at(Change.SUSPEND, NOW - 20))
    assert node.keys.change(at(Change.SUSPEND, NOW - 50)).receipt.state == KeyState.SUSPENDED
    with pytest.raises(Refused):
        node.keys.change(at(Change.RESUME, NOW - 30))


def test_a_suspend_of_what_is_suspended_has_a_receipt_and_is_counted_in_the_token(node: Node) -> None:
    activate(node)
    first = node.keys.change(at(Change.SUSPEND, NOW - 50))
    second = node.keys.change(at(Change.SUSPEND, NOW - 20))
    assert first.receipt.subject != second.receipt.subject
    assert second.receipt.state == KeyState.SUSPENDED
    assert node.token.counters()[1] == 2
    assert node.keys.change(at(Change.SUSPEND, NOW - 20)) == second
