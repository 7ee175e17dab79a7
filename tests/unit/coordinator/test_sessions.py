"""A session through the coordinator with one liar: the liar is suspected or convicted, and nobody honest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from coordinator import relayed
from coordinator.cosigners import Cosigners
from coordinator.outcomes import Outcomes
from coordinator.sessions import SessionFailed, new_spec, run_session
from coordinator.standing import Standing
from oms_core.encoding import decode, encode
from oms_core.errors import Reason, Unavailable
from oms_core.evidence import ProbeRequest, Refusal, SignedRefusal
from oms_core.protocol.accuse import Equivocation
from oms_core.protocol.judge import Verdict, judge
from oms_core.protocol.packets import SessionSpec
from oms_core.workspace import identities
from proto import cosigner_pb2 as pb
from tests.parties import identity
from tests.people import workspace
from tests.unit.coordinator.nodes import SIZE, Bend, Links, Node, each, resigned
from tests.unit.coordinator.test_relayed import two_stories

REQUEST = ProbeRequest(b"k" * 32, "wal_1")
ALL = (1, 2, 3)
each_liar = pytest.mark.parametrize("liar", ALL)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toy sizes."""
    monkeypatch.setattr(relayed, "level", lambda _: SIZE)


def spec(parties: tuple[int, ...] = ALL) -> SessionSpec:
    return new_spec("probe", "L112", (b"k" * 32, 0, bytes(32)), 2, parties, REQUEST, digest=bytes(32))


async def failure(liar: int, bend: Bend, parties: tuple[int, ...] = ALL) -> SessionFailed:
    nodes = {i: Node(i, bend if i == liar else None) for i in parties}
    links: Any = Links(nodes)
    with pytest.raises(SessionFailed) as caught:
        await run_session(links, workspace(), spec(parties), REQUEST)
    assert all(node.asked[-1] == "abort" for node in nodes.values())
    assert caught.value.parties == parties
    return caught.value


def at_round(number: int, change: Callable[[pb.RoundOut, Node], Any]) -> Bend:
    """Bends what a liar answers in this round: packets, or something else altogether."""

    def bend(answer: pb.FromCosigner, node: Node) -> pb.FromCosigner:
        if answer.WhichOneof("body") != "round_out" or answer.round_out.round != number:
            return answer
        made = change(answer.round_out, node)
        return pb.FromCosigner(round_out=made) if isinstance(made, pb.RoundOut) else made

    return bend


FINISHED = pb.FromCosigner(finished=pb.Finished(result=b"done"))


def late(answer: pb.FromCosigner, node: Node) -> pb.FromCosigner:
    if answer.WhichOneof("body") != "finished":
        return answer
    return pb.FromCosigner(
        round_out=pb.RoundOut(round=3, step="chat.3", packets={j: b"" for j in ALL if j != node.index})
    )


def instead_of_hello(answer: pb.FromCosigner, _: Node) -> pb.FromCosigner:
    return FINISHED if answer.WhichOneof("body") == "begun" else answer


def silent(answer: pb.FromCosigner, node: Node) -> pb.FromCosigner:
    if answer.WhichOneof("body") == "acknowledged":
        return answer
    raise Unavailable(f"cosigner {node.index} does not answer", Reason.PEER_UNREACHABLE)


def foreign_refusal(signer: int, **changes: Any) -> Bend:
    """A no that is not its own, or of another session."""

    def bend(answer: pb.FromCosigner, node: Node) -> pb.FromCosigner:
        if answer.WhichOneof("body") != "begun":
            return answer
        said = replace(Refusal(node.spec.session_id, bytes(32), node.index, "NO_PERMIT", "no", 1), **changes)
        made = SignedRefusal(said, identity(signer or node.index).sign("refusal", encode(said)))
        return pb.FromCosigner(refused=pb.Refused(signed_refusal=encode(made)))

    return bend


LIES: dict[str, Bend] = {
    "junk packets": at_round(1, lambda out, _: each(out, lambda *_: b"\xff" * 30)),
    "junk packets later": at_round(2, lambda out, _: each(out, lambda *_: b"\xff" * 30)),
    "missing packets": at_round(1, lambda out, _: pb.RoundOut(round=1, step=out.step)),
    "one missing packet": at_round(
        2, lambda out, _: each(out, lambda j, data: data if j == min(out.packets) else None)
    ),
    "another step": at_round(2, lambda out, node: each(out, resigned(node.index, step="chat.1"))),
    "another round": at_round(1, lambda out, node: each(out, resigned(node.index, round=2))),
    "another session": at_round(1, lambda out, node: each(out, resigned(node.index, ssid=bytes(64)))),
    "an early end": at_round(1, lambda *_: FINISHED),
    "an end before the last round": at_round(2, lambda *_: FINISHED),
    "a late end": late,
    "an end in the place of a hello": instead_of_hello,
    "silence": silent,
    "an answer to something else": at_round(1, lambda *_: pb.FromCosigner(pong=pb.Pong(nonce=1))),
    "a failure": at_round(2, lambda *_: pb.FromCosigner(failed=pb.Failed(reason="INTERNAL", detail="no"))),
    "a refusal under another key": foreign_refusal(4),
    "a refusal in another's name": foreign_refusal(0, index=4),
    "a refusal of another session": foreign_refusal(0, session_id=bytes(32)),
    "a refusal for no reason that there is": foreign_refusal(0, reason="BECAUSE"),
    "a refusal that no log can hold": foreign_refusal(0, detail="-----BEGIN PRIVATE KEY-----"),
}


