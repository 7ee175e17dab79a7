"""Which version of the workspace counts at a coordinator, and who is attached on which."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator import cosigners as module
from coordinator import views
from coordinator.cosigners import Cosigners
from coordinator.standing import Standing
from oms_core.errors import Conflict, Reason, Refused, Unauthenticated
from oms_core.policy.rules import DAY
from oms_core.workspace import Workspace, workspace_digest
from proto import cosigner_pb2 as pb
from tests.parties import identity
from tests.people import RULES, following, rules, workspace
from tests.unit.cosigner.test_chain import disabled, replaced

FIRST = disabled("tara")
SECOND = disabled("ravi2", FIRST)


@pytest.fixture
def standing() -> Standing:
    """On version 2."""
    made = Standing(workspace())
    made.advance(FIRST)
    made.advance(SECOND)
    return made


def test_versions_are_found_by_their_digest_and_in_order(standing: Standing) -> None:
    assert [one.version for one in standing] == [0, 1, 2]
    assert standing.named(workspace_digest(FIRST)) is FIRST
    assert list(standing.older.values()) == [workspace(), FIRST]
    assert list(standing.before(FIRST).values()) == [workspace()]
    assert standing.find(bytes(32)) is None
    with pytest.raises(Refused) as caught:
        standing.named(bytes(32))
    assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH


def test_spends_are_known_as_far_back_as_any_version_looks() -> None:
    """Approvals may name an older one, and it is asked, too."""
    week = replace(workspace(), rules=rules(RULES.replace("every: 24h", "every: 7d")))
    standing = Standing(week)
    standing.advance(following(week, rules=workspace().rules))
    assert standing.horizon == 7 * DAY
    standing.advance(following(standing.current, rules=rules(RULES.replace("every: 24h", "every: 9d"))))
    assert standing.horizon == 9 * DAY


@pytest.mark.parametrize(
    "made", [FIRST, replace(disabled("olga", SECOND), parent=bytes(32))], ids=["an old one", "a stray"]
)
def test_what_does_not_follow_is_not_stood_on(standing: Standing, made: Workspace) -> None:
    with pytest.raises(Conflict):
        standing.advance(made)
    assert standing.current is SECOND


async def welcomed(
    standing: Standing, monkeypatch: pytest.MonkeyPatch, made: Workspace, index: int = 2, key: int = 2
) -> Cosigners:
    """A cosigner that stands on this version has attached."""
    monkeypatch.setattr(module, "peer", lambda *_: str(index))
    cosigners = Cosigners(standing)
    hello = pb.Hello(index=index, protocol_version=1, identity=identity(key).public, version=made.version)
    hello.workspace = workspace_digest(made)

    async def messages() -> Any:
        yield pb.FromCosigner(hello=hello)

    await cosigners._welcome(messages(), SimpleNamespace())  # type: ignore[arg-type]
    return cosigners


@pytest.mark.parametrize(
    ("made", "state"),
    [(SECOND, "ATTACHED"), (FIRST, "BEHIND"), (disabled("olga", SECOND), "AHEAD")],
    ids=["the same", "an older", "a later"],
)
async def test_who_stands_on_another_version_is_present_and_chosen_for_nothing(
    standing: Standing, monkeypatch: pytest.MonkeyPatch, made: Workspace, state: str
) -> None:
    cosigners = await welcomed(standing, monkeypatch, made)
    assert set(cosigners.present()) == {2}
    assert set(cosigners.attached()) == ({2} if state == "ATTACHED" else set())
    witnessing: Any = SimpleNamespace(sizes={}, troubles={})
    shown = {one.index: (one.state, one.version) for one in views.cosigners(standing, cosigners, witnessing)}
    assert shown[2] == (state, made.version)
    assert shown[1] == ("ABSENT", 0)


async def test_who_goes_over_is_attached_from_then_on_and_does_not_go_back(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    cosigners = await welcomed(standing, monkeypatch, FIRST)
    cosigners.stands(2, standing.digest, 2)
    assert set(cosigners.attached()) == {2}
    cosigners.stands(2, workspace_digest(FIRST), 1)
    assert set(cosigners.attached()) == {2}


async def test_another_chain_is_refused(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused) as caught:
        await welcomed(standing, monkeypatch, disabled("olga"))
    assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH


async def test_a_node_whose_key_was_replaced_is_refused_and_the_new_one_is_let_in(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing.advance(replaced(2, identity(7).public, SECOND))
    with pytest.raises(Unauthenticated) as caught:
        await welcomed(standing, monkeypatch, SECOND)
    assert caught.value.reason == Reason.PEER_IDENTITY
    assert set((await welcomed(standing, monkeypatch, standing.current, key=7)).attached()) == {2}


async def test_a_peer_of_another_kind_is_heard_before_it_is_refused(standing: Standing) -> None:
    """gRPC's client tells whoever is refused while it still sends that something internal failed, and nothing else."""
    heard = []

    async def messages() -> Any:
        heard.append(True)
        yield pb.FromCosigner(hello=pb.Hello(index=2))

    with pytest.raises(Unauthenticated) as caught:
        await Cosigners(standing)._welcome(messages(), stranger())
    assert (caught.value.reason, heard) == (Reason.PEER_IDENTITY, [True])


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "waits"])
async def test_a_peer_that_does_not_greet_is_refused(
    standing: Standing, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    monkeypatch.setattr(module, "peer", lambda *_: "2")
    monkeypatch.setattr(module, "SILENCE", 0.01)

    async def messages() -> Any:
        if not ends:
            await asyncio.sleep(600)
        for message in ():
            yield message

    with pytest.raises(Unauthenticated) as caught:
        await Cosigners(standing)._welcome(messages(), stranger())
    assert caught.value.reason == Reason.PEER_IDENTITY


def stranger() -> Any:
    """The context of a call under a certificate of an OMS."""
    names = {"x509_subject_alternative_name": [b"spiffe://counterseal/oms/front-end"]}
    return SimpleNamespace(auth_context=lambda: names)
