"""How changes of keys reach all nodes: receipts decide, liars hold nobody up, and certificates are never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from coordinator import key_changes as module
from coordinator.calls import Call
from coordinator.clock import LogClock
from coordinator.key_changes import COMMITTING, DONE, RUNNING
from coordinator.sessions import SessionFailed
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import Reason, Refused, Unavailable
from oms_core.evidence import ChangeRequest, EpochCertificate
from oms_core.keys import MAX_EPOCH, Change, ChangeKey, KeyState
from oms_core.protocol.create_key import confirmation
from oms_core.protocol.shares import Epoch, SignedConfirmation
from oms_core.workspace import workspace_digest
from proto import cosigner_pb2 as pb
from tests.people import NOW, approve, change, change_request, following, propose, rules, workspace
from tests.unit.coordinator.desk import (
    ALL,
    Answer,
    Desk,
    document,
    failed,
    receipt,
    with_certificates,
    with_receipt,
)
from tests.unit.coordinator.test_refused_signing import no
from tests.unit.cosigner.epochs import certificate, confirmed, dealt
from tests.unit.cosigner.node import KEY_ID, material
from tests.unit.cosigner.specs import about_the_key

SUSPEND = change(Change.SUSPEND)
BOTH = ("sam", "sonja")
STAYING = (2, 3, 4, 5)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """At NOW, and without long pauses."""
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(module, "RETRY", 0.01)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """An active wallet, nobody attached."""
    made = await Desk.open(tmp_path)
    yield made
    await made.engine.dispose()


class Enough(Exception):
    """It was tried often enough."""


async def settles(desk: Desk, change_id: str) -> bool:
    """Whether the change is done within some attempts."""
    said: list[str] = []

    async def say(_: str, reason: str, detail: str) -> None:
        said.append(detail)
        if len(said) == 5:
            raise Enough

    desk.changes._say = say  # type: ignore[method-assign]
    try:
        await desk.changes.settle(change_id)
    except Enough:
        assert await desk.state(change_id) == COMMITTING
        return False
    assert await desk.state(change_id) == DONE
    return True


# Receipts


async def test_a_change_is_done_when_so_many_have_given_receipts_that_no_quorum_is_left(desk: Desk) -> None:
    change_id = await desk.submitted(SUSPEND)
    desk.attach({i: with_receipt(receipt(i, SUSPEND)) for i in (1, 2)})
    assert not await settles(desk, change_id)
    assert (await desk.store.wallet("wal_1"))["state"] == "ACTIVE"
    desk.attach({3: with_receipt(receipt(3, SUSPEND))})
    assert await settles(desk, change_id)
    assert (await desk.store.wallet("wal_1"))["state"] == KeyState.SUSPENDED
    assert set(await desk.owed()) == {4, 5}


BAD = {
    "signed by another": with_receipt(receipt(1, SUSPEND, signer=4)),
    "another's": with_receipt(receipt(2, SUSPEND)),
    "junk": with_receipt(b"\xff" * 40),
    "of an endless epoch": with_receipt(receipt(1, SUSPEND, signer=4, epoch=10**1500)),
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
async def test_one_receipt_that_does_not_verify_holds_up_nobody_else(desk: Desk, answer: Answer) -> None:
    change_id = await desk.submitted(SUSPEND)
    desk.attach({1: answer, **{i: with_receipt(receipt(i, SUSPEND)) for i in (2, 3, 4)}})
    assert await settles(desk, change_id)
    assert desk.struck() == {1}
    assert set(await desk.owed()) == {1, 5}
    assert len(await desk.book.receipts(change_id)) == 3


async def test_the_loop_that_tells_all_goes_on_after_a_receipt_that_does_not_verify(desk: Desk) -> None:
    change_id = await desk.submitted(SUSPEND)
    request = encode(change_request(SUSPEND))
    await desk.book.owe(change_id, ALL, pb.ToCosigner(change_key=pb.ChangeKey(request=request)).SerializeToString())
    desk.attach({1: BAD["junk"], **{i: with_receipt(receipt(i, SUSPEND)) for i in STAYING}})
    stop = asyncio.Event()
    task = asyncio.create_task(desk.changes.run(stop))
    try:
        async with asyncio.timeout(120):
            while set(await desk.owed()) != {1}:
                await asyncio.sleep(0.01)
    finally:
        assert not task.done()
        stop.set()
        await asyncio.wait_for(task, 120)


async def test_the_loop_that_tells_all_ends_when_it_is_told_to(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.telling.PAUSE", 1e6)
    stop = asyncio.Event()
    task = asyncio.create_task(desk.changes.run(stop))
    await asyncio.sleep(0)
    assert not task.done()
    stop.set()
    await asyncio.wait_for(task, 120)  # and not only when it next looks for news


@pytest.mark.parametrize("reason", [Reason.EXPIRED, Reason.APPROVAL_EXPIRED, Reason.UNKNOWN_WALLET, Reason.EPOCH_STALE])
async def test_answers_of_all_that_it_is_too_late_are_not_done(desk: Desk, reason: Reason) -> None:
    change_id = await desk.submitted(SUSPEND)
    desk.attach({i: failed(reason) for i in ALL})
    assert not await settles(desk, change_id)
    assert await desk.book.receipts(change_id) == []
    assert (await desk.store.wallet("wal_1"))["state"] == "ACTIVE"


@pytest.mark.parametrize(
    "other",
    [
        lambda i: receipt(i, SUSPEND, subject=bytes(32)),
        lambda i: receipt(i, SUSPEND, state=KeyState.ACTIVE),
        lambda i: receipt(i, change(Change.SUSPEND, purpose="another")),
        lambda i: b"",
    ],
    ids=["another subject", "another state", "another wish", "none"],
)
async def test_receipts_for_something_else_are_not_done(desk: Desk, other: object) -> None:
    change_id = await desk.submitted(SUSPEND)
    desk.attach({i: with_receipt(other(i)) for i in ALL})  # type: ignore[operator]
    assert not await settles(desk, change_id)
    assert (await desk.store.wallet("wal_1"))["state"] == "ACTIVE"


# Certificates


REFRESH = about_the_key()


async def learnt(desk: Desk, *documents: bytes) -> None:
    """The coordinator has lost everything about the epoch; node 3 still holds these."""
    desk.attach({3: with_certificates(*documents)})
    await desk.changes._learn(3)


async def test_a_certificate_that_one_node_holds_is_owed_to_all_and_counts_from_then_on(desk: Desk) -> None:
    await learnt(desk, document(certificate(dealt()), REFRESH, *BOTH))
    owed = await desk.owed()
    assert set(owed) == set(ALL)
    [message] = owed[1]
    assert message.commit_epoch.key_id == KEY_ID
    assert len(message.commit_epoch.confirmations) == 5
    wallet = await desk.wallets.standing("wal_1")
    assert wallet.key == (KEY_ID, 1, dealt()[1].epoch_hash)
    links = desk.attach({i: with_certificates() for i in ALL})
    for i in ALL:
        await desk.changes._tell(i)
    assert await desk.owed() == {}
    assert all(link.told[-1].WhichOneof("body") == "commit_epoch" for link in links.values())


async def test_words_that_were_kept_in_another_order_are_learnt_alike(desk: Desk) -> None:
    await learnt(desk, document(certificate(dealt())[::-1], REFRESH, *BOTH))
    assert set(await desk.owed()) == set(ALL)
    assert (await desk.wallets.standing("wal_1")).parties == ALL


async def test_a_certificate_of_another_committee_is_owed_to_those_who_leave_and_to_the_members(desk: Desk) -> None:
    wanted = about_the_key(Change.RESHARE)
    await learnt(desk, document(certificate(dealt(1, STAYING)), wanted, *BOTH))
    assert set(await desk.owed()) == set(ALL)
    wallet = await desk.wallets.standing("wal_1")
    assert (wallet.parties, wallet.threshold, wallet.key[1]) == (STAYING, 3, 1)


async def test_a_certificate_is_learnt_once_and_not_after_a_later_one(desk: Desk) -> None:
    first, second = document(certificate(dealt()), REFRESH, *BOTH), document(certificate(dealt(2)), REFRESH, *BOTH)
    await learnt(desk, second, first)
    await learnt(desk, first, second)
    assert {i: len(messages) for i, messages in (await desk.owed()).items()} == dict.fromkeys(ALL, 1)
    assert (await desk.wallets.standing("wal_1")).key[1] == 2


async def test_a_certificate_is_learnt_whose_wish_was_approved_before_rules_let_it_and_dealt_when_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LogClock, "now", lambda _: NOW)
    (frozen,) = rules("- rule: frozen\n  deny:\n  when: {action: KEY_CHANGE}\n")
    world = replace(workspace(), rules=(*workspace().rules, replace(frozen, ends=NOW)))
    desk = await Desk.open(tmp_path, world)
    approvals = tuple(approve(REFRESH, name, under=world) for name in BOTH)
    request = ChangeRequest(propose(REFRESH), workspace_digest(world), approvals, None)
    kept = encode(replace(decode(EpochCertificate, document(certificate(dealt()), REFRESH)), request=request))
    for given, told in (((), set[int]()), (approvals, set(ALL))):
        await desk.authorizing.entry("chg_0", replace(request, approvals=given))
        await learnt(desk, kept)
        assert set(await desk.owed()) == told
    await desk.engine.dispose()


def colluding() -> tuple[bytes, ...]:
    """Two nodes, fewer than a quorum, confirm an epoch of their own."""
    return tuple(confirmed(j, confirmation("wal_1", dealt(1, STAYING)[j])) for j in (2, 3))


TWO = about_the_key(Change.RESHARE, parties=(2, 3), threshold=2)
NOT_LEARNT = {
    "unapproved": document(certificate(dealt()), REFRESH),
    "half approved": document(certificate(dealt()), REFRESH, "sam"),
    "of two that want the key for themselves": document(colluding(), TWO),
    "of a part of the members": document(certificate(dealt())[:4], REFRESH, *BOTH),
    "with one word twice": document((*certificate(dealt())[:4], certificate(dealt())[0]), REFRESH, *BOTH),
    "of the epoch that counts": document(
        tuple(confirmed(j, confirmation("wal_1", material(j))) for j in ALL), REFRESH, *BOTH
    ),
    "of another wallet": document(certificate(dealt(), "wal_2"), REFRESH, *BOTH),
    "with a wish for another wallet": document(certificate(dealt()), replace(REFRESH, wallet_id="wal_2"), *BOTH),
    "with a wish for another key": document(certificate(dealt()), replace(REFRESH, key_id=bytes(32)), *BOTH),
    "with a wish for a state": document(certificate(dealt()), about_the_key(Change.SUSPEND), *BOTH),
    "with a wish for another committee": document(certificate(dealt()), about_the_key(Change.RESHARE), *BOTH),
    "without words": document((), REFRESH, *BOTH),
    "of a stranger": document(
        (*certificate(dealt())[:4], confirmed(9, replace(confirmation("wal_1", dealt()[5]), index=9))), REFRESH, *BOTH
    ),
    "of an endless epoch": document(
        tuple(confirmed(j, replace(confirmation("wal_1", dealt()[j]), epoch=10**4000)) for j in ALL), REFRESH
    ),
    "junk": b"\xff" * 50,
}


@pytest.mark.parametrize("data", NOT_LEARNT.values(), ids=NOT_LEARNT)
async def test_what_nodes_would_refuse_is_not_learnt_and_hides_nothing_that_comes_after_it(
    desk: Desk, data: bytes
) -> None:
    await learnt(desk, data)
    assert await desk.owed() == {}
    assert (await desk.wallets.standing("wal_1")).key[1] == 0
    await learnt(desk, data, document(certificate(dealt()), REFRESH, *BOTH))
    assert set(await desk.owed()) == set(ALL)


async def test_a_node_that_does_not_answer_or_answers_something_else_teaches_nothing(desk: Desk) -> None:
    for answer in (failed(Reason.INTERNAL), with_receipt(b"")):
        desk.attach({3: answer})
        await desk.changes._learn(3)
    desk.attach({3: answer})[3].closed = True
    await desk.changes._learn(3)
    assert await desk.owed() == {}


# Numbers


def says(number: int, key_id: bytes = KEY_ID) -> Answer:
    status = pb.Status(epochs=[pb.EpochSeen(key_id=key_id, newest=number)])
    return lambda _: pb.FromCosigner(status=status)


async def test_a_new_epoch_has_a_number_above_all_that_any_node_has_seen(desk: Desk) -> None:
    wallet = await desk.wallets.standing("wal_1")
    desk.attach({1: says(0), 2: says(7), 3: says(3), 4: says(900, bytes(32)), 5: failed(Reason.INTERNAL)})
    assert await desk.changes._claims(wallet) == [7, 3, 0]
    desk.attach({})
    assert await desk.changes._claims(wallet) == [0]


@pytest.mark.parametrize("number", [1024, 1025, (1 << 31) - 3])
async def test_whatever_a_liar_claims_the_highest_honest_number_is_tried_as_well(desk: Desk, number: int) -> None:
    wallet = await desk.wallets.standing("wal_1")
    desk.attach({1: says(number), 2: says(9), 3: says(2)})
    assert await desk.changes._claims(wallet) == [number, 9, 2, 0]


@pytest.mark.parametrize("number", [MAX_EPOCH, 1 << 40, -5])
async def test_numbers_that_cannot_be_are_not_tried(desk: Desk, number: int) -> None:
    wallet = await desk.wallets.standing("wal_1")
    desk.attach({1: says(number), 2: says(9)})
    assert await desk.changes._claims(wallet) == [9, 0]


# Delays and cosigners that rules want


def under(desk: Desk, requirement: str) -> None:
    """Rules that want this for changes of keys as well."""
    more = rules(f"- rule: more\n  require: {requirement}\n  when: {{action: KEY_CHANGE}}\n")
    desk.standing.advance(following(rules=(*workspace().rules, *more)))


async def taken_on(desk: Desk, wanted: ChangeKey, state: str = RUNNING) -> None:
    row = {"change_id": "chg_1", "wallet_id": "wal_1", "state": state, "subject": subject_digest(wanted)}
    await desk.book.add_change({**row, "proposal": encode(propose(wanted))}, Call("change", "SubmitKeyChange", b""))
    for name in BOTH:
        call = Call(f"by {name}", "Decide", b"")
        await desk.store.decide("chg_1", approve(wanted, name), f"person-{name}", 0, "", call)


async def test_a_dealing_that_has_to_wait_is_tried_again_when_its_delay_is_over(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    under(desk, "{delay: 60s}")
    await taken_on(desk, about_the_key(), "PENDING_APPROVAL")
    await desk.changes.approvals("chg_1")
    assert await desk.state() == RUNNING
    sessions: list[int] = []
    pauses: list[bool] = []

    async def new_epoch(*_: object) -> object:
        sessions.append(1)
        if len(sessions) < 3:
            said = {i: no(i, Reason.DELAYED) for i in ALL}
            raise SessionFailed(said, (), set(), "refused", parties=ALL)
        signed = tuple(decode(SignedConfirmation, one) for one in certificate(dealt()))
        return signed, change_request(about_the_key())

    async def pause(_: str, __: object, attempt: int, long: bool) -> None:
        pauses.append(long)

    monkeypatch.setattr(desk.changes, "_new_epoch", new_epoch)
    monkeypatch.setattr(desk.wallets, "pause", pause)
    await desk.changes.deal("chg_1")
    assert (await desk.state(), pauses) == (COMMITTING, [True, False])


async def test_dealers_are_chosen_with_the_cosigners_whom_rules_want_and_who_get_nothing(desk: Desk) -> None:
    under(desk, "{cosigners: [1, 5]}")
    desk.attach({i: failed(Reason.OVERLOADED) for i in ALL})
    asked: list[tuple[int, ...]] = []

    async def public(_: object, dealers: tuple[int, ...]) -> Epoch:
        asked.append(dealers)
        raise Unavailable("enough")

    desk.changes._public = public  # type: ignore[assignment]
    wanted = about_the_key(Change.RESHARE, parties=(2, 3, 4, 5), threshold=3)
    await taken_on(desk, wanted)
    row, wallet = await desk.book.change("chg_1"), await desk.wallets.standing("wal_1")
    with pytest.raises(Unavailable, match="enough"):
        await desk.changes._new_epoch(row, wallet, 1, {2})
    assert len(asked[0]) == 3
    assert 1 in asked[0]


async def test_a_dealing_without_a_cosigner_whom_rules_want_is_not_taken_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    under(desk, "{cosigners: [5]}")
    wanted = about_the_key(Change.RESHARE, parties=(1, 2, 3), threshold=2)
    wallet = await desk.wallets.standing("wal_1")

    async def without_five(_: str) -> object:
        return replace(wallet, parties=(1, 2, 3, 4))

    monkeypatch.setattr(desk.wallets, "standing", without_five)
    call = Call("change", "SubmitKeyChange", b"")
    with pytest.raises(Refused, match="want cosigners") as caught:
        await desk.changes.submit("chg_1", propose(wanted), call)
    assert caught.value.reason == Reason.QUORUM_UNAVAILABLE
    monkeypatch.undo()
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW))
    await desk.changes.submit("chg_1", propose(wanted), call)
