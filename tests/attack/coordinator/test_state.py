"""What a cosigner has to remember: nothing is signed twice, and what can be split between nodes has a known bound."""

from __future__ import annotations

import random
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from oms_core.chains.intent import Transfer
from oms_core.errors import CountersealError, Reason
from oms_core.evidence import PresignRequest, ProbeRequest, SignRequest, request_digest
from oms_core.protocol.packets import SessionSpec
from tests.attack.coordinator.authenticator import Press
from tests.attack.coordinator.nodes import ALL, Five
from tests.attack.coordinator.scene import Attempt, Scene
from tests.attack.coordinator.trying import the_legal_order_is_signed
from tests.attack.coordinator.world import COIN, KNOWN, NOW, TOKEN, WALLET, keys
from tests.witnessed import FOUR, Logbook

pytestmark = pytest.mark.attack
QUORUMS = tuple(combinations(ALL, 3))
CORRUPT = (1, 2)
HONEST = (3, 4, 5)
DAILY = 2000  # base units of the token that one node lets go in a day


def signs(
    scene: Scene, five: Five, attempt: Attempt, index: int, parties: tuple[int, ...], by: tuple[int, ...] = FOUR
) -> Reason | None:
    """Whether this node commits to the attempt in a session with this quorum; these have cosigned the log."""
    asked = replace(attempt, parties=parties)
    return five.nodes[index].signs(scene.session(asked), scene.request(asked), scene.now, by)


def signed(scene: Scene, five: Five, attempt: Attempt, parties: tuple[int, ...], corrupt: tuple[int, ...]) -> bool:
    """Whether all honest nodes of this quorum commit to it; they are asked until the first no."""
    return all(signs(scene, five, attempt, index, parties) is None for index in parties if index not in corrupt)


def at_nonce(attempt: Attempt, nonce: int) -> Attempt:
    assert attempt.execution is not None
    return replace(attempt, execution=replace(attempt.execution, nonce=nonce))


def test_a_legal_order_of_every_kind_is_signed_by_every_quorum(five: Five, scene: Scene) -> None:
    for parties in QUORUMS * 2:
        the_legal_order_is_signed(scene, five, parties, ())


@pytest.mark.covers("C03", "C13")
def test_one_order_is_signed_as_one_transaction_at_each_node(five: Five, scene: Scene) -> None:
    order = scene.legal(Transfer(COIN, KNOWN, 10))
    first, second = at_nonce(order, 7), at_nonce(order, 8)
    dearer = replace(first, execution=replace(first.execution, max_fee_per_gas=10**10 + 1, type=2))  # type: ignore[type-var]
    for index in ALL:
        parties = next(one for one in QUORUMS if index in one)
        assert signs(scene, five, first, index, parties) is None
        assert signs(scene, five, second, index, parties) == Reason.DOUBLE_SIGN_GUARD
        assert signs(scene, five, dearer, index, parties) == Reason.DOUBLE_SIGN_GUARD
        assert signs(scene, five, first, index, parties) is None, "the same again is no second signature"


@pytest.mark.covers("C03", "C13")
def test_one_nonce_serves_one_order_at_each_node(five: Five, scene: Scene) -> None:
    first, second = at_nonce(scene.legal(), 7), at_nonce(scene.legal(), 7)
    for index in ALL:
        parties = next(one for one in QUORUMS if index in one)
        assert signs(scene, five, first, index, parties) is None
        assert signs(scene, five, second, index, parties) == Reason.DOUBLE_SIGN_GUARD


@pytest.mark.covers("C03")
@pytest.mark.parametrize("seed", range(3))
def test_a_lying_coordinator_alone_gets_one_transaction_for_one_order_by_any_choice_of_quorums(
    five: Five, scene: Scene, seed: int
) -> None:
    order = scene.legal()
    five.keep_a_log()
    quorums = list(QUORUMS)
    random.Random(seed).shuffle(quorums)
    got = [
        nonce for nonce, parties in enumerate(quorums) if signed(scene, five, at_nonce(order, nonce + 1), parties, ())
    ]
    assert len(got) <= 1


@pytest.mark.covers("C03")
def test_of_one_log_one_order_becomes_one_transaction_although_two_cosigners_are_corrupt(
    five: Five, scene: Scene
) -> None:
    """The A-split: {M1,M2,H1} with one transaction, {M1,M2,H2} with another. What was logged first stands."""
    five.keep_a_log()
    order, got = scene.legal(), []
    for nonce in range(1, 10):
        parties = (*CORRUPT, HONEST[nonce % 3])
        if signed(scene, five, at_nonce(order, nonce), tuple(sorted(parties)), CORRUPT):
            got.append(nonce)
    assert got == [1]


