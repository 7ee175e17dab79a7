"""Epochs in the vault: what is pending is never overwritten, one counts, what was let go of cannot be read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from cosigner.enclave import Enclave
from cosigner.hsm import Token
from cosigner.store import erasing
from cosigner.vault import SealedAux
from oms_core.encoding import encode
from oms_core.errors import Conflict, LocalError, NotFound, Reason, Refused
from oms_core.keys import Change, KeyState
from tests.people import approve, change, change_request
from tests.unit.cosigner.epochs import certificate, dealt
from tests.unit.cosigner.node import KEY_ID, Node, activate, load_module, material, wrapping_key

AUX = SealedAux("L112", material().aux)


class Crash(BaseException):
    """The machine stops."""


pytestmark = pytest.mark.usefixtures("at_now")


@pytest.fixture
def pending(node: Node) -> Node:
    """Epoch 0 counts, epoch 1 is sealed and pending, its moduli beside it."""
    activate(node)
    node.vault.put_aux("wal_1", KEY_ID, 1, AUX)
    node.vault.put_key("wal_1", dealt()[1])
    return node


def asked(wanted: Change) -> bytes:
    wish = change(wanted)
    return encode(change_request(wish, approve(wish, "sam"), approve(wish, "sonja")))


def epochs(node: Node) -> list[tuple[int, str]]:
    return [(clear.epoch, clear.state) for clear in node.vault.all_keys(pending=True)]


def test_each_epoch_is_sealed_under_a_key_of_its_own(pending: Node) -> None:
    assert wrapping_key(pending, 0)
    assert wrapping_key(pending, 1)
    pending.token._call(wrapping_key(pending, 1).destroy)  # type: ignore[attr-defined]
    assert pending.vault.epoch(KEY_ID, 0) == material()
    with pytest.raises(LocalError, match="destroyed"):
        pending.vault.epoch(KEY_ID, 1)


def test_what_is_pending_is_never_overwritten(pending: Node) -> None:
    for attempt in (
        lambda: pending.vault.put_key("wal_1", dealt()[1]),
        lambda: pending.vault.put_key("wal_1", dealt()[2]),
        lambda: pending.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", material(2).aux)),
        lambda: pending.vault.put_key("wal_1", material()),
    ):
        with pytest.raises(Conflict) as caught:
            attempt()
        assert caught.value.reason == Reason.WRONG_STATE
    assert pending.vault.epoch(KEY_ID, 1) == dealt()[1]
    assert pending.vault.aux(KEY_ID, 1) == AUX


def test_a_wallet_has_one_key_that_counts(pending: Node) -> None:
    for state in (KeyState.ACTIVE, KeyState.PRE_ACTIVE, KeyState.SUSPENDED):
        with pytest.raises(Conflict):
            pending.vault.put_key("wal_1", dealt(2)[1], state)
    assert [clear.epoch for clear in pending.vault.all_keys()] == [0]
    assert pending.vault.find_key("wal_1").epoch == 0


@pytest.mark.covers("R24", "K09")
def test_several_attempts_may_be_pending_and_one_is_committed(pending: Node) -> None:
    pending.vault.put_key("wal_1", dealt(2)[1])
    assert epochs(pending) == [(0, "ACTIVE"), (1, "PENDING"), (2, "PENDING")]
    pending.keys.commit(KEY_ID, certificate(dealt(2)), asked(Change.REFRESH))
    assert epochs(pending) == [(2, "ACTIVE")]
    assert [bool(wrapping_key(pending, epoch)) for epoch in (0, 1, 2)] == [False, False, True]
    with pytest.raises(NotFound):
        pending.vault.aux(KEY_ID, 1)


def test_an_epoch_that_is_not_here_is_not_committed(pending: Node) -> None:
    with pytest.raises(NotFound):
        pending.vault.commit_epoch(KEY_ID, 2)
    assert epochs(pending) == [(0, "ACTIVE"), (1, "PENDING")]


@pytest.mark.parametrize("was", [KeyState.DEACTIVATED, KeyState.COMPROMISED])
def test_a_key_is_destroyed_only_in_the_state_that_was_looked_at(node: Node, was: KeyState) -> None:
    activate(node)
    with pytest.raises(Conflict):
        node.vault.advance_key(KEY_ID, 0, was, KeyState.DESTROYED)
    assert node.vault.epoch(KEY_ID, 0) == material()
    with pytest.raises(Refused):
        node.vault.advance_key(KEY_ID, 0, KeyState.ACTIVE, KeyState.DESTROYED)


def crashes_before_destroying(monkeypatch: pytest.MonkeyPatch, go: Callable[[], object]) -> None:
    def crash(token: Token, under: str) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Token, "destroy", crash)
        with pytest.raises(Crash):
            go()


@pytest.mark.covers("R24", "K16")
def test_after_a_crash_between_commit_and_erasing_the_next_start_erases(
    pending: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = asked(Change.REFRESH)
    crashes_before_destroying(monkeypatch, lambda: pending.keys.commit(KEY_ID, certificate(dealt()), wish))
    assert wrapping_key(pending, 0)
    pending.stop()
    load_module(pending.config)
    Enclave(pending.config).token.close()
    pending.start()
    assert not wrapping_key(pending, 0)
    assert epochs(pending) == [(1, "ACTIVE")]
    assert pending.vault.epoch(KEY_ID, 1) == dealt()[1]


def test_after_a_crash_between_commit_and_erasing_asking_again_erases_and_gives_the_receipt(
    pending: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, wish = certificate(dealt()), asked(Change.REFRESH)
    crashes_before_destroying(monkeypatch, lambda: pending.keys.commit(KEY_ID, words, wish))
    pending.restart()
    assert wrapping_key(pending, 0)
    receipt = pending.keys.commit(KEY_ID, words, wish)
    assert receipt is not None
    assert receipt.receipt.state == KeyState.DESTROYED
    assert not wrapping_key(pending, 0)


def test_a_share_says_that_it_is_destroyed_only_when_it_is(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    activate(node)
    node.keys.change(asked(Change.DEACTIVATE))
    wish = asked(Change.DESTROY)
    crashes_before_destroying(monkeypatch, lambda: node.keys.change(wish))
    node.restart()
    assert epochs(node) == []
    assert wrapping_key(node, 0)
    assert node.keys.change(wish).receipt.state == KeyState.DESTROYED
    assert not wrapping_key(node, 0)
    with node.store.begin() as connection:
        assert connection.execute(select(erasing)).all() == []


@pytest.mark.covers("R24", "K16")
def test_a_crash_before_the_commit_leaves_the_old_epoch_and_the_pending_one(
    pending: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(type(pending.ledger), "noting_change", lambda *_: crash)
        with pytest.raises(Crash):
            pending.keys.commit(KEY_ID, certificate(dealt()), asked(Change.REFRESH))
    pending.restart()
    assert epochs(pending) == [(0, "ACTIVE"), (1, "PENDING")]
    assert pending.vault.epoch(KEY_ID, 0) == material()
    assert pending.keys.commit(KEY_ID, certificate(dealt()), asked(Change.REFRESH)) is not None


def test_what_was_let_go_of_is_not_in_the_stores_files(pending: Node) -> None:
    with pending.store.begin() as connection:
        blobs = connection.exec_driver_sql("SELECT blob FROM sealed WHERE name LIKE '%-0'").scalars().all()
    path = Path(str(pending.store.url.database))

    def files() -> bytes:
        return b"".join(Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal"))

    assert any(blob[100:200] in files() for blob in blobs)
    pending.keys.commit(KEY_ID, certificate(dealt()), asked(Change.REFRESH))
    assert not any(blob[100:200] in files() for blob in blobs)
