"""What changes at a node while its sessions run: nothing leaves that would not be granted now."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosigner import engine as module
from cosigner import keys
from cosigner.engine import Engine
from cosigner.ledger import Ledger
from cosigner.vault import SealedAux
from oms_core.chains.intent import Execution
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Reason, Refused
from oms_core.evidence import ChangeWorkspaceRequest, SignRequest
from oms_core.history import AUTHORIZED_FOR
from oms_core.keys import Change, KeyState
from tests.people import NOW, approve, change, change_request, intent, sign_request
from tests.unit.cosigner.epochs import dealt
from tests.unit.cosigner.node import KEY_ID, Node, activate, material
from tests.unit.cosigner.running import Running, make_engine, resharing, signing
from tests.unit.cosigner.specs import deal, dealing, refused, spec
from tests.unit.cosigner.test_chain import chain_of, disabled
from tests.unit.cosigner.test_chain import request as workspace_change

EPOCH = material().public


@pytest.fixture
def engine(node: Node, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Of a node with an active key, at NOW."""
    monkeypatch.setattr(keys, "time", SimpleNamespace(time=lambda: NOW))
    activate(node)
    node.vault.put_aux("wal_1", KEY_ID, 1, SealedAux("L112", material().aux))
    return make_engine(node, monkeypatch)


def change_state(node: Node, *wanted: Change) -> None:
    for one in wanted:
        wish = change(one)
        node.keys.change(encode(change_request(wish, approve(wish, "sam"), approve(wish, "sonja"))))


async def sign_up_to(step: str, node: Node, engine: Engine, request: SignRequest) -> Running:
    running = Running(engine, spec(request))
    await running.begin(node, request, signing)
    await running.until(step)
    return running


async def test_a_session_in_which_nothing_happens_signs_and_is_counted_in_the_token(node: Node, engine: Engine) -> None:
    running = await sign_up_to("presign.3", node, engine, sign_request(intent()))
    before = node.token.counters().writes
    assert node.committed() == []
    await running.end()
    assert running.said[-1] == "sign.1"
    assert node.token.counters().writes == before + 1
    assert node.committed() == [running.spec.digest]


def other_epoch(node: Node) -> None:
    node.vault.put_key("wal_1", dealt()[1])
    node.vault.commit_epoch(KEY_ID, 1)


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (lambda node: change_state(node, Change.SUSPEND), Reason.WRONG_STATE),
        (lambda node: change_state(node, Change.DEACTIVATE), Reason.WRONG_STATE),
        (lambda node: change_state(node, Change.DEACTIVATE, Change.DESTROY), Reason.EPOCH_STALE),
        (other_epoch, Reason.EPOCH_STALE),
        (lambda node: node.token.advance_generation(99), Reason.ROLLBACK_DETECTED),
    ],
    ids=["suspended", "deactivated", "destroyed", "a new epoch", "another process on the token"],
)
async def test_no_share_of_a_signature_leaves_when_the_key_is_no_longer_to_sign(
    node: Node, engine: Engine, happens: Callable[[Node], None], expected: Reason
) -> None:
    running = await sign_up_to("presign.3", node, engine, sign_request(intent()))
    happens(node)
    with pytest.raises(Refused) as caught:
        await running.end()
    assert caught.value.reason == expected
    assert "sign.1" not in running.said
    assert node.committed() == []
    assert engine.open_sessions == 0


def order(number: int, amount: int) -> SignRequest:
    """One of several, approved if it is large."""
    subject, execution = intent(amount, intent_id=f"int_{number}"), Execution(2, number, 21_000, 1, 1, ())
    approvals = (approve(subject, "ravi"), approve(subject, "olga")) if amount > 100 else ()
    return sign_request(subject, *approvals, execution=execution)


async def test_of_four_orders_side_by_side_the_two_that_were_logged_first_are_signed(
    node: Node, engine: Engine
) -> None:
    """2000 a day, and each of 900: the other two are refused before their sessions begin, at every node alike."""
    sessions, reasons = [], []
    for number in range(4):
        try:
            sessions.append(await sign_up_to("presign.3", node, engine, order(number, 900)))
        except Refused as error:
            reasons.append(error.reason)
    assert reasons == [Reason.VELOCITY_EXCEEDED] * 2
    await asyncio.gather(*(running.end() for running in sessions))
    assert [running.said[-1] for running in sessions] == ["sign.1"] * 2
    assert node.committed() == [running.spec.digest for running in sessions]


def test_of_many_orders_at_once_exactly_as_many_are_committed_to_as_the_limit_allows(
    node: Node, engine: Engine
) -> None:
    granted, reasons = list[Any](), list[Reason]()
    for number, amount in enumerate([95] * 8 + [900] * 2 + [95]):
        request = order(number, amount)
        try:
            granted.append(node.guard.decide(spec(request), request, NOW))
        except Refused as error:
            reasons.append(error.reason)
    assert set(reasons) == {Reason.VELOCITY_EXCEEDED}
    before = node.token.counters().writes
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: engine._commit_to(one, one.request, (1, 2, 3)), granted))
    assert sum(one.request.proposal.subject.action.amount for one in granted) <= 2000
    assert sorted(node.committed()) == sorted(one.digest for one in granted)
    assert node.token.counters().writes == before + len(granted)