@pytest.mark.covers("C03")
def test_of_forks_for_each_honest_node_nothing_is_signed_without_the_exact_bytes(five: Five, scene: Scene) -> None:
    """Two corrupt witnesses and the one that is deceived are three: they vouch for one yes and one transaction."""
    order, each = scene.legal(), forked(five)
    for nonce, index in enumerate(HONEST, 1):
        parties = tuple(sorted((*CORRUPT, index)))
        reason = signs(scene, five, at_nonce(order, nonce), index, parties, (*CORRUPT, index))
        assert reason == Reason.EXACT_BYTES_NEEDED
        assert signs(scene, five, at_nonce(order, nonce), index, parties, CORRUPT) == Reason.NOT_LOGGED
        assert each[index].size > 1


@pytest.mark.covers("C03")
def test_of_forks_for_each_honest_node_one_yes_to_exact_bytes_is_one_transaction(five: Five, scene: Scene) -> None:
    forked(five)
    exact = scene.exactly(at_nonce(scene.legal(Transfer(TOKEN, KNOWN, 100)), 7))
    got = []
    for nonce, index in zip((7, 8, 9), HONEST, strict=True):
        parties = tuple(sorted((*CORRUPT, index)))
        reason = signs(scene, five, at_nonce(exact, nonce), index, parties, (*CORRUPT, index))
        assert reason in (None, Reason.CHALLENGE_MISMATCH)
        got += [nonce] if reason is None else []
    assert got == [7]


@pytest.mark.covers("C03")
@pytest.mark.parametrize("seed", range(2))
def test_of_one_log_no_more_than_a_limit_is_signed_by_any_quorums_although_two_cosigners_are_corrupt(
    five: Five, scene: Scene, seed: int
) -> None:
    five.keep_a_log()
    quorums, total = random.Random(seed), 0
    for _ in range(16):
        parties = quorums.choice(QUORUMS)
        total += 250 if signed(scene, five, scene.legal(Transfer(TOKEN, KNOWN, 250)), parties, CORRUPT) else 0
    assert total == DAILY


@pytest.mark.covers("C03")
def test_of_forks_for_each_honest_node_all_together_sign_no_more_than_a_limit(five: Five, scene: Scene) -> None:
    """(n - f) / (t - f) of them, each with its part of the limit: 3 thirds."""
    forked(five)
    given = dict.fromkeys(HONEST, 0)
    for number in range(15):
        index = HONEST[number % 3]
        order = scene.exactly(scene.legal(Transfer(TOKEN, KNOWN, 222)))
        reason = signs(scene, five, order, index, tuple(sorted((*CORRUPT, index))), (*CORRUPT, index))
        assert reason in (None, Reason.VELOCITY_EXCEEDED)
        given[index] += 222 if reason is None else 0
    assert given == dict.fromkeys(HONEST, 666)
    assert sum(given.values()) <= DAILY


def forked(five: Five) -> dict[int, Logbook]:
    """Each honest node has seen the log in full once, and follows one of its own from then on."""
    log, each = five.keep_a_log(), {}
    for index in HONEST:
        node = five.nodes[index]
        log.followed_by(node.witness)
        node.witness.check_cover(log.note(), 0, five.workspace, NOW)
        each[index] = log.fork()
        node.follow(each[index])
    return each


@pytest.mark.covers("C12", "P39")
def test_a_session_id_is_taken_once_whatever_it_is_for(five: Five, scene: Scene) -> None:
    first, second = scene.legal(), scene.legal()
    spec = scene.session(first)
    node = five.nodes[1]
    assert node.asked(spec, scene.request(first), scene.now) is None
    assert node.asked(spec, scene.request(first), scene.now) == Reason.SESSION_REPLAYED
    again = replace(scene.session(second), session_id=spec.session_id)
    assert node.asked(again, scene.request(second), scene.now) == Reason.SESSION_REPLAYED


@pytest.mark.covers("C12")
def test_what_was_refused_can_be_asked_again_under_its_session_id_once_it_is_right(five: Five, scene: Scene) -> None:
    order = scene.legal()
    spec, node = scene.session(order), five.nodes[2]
    wrong = replace(spec, digest=secrets.token_bytes(32))
    assert node.asked(wrong, scene.request(order), scene.now) == Reason.DIGEST_MISMATCH
    assert node.asked(spec, scene.request(order), scene.now) is None


