"""A peer that is caught is remembered with evidence that anybody can judge, and met by no session until pardoned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cosigner.backup import told_of
from cosigner.convictions import Convictions
from cosigner.guard import Signing
from cosigner.store import open_store
from oms_core.crypto.params import TOY
from oms_core.encoding import decode_one_of
from oms_core.errors import Blame, ProtocolAbort, Reason, Refused, Unattributed
from oms_core.protocol import judge as judging
from oms_core.protocol.accuse import CASE_LIMIT, Equivocation, SignedCase
from oms_core.protocol.judge import judge
from tests.parties import Split, at, identity, roster
from tests.people import NOW, intent, sign_request, workspace
from tests.protocol.runs import Held, run_keygen
from tests.unit.cosigner.node import Node
from tests.unit.cosigner.specs import refused, spec
from tests.unit.cosigner.test_chain import replaced

LIAR = 3


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sessions of these tests have toy sizes, which no judge accepts otherwise."""
    monkeypatch.setattr(judging, "level", lambda _: TOY)


@pytest.fixture
def mine(node: Node) -> Convictions:
    """What party 1 remembers: its store is a node's, its key that of the tests' sessions."""
    return Convictions(node.store, identity(1))  # type: ignore[arg-type]


def caught_lying() -> Held:
    return run_keygen({LIAR: at("keygen.2", lambda turn: replace(turn.message, rid=bytes(32)))})


def caught_equivocating() -> Held:
    def split(turn: Any) -> Split:
        return Split({2: replace(turn.message, hash=bytes(64))})

    outcome = run_keygen({LIAR: at("keygen.1", split)})
    assert isinstance(outcome.errors[1], Unattributed)
    return outcome


def convict(mine: Convictions, outcome: Held) -> tuple[bytes, ...]:
    error = outcome.errors[1]
    mine.convict(outcome.channels[1], error, outcome.epoch, outcome.presignature)
    return error.evidence


@pytest.mark.parametrize("caught", [caught_lying, caught_equivocating])
def test_a_liar_is_convicted_with_evidence_that_a_stranger_judges_alike(
    mine: Convictions, caught: Callable[[], Held]
) -> None:
    [evidence] = convict(mine, caught())
    assert mine.convicted() == (LIAR,)
    assert mine.evidence(LIAR) == evidence
    kinds: Any = (SignedCase, Equivocation)
    assert judge(decode_one_of(kinds, evidence, CASE_LIMIT), roster((1, 2, 3))).culprit == LIAR


@pytest.mark.parametrize(
    "error",
    [
        ProtocolAbort(Blame(2, "keygen.2", "the opening matches the commitment")),
        ProtocolAbort(Blame(2, "hello", "it is an old copy")),
        ProtocolAbort(Blame(2, "keygen.9", "no such step")),
        ProtocolAbort(Blame(2, "auxinfo.1", "another protocol's")),
        Unattributed("no packet of party 2 at keygen.2"),
    ],
)
def test_what_the_judge_does_not_find_is_not_signed_and_not_remembered(mine: Convictions, error: ProtocolAbort) -> None:
    channel = caught_lying().channels[1]
    mine.convict(channel, error, None, None)
    assert error.evidence == ()
    assert mine.convicted() == ()
    assert mine.evidence(2) is None


@pytest.mark.covers("R17", "P30")
def test_a_session_with_a_convicted_peer_is_refused_until_it_is_pardoned(guard: Any, mine: Convictions) -> None:
    convict(mine, caught_lying())
    request = sign_request(intent())
    assert refused(guard, spec(request), request).reason == Reason.CULPRIT_IDENTIFIED
    assert isinstance(guard.decide(spec(request, parties=(1, 2, 4)), request, NOW), Signing)
    assert mine.pardon(LIAR)
    assert not mine.pardon(LIAR)
    assert isinstance(guard.decide(spec(request), request, NOW), Signing)
    assert mine.evidence(LIAR) is None


def test_convictions_outlive_restarts(node: Node, mine: Convictions) -> None:
    convict(mine, caught_lying())
    node.store.dispose()
    again = Convictions(open_store(node.config.store), node.token)
    assert again.convicted() == (LIAR,)
    with pytest.raises(Refused) as caught:
        again.check((1, 2, 3))
    assert caught.value.reason == Reason.CULPRIT_IDENTIFIED
    assert "cosigner 3" in caught.value.message
    again.check((1, 2, 4, 5))


def test_the_first_evidence_against_a_peer_is_kept(mine: Convictions) -> None:
    [first] = convict(mine, caught_lying())
    [second] = convict(mine, caught_equivocating())
    assert first != second
    assert mine.evidence(LIAR) == first


def test_evidence_against_a_key_that_was_replaced_since_is_told_under_the_roster_of_then(mine: Convictions) -> None:
    [evidence] = convict(mine, caught_lying())
    assert told_of(evidence, [workspace()]).startswith("at keygen.2")
    later = replaced(LIAR, identity(7).public)
    assert told_of(evidence, [later, workspace()]).startswith("at keygen.2")
    assert "cannot be judged here" in told_of(evidence, [later])
