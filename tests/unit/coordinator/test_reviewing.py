"""An order on its way to people: cosigners read it first, and what they say decides whether anybody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator import objections, orders, preflight, reviewing
from oms_core.errors import Reason
from oms_core.evidence import Refusal, SignedRefusal
from oms_core.policy.judge import Outcome
from oms_core.workspace import Workspace
from tests.people import NOW, intent, rules, workspace
from tests.unit.coordinator.desk import Answer, failed, stopped
from tests.unit.coordinator.readers import ALL, LARGE, Way, reads, refuses


@pytest.fixture
async def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Way]:
    """At NOW, under the tests' workspace."""
    made = await opened(tmp_path, monkeypatch)
    yield made
    await made.desk.engine.dispose()


async def opened(root: Path, monkeypatch: pytest.MonkeyPatch, made: Workspace | None = None) -> Way:
    for module in (reviewing, orders):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(orders, "RETRY", 0.01)
    monkeypatch.setattr(preflight, "AGAIN", 0.01)
    return await Way.open(root, made)


PATIENT = 120.0
"""Seconds for what is to come; nobody waits for them but a test that fails, on however busy a machine."""


async def until_it_waits(way: Way, work: asyncio.Task[None]) -> tuple[str, str, str]:
    """The order as it stands when it first says what it waits for."""
    async with asyncio.timeout(PATIENT):
        while not (row := await way.row())[1]:
            assert not work.done()
            await asyncio.sleep(0.02)
    return row


async def goes_on_waiting(way: Way, work: Coroutine[Any, Any, None], until: Callable[[], Awaitable[bool]]) -> None:
    """A step does something, and does not end with it."""
    task = asyncio.create_task(work)
    async with asyncio.timeout(PATIENT):
        while not await until():
            assert not task.done()
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    assert not task.done()
    await stopped(task, way.desk.engine)


async def within(seconds: float, work: Coroutine[Any, Any, None]) -> bool:
    """Whether it ends in time."""
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        return False
    return True


def readers(*silent: int, **others: Answer) -> dict[int, Answer]:
    """Five that read what is there, without the silent ones; ``n3=...`` answers in the place of 3."""
    special = {int(name[1:]): answer for name, answer in others.items()}
    return {i: special.get(i, reads(i)) for i in ALL if i not in silent}


async def test_people_are_asked_once_all_attached_cosigners_have_read_it(way: Way) -> None:
    way.desk.attach(readers())
    order_id = await way.submitted()
    await way.review(order_id)
    assert (await way.row())[0] == "PENDING_APPROVAL"
    assert (await way.agreement(order_id, LARGE)).same == ALL


async def test_nobody_is_asked_before_as_many_have_read_it_as_sign_and_the_order_says_so(way: Way) -> None:
    way.desk.attach(readers(3, 4, 5))
    order_id = await way.submitted()
    work = asyncio.create_task(way.review(order_id))
    text = "2 of at least 3 cosigners have read it"
    assert await until_it_waits(way, work) == ("SUBMITTED", "READINGS_MISSING", text)
    way.desk.attach(readers(4, 5))
    await asyncio.wait_for(work, PATIENT)
    assert (await way.row())[0] == "PENDING_APPROVAL"
    assert (await way.agreement(order_id, LARGE)).same == (1, 2, 3)


async def test_each_cosigner_is_asked_once_and_one_that_comes_later_is_asked_then(way: Way) -> None:
    links = way.desk.attach(readers(5))
    order_id = await way.submitted()
    await way.review(order_id)
    assert {len(link.told) for link in links.values()} == {1}
    links = way.desk.attach(readers())

    async def all_have_read_it() -> bool:
        return len(await way.desk.preflight.readings(order_id)) == 5

    await goes_on_waiting(way, way.approvals(order_id), all_have_read_it)
    assert {i: len(link.told) for i, link in links.items()} == {1: 0, 2: 0, 3: 0, 4: 0, 5: 1}


async def test_an_order_that_needs_nobody_waits_for_no_reading_and_keeps_them_all_the_same(way: Way) -> None:
    way.desk.attach(readers(3, 4, 5))
    order_id = await way.submitted(intent(50))
    assert await within(PATIENT, way.review(order_id))
    assert (await way.row())[0] == "APPROVED"
    async with asyncio.timeout(PATIENT):
        while len(await way.desk.preflight.readings(order_id)) < 2:
            await asyncio.sleep(0.02)
    assert (await way.agreement(order_id, intent(50))).same == (1, 2)


async def test_who_reads_something_else_is_named_with_what_it_read(way: Way) -> None:
    way.desk.attach(readers(n4=reads(4, ("Send it all to Mallory.",))))
    order_id = await way.submitted()
    await way.review(order_id)
    found = await way.agreement(order_id, LARGE)
    assert (found.same, [one.index for one in found.different]) == ((1, 2, 3, 5), [4])
    [row] = [row for row in await way.desk.preflight.readings(order_id) if row["cosigner"] == 4]
    assert preflight.lines_of(row) == ("Send it all to Mallory.",)


