"""What may not be lost is counted in the token, too: a store without it is an older one, also of the same start."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cosigner.boots import Boots
from oms_core.encoding import encode
from oms_core.errors import Reason, Refused
from oms_core.keys import Change, KeyState
from tests.people import NOW, approve, change, change_request
from tests.unit.cosigner.epochs import certificate, dealt
from tests.unit.cosigner.node import KEY_ID, Node, activate

SUSPEND = encode(change_request(change(Change.SUSPEND)))


class Crash(BaseException):
    """The machine stops."""


pytestmark = pytest.mark.usefixtures("at_now")


def snapshot(node: Node, to: Path) -> Node:
    """A copy of the disk while the node goes on in the same start."""
    node.stop()
    old = node.copy(to)
    node.start()
    return old


def refuses(node: Node) -> None:
    for _ in range(2):
        with pytest.raises(Refused, match="the store is an older copy") as caught:
            node.boots.check()
        assert caught.value.reason == Reason.ROLLBACK_DETECTED
        node.restart()


def test_a_disk_from_before_a_key_was_suspended_is_noticed_although_it_is_of_the_same_start(
    node: Node, tmp_path: Path
) -> None:
    activate(node)
    old = snapshot(node, tmp_path / "old")
    node.keys.change(SUSPEND)
    node.stop()
    node.take(old, store=True)
    node.boot()
    assert "0 writes in the store, 1 in the token" in node.boots.rolled_back
    assert node.vault.find_key("wal_1").state == KeyState.ACTIVE
    refuses(node)


def test_a_disk_from_before_a_commit_is_noticed(node: Node, tmp_path: Path) -> None:
    activate(node)
    node.vault.put_key("wal_1", dealt()[1])
    old = snapshot(node, tmp_path / "old")
    wish = change(Change.REFRESH)
    node.keys.commit(
        KEY_ID, certificate(dealt()), encode(change_request(wish, approve(wish, "sam"), approve(wish, "sonja")))
    )
    node.stop()
    node.take(old, store=True)
    node.boot()
    refuses(node)


def test_a_crash_before_the_token_has_counted_a_write_raises_no_alarm_and_asking_again_counts_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(node)

    def crash(_: Boots) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Boots, "settle", crash)
        with pytest.raises(Crash):
            node.keys.change(SUSPEND)
    node.restart()
    assert node.boots.rolled_back == ""
    assert node.token.counters()[1] == 0
    assert node.keys.change(SUSPEND).receipt.state == KeyState.SUSPENDED
    assert node.token.counters()[1] == 1
    node.restart()
    assert node.boots.rolled_back == ""


def test_after_reconciling_an_older_disk_its_writes_count_on(node: Node, tmp_path: Path) -> None:
    activate(node)
    old = snapshot(node, tmp_path / "old")
    node.keys.change(SUSPEND)
    node.stop()
    node.take(old, store=True)
    node.boot()
    node.boots.reconcile(NOW - 1000)
    node.restart()
    assert node.boots.rolled_back == ""
    node.keys.change(SUSPEND)
    assert node.token.counters()[1] == 2
    node.restart()
    assert node.boots.rolled_back == ""


def test_a_node_on_whose_token_another_process_has_started_gives_nothing_away(node: Node) -> None:
    node.boots.check_alone()
    node.token.advance_generation(node.token.generation() + 1)
    with pytest.raises(Refused, match="another process") as caught:
        node.boots.check_alone()
    assert caught.value.reason == Reason.ROLLBACK_DETECTED


def test_a_store_that_goes_back_while_the_node_runs_is_noticed_before_anything_leaves(
    node: Node, tmp_path: Path
) -> None:
    activate(node)
    file, copy = node.config.store, tmp_path / "copy.sqlite"
    with closing(sqlite3.connect(file)) as live, closing(sqlite3.connect(copy)) as saved:
        live.backup(saved)
    node.keys.change(SUSPEND)
    with closing(sqlite3.connect(file)) as live, closing(sqlite3.connect(copy)) as saved:
        saved.backup(live)
    assert node.vault.find_key("wal_1").state == KeyState.ACTIVE
    later = change(Change.SUSPEND, purpose="once more")
    with pytest.raises(Refused, match="the store went back while the node ran"):
        node.keys.change(encode(change_request(later)))


def test_a_process_that_is_older_than_its_store_gives_nothing_away(node: Node) -> None:
    """A snapshot of a machine's memory that is put back finds a store and a token that went on without it."""
    activate(node)
    remembered = node.boots._remembered
    node.keys.change(SUSPEND)
    node.boots._remembered = remembered
    with pytest.raises(Refused, match="does not remember"):
        node.keys.change(encode(change_request(change(Change.SUSPEND, purpose="once more"))))
