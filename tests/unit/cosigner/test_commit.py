"""A new epoch counts when all its members have confirmed it; what came before is destroyed, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cosigner import keys as module
from oms_core.encoding import encode
from oms_core.errors import Malformed, NotFound, Reason, Refused
from oms_core.evidence import ChangeRequest
from oms_core.keys import Change, KeyState, SignedKeyReceipt
from oms_core.protocol.create_key import confirmation
from oms_core.workspace import workspace_digest
from tests.people import (
    NOW,
    approve,
    change,
    change_request,
    intent,
    propose,
    reform,
    rules,
    sign_request,
    workspace,
    workspace_request,
)
from tests.unit.cosigner.epochs import ALL, certificate, confirmed, dealt, originals
from tests.unit.cosigner.node import KEY_ID, Node, activate, make_node, material, wrapping_key
from tests.unit.cosigner.test_chain import disabled
from tests.unit.cosigner.test_keys import asked, state
from tests.unit.cosigner.test_pool import presignature
from tests.witnessed import Logbook

pytestmark = pytest.mark.usefixtures("at_now")


@pytest.fixture
def pending(node: Node) -> Node:
    """Epoch 0 counts, epoch 1 is sealed and pending."""
    activate(node)
    node.vault.put_key("wal_1", dealt()[1])
    return node


REFRESH = asked(change(Change.REFRESH))


@pytest.mark.covers("R24", "K09")
def test_a_full_certificate_makes_the_new_epoch_count_and_destroys_the_old_one(pending: Node) -> None:
    pending.pool.put("wal_1", presignature(1))
    made = pending.keys.commit(KEY_ID, certificate(dealt()), REFRESH)
    assert isinstance(made, SignedKeyReceipt)
    assert (made.receipt.epoch, made.receipt.state) == (0, KeyState.DESTROYED)
    assert [(c.epoch, c.state) for c in pending.vault.all_keys(pending=True)] == [(1, KeyState.ACTIVE)]
    assert pending.vault.epoch(KEY_ID, 1) == dealt()[1]
    assert wrapping_key(pending, 0) is None
    assert pending.pool.ids() == ()
    assert pending.keys.public(KEY_ID) == dealt()[1].public


def test_the_same_words_in_another_order_or_signed_again_give_the_same_receipt(pending: Node) -> None:
    first = pending.keys.commit(KEY_ID, certificate(dealt()), REFRESH)
    assert first is not None
    again = certificate(dealt())
    assert again != certificate(dealt())
    assert [pending.keys.commit(KEY_ID, words, REFRESH) for words in (again, again[::-1])] == [first] * 2


@pytest.mark.covers("R24", "K09")
def test_the_certificate_by_which_a_node_went_over_is_kept(pending: Node) -> None:
    words = certificate(dealt())
    pending.keys.commit(KEY_ID, words, REFRESH)
    pending.restart()
    [kept] = pending.keys.certificates()
    assert tuple(encode(one) for one in kept.confirmations) == words
    assert encode(kept.request) == REFRESH


def test_a_suspended_key_stays_suspended_in_its_new_epoch(pending: Node) -> None:
    pending.keys.change(asked(change(Change.SUSPEND)))
    pending.keys.commit(KEY_ID, certificate(dealt()), REFRESH)
    assert [(c.epoch, c.state) for c in pending.vault.all_keys()] == [(1, KeyState.SUSPENDED)]


@pytest.mark.parametrize(
    ("wishes", "then"),
    [
        ((), KeyState.ACTIVE),
        ((Change.SUSPEND,), KeyState.SUSPENDED),
        ((Change.SUSPEND, Change.RESUME), KeyState.ACTIVE),
        ((Change.SUSPEND, Change.RESUME, Change.SUSPEND), KeyState.SUSPENDED),
    ],
)
def test_a_node_that_comes_back_to_a_committee_goes_on_in_the_state_that_people_wished_last(
    node: Node, wishes: tuple[Change, ...], then: KeyState
) -> None:
    activate(node)
    for number, wanted in enumerate(wishes):
        node.keys.change(asked(change(wanted, purpose=f"wish {number}")))
    node.vault.destroy_epochs(KEY_ID, 1)
    node.vault.put_key("wal_1", dealt()[1])
    node.restart()
    node.keys.commit(KEY_ID, certificate(dealt()), REFRESH)
    assert [(c.epoch, c.state) for c in node.vault.all_keys()] == [(1, then)]


def other(j: int, **changes: object) -> bytes:
    return confirmed(j, replace(confirmation("wal_1", dealt()[5]), **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "last",
    [
        None,
        other(5, index=4),
        other(4),
        other(5, transcript=bytes(32)),
        other(5, epoch=2),
        other(5, wallet_id="wal_2"),
        other(5, chain_code=bytes(32)),
        certificate(originals())[4],
        b"junk",
    ],
)
def test_the_old_epoch_counts_while_one_confirmation_is_missing_foreign_or_of_something_else(
    pending: Node, last: bytes | None
) -> None:
    first = certificate(dealt())[:4]
    with pytest.raises((Refused, Malformed)):
        pending.keys.commit(KEY_ID, (*first, last) if last is not None else first, REFRESH)
    assert [(c.epoch, c.state) for c in pending.vault.all_keys(pending=True)] == [
        (0, KeyState.ACTIVE),
        (1, KeyState.PENDING),
    ]
    assert pending.vault.epoch(KEY_ID, 0) == material()


def test_nothing_is_committed_without_confirmations_or_for_another_wish(pending: Node) -> None:
    for confirmations, data in (((), REFRESH), (certificate(dealt()), encode(change_request(change())) + b"x")):
        with pytest.raises((Refused, Malformed)):
            pending.keys.commit(KEY_ID, confirmations, data)
    order = replace(change_request(change()), proposal=sign_request(intent()).proposal)
    with pytest.raises(Refused):
        pending.keys.commit(KEY_ID, certificate(dealt()), encode(order))


STAYING = (2, 3, 4, 5)


def test_a_node_that_leaves_destroys_its_share_on_everyones_word_and_peoples(node: Node) -> None:
    activate(node)
    wish = asked(change(Change.RESHARE))
    made = node.keys.commit(KEY_ID, certificate(dealt(1, STAYING)), wish)
    assert made is not None
    assert (made.receipt.epoch, made.receipt.state, made.receipt.index) == (0, KeyState.DESTROYED, 1)
    assert node.vault.all_keys(pending=True) == []
    assert wrapping_key(node, 0) is None
    assert node.keys.commit(KEY_ID, certificate(dealt(1, STAYING)), wish) == made


def leaving_refused(node: Node, confirmations: tuple[bytes, ...], data: bytes) -> Reason:
    with pytest.raises((Refused, Malformed, NotFound)) as caught:
        node.keys.commit(KEY_ID, confirmations, data)
    assert [(c.epoch, c.state) for c in node.vault.all_keys()] == [(0, KeyState.ACTIVE)]
    return caught.value.reason


@pytest.mark.covers("R24", "K09")
def test_a_node_that_is_said_to_leave_keeps_its_share_unless_all_is_there(node: Node) -> None:
    activate(node)
    full, wish = certificate(dealt(1, STAYING)), change(Change.RESHARE)
    unapproved = encode(change_request(wish, approve(wish, "sam")))
    assert leaving_refused(node, full, unapproved) == Reason.APPROVAL_MISSING
    assert leaving_refused(node, full[:3], asked(wish)) == Reason.MALFORMED
    assert leaving_refused(node, full, REFRESH) == Reason.EPOCH_STALE
    assert leaving_refused(node, full, asked(replace(wish, wallet_id="wal_2"))) == Reason.EPOCH_STALE
    assert leaving_refused(node, certificate(dealt()), asked(replace(wish, parties=ALL))) == Reason.EPOCH_STALE
    strangers = tuple(confirmed(j, confirmation("wal_1", dealt(1, STAYING)[2])) for j in STAYING)
    assert leaving_refused(node, strangers, asked(wish)) in (Reason.DIGEST_MISMATCH, Reason.MALFORMED)
    foreign = tuple(
        confirmed(j, replace(confirmation("wal_1", made), public_key=identity_point()))
        for j, made in dealt(1, STAYING).items()
    )
    assert leaving_refused(node, foreign, asked(wish)) == Reason.DIGEST_MISMATCH


LIARS = (4, 5)


def by_liars() -> tuple[tuple[bytes, ...], bytes]:
    """Two nodes say that the key is theirs now, and nobody else's; and a wish for that."""
    words = certificate({j: dealt(1, STAYING)[j] for j in LIARS})
    return words, asked(change(Change.RESHARE, parties=LIARS, threshold=2))


