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

from cosigner import keys
from cosigner.engine import Engine
from cosigner.ledger import Ledger
from cosigner.vault import SealedAux
from oms_core.chains.intent import Execution
from oms_core.encoding import encode
from oms_core.errors import CountersealError, Reason, Refused
from oms_core.evidence import SignRequest
from oms_core.keys import Change, KeyState
from tests.people import NOW, approve, change, change_request, intent, moved, sign_request
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
    assert node.token.counters()[1] == 0
    assert moved(node.ledger.facts(NOW)) == []
    await running.end()
    assert running.said[-1] == "sign.1"
    assert node.token.counters()[1] == 1
    assert moved(node.ledger.facts(NOW)) == [50]


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
    assert node.ledger.facts(NOW).spent == ()
    assert engine.open_sessions == 0


async def test_four_orders_that_began_side_by_side_do_not_exceed_the_limit_together(node: Node, engine: Engine) -> None:
    """2000 a day: each order of 900 was granted while nothing had been spent."""
    sessions = []
    for number in range(4):
        subject = intent(900, intent_id=f"int_{number}")
        execution = Execution(2, number, 21_000, 1, 1, ())
        request = sign_request(subject, approve(subject, "ravi"), approve(subject, "olga"), execution=execution)
        sessions.append(await sign_up_to("presign.3", node, engine, request))
    ends = await asyncio.gather(*(running.end() for running in sessions), return_exceptions=True)
    reasons = [end.reason for end in ends if isinstance(end, CountersealError)]
    assert reasons == [Reason.VELOCITY_EXCEEDED] * 2
    assert [running.said[-1] for running in sessions].count("sign.1") == 2
    assert sum(moved(node.ledger.facts(NOW))) == 1800


def test_of_many_orders_at_once_exactly_as_many_are_committed_to_as_the_limit_allows(
    node: Node, engine: Engine
) -> None:
    granted = []
    for number in range(8):
        request = sign_request(intent(95, intent_id=f"int_{number}"), execution=Execution(2, number, 21_000, 1, 1, ()))
        granted.append(node.guard.decide(spec(request), request, NOW))
    for number in range(2):
        subject = intent(900, intent_id=f"int_large{number}")
        execution = Execution(2, 10 + number, 21_000, 1, 1, ())
        request = sign_request(subject, approve(subject, "ravi"), approve(subject, "olga"), execution=execution)
        granted.append(node.guard.decide(spec(request), request, NOW))

    def commit(one: Any) -> bool:
        try:
            engine._commit_to(one, one.request, (1, 2, 3))
        except Refused as error:
            reasons.append(error.reason)
            return False
        return True

    reasons: list[Reason] = []
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(commit, granted))
    assert set(reasons) == {Reason.VELOCITY_EXCEEDED}
    spent = sum(moved(node.ledger.facts(NOW)))
    assert spent <= 2000
    assert spent == sum(amount for amount, yes in zip([95] * 8 + [900] * 2, done, strict=True) if yes)
    assert node.token.counters()[1] == sum(done)


async def test_a_disk_from_before_a_signature_is_noticed_although_it_is_of_the_same_start(
    node: Node, engine: Engine, tmp_path: Path
) -> None:
    """Else the order would be signed once more with another nonce, and its amount would not count."""
    running = await sign_up_to("presign.3", node, engine, sign_request(intent()))
    path = node.config.store
    with node.store.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, tmp_path / "old")
    await running.end()
    assert node.ledger.facts(NOW).spent
    node.stop()
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    shutil.copy(tmp_path / "old", path)
    node.boot()
    assert node.ledger.facts(NOW).spent == ()
    assert "the store is an older copy: 0 writes in the store, 1 in the token" in node.boots.rolled_back
    request = sign_request(intent(), execution=Execution(2, 8, 21_000, 10**9, 10**8, ()))
    assert refused(node.guard, spec(request), request).reason == Reason.ROLLBACK_DETECTED


async def reshare_up_to(step: str, node: Node, engine: Engine) -> Running:
    request = deal(epoch=EPOCH)
    running = Running(engine, dealing(request))
    await running.begin(node, request, resharing)
    await running.until(step)
    return running


async def test_a_resharing_in_which_nothing_happens_seals_the_new_epoch(node: Node, engine: Engine) -> None:
    await (await reshare_up_to("reshare.3", node, engine)).end()
    assert [(c.epoch, c.state) for c in node.vault.all_keys(pending=True)] == [(0, "ACTIVE"), (1, "PENDING")]
    assert node.token.counters()[1] == 1


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