@pytest.mark.parametrize(
    "answer",
    [
        reads(4, signer=3),
        reads(3),
        reads(4, subject=bytes(32)),
        reads(4, workspace=bytes(32)),
        reads(4, rendering=bytes(32)),
        refuses(4, Reason.NO_PERMIT, signer=3),
        refuses(4, Reason.NO_PERMIT, request=bytes(32)),
        refuses(3, Reason.NO_PERMIT),
        failed(Reason.INTERNAL),
    ],
    ids=["another's key", "another's reading", "another subject", "another workspace", "other sentences",
         "a refusal under another's key", "a refusal of something else", "another's refusal", "a failure"],
)  # fmt: skip
async def test_what_a_cosigner_did_not_sign_about_this_is_not_kept_and_it_is_chosen_last(
    way: Way, answer: Answer
) -> None:
    way.desk.attach(readers(n4=answer))
    order_id = await way.submitted()
    await way.review(order_id)
    assert (await way.agreement(order_id, LARGE)).same == (1, 2, 3, 5)
    assert await way._store.refusals(order_id) == []
    assert way.desk.struck() == {4}


async def test_an_order_that_waits_for_people_is_not_ended_by_one_that_is_not_reviewed_yet(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three times 900 in a day of 2,000 the last is too much; meanwhile the first must not be."""
    way.desk.attach(readers())
    looked = asyncio.Event()

    async def look(row: object) -> None:
        looked.set()

    monkeypatch.setattr(way, "_in_degraded_mode", look)
    first, second, third = intent(900), intent(900, intent_id="int_2"), intent(900, intent_id="int_3")
    await way.review(await way.submitted(first))
    for number, subject in ((2, second), (3, third)):
        await way.submitted(subject, f"txn_{number}")

    async def has_looked() -> bool:
        return looked.is_set()

    await goes_on_waiting(way, way.approvals("txn_1"), has_looked)
    decision, _ = await way.desk.approving.standing_now("txn_1", first)
    assert decision.outcome is Outcome.NEEDS_APPROVAL
    for number in (2, 3):
        await way.review(f"txn_{number}")
    ends = [(await way.row(f"txn_{number}"))[:2] for number in (1, 2, 3)]
    assert ends == [("PENDING_APPROVAL", ""), ("PENDING_APPROVAL", ""), ("REJECTED", Reason.VELOCITY_EXCEEDED)]


# Refusals


@pytest.mark.parametrize(
    "reason", [Reason.INTENT_TX_MISMATCH, Reason.DIGEST_MISMATCH, Reason.CHALLENGE_MISMATCH, Reason.SIGNATURE_INVALID]
)
@pytest.mark.parametrize(("refusing", "ends"), [((4,), False), ((1, 4), False), ((1, 3, 4), True)])
async def test_refusals_of_integrity_end_an_order_once_one_of_them_must_be_honest_and_raise_an_alarm(
    way: Way, reason: Reason, refusing: tuple[int, ...], ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms: list[object] = []
    warnings: list[int] = []
    monkeypatch.setattr(
        objections,
        "log",
        SimpleNamespace(
            critical=lambda *_, **more: alarms.append(more["reason"]),
            warning=lambda *_, **more: warnings.append(more["cosigner"]),
        ),
    )
    way.desk.attach({i: refuses(i, reason) if i in refusing else reads(i) for i in ALL})
    await way.review(await way.submitted())
    assert (await way.row())[:2] == (("REJECTED", reason) if ends else ("PENDING_APPROVAL", ""))
    assert alarms == ([reason] if ends else [])
    assert sorted(warnings) == list(refusing)


async def test_a_workspace_may_have_a_single_refusal_end_an_order_whatever_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = replace(workspace(), refusals_block_at=1)
    way = await opened(tmp_path, monkeypatch, changed)
    answers = {i: reads(i, under=changed) for i in ALL}
    way.desk.attach({**answers, 4: refuses(4, Reason.DIGEST_MISMATCH)})
    await way.review(await way.submitted())
    assert (await way.row())[:2] == ("REJECTED", Reason.DIGEST_MISMATCH)
    await way.desk.engine.dispose()


@pytest.mark.parametrize(("block_at", "refusing", "ends"), [(1, 1, True), (2, 1, False), (2, 2, True), (3, 2, False)])
async def test_as_many_refusals_of_policy_end_an_order_as_the_workspace_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_at: int, refusing: int, ends: bool
) -> None:
    changed = replace(workspace(), refusals_block_at=block_at)
    way = await opened(tmp_path, monkeypatch, changed)
    way.desk.attach(
        {i: refuses(i, Reason.VELOCITY_EXCEEDED) if i <= refusing else reads(i, under=changed) for i in ALL}
    )
    assert await within(PATIENT, way.review(await way.submitted()))
    state, reason, _ = await way.row()
    assert (state, reason) == (("REJECTED", Reason.VELOCITY_EXCEEDED) if ends else ("PENDING_APPROVAL", ""))
    assert len(await way._store.refusals("txn_1")) == refusing
    await way.desk.engine.dispose()


async def test_an_order_that_too_few_would_sign_is_rejected_before_anybody_is_asked(way: Way) -> None:
    way.desk.attach({i: refuses(i, Reason.ROLLBACK_DETECTED) if i < 4 else reads(i) for i in ALL})
    await way.review(await way.submitted())
    state, reason, detail = await way.row()
    assert (state, reason) == ("REJECTED", Reason.ROLLBACK_DETECTED)
    assert all(f"cosigner {i}: ROLLBACK_DETECTED" in detail for i in (1, 2, 3))


@pytest.mark.parametrize("wanted", ["[1, 2, 3, 4]", "[1, 2]"], ids=["more than sign", "two of one operator"])
async def test_an_order_that_no_quorum_could_ever_sign_by_the_rules_is_rejected_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    both = rules(
        "".join(f"- rule: with-{i}\n  require: {{cosigners: [{i}]}}\n" for i in wanted.strip("[]").split(", "))
    )
    roster = tuple(replace(one, operator="op-1") if one.index == 2 else one for one in workspace().roster)
    changed = replace(workspace(), rules=(*workspace().rules, *both), roster=roster, distinct_operators=True)
    way = await opened(tmp_path, monkeypatch, changed)
    await way.review(await way.submitted())
    state, reason, detail = await way.row()
    assert (state, reason) == ("REJECTED", Reason.QUORUM_UNAVAILABLE)
    assert f"rules want cosigners {wanted}, and 3 of [1, 2, 3, 4, 5] sign" in detail
    await way.desk.engine.dispose()


async def test_a_no_that_passes_by_itself_is_no_end_and_the_cosigner_is_asked_again(way: Way) -> None:
    way.desk.attach({i: refuses(i, Reason.OVERLOADED) if i < 4 else reads(i) for i in ALL})
    order_id = await way.submitted()
    work = asyncio.create_task(way.review(order_id))
    assert (await until_it_waits(way, work))[:2] == ("SUBMITTED", Reason.READINGS_MISSING)
    way.desk.attach(readers())
    await asyncio.wait_for(work, PATIENT)
    assert (await way.row())[0] == "PENDING_APPROVAL"


async def test_refusals_while_people_decide_end_the_order_too(way: Way) -> None:
    way.desk.attach(readers(4, 5))
    order_id = await way.submitted()
    await way.review(order_id)
    way.desk.attach({i: refuses(i, Reason.DIGEST_MISMATCH) for i in (4, 5)})

    async def two_refuse() -> bool:
        return len(await way._store.refusals(order_id)) == 2

    await goes_on_waiting(way, way.approvals(order_id), two_refuse)
    assert (await way.row())[0] == "PENDING_APPROVAL"
    said = Refusal(b"", bytes(32), 3, Reason.DIGEST_MISMATCH, "in a session", NOW)
    await way._store.add_refusal(order_id, SignedRefusal(said, b""))
    assert await within(PATIENT, way.approvals(order_id))
    assert (await way.row())[:2] == ("REJECTED", Reason.DIGEST_MISMATCH)


async def test_all_refusals_of_an_order_are_kept_also_several_of_one_cosigner(way: Way) -> None:
    order_id = await way.submitted()
    for reason in (Reason.OVERLOADED, Reason.HALTED, Reason.OVERLOADED):
        way.desk.attach({1: refuses(1, reason), 2: refuses(2, reason)})
        await way.desk.preflight.show(order_id, orders.proposal_of(await way._store.order(order_id)))
        await asyncio.sleep(0.02)
    kept = objections.read_refusals(await way._store.refusals(order_id))
    assert sorted((one.index, one.reason) for one in kept) == [
        (1, "HALTED"), (1, "OVERLOADED"), (2, "HALTED"), (2, "OVERLOADED"),
    ]  # fmt: skip


async def test_an_order_that_nobody_reads_in_time_expires(way: Way) -> None:
    order_id = await way.submitted(intent(500, valid_until=NOW + 1))
    reviewing_time: Callable[[], int] = lambda: NOW + 1  # noqa: E731
    orders.time.time = reviewing_time  # type: ignore[attr-defined]
    reviewing.time.time = lambda: NOW  # type: ignore[attr-defined]
    assert await within(PATIENT, way.review(order_id))
    assert (await way.row())[0] == "EXPIRED"
