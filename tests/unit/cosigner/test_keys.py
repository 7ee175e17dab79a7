"""What happens to a key outside of sessions: confirmed, moved to another state, each wish once and with a receipt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosigner.keys import Keys
from oms_core.chains.intent import subject_digest
from oms_core.encoding import encode
from oms_core.errors import CountersealError, LocalError, Malformed, Reason, Refused
from oms_core.evidence import ChangeRequest, probe_digest
from oms_core.keys import LEADS_TO, NEXT, Change, ChangeKey, KeyReceipt, KeyState
from oms_core.protocol.create_key import confirmation
from oms_core.protocol.identity import verify_identity
from tests.people import NOW, approve, change, change_request, intent, sign_request, workspace
from tests.unit.cosigner.epochs import certificate, confirmed, drill, originals, probe, signed
from tests.unit.cosigner.node import KEY_ID, Node, activate, material
from tests.unit.cosigner.test_chain import chain_of, disabled
from tests.unit.cosigner.test_chain import request as workspace_change
from tests.unit.cosigner.test_pool import presignature

STATES = [state for state in KeyState if state not in (KeyState.PENDING, KeyState.DESTROYED)]


pytestmark = pytest.mark.usefixtures("at_now")


def asked(wish: ChangeKey) -> bytes:
    """The wish with the approvals of both security officers."""
    request: ChangeRequest = change_request(wish, approve(wish, "sam"), approve(wish, "sonja"))
    return encode(request)


def reason(keys: Keys, wish: ChangeKey) -> Reason:
    with pytest.raises(CountersealError) as caught:
        keys.change(asked(wish))
    return caught.value.reason


def state(node: Node) -> str:
    return node.vault.find_key("wal_1").state


# Changes of state


@pytest.mark.parametrize("wanted", LEADS_TO)
@pytest.mark.parametrize("was", STATES)
def test_a_key_goes_only_where_the_table_says_or_stays_where_it_was_asked_to_be(
    node: Node, was: KeyState, wanted: Change
) -> None:
    node.vault.pin_workspace(workspace())
    node.vault.put_key("wal_1", material(), was)
    wish, to = change(wanted), LEADS_TO[wanted]
    if to in NEXT[was] or to is was in (KeyState.SUSPENDED, KeyState.ACTIVE):
        receipt = node.keys.change(asked(wish)).receipt
        assert (receipt.state, receipt.subject, receipt.epoch) == (to, subject_digest(wish), 0)
        assert [c.state for c in node.vault.all_keys()] == ([] if to is KeyState.DESTROYED else [to])
    else:
        assert reason(node.keys, wish) == Reason.WRONG_STATE
        assert state(node) == was


def test_a_receipt_is_signed_by_the_node_for_this_wish(node: Node) -> None:
    activate(node)
    wish = change(Change.SUSPEND)
    made = node.keys.change(asked(wish))
    verify_identity(node.token.public, "key-receipt", encode(made.receipt), made.signature)
    assert made.receipt == KeyReceipt("wal_1", KEY_ID, 0, KeyState.SUSPENDED, subject_digest(wish), 1, NOW)


def test_one_wish_is_carried_out_once_and_always_answered_with_the_same_receipt(node: Node) -> None:
    activate(node)
    data = asked(change(Change.SUSPEND))
    first = node.keys.change(data)
    assert [node.keys.change(data) for _ in range(3)] == [first] * 3
    node.restart()
    assert node.keys.change(data) == first


def test_a_resume_that_is_replayed_after_a_later_suspend_does_nothing(node: Node) -> None:
    activate(node)
    suspend, resume = asked(change(Change.SUSPEND)), asked(change(Change.RESUME))
    node.keys.change(suspend)
    resumed = node.keys.change(resume)
    assert state(node) == KeyState.ACTIVE
    node.keys.change(suspend)
    assert state(node) == KeyState.ACTIVE
    node.keys.change(asked(change(Change.SUSPEND, purpose="again")))
    for _ in range(2):
        assert node.keys.change(resume) == resumed
        assert state(node) == KeyState.SUSPENDED
        node.restart()


def test_a_halted_node_stops_a_key_and_neither_resumes_nor_destroys_it(node: Node) -> None:
    activate(node)
    node.halt.halt("an audit", NOW)
    node.keys.change(asked(change(Change.SUSPEND)))
    assert reason(node.keys, change(Change.RESUME)) == Reason.HALTED
    node.keys.change(asked(change(Change.DEACTIVATE)))
    assert reason(node.keys, change(Change.DESTROY)) == Reason.HALTED
    node.halt.resume()
    node.keys.change(asked(change(Change.DESTROY)))
    assert node.vault.all_keys() == []


def test_a_wish_that_was_decided_under_one_version_is_not_carried_out_under_the_next(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(node)
    data, check = asked(change(Change.DEACTIVATE)), node.ledger.check_counters

    def adopt(*parts: Any) -> None:
        check(*parts)
        chain_of(node).offer(workspace_change(disabled("sam"), "alice"), NOW)

    monkeypatch.setattr(node.ledger, "check_counters", adopt)
    with pytest.raises(Refused) as caught:
        node.keys.change(data)
    assert (caught.value.reason, state(node)) == (Reason.POLICY_VERSION_MISMATCH, KeyState.ACTIVE)


def test_a_wish_to_resume_from_before_the_key_was_last_suspended_is_no_answer(node: Node) -> None:
    activate(node)
    node.keys.change(asked(change(Change.SUSPEND)))
    earlier, later = (change(Change.RESUME, valid_from=NOW + at) for at in (-8, -3))
    node.keys.change(asked(change(Change.SUSPEND, valid_from=NOW - 5)))
    assert reason(node.keys, earlier) == Reason.WRONG_STATE
    assert state(node) == KeyState.SUSPENDED
    node.keys.change(asked(later))
    assert state(node) == KeyState.ACTIVE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epoch": 1}, Reason.EPOCH_STALE),
        ({"key_id": bytes(32)}, Reason.UNKNOWN_WALLET),
        ({"key_id": b"short"}, Reason.MALFORMED),
        ({"wallet_id": "wal_2"}, Reason.UNKNOWN_WALLET),
        ({"valid_until": NOW - 1}, Reason.EXPIRED),
        ({"valid_from": NOW + 100}, Reason.EXPIRED),
        ({"epoch": -1}, Reason.MALFORMED),
    ],
)
def test_a_wish_for_another_key_epoch_or_time_changes_nothing(
    node: Node, changes: dict[str, object], expected: Reason
) -> None:
    activate(node)
    wish = change(Change.SUSPEND, **changes)
    with pytest.raises(CountersealError) as caught:
        node.keys.change(encode(change_request(wish)))
    assert caught.value.reason == expected
    assert state(node) == KeyState.ACTIVE


def test_only_suspending_needs_no_approval(node: Node) -> None:
    activate(node)
    node.keys.change(encode(change_request(change(Change.SUSPEND))))
    for wanted in (Change.RESUME, Change.DEACTIVATE, Change.COMPROMISE):
        wish = change(wanted)
        with pytest.raises(Refused) as caught:
            node.keys.change(encode(change_request(wish, approve(wish, "sam"))))
        assert caught.value.reason == Reason.APPROVAL_MISSING
    assert state(node) == KeyState.SUSPENDED


def test_a_wish_to_deal_a_key_is_not_a_change_of_state(node: Node) -> None:
    activate(node)
    assert {reason(node.keys, change(wanted)) for wanted in (Change.REFRESH, Change.RESHARE)} == {
        Reason.INTENT_TX_MISMATCH
    }
    order = replace(change_request(change()), proposal=sign_request(intent()).proposal)
    with pytest.raises(Refused) as caught:
        node.keys.change(encode(order))
    assert caught.value.reason == Reason.INTENT_TX_MISMATCH


@pytest.mark.parametrize("data", [b"", b"junk", bytes(300_000)])
def test_bytes_that_are_no_request_change_nothing(node: Node, data: bytes) -> None:
    activate(node)
    with pytest.raises(Malformed):
        node.keys.change(data)


def test_a_change_drops_the_presignatures_of_that_key_alone(node: Node) -> None:
    activate(node)
    node.pool.put("wal_1", presignature(1))
    node.pool.put("wal_2", other := presignature(2, b"o" * 32))
    node.keys.change(asked(change(Change.SUSPEND)))
    assert node.pool.ids() == (other.public.id,)


def test_a_destroyed_share_does_not_open_from_an_older_copy_of_the_store(node: Node, tmp_path: Path) -> None:
    activate(node)
    node.keys.change(asked(change(Change.DEACTIVATE)))
    node.stop()
    old = node.copy(tmp_path / "old")
    node.boot()
    node.keys.change(asked(change(Change.DESTROY)))
    node.stop()
    node.take(old, store=True)
    node.start()
    assert state(node) == KeyState.DEACTIVATED
    with pytest.raises(LocalError, match="destroyed") as caught:
        node.vault.epoch(KEY_ID, 0)
    assert caught.value.reason == Reason.SHARE_AAD_MISMATCH


# A new wallet


@pytest.fixture
def new(node: Node) -> Node:
    """A wallet that is made, and waits for everyone's confirmation."""
    node.vault.pin_workspace(workspace())
    node.vault.put_key("wal_1", material(), KeyState.PRE_ACTIVE)
    return node


