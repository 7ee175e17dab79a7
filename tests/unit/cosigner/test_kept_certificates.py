"""By a certificate shares are destroyed; so it is kept where it was acted on, and is good enough for all the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cosigner.ledger import Ledger
from oms_core.encoding import encode
from oms_core.errors import CountersealError, NotFound, Reason
from oms_core.evidence import EpochCertificate
from oms_core.keys import Change, ChangeKey, KeyState
from oms_core.protocol.shares import KeyMaterial
from tests.people import approve, change_request, workspace
from tests.unit.cosigner.epochs import certificate, dealt
from tests.unit.cosigner.node import KEY_ID, Node, activate, make_node, material
from tests.unit.cosigner.specs import about_the_key
from tests.unit.cosigner.test_keys import asked

STAYING = (2, 3, 4, 5)
REFRESH = asked(about_the_key())
RESHARE = asked(about_the_key(Change.RESHARE))


class Crash(BaseException):
    """The machine stops."""


pytestmark = pytest.mark.usefixtures("at_now")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The folder of node 2, never started itself."""
    return make_node(tmp_path_factory.mktemp("second"), 2)


@pytest.fixture
def other(second: Node, node: Node, tmp_path: Path) -> Iterator[Node]:
    """Node 2, which holds the key; not started, as long as node 1 is."""
    made = second.copy(tmp_path / "other")
    yield made
    node.start()


def begin_second(node: Node, other: Node, made: dict[int, KeyMaterial]) -> None:
    """Node 1 stops, and node 2 starts: it has dealt, and holds a pending share if it is to receive."""
    node.stop()
    other.boot()
    other.vault.pin_workspace(workspace())
    other.vault.put_key("wal_1", material(2), KeyState.ACTIVE)
    if 2 in made:
        other.vault.put_key("wal_1", made[2])


def pass_on(kept: list[EpochCertificate], to: Node) -> None:
    """What anybody can do who has asked a node for its certificates."""
    for one in kept:
        to.keys.commit(KEY_ID, tuple(encode(word) for word in one.confirmations), encode(one.request))


@pytest.mark.parametrize("order", [1, -1])
def test_a_certificate_that_only_one_node_was_given_takes_the_others_over_when_the_coordinator_has_lost_it(
    node: Node, other: Node, order: int
) -> None:
    activate(node)
    node.vault.put_key("wal_1", dealt()[1])
    node.keys.commit(KEY_ID, certificate(dealt())[::order], REFRESH)
    node.restart()
    kept = node.keys.certificates()
    begin_second(node, other, dealt())
    pass_on(kept, other)
    assert [(c.epoch, c.state) for c in other.vault.all_keys(pending=True)] == [(1, KeyState.ACTIVE)]
    assert other.keys.certificates() == kept
    other.stop()


def test_a_certificate_that_only_the_leaving_node_was_given_makes_the_new_members_count(
    node: Node, other: Node
) -> None:
    activate(node)
    node.keys.commit(KEY_ID, certificate(dealt(1, STAYING)), RESHARE)
    assert node.vault.all_keys(pending=True) == []
    kept = node.keys.certificates()
    begin_second(node, other, dealt(1, STAYING))
    pass_on(kept, other)
    assert [(c.epoch, c.state) for c in other.vault.all_keys(pending=True)] == [(1, KeyState.ACTIVE)]
    other.stop()


def test_a_certificate_that_only_a_member_was_given_makes_the_leaving_node_destroy_its_share(
    node: Node, other: Node
) -> None:
    parties = (1, 3, 4, 5)
    wish = about_the_key(Change.RESHARE, parties=parties)
    activate(node)
    node.vault.put_key("wal_1", dealt(1, parties)[1])
    node.keys.commit(KEY_ID, certificate(dealt(1, parties)), asked(wish))
    kept = node.keys.certificates()
    begin_second(node, other, dealt(1, parties))
    pass_on(kept, other)
    assert other.vault.all_keys(pending=True) == []
    other.stop()


def test_a_node_that_was_away_for_epochs_leaves_by_a_certificate_of_any_later_one(node: Node) -> None:
    """The wish names the epoch before: the node has missed that one, too."""
    activate(node)
    wish = about_the_key(Change.RESHARE, epoch=4)
    made = node.keys.commit(KEY_ID, certificate(dealt(5, STAYING)), asked(wish))
    assert made is not None
    assert (made.receipt.epoch, made.receipt.state) == (0, KeyState.DESTROYED)
    assert node.vault.newest_epoch(KEY_ID) == 4
    assert [one.confirmations[0].confirmation.epoch for one in node.keys.certificates()] == [5]


@pytest.mark.parametrize(
    ("wish", "approvers"),
    [
        (about_the_key(), ()),
        (about_the_key(), ("sam",)),
        (about_the_key(Change.RESHARE), ("sam", "sonja")),
        (about_the_key(Change.RESHARE, parties=(1, 2, 3)), ("sam", "sonja")),
        (about_the_key(Change.SUSPEND), ("sam", "sonja")),
        (about_the_key(wallet_id="wal_2"), ("sam", "sonja")),
        (about_the_key(key_id=bytes(32)), ("sam", "sonja")),
    ],
    ids=[
        "unapproved",
        "half approved",
        "another committee",
        "another one",
        "no dealing",
        "another wallet",
        "another key",
    ],
)
def test_true_confirmations_with_a_wish_on_which_nobody_else_would_act_are_not_acted_on_here(
    node: Node, wish: ChangeKey, approvers: tuple[str, ...]
) -> None:
    """Else this node would keep, and hand on, what the nodes that leave refuse."""
    activate(node)
    node.vault.put_key("wal_1", dealt()[1])
    request = change_request(wish, *(approve(wish, name) for name in approvers))
    with pytest.raises(CountersealError):
        node.keys.commit(KEY_ID, certificate(dealt()), encode(request))
    assert [(c.epoch, c.state) for c in node.vault.all_keys(pending=True)] == [(0, "ACTIVE"), (1, "PENDING")]
    assert node.keys.certificates() == []
    assert node.keys.commit(KEY_ID, certificate(dealt()), REFRESH) is not None


def test_a_share_is_not_destroyed_unless_the_certificate_is_kept(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    activate(node)
    node.vault.put_key("wal_1", dealt()[1])

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "keeping", lambda *_: crash)
        with pytest.raises(Crash):
            node.keys.commit(KEY_ID, certificate(dealt()), REFRESH)
    node.restart()
    assert [(c.epoch, c.state) for c in node.vault.all_keys(pending=True)] == [(0, "ACTIVE"), (1, "PENDING")]
    assert node.vault.epoch(KEY_ID, 0) == material()
    assert node.keys.certificates() == []


def test_what_is_refused_is_not_kept(node: Node) -> None:
    activate(node)
    for words, data in (
        (certificate(dealt(1, STAYING))[:3], RESHARE),
        (certificate(dealt(1, STAYING)), REFRESH),
        (certificate(dealt(1, STAYING)), encode(replace(change_request(about_the_key(Change.RESHARE))))),
    ):
        with pytest.raises(CountersealError):
            node.keys.commit(KEY_ID, words, data)
    with pytest.raises(NotFound) as caught:
        node.keys.commit(bytes(32), certificate(dealt(1, STAYING)), RESHARE)
    assert caught.value.reason == Reason.UNKNOWN_WALLET
    assert node.keys.certificates() == []