def test_no_share_is_destroyed_by_a_wish_that_does_not_stand_in_the_log(node: Node) -> None:
    activate(node)
    with pytest.raises(Refused) as caught:
        node.keys._keys.commit(KEY_ID, *by_liars())
    assert caught.value.reason == Reason.NOT_LOGGED
    assert state(node) == KeyState.ACTIVE


def test_no_share_is_destroyed_by_who_was_revoked_before_the_wish_was_logged(node: Node) -> None:
    activate(node)
    tightening = reform(disabled("olga"))
    node.log.approve(workspace_request(tightening, approve(tightening, "alice")))
    assert leaving_refused(node, *by_liars()) == Reason.POLICY_VERSION_MISMATCH


def test_no_share_is_destroyed_at_a_node_that_may_have_been_left_behind(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(node)
    words, wish = by_liars()
    node.keys._noted(wish)
    later = NOW + workspace().log.degraded_window + 1
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: later))
    with pytest.raises(Refused) as caught:
        node.keys._keys.commit(KEY_ID, words, wish)
    assert caught.value.reason == Reason.LOG_STALE
    assert state(node) == KeyState.ACTIVE


def identity_point() -> object:
    return dealt()[1].share.public_shares[0][1]


def test_a_node_that_holds_nothing_of_a_key_has_nothing_to_commit(node: Node) -> None:
    node.vault.pin_workspace(workspace())
    with pytest.raises(NotFound) as caught:
        node.keys.commit(KEY_ID, certificate(dealt(1, STAYING)), asked(change(Change.RESHARE)))
    assert caught.value.reason == Reason.UNKNOWN_WALLET
    with pytest.raises(NotFound):
        node.keys.public(KEY_ID)