async def test_an_order_that_is_logged_anew_while_its_session_runs_counts_what_came_in_between(
    node: Node, engine: Engine
) -> None:
    first = order(1, 1000)
    running = await sign_up_to("presign.3", node, engine, first)
    for number, amount in ((2, 1000), (3, 100)):
        node.log.authorize(order(number, amount))
    node.log.authorize(first)
    node.follow()
    with pytest.raises(Refused) as caught:
        await running.end()
    assert caught.value.reason is Reason.VELOCITY_EXCEEDED
    assert node.committed() == []


async def test_nothing_is_signed_when_its_entry_has_become_too_old_while_its_session_ran(
    node: Node, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await sign_up_to("presign.3", node, engine, order(1, 50))
    clock = SimpleNamespace(time=lambda: NOW + AUTHORIZED_FOR + 1, monotonic=module.time.monotonic)
    monkeypatch.setattr(module, "time", clock)
    with pytest.raises(Refused) as caught:
        await running.end()
    assert caught.value.reason is Reason.NOT_LOGGED
    assert node.committed() == []


async def test_nothing_is_signed_when_a_newer_version_has_come_due_while_its_session_ran(
    node: Node, engine: Engine
) -> None:
    running = await sign_up_to("presign.3", node, engine, order(1, 50))
    node.log.approve(decode(ChangeWorkspaceRequest, workspace_change(disabled("sam"), "alice")))
    node.follow()
    with pytest.raises(Refused, match="newer version") as caught:
        await running.end()
    assert caught.value.reason is Reason.POLICY_VERSION_MISMATCH
    assert node.committed() == []


async def test_a_disk_from_before_a_signature_is_noticed_although_it_is_of_the_same_start(
    node: Node, engine: Engine, tmp_path: Path
) -> None:
    """Else the order would be signed once more with another nonce."""
    running = await sign_up_to("presign.3", node, engine, sign_request(intent()))
    path = node.config.store
    with node.store.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, tmp_path / "old")
    writes = node.token.counters().writes
    await running.end()
    assert node.committed()
    node.stop()
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    shutil.copy(tmp_path / "old", path)
    node.boot()
    assert node.committed() == []
    assert f"an older copy: {writes} writes in the store, {writes + 1} in the token" in node.boots.rolled_back
    request = sign_request(intent(), execution=Execution(2, 8, 21_000, 10**9, 10**8, ()))
    assert refused(node.guard, spec(request), request).reason == Reason.ROLLBACK_DETECTED


async def reshare_up_to(step: str, node: Node, engine: Engine) -> Running:
    request = deal(epoch=EPOCH)
    running = Running(engine, dealing(request))
    await running.begin(node, request, resharing)
    await running.until(step)
    return running


async def test_a_resharing_in_which_nothing_happens_seals_the_new_epoch(node: Node, engine: Engine) -> None:
    running = await reshare_up_to("reshare.3", node, engine)
    before = node.token.counters().writes
    await running.end()
    assert [(c.epoch, c.state) for c in node.vault.all_keys(pending=True)] == [(0, "ACTIVE"), (1, "PENDING")]
    assert node.token.counters().writes == before + 1


async def test_a_key_that_is_dealt_while_the_workspace_changes_is_not_confirmed(node: Node, engine: Engine) -> None:
    """Who approved the dealing may be out of the next version: it has to be granted again."""
    running = await reshare_up_to("reshare.3", node, engine)
    offered = chain_of(node).offer(workspace_change(disabled("sam"), "alice"), NOW)
    assert offered.adoption is not None
    with pytest.raises(Refused) as caught:
        await running.end()
    assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ((Change.SUSPEND,), [(0, "SUSPENDED")]),
        ((Change.COMPROMISE,), [(0, "COMPROMISED")]),
        ((Change.DEACTIVATE, Change.DESTROY), []),
    ],
)
async def test_a_key_that_is_stopped_while_it_is_dealt_anew_gets_no_new_epoch(
    node: Node, engine: Engine, wanted: tuple[Change, ...], left: list[tuple[int, str]]
) -> None:
    running = await reshare_up_to("reshare.3", node, engine)
    change_state(node, *wanted)
    with pytest.raises(CountersealError):
        await running.end()
    assert [(c.epoch, c.state) for c in node.vault.all_keys(pending=True)] == left


def test_a_resume_and_a_newer_suspend_that_come_at_once_leave_the_key_suspended(
    node: Node, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator sends both at the same time: what the one has looked at is so when it acts."""
    change_state(node, Change.SUSPEND)
    again = encode(change_request(change(Change.SUSPEND, purpose="again", valid_from=NOW - 5)))
    looked_at, threads = Ledger.stopped_at, []

    def slowly(ledger: Ledger, wallet_id: str) -> int:
        at = looked_at(ledger, wallet_id)
        if not threads:
            threads.append(threading.Thread(target=node.keys.change, args=(again,)))
            threads[0].start()
            threads[0].join(0.5)
        return at

    monkeypatch.setattr(Ledger, "stopped_at", slowly)
    change_state(node, Change.RESUME)
    threads[0].join()
    assert node.vault.find_key("wal_1").state == KeyState.SUSPENDED
