"""A wallet whose key is being made: what passes by itself is waited out, and then it is made under what counts now."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import RowMapping

from coordinator import wallets as module
from coordinator.calls import Call
from coordinator.outcomes import Outcomes
from coordinator.sessions import SessionFailed
from coordinator.wallets import Wallets
from oms_core.approvals import Approval, Verdict
from oms_core.authorize import expected_claim
from oms_core.chains.intent import CreateWallet, subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import Blame, Reason, Refused
from oms_core.protocol.shares import SignedConfirmation
from oms_core.workspace import Workspace
from tests.people import ORIGIN, RULES, following, keys, propose, rules, wish, workspace
from tests.unit.coordinator.desk import Desk
from tests.unit.coordinator.test_refused_signing import no
from tests.unit.cosigner.epochs import certificate, originals

Happens = Callable[["Making"], SessionFailed | None]


class Making(Wallets):
    """The real loop; each session comes to what ``happens`` says, one after the other, and then the key is made."""

    def __init__(self, desk: Desk, *happens: Happens) -> None:
        parts = (desk.store, desk.standing, desk.cosigners, desk.approving)
        super().__init__(*parts, Outcomes(desk.book, desk.cosigners), desk.authorizing, desk.news)
        self.desk, self.happens = desk, list(happens)
        self.under: list[bytes] = []

    async def _make(self, row: RowMapping) -> tuple[SignedConfirmation, ...]:
        self.under.append(self._standing.digest)
        failed = self.happens.pop(0)(self) if self.happens else None
        if failed is not None:
            raise failed
        return tuple(decode(SignedConfirmation, one) for one in certificate(originals()))


def refuse(*reasons: Reason) -> Happens:
    """So many cosigners refuse."""
    said = {i: no(i, reason) for i, reason in enumerate(reasons, 1)}
    return lambda _: SessionFailed(said, (), set(), "refused", parties=(1, 2, 3, 4, 5))


def outdated(_: Making) -> SessionFailed:
    """Nodes go over to another version while the session runs."""
    return SessionFailed({}, (), {2, 3}, "cosigner 2 failed: POLICY_VERSION_MISMATCH", outdated=True)


def goes_over(following_: Workspace, failed: SessionFailed) -> Happens:
    """The workspace changes while the session runs, at this coordinator, too."""

    def happens(made: Making) -> SessionFailed:
        made._standing.advance(following_)
        return failed

    return happens


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(module, "RETRY", 0.001)
    made = await Desk.open(tmp_path)
    yield made
    await made.engine.dispose()


def wanted(**changes: object) -> CreateWallet:
    now = int(time.time())
    return wish(**{"wallet_id": "wal_9", "valid_from": now - 10, "valid_until": now + 1000, **changes})


async def approved(desk: Desk, subject: CreateWallet, state: str = "GENERATING") -> None:
    """Taken on, with the approvals of sam and sonja."""
    call = Call("new wallet", "CreateWallet", b"")
    await desk.store.add_wallet("wal_9", state, encode(propose(subject)), subject_digest(subject), 3, call)
    for name in ("sam", "sonja"):
        said = expected_claim(
            subject, workspace(), name, Verdict.APPROVE, subject.valid_from + 1, subject.valid_until - 1
        )
        made: Approval = keys().approvers[name].approve(said, ORIGIN)
        await desk.store.decide("wal_9", made, f"person-{name}", 0, "", Call(f"by {name}", "Decide", b""))


async def generated(desk: Desk, *happens: Happens, **changes: object) -> tuple[Making, str, str]:
    """How far the loop comes, with state and reason."""
    await approved(desk, wanted(**changes))
    made = Making(desk, *happens)
    await made.generate("wal_9")
    row = await desk.store.wallet("wal_9")
    return made, row["state"], row["reason"]


async def test_a_key_that_nothing_stands_in_the_way_of_is_made_once(desk: Desk) -> None:
    made, state, reason = await generated(desk)
    assert (len(made.under), state, reason) == (1, "PRE_ACTIVE", "")


async def test_a_wallet_that_waits_for_its_people_again_is_not_forgotten_when_the_process_ends_there(
    desk: Desk,
) -> None:
    await approved(desk, wanted(), "PENDING_APPROVAL")
    made = Making(desk)
    await made.generate("wal_9")
    assert (len(made.under), (await desk.store.wallet("wal_9"))["state"]) == (1, "PRE_ACTIVE")


@pytest.mark.parametrize(
    "happens",
    [
        outdated,
        refuse(Reason.POLICY_VERSION_MISMATCH),
        goes_over(following(), SessionFailed({}, (), {4}, "cosigner 4 does not answer")),
    ],
    ids=["in the middle", "at its beginning", "as nobody says"],
)
async def test_a_key_that_meets_a_change_of_the_workspace_is_made_again_under_the_new_version(
    desk: Desk, happens: Happens
) -> None:
    made, state, reason = await generated(desk, happens)
    assert (len(made.under), state, reason) == (2, "PRE_ACTIVE", "")
    assert made.under[-1] == desk.standing.digest


async def test_a_key_that_the_new_version_no_longer_permits_is_not_made(desk: Desk) -> None:
    stricter = rules(RULES.replace("deny-eve\n  deny:\n  when: {initiator.user: eve}", "none\n  deny:\n  when: {}"))
    made, state, reason = await generated(
        desk, goes_over(following(rules=stricter), SessionFailed({}, (), {4}, "silent"))
    )
    assert (len(made.under), state, reason) == (1, "FAILED", Reason.DENIED_BY_RULE)


async def test_where_the_new_version_wants_more_people_they_are_asked_and_then_the_key_is_made(desk: Desk) -> None:
    more = rules(RULES.replace("{approvals: 2, from groups: [security]}", "{approvals: 3, from groups: [security]}"))
    groups = tuple(
        replace(one, members=(*one.members, "olga")) if one.group_id == "security" else one
        for one in workspace().groups
    )
    asked: list[str] = []

    class Asking(Making):
        async def approvals(self, wallet_id: str) -> None:
            asked.append((await self._store.wallet(wallet_id))["state"])
            await self._move(wallet_id, "PENDING_APPROVAL", "GENERATING")
            self._standing.advance(following(self._workspace, rules=workspace().rules))

    await approved(desk, wanted())
    made = Asking(desk, goes_over(following(rules=more, groups=groups), SessionFailed({}, (), {4}, "silent")))
    await made.generate("wal_9")
    assert (asked, (await desk.store.wallet("wal_9"))["state"]) == (["PENDING_APPROVAL"], "PRE_ACTIVE")
    assert len(made.under) == 2


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        (SessionFailed({}, (), {4}, "cosigner 4 does not answer"), Reason.SESSION_FAILED),
        (SessionFailed({4: no(4, Reason.NO_PERMIT)}, (), set(), "refused"), Reason.NO_PERMIT),
        (SessionFailed({4: no(4, Reason.WRONG_STATE)}, (), set(), "refused"), Reason.WRONG_STATE),
        (SessionFailed({}, (Blame(4, "keygen.1", "lies"),), set(), "aborted", outdated=True), Reason.SESSION_FAILED),
    ],
    ids=["silence", "a rule's no", "a key that is there", "a lie"],
)
async def test_what_does_not_pass_by_itself_ends_it(desk: Desk, failed: SessionFailed, reason: Reason) -> None:
    made, state, said = await generated(desk, lambda _: failed)
    assert (len(made.under), state, said) == (1, "FAILED", reason)


async def test_a_node_that_never_comes_round_ends_it_after_a_while(desk: Desk) -> None:
    made, state, reason = await generated(desk, *[refuse(Reason.OVERLOADED)] * 20)
    assert (len(made.under), state, reason) == (module.MAX_ATTEMPTS, "FAILED", Reason.OVERLOADED)


def slow(seconds: int) -> Workspace:
    """Keys are made so many seconds after every cosigner has seen them approved."""
    return following(
        rules=rules(RULES.replace("from groups: [security]}", f"from groups: [security], delay: {seconds}s}}"))
    )


@pytest.fixture
def clock(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time, which goes on as far as the coordinator waits."""
    now = [int(time.time())]

    async def wait(_: str, seconds: float = 1) -> None:
        now[0] += max(1, int(seconds))

    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: float(now[0])))
    monkeypatch.setattr(desk.news, "wait", wait)
    return now