def test_a_wallet_that_all_confirm_and_that_has_signed_becomes_active_and_stays_so(new: Node) -> None:
    for _ in range(2):
        new.keys.confirm(KEY_ID, certificate(originals()), probe(), b"")
        assert state(new) == KeyState.ACTIVE


def bent(**changes: object) -> bytes:
    return confirmed(5, replace(confirmation("wal_1", material(5)), **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "last",
    [
        None,
        certificate(originals())[0],
        bent(index=6),
        bent(wallet_id="wal_2"),
        bent(key_id=bytes(32)),
        bent(chain_code=bytes(32)),
        bent(epoch=1),
        bent(transcript=bytes(32)),
        confirmed(4, confirmation("wal_1", material(5))),
        b"junk",
    ],
)
def test_a_wallet_is_not_active_while_one_confirmation_is_missing_or_of_something_else(
    new: Node, last: bytes | None
) -> None:
    first = certificate(originals())[:4]
    with pytest.raises((Refused, Malformed)):
        new.keys.confirm(KEY_ID, (*first, last) if last is not None else first, probe(), b"")
    assert state(new) == KeyState.PRE_ACTIVE


def test_confirmations_that_agree_on_another_wallet_are_refused(new: Node) -> None:
    with pytest.raises(Refused) as caught:
        new.keys.confirm(KEY_ID, certificate(originals(), "wal_2"), probe(), b"")
    assert caught.value.reason == Reason.DIGEST_MISMATCH


def test_a_wallet_that_has_not_signed_the_probe_is_not_active(new: Node) -> None:
    wrong = signed(probe_digest(bytes(32), material().share.public_key.to_bytes()))
    for test_signature in (wrong, drill(), b""):
        with pytest.raises((Refused, Malformed)):
            new.keys.confirm(KEY_ID, certificate(originals()), test_signature, b"")
    assert state(new) == KeyState.PRE_ACTIVE


def test_a_wallet_that_wants_a_drill_is_active_only_when_its_backups_have_signed(node: Node) -> None:
    node.vault.pin_workspace(workspace())
    node.vault.put_key("wal_1", material(), KeyState.PRE_ACTIVE, drill=True)
    for proof in (b"", probe(), drill(1), signed(bytes(32))):
        with pytest.raises((Refused, Malformed)):
            node.keys.confirm(KEY_ID, certificate(originals()), probe(), proof)
        assert state(node) == KeyState.PRE_ACTIVE
    node.keys.confirm(KEY_ID, certificate(originals()), probe(), drill())
    assert state(node) == KeyState.ACTIVE


def test_a_suspended_wallet_is_not_made_active_by_confirmations(node: Node) -> None:
    activate(node)
    node.vault.advance_key(KEY_ID, 0, KeyState.ACTIVE, KeyState.SUSPENDED)
    with pytest.raises(Refused) as caught:
        node.keys.confirm(KEY_ID, certificate(originals()), probe(), b"")
    assert caught.value.reason == Reason.WRONG_STATE
