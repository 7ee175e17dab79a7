"""Orders that a later version of the workspace can no longer read: shown as far as they go, and brought to an end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator import orders, reviewing, views
from coordinator.api import OmsService
from oms_core.chains.intent import Allow, Call, Intent, Transfer, subject_digest
from oms_core.chains.render import render
from oms_core.encoding import encode
from oms_core.errors import Reason
from oms_core.evidence import Refusal, SignedRefusal
from oms_core.lifecycle import State
from oms_core.workspace import Asset
from tests.people import ASSETS, CHAIN, KNOWN, NOW, following, intent, wish, workspace
from tests.unit.coordinator.desk import failed
from tests.unit.coordinator.readers import ALL, Way
from tests.unit.coordinator.test_refused_signing import Signing

TOKEN = f"{CHAIN}/erc20:0x71C7656EC7ab88b098defB751B7401B5f6d8976F"
CONTRACT = bytes.fromhex("71c7656ec7ab88b098defb751b7401b5f6d8976f")
FIRST = replace(workspace(), assets=(*ASSETS, Asset(TOKEN, "USD", 6, ("stable",), 1_000_000, b"")))
SECOND = following(FIRST, assets=ASSETS)
"""The token is in the list no more."""


def moving(**changes: object) -> Intent:
    now = int(time.time())
    plain: dict[str, object] = {
        "action": Transfer(TOKEN, KNOWN, 500),
        "valid_from": now - 10,
        "valid_until": now + 900,
    }
    return intent(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    made = await Way.open(tmp_path, FIRST)
    yield made
    await made.desk.engine.dispose()


def service(way: Way) -> Any:
    """The calls that show orders, on this desk."""
    made: Any = OmsService.__new__(OmsService)
    made._store, made._standing, made._approving = way._store, way._standing, way._approving
    return made


@pytest.mark.parametrize("state", [State.SUBMITTED, State.APPROVED])
async def test_an_order_that_can_no_longer_be_read_is_shown_with_why_and_with_what_it_says_itself(
    way: Way, state: State
) -> None:
    subject = moving()
    await way.submitted(subject)
    if state is State.APPROVED:
        await way._store.move("txn_1", State.SUBMITTED, State.APPROVED)
    before = await service(way)._transaction("txn_1")
    assert tuple(before.lines) == render(subject, FIRST).lines
    way._standing.advance(SECOND)
    after = await service(way)._transaction("txn_1")
    assert "cannot be read under version 1 of the workspace: ACTION_MISMATCH: transfer" in after.lines[0]
    assert f"Exactly 500 base units of {TOKEN} to 0x{'11' * 20}." in after.lines
    assert subject_digest(subject).hex() in after.lines[1]
    assert (after.state, after.proposal, after.subject_digest) == (state, before.proposal, before.subject_digest)


@pytest.mark.parametrize(
    "subject",
    [
        moving(action=Allow(TOKEN, KNOWN, 5)),
        moving(action=Call(CONTRACT, 0, bytes.fromhex("a9059cbb") + bytes(12) + KNOWN + (5).to_bytes(32, "big"))),
        moving(initiator="nobody"),
        moving(purpose="a\x1b[2K"),
        wish(parties=(1, 2, 9)),
    ],
    ids=["an allowance", "a call", "a stranger's", "what cannot be printed", "a wallet of a cosigner who left"],
)
def test_whatever_cannot_be_read_is_shown_in_lines_that_can_be_printed(subject: Any) -> None:
    with pytest.raises(Exception, match=r"."):
        render(subject, SECOND)
    lines = views.sentences(subject, SECOND)
    assert lines[0].startswith("WARNING: this cannot be read under version 1")
    assert all(line.isprintable() for line in lines)


async def test_one_order_that_cannot_be_read_hides_no_other_from_whoever_may_decide_that(way: Way) -> None:
    await way.submitted(moving())
    other = moving(action=intent(500).action, intent_id="int_2")
    await way.submitted(other, "txn_2")
    way._standing.advance(SECOND)
    waiting = [(order_id, await way._store.order(order_id)) for order_id in ("txn_1", "txn_2")]
    facts = await way._store.facts(int(time.time()))
    found = await way._approving.inbox("olga", waiting, facts)
    assert [one.subject_id for one in found] == ["txn_2"]


@pytest.mark.parametrize("state", [State.SUBMITTED, State.PENDING_APPROVAL, State.APPROVED])
async def test_an_order_that_can_no_longer_be_read_is_rejected_wherever_it_stands(way: Way, state: State) -> None:
    await way.submitted(moving())
    if state is not State.SUBMITTED:
        await way._store.move("txn_1", State.SUBMITTED, state)
    way._standing.advance(SECOND)
    way.desk.attach({i: failed(Reason.OVERLOADED) for i in ALL})
    match state:
        case State.SUBMITTED:
            await way.review("txn_1")
        case State.PENDING_APPROVAL:
            await way.approvals("txn_1")
        case _:
            await Signing(way, {}).sign("txn_1")
    got, reason, detail = await way.row()
    assert (got, reason) == ("REJECTED", Reason.ACTION_MISMATCH)
    assert "is no registered token" in detail


async def test_an_order_that_is_over_when_it_is_reviewed_expires(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its coordinator was away."""
    await way.submitted(intent(500))
    for module in (reviewing, orders):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW + 10_000))
    await way.review("txn_1")
    assert (await way.row())[:2] == ("EXPIRED", Reason.EXPIRED)


def test_a_refusal_by_a_cosigner_that_has_left_the_roster_is_shown_without_a_name() -> None:
    left = replace(workspace(), roster=workspace().roster[:4])
    signed = SignedRefusal(Refusal(b"", bytes(32), 5, Reason.NO_PERMIT, "no", NOW), b"")
    [one] = views.refused([encode(signed)], left)
    assert (one.index, one.name) == (5, "")