@pytest.mark.covers("A04")
def test_a_counter_that_comes_twice_is_a_clone_at_every_node(five: Five, scene: Scene) -> None:
    first = scene.legal(Transfer(COIN, KNOWN, 5), ("olga", "ravi"))
    used = keys().people["ravi"].counter
    other = scene.legal(Transfer(COIN, KNOWN, 6), ("olga", "otto"))
    cloned = scene.press(other.intent, "ravi", how=Press(counter=used))
    second = other.approved_by(other.approvals[0], cloned)
    for index in ALL:
        parties = next(one for one in QUORUMS if index in one)
        assert signs(scene, five, first, index, parties) is None
        assert signs(scene, five, second, index, parties) == Reason.COUNTER_REGRESSION


@pytest.mark.covers("C16", "A15")
def test_what_has_expired_stays_expired_between_the_decision_and_the_commitment(five: Five, scene: Scene) -> None:
    order = scene.legal()
    node, spec = five.nodes[1], scene.session(order)
    granted = node.decide(spec, scene.request(order), scene.now)
    with pytest.raises(CountersealError) as caught:
        node.commit(granted, scene.now + 601)
    assert caught.value.reason == Reason.APPROVAL_EXPIRED
    with pytest.raises(CountersealError) as caught:
        node.commit(granted, scene.now + 3601)
    assert caught.value.reason == Reason.EXPIRED


@pytest.mark.slow
@pytest.mark.covers("C25")
def test_of_256_sessions_at_once_for_one_order_each_node_commits_to_one_transaction(five: Five, scene: Scene) -> None:
    """By its own ledger: here no log stands between the attempts."""
    order, node = scene.legal(), five.nodes[1]
    attempts = [at_nonce(order, nonce) for nonce in range(256)]
    granted = [node.decide(scene.session(one), scene.request(one), scene.now) for one in attempts]

    def commit(number: int) -> Reason | None:
        try:
            node.commit(granted[number], scene.now)
        except CountersealError as error:
            return error.reason
        return None

    with ThreadPoolExecutor(8) as threads:
        reasons = list(threads.map(commit, range(256)))
    assert reasons.count(None) == 1
    assert set(reasons) == {None, Reason.DOUBLE_SIGN_GUARD}


@pytest.mark.covers("C25")
def test_of_64_orders_at_once_no_more_is_committed_to_than_the_limit(five: Five, scene: Scene) -> None:
    five.keep_a_log()
    node, granted, reasons = five.nodes[1], list[Any](), set[Reason]()
    for _ in range(64):
        one = scene.legal(Transfer(TOKEN, KNOWN, 100))
        try:
            granted.append(node.decide(scene.session(one), scene.request(one), scene.now))
        except CountersealError as error:
            reasons.add(error.reason)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: node.commit(one, scene.now), granted))
    assert len(granted) * 100 == DAILY
    assert reasons == {Reason.VELOCITY_EXCEEDED}


@pytest.mark.covers("C11")
def test_an_order_whose_signature_is_withheld_is_signed_again_for_another_coordinator(five: Five, scene: Scene) -> None:
    order = scene.legal()
    five.keep_a_log()
    for _ in range(3):
        for index in (1, 2, 3):
            assert signs(scene, five, order, index, (1, 2, 3)) is None
    for index in (3, 4, 5):
        assert signs(scene, five, order, index, (3, 4, 5)) is None


@pytest.mark.covers("C18")
def test_an_active_key_gives_no_test_signature_to_anybody(five: Five, scene: Scene) -> None:
    request = ProbeRequest(scene.material.share.key_id, WALLET)
    for index in ALL:
        parties = next(one for one in QUORUMS if index in one)
        spec = _around(scene, request, parties, "probe")
        assert five.nodes[index].asked(spec, request, scene.now) == Reason.WRONG_STATE


@pytest.mark.covers("C07")
def test_a_refusal_that_is_kept_back_is_given_again_and_binds_its_node_only(five: Five, scene: Scene) -> None:
    """A coordinator may ask others instead; they answer for themselves, and the one that refused goes on refusing."""
    order = scene.legal()
    five.nodes[1].convictions._keep(2, b"evidence")
    for _ in range(3):
        assert signs(scene, five, order, 1, (1, 2, 3)) == Reason.CULPRIT_IDENTIFIED
    assert signs(scene, five, order, 1, (1, 3, 4)) is None
    assert signs(scene, five, order, 3, (2, 3, 4)) is None


def _around(
    scene: Scene, request: SignRequest | ProbeRequest | PresignRequest, parties: object, kind: str
) -> SessionSpec:
    fitting = scene.session(scene.legal())
    changes = {"subject": request_digest(request), "parties": parties, "protocol": kind, "digest": b"", "path": ()}
    return replace(fitting, **changes)  # type: ignore[arg-type]