async def test_honest_cosigners_come_to_the_end() -> None:
    links: Any = Links({i: Node(i) for i in ALL})
    assert await run_session(links, workspace(), spec(), REQUEST) == dict.fromkeys(ALL, b"done")


@each_liar
@pytest.mark.parametrize("bend", LIES.values(), ids=LIES)
async def test_the_liar_is_suspected_and_nobody_else(liar: int, bend: Bend) -> None:
    failed = await failure(liar, bend)
    assert (failed.suspects, failed.proven, failed.refusals) == ({liar}, [], {})


async def test_what_a_node_says_of_its_failure_is_short_and_printable_whatever_it_says() -> None:
    said = "\0\x1b[2J" + "x" * 10_000
    for answer in (
        pb.FromCosigner(failed=pb.Failed(reason=said, detail=said)),
        pb.FromCosigner(aborted=pb.Aborted(reason=said, detail=said)),
    ):
        failed = await failure(2, at_round(1, lambda *_, made=answer: made))
        assert failed.detail.isprintable()
        assert 100 < len(failed.detail) < 1000


@each_liar
async def test_two_stories_are_evidence_that_anybody_judges_alike(liar: int) -> None:
    failed = await failure(liar, at_round(1, lambda out, node: two_stories(out, node.index, node.index)))
    [(verdict, evidence)] = failed.proven
    assert failed.suspects <= {liar}
    found = judge(decode(Equivocation, evidence), identities(workspace()))
    assert found == verdict == Verdict(liar, "chat.1", "signed two different contents of one round")


@each_liar
async def test_nobody_is_convicted_by_two_stories_that_another_has_signed(liar: int) -> None:
    """The evidence would name a node whose signature is not on it."""
    for victim in set(ALL) - {liar}:

        def bend(out: pb.RoundOut, node: Node, victim: int = victim) -> pb.RoundOut:
            return two_stories(out, node.index, victim)

        failed = await failure(liar, at_round(1, bend))
        assert (failed.suspects, failed.proven) == ({liar}, [])


@pytest.mark.parametrize("liar", [1, 2])
@pytest.mark.parametrize("name", ["an early end", "a late end", "an end before the last round"])
async def test_of_two_nobody_is_told_apart_by_when_they_end(liar: int, name: str) -> None:
    failed = await failure(liar, LIES[name], (1, 2))
    assert (failed.suspects, failed.proven) == (set(), [])


async def test_a_true_refusal_is_no_fault() -> None:
    failed = await failure(2, foreign_refusal(0))
    assert failed.suspects == set()
    assert {i: signed.refusal.reason for i, signed in failed.refusals.items()} == {2: "NO_PERMIT"}


# What follows


class Book:
    """Verdicts in memory."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    async def add_verdict(self, about: str, verdict: Verdict, evidence: bytes) -> str:
        self.kept.append(verdict.culprit)
        return "ev_1"

    async def quarantined(self) -> set[int]:
        return set(self.kept)


async def after(failed: SessionFailed) -> tuple[set[int], set[int]]:
    """Whom it convicts, and whom it strikes."""
    book: Any = Book()
    cosigners = Cosigners(Standing(workspace()))
    guilty = await Outcomes(book, cosigners).failed("txn_1", failed)
    assert guilty == cosigners.quarantined == set(book.kept)
    return guilty, set(cosigners._strikes)


async def test_where_nobody_is_suspected_all_who_took_part_are_chosen_last() -> None:
    failed = SessionFailed({}, (), set(), "nobody knows", parties=(1, 2, 4))
    assert await after(failed) == (set(), {1, 2, 4})


async def test_where_somebody_is_suspected_or_refuses_nobody_else_is_struck() -> None:
    assert await after(SessionFailed({}, (), {2}, "silent", parties=ALL)) == (set(), {2})
    assert await after(SessionFailed({}, (), set(), "stale", stale=True, parties=ALL)) == (set(), set())
    assert await after(await failure(3, foreign_refusal(0))) == (set(), set())


async def test_who_is_convicted_is_in_quarantine_and_nobody_else_is_struck() -> None:
    failed = await failure(3, at_round(1, lambda out, node: two_stories(out, node.index, node.index)))
    assert await after(failed) == ({3}, set())
