"""A node that is not the newest copy of itself notices, or is told, and does nothing until its operator has spoken."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cosigner import counters
from cosigner.boots import Boots
from cosigner.counters import Counters
from cosigner.enclave import Enclave
from cosigner.guard import Signing
from oms_core.chains.intent import CLOCK_SKEW
from oms_core.encoding import encode
from oms_core.errors import ProtocolAbort, Reason, Refused
from oms_core.keys import Change, KeyState
from oms_core.protocol.heads import sign_head
from oms_core.protocol.packets import Hello
from tests.parties import SoftIdentity
from tests.people import NOW, approve, change_request, intent, sign_request
from tests.unit.cosigner.heads import ALL, World
from tests.unit.cosigner.node import Node, activate, load_module
from tests.unit.cosigner.specs import about_the_key, refused, spec


class Crash(BaseException):
    """The machine stops."""


@pytest.fixture
def world(node: Node, tmp_path: Path) -> World:
    """The node and its peers, who have met."""
    made = World(tmp_path, node.token.public)
    assert made.meet(node) == {}
    return made


def refuses_everything(node: Node) -> None:
    """The node says ROLLBACK_DETECTED, before it looks at anything; and so after restarts."""
    for _ in range(3):
        assert node.boots.rolled_back
        with pytest.raises(Refused) as caught:
            node.boots.check()
        assert caught.value.reason == Reason.ROLLBACK_DETECTED
        request = sign_request(intent())
        assert refused(node.guard, spec(request), request).reason == Reason.ROLLBACK_DETECTED
        for ask in (lambda: node.keys.change(b""), lambda: node.keys.confirm(b"", (), b"", b"")):
            with pytest.raises(Refused) as caught:
                ask()
            assert caught.value.reason == Reason.ROLLBACK_DETECTED
        node.restart()


def test_each_start_raises_the_generation_of_store_and_token(node: Node) -> None:
    for expected in range(1, 6):
        assert node.boots.generation == node.token.generation() == expected
        node.boots.check()
        node.restart()


def test_a_node_that_meets_its_peers_after_every_restart_is_never_suspected(node: Node, world: World) -> None:
    for _ in range(4):
        node.restart()
        assert world.meet(node) == {}
    assert node.boots.rolled_back == ""


WRITES = 5
CRASHES = [(at,) for at in range(WRITES)] + list(itertools.product(range(WRITES), repeat=2)) + [(1,) * 5, (2, 1, 2, 1)]


@pytest.mark.parametrize("crashes", CRASHES)
def test_a_crash_between_any_two_writes_of_a_start_raises_no_alarm(
    stopped: Node, monkeypatch: pytest.MonkeyPatch, crashes: tuple[int, ...]
) -> None:
    writes = [0, 0]

    def write() -> None:
        writes[0] += 1
        if writes[0] - 1 == writes[1]:
            raise Crash

    def advance(session: object, to: Counters, _: object) -> None:
        held = counters.held(session)
        write()
        counters.write(session, to)
        write()
        for one in held:
            one.destroy()

    save = Boots._set

    def setting(boots: Boots, **values: object) -> None:
        write()
        save(boots, **values)
        write()

    node = stopped.boot()
    with monkeypatch.context() as patched:
        patched.setattr(counters, "replace", advance)
        patched.setattr(Boots, "_set", setting)
        for at in crashes:
            node.stop()
            node.start()
            writes[:] = [0, at]
            with pytest.raises(Crash):
                node.boots.begin()
    node.restart()
    assert node.boots.rolled_back == ""
    assert node.boots.generation == node.token.generation() <= 2 + len(crashes)
    node.restart()
    assert node.boots.rolled_back == ""
    node.stop()


def test_an_older_store_under_the_same_token_is_refused(node: Node, world: World, tmp_path: Path) -> None:
    node.stop()
    old = node.copy(tmp_path / "old")
    node.boot().stop()
    node.take(old, store=True)
    node.boot()
    assert "the store is an older copy: boot 1 in the store, 2 in the token" in node.boots.rolled_back
    refuses_everything(node)


def test_a_fresh_store_under_a_token_that_has_booted_is_refused(node: Node, world: World, blank: Node) -> None:
    node.stop()
    node.take(blank, store=True)
    node.boot()
    refuses_everything(node)


def test_an_older_token_under_the_same_store_is_refused(node: Node, world: World, tmp_path: Path) -> None:
    node.stop()
    old = node.copy(tmp_path / "old")
    node.boot().stop()
    node.take(old, tokens=True)
    node.boot()
    assert "the token is an older copy: boot 2 in the store, 1 in the token" in node.boots.rolled_back
    refuses_everything(node)


@pytest.mark.parametrize("lost", [1, 3])
@pytest.mark.covers("P33")
def test_when_store_and_token_are_older_together_peers_tell_and_name_the_old_copy(
    node: Node, world: World, tmp_path: Path, lost: int
) -> None:
    node.stop()
    old = node.copy(tmp_path / "old")
    for _ in range(lost):
        node.boot()
        assert world.meet(node) == {}
        node.stop()
    node.take(old, store=True, tokens=True)
    node.boot()
    assert node.boots.rolled_back == ""
    raised = world.meet(node)
    assert isinstance(raised[1], Refused)
    assert raised[1].reason == Reason.ROLLBACK_DETECTED
    assert f"has heard of boot {1 + lost} of this node" in node.boots.rolled_back
    for j in (2, 3):
        error = raised[j]
        assert isinstance(error, ProtocolAbort)
        assert error.culprits == {1}
        assert "it is an old copy" in error.message
    refuses_everything(node)


def test_of_a_node_and_its_clone_that_run_side_by_side_only_one_goes_on(
    node: Node, world: World, tmp_path: Path
) -> None:
    node.stop()
    clone = node.copy(tmp_path / "clone")
    node.boot()
    assert world.meet(node) == {}
    node.token.close()
    clone.boot()
    raised = world.meet(clone)
    assert isinstance(raised[1], Refused)
    assert {j: raised[j].culprits for j in (2, 3)} == {2: {1}, 3: {1}}  # type: ignore[attr-defined]
    assert world.meet(node) == {}
    refuses_everything(clone)
    clone.stop()
    node.start()


def test_a_node_whose_clone_got_ahead_is_the_one_that_stops(node: Node, world: World, tmp_path: Path) -> None:
    node.stop()
    clone = node.copy(tmp_path / "clone")
    node.boot()
    node.token.close()
    clone.boot()
    clone.restart()
    assert world.meet(clone) == {}
    clone.stop()
    raised = world.meet(node)
    assert isinstance(raised[1], Refused)
    assert {j: raised[j].culprits for j in (2, 3)} == {2: {1}, 3: {1}}  # type: ignore[attr-defined]
    load_module(node.config)
    node.boot()
    refuses_everything(node)


def test_the_status_says_that_the_node_was_rolled_back_and_why(node: Node, tmp_path: Path) -> None:
    activate(node)
    node.stop()
    old = node.copy(tmp_path / "old")
    node.boot().stop()
    node.take(old, store=True)
    load_module(node.config)
    enclave = Enclave(node.config)
    enclave.engine = SimpleNamespace(open_sessions=0)  # type: ignore[assignment]
    said = enclave._status()
    assert said.rolled_back.startswith("the store is an older copy")
    assert said.hsm == "OK"
    enclave.token.close()
    node.start()


def forgeries(world: World) -> dict[str, bytes]:
    """Heads that the node has not signed, or not for itself."""
    mine, other = SoftIdentity(1), world.tokens[2]
    stolen = sign_head(other, 99, bytes(16))
    return {
        "made up": encode(sign_head(mine, 99, bytes(16))),
        "another node's": encode(stolen),
        "another node's, renamed": encode(replace(stolen, head=replace(stolen.head, index=1))),
        "not a head": b"\xff" * 40,
        "nothing": b"",
        "too large": bytes(5000),
    }


@pytest.mark.parametrize("name", ["made up", "another node's", "another node's, renamed", "not a head", "nothing"])
def test_heads_that_the_node_has_not_signed_stop_nobody(node: Node, world: World, name: str) -> None:
    forged = forgeries(world)[name]
    first, *rest = world.hellos(node)
    lying = tuple(replace(hello, known=(forged, *hello.known, forged)) for hello in rest)
    node.boots.examine((first, *lying), world.roster)
    world.peers[3].examine((first, *lying), world.roster)
    assert node.boots.rolled_back == ""


def test_a_head_of_another_domain_or_shape_is_not_believed(node: Node, world: World) -> None:
    head = sign_head(node.token, 99, bytes(15))
    other = sign_head(node.token, 99, bytes(16))
    said = [encode(head), encode(replace(other, signature=node.token.sign("round", encode(other.head))))]
    first, *rest = world.hellos(node)
    node.boots.examine((first, *(replace(hello, known=tuple(said)) for hello in rest)), world.roster)
    assert node.boots.rolled_back == ""


@pytest.mark.parametrize("bent", [b"", b"\xff", b"foreign"])
def test_a_peer_whose_own_head_does_not_hold_is_named(node: Node, world: World, bent: bytes) -> None:
    first, second, third = world.hellos(node)
    head = third.head if bent == b"foreign" else bent
    with pytest.raises(ProtocolAbort) as caught:
        node.boots.examine((first, replace(second, head=head), third), world.roster)
    assert caught.value.culprits == {2}
    assert node.boots.rolled_back == ""


def test_what_is_known_of_a_peer_never_gets_older(node: Node, world: World) -> None:
    newest = world.hellos(node)
    older = Hello(b"", 2, b"", (), encode(sign_head(world.tokens[2], 0, bytes(16))), ())
    with pytest.raises(ProtocolAbort):
        node.boots.examine((newest[0], older, newest[2]), world.roster)
    assert set(node.boots.known((2,))) == {newest[1].head}


def roll_back(node: Node, tmp_path: Path) -> None:
    node.stop()
    old = node.copy(tmp_path / "old")
    node.boot().stop()
    node.take(old, store=True)
    node.boot()
    assert node.boots.rolled_back


def test_reconciling_is_the_way_back_and_outlives_restarts(node: Node, world: World, tmp_path: Path) -> None:
    roll_back(node, tmp_path)
    before = node.token.generation()
    assert node.boots.reconcile(NOW) == before + 1
    for _ in range(3):
        node.restart()
        assert node.boots.rolled_back == ""
        assert world.meet(node) == {}
    assert node.boots.reconciled_at == NOW


def test_reconciling_goes_above_what_peers_have_heard_of(node: Node, world: World, tmp_path: Path) -> None:
    node.stop()
    old = node.copy(tmp_path / "old")
    for _ in range(7):
        node.boot()
        world.meet(node)
        node.stop()
    node.take(old, store=True, tokens=True)
    node.boot()
    assert set(world.meet(node)) == {1, 2, 3}
    assert node.boots.reconcile(NOW) == 9
    node.restart()
    assert world.meet(node) == {}


def test_a_crash_while_reconciling_leaves_the_alarm_and_it_can_be_done_again(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll_back(node, tmp_path)

    def crash(boots: Boots, **values: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Boots, "_set", crash)
        with pytest.raises(Crash):
            node.boots.reconcile(NOW)
    node.restart()
    assert node.boots.rolled_back
    node.boots.reconcile(NOW)
    node.restart()
    assert node.boots.rolled_back == ""


def test_what_was_proposed_before_the_node_was_reconciled_is_not_signed(node: Node) -> None:
    activate(node)
    node.boots.reconcile(NOW - 100)
    node.restart()
    since = NOW - 100 + CLOCK_SKEW
    older, newer = sign_request(intent(valid_from=since - 1)), sign_request(intent(valid_from=since))
    assert refused(node.guard, spec(older), older).reason == Reason.DOUBLE_SIGN_GUARD
    assert isinstance(node.guard.decide(spec(newer), newer, NOW), Signing)


def test_of_wishes_from_before_the_node_was_reconciled_only_those_to_stop_are_carried_out(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosigner.keys.time", type("Clock", (), {"time": staticmethod(lambda: NOW)}))
    activate(node)
    node.boots.reconcile(NOW - 5)
    node.restart()
    stop, go = (about_the_key(wanted, valid_from=NOW - 6) for wanted in (Change.SUSPEND, Change.RESUME))
    node.keys.change(encode(change_request(stop, approve(stop, "sam"))))
    with pytest.raises(Refused) as caught:
        node.keys.change(encode(change_request(go, approve(go, "sam"), approve(go, "sonja"))))
    assert caught.value.reason == Reason.DOUBLE_SIGN_GUARD
    assert node.vault.find_key("wal_1").state == KeyState.SUSPENDED


def test_a_node_examines_only_heads_of_those_it_meets(node: Node, world: World) -> None:
    world.peers[3].begin()
    said: Callable[[int], Hello] = dict(enumerate(world.hellos(node), 1)).__getitem__
    node.boots.examine((said(1), said(2)), {j: world.roster[j] for j in ALL[:2]})
    assert len(node.boots.known((2, 3))) == 2
    assert said(3).head not in node.boots.known((3,))