def test_a_new_member_commits_without_a_receipt_as_often_as_asked(node: Node) -> None:
    node.vault.pin_workspace(workspace())
    node.vault.put_key("wal_1", dealt()[1])
    for _ in range(2):
        assert node.keys.commit(KEY_ID, certificate(dealt()), REFRESH) is None
        assert state(node) == KeyState.ACTIVE


def test_an_epoch_that_was_approved_before_rules_let_it_and_dealt_when_they_did_is_gone_over_to(
    tmp_path: Path,
) -> None:
    """Members were asked by the wish's entry; by when people pressed their keys it would be denied for ever."""
    (frozen,) = rules("- rule: frozen\n  deny:\n  when: {action: KEY_CHANGE}\n")
    world = replace(workspace(), rules=(*workspace().rules, replace(frozen, ends=NOW)))
    node = make_node(tmp_path)
    node.log = Logbook(world)
    node.boot()
    node.vault.pin_workspace(world)
    node.vault.put_key("wal_1", dealt()[1])
    wish = change(Change.REFRESH)
    approvals = tuple(approve(wish, name, under=world) for name in ("sam", "sonja"))
    request = ChangeRequest(propose(wish), workspace_digest(world), approvals, None)
    with pytest.raises(Refused, match="frozen"):
        node.keys._keys.commit(KEY_ID, certificate(dealt()), encode(request))
    assert node.keys.commit(KEY_ID, certificate(dealt()), encode(request)) is None
    assert state(node) == KeyState.ACTIVE
    node.stop()