async def test_a_key_that_has_to_wait_is_asked_for_again_when_its_delay_is_over(desk: Desk, clock: list[int]) -> None:
    desk.standing.advance(slow(100))
    began = clock[0]
    made, state, reason = await generated(desk, refuse(*[Reason.DELAYED] * 5))
    assert (len(made.under), state, reason) == (2, "PRE_ACTIVE", "")
    assert 100 < clock[0] - began < 110


async def test_a_key_whose_delay_ends_after_the_wish_does_expires(desk: Desk, clock: list[int]) -> None:
    desk.standing.advance(slow(3600))
    made, state, reason = await generated(desk, refuse(*[Reason.DELAYED] * 5))
    assert (len(made.under), state, reason) == (1, "FAILED", Reason.EXPIRED)


async def test_a_wish_that_has_to_wait_passes_on_from_the_people_to_the_cosigners_who_count(desk: Desk) -> None:
    desk.standing.advance(slow(1))
    await approved(desk, wanted(), "PENDING_APPROVAL")
    await Making(desk).approvals("wal_9")
    assert (await desk.store.wallet("wal_9"))["state"] == "GENERATING"


async def test_a_wish_whose_committee_lacks_a_cosigner_that_rules_want_is_not_taken_on(desk: Desk) -> None:
    wants = "- rule: with-five\n  require: {cosigners: [5]}\n  when: {action: KEY_CREATE}\n"
    desk.standing.advance(following(rules=(*workspace().rules, *rules(wants))))
    four = wanted(parties=(1, 2, 3, 4))
    call: Any = Call("another", "CreateWallet", b"")
    with pytest.raises(Refused, match="want cosigners") as caught:
        await Making(desk).submit(propose(four), call)
    assert caught.value.reason == Reason.QUORUM_UNAVAILABLE
    assert await Making(desk).submit(propose(wanted()), call) == "wal_9"
