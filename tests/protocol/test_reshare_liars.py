"""Liars in resharing: each check of spec §3.5 convicts exactly the one who fails it, at the old members and the new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto.curve import IDENTITY, G, Q
from oms_core.protocol.reshare import Commit, Proof, Reveal, Share, commitment, reshare
from oms_core.protocol.rounds import Session, Steps
from oms_core.zk import sch
from tests.parties import Lie, Split, Turn, at, both, key, roster
from tests.protocol.runs import (
    ALL,
    HONEST,
    LIAR,
    convicted,
    exposed,
    play,
    run_refresh,
    run_reshare,
    unattributed,
    verdicts,
)
from tests.protocol.runs import (
    resharing as to,
)

pytestmark = pytest.mark.attack


def committed(bend: Callable[[Turn, Reveal], Reveal]) -> Lie:
    """Commits to a bent opening, and opens just that."""

    def lie(turn: Turn) -> Any:
        if turn.step == "reshare.1":
            bent = bend(turn, turn.memory["mine"])
            return Commit(commitment(turn.memory["session"].ssid, turn.memory["me"], bent))
        return bend(turn, turn.message) if turn.step == "reshare.2" and turn.to is None else turn.message

    return lie


Bend = Callable[[Turn, Reveal], Reveal]
EXACTLY = "exactly t Feldman commitments and first messages"
NOT_O, OWN = "no commitment is the identity", "the dealer deals its own share of this key"
OPENINGS: dict[str, tuple[Bend, str]] = {
    "one commitment more": (lambda _, r: replace(r, B=(*r.B, G)), EXACTLY),
    "one of each more": (lambda _, r: replace(r, B=(*r.B, G), A=(*r.A, G)), EXACTLY),
    "one commitment less": (lambda _, r: replace(r, B=r.B[:-1]), EXACTLY),
    "one of each less": (lambda _, r: replace(r, B=r.B[:-1], A=r.A[:-1]), EXACTLY),
    "no commitment": (lambda _, r: replace(r, B=()), EXACTLY),
    "nothing at all": (lambda _, r: replace(r, B=(), A=()), EXACTLY),
    "one first message more": (lambda _, r: replace(r, A=(*r.A, G)), EXACTLY),
    "no first message": (lambda _, r: replace(r, A=()), EXACTLY),
    "a constant term of zero": (lambda _, r: replace(r, B=(IDENTITY, *r.B[1:])), NOT_O),
    "a coefficient of zero": (lambda _, r: replace(r, B=(*r.B[:-1], IDENTITY)), NOT_O),
    "a first message of zero": (lambda _, r: replace(r, A=(IDENTITY, *r.A[1:])), NOT_O),
    "more than its share": (lambda _, r: replace(r, B=(r.B[0] + G, *r.B[1:])), OWN),
    "another's share": (lambda t, r: replace(r, B=(t.memory["ground"].dealt(1), *r.B[1:])), OWN),
    "twice its share": (lambda _, r: replace(r, B=(r.B[0] * 2, *r.B[1:])), OWN),
    "another coefficient": (lambda _, r: replace(r, B=(r.B[0], r.B[1] + G)), "the share lies on the polynomial"),
    "a short salt": (lambda _, r: replace(r, u=r.u[1:]), "a salt of 32 bytes"),
    "no salt": (lambda _, r: replace(r, u=b""), "a salt of 32 bytes"),
}


@pytest.mark.parametrize("deed", OPENINGS)
def test_a_dealer_that_deals_something_else_is_convicted(deed: str) -> None:
    bend, reason = OPENINGS[deed]
    outcome = run_refresh({LIAR: committed(bend)})
    convicted(outcome, "reshare.2", reason)
    assert all(outcome.spoke[i][-1] == "reshare.2.echo" for i in HONEST)


@pytest.mark.parametrize(
    "bend",
    [
        lambda r: replace(r, B=(r.B[0], r.B[1] + G)),
        lambda r: replace(r, A=(r.A[0] + G, *r.A[1:])),
        lambda r: replace(r, u=bytes(32)),
        lambda r: replace(r, B=(), A=()),
    ],
    ids=["B", "A", "u", "nothing"],
)
def test_an_opening_that_was_not_committed_to_convicts_its_sender(bend: Callable[[Reveal], Reveal]) -> None:
    outcome = run_refresh({LIAR: at("reshare.2", lambda turn: bend(turn.message))})
    convicted(outcome, "reshare.2", "the opening matches the commitment")


def test_a_copied_commitment_and_opening_convict_the_copyist() -> None:
    protocols: dict[int, Steps[Any]] = {}
    new = to(ALL, ALL, 2)
    epoch = key(3, 2)[1].public

    def make(session: Session) -> Steps[Any]:
        protocols[session.me] = reshare(session, epoch, new, key(3, 2)[session.me].share, roster(ALL))
        return protocols[session.me]

    def lie(turn: Turn) -> Any:
        frame = protocols[1].gi_frame  # a rushing liar sees the honest message first
        if frame is None or turn.to is not None:
            return turn.message
        theirs = frame.f_locals["mine"]
        copied = {"reshare.1": Commit(commitment(turn.memory["session"].ssid, 1, theirs)), "reshare.2": theirs}
        return copied.get(turn.step, turn.message)

    outcome = play(make, {LIAR: lie}, epoch=epoch, protocol="reshare", resharing=new)
    convicted(outcome, "reshare.2", "the opening matches the commitment")


def gives(change: Callable[[int], int], *receivers: int) -> Lie:
    return at("reshare.2", lambda t: Share(change(t.message.value)) if t.to in receivers else t.message, secret=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: (v + 1) % Q, "the share lies on the polynomial"),
        (lambda v: 0, "the share lies on the polynomial"),
        (lambda v: v + Q, "the share is in [0, q)"),
        (lambda v: v - Q, "the share is in [0, q)"),
        (lambda v: 1 << 300, "the share is in [0, q)"),
    ],
)
def test_a_wrong_share_convicts_its_dealer(change: Callable[[int], int], reason: str) -> None:
    convicted(run_refresh({LIAR: gives(change, 1, 2)}), "reshare.2", reason)


@pytest.mark.parametrize("victim", [1, 2])
def test_a_wrong_share_for_one_victim_convicts_its_dealer_there_and_nobody_finishes(victim: int) -> None:
    """Rule R24: whoever has no complaint is stopped by the silence of who has."""
    outcome = run_refresh({LIAR: gives(lambda v: v ^ 1, victim)})
    convicted(outcome, "reshare.2", "the share lies on the polynomial", by={victim})
    unattributed(outcome, f"no packet of party {victim} at reshare.3", by=HONEST - {victim})


def test_a_share_for_another_receiver_convicts_its_dealer() -> None:
    lie = at("reshare.2", lambda turn: Share(turn.memory["g"](3 - turn.to)), secret=True)
    convicted(run_refresh({LIAR: lie}), "reshare.2", "the share lies on the polynomial")


PROOFS: dict[str, tuple[Callable[[Proof], Proof], str]] = {
    "a false answer about its share": (lambda p: _answer(p, 0, 1), "z·G = A + e·X"),
    "a false answer about a coefficient": (lambda p: _answer(p, 1, 1), "z·G = A + e·X"),
    "an answer that is not reduced": (lambda p: _answer(p, 0, Q), "z ∈ [0, q)"),
    "the answers exchanged": (lambda p: Proof(p.coefficients[::-1]), "z·G = A + e·X"),
    "one answer for all": (lambda p: Proof(p.coefficients[:1] * 2), "z·G = A + e·X"),
    "no answers": (lambda p: Proof(()), "one proof for each coefficient"),
    "one answer less": (lambda p: Proof(p.coefficients[1:]), "one proof for each coefficient"),
    "one answer more": (lambda p: Proof((*p.coefficients, p.coefficients[0])), "one proof for each coefficient"),
}


def _answer(proof: Proof, k: int, shift: int) -> Proof:
    changed = tuple(replace(c, z=c.z + shift) if i == k else c for i, c in enumerate(proof.coefficients))
    return Proof(changed)


@pytest.mark.parametrize("deed", PROOFS)
def test_a_dealer_that_does_not_know_what_it_deals_is_convicted(deed: str) -> None:
    bend, reason = PROOFS[deed]
    convicted(run_refresh({LIAR: at("reshare.3", lambda turn: bend(turn.message))}), "reshare.3", reason)


@pytest.mark.parametrize("step", ["reshare.1", "reshare.2", "reshare.3"])
def test_what_was_said_in_another_resharing_does_not_serve_in_this_one(step: str) -> None:
    heard: dict[tuple[str, int | None], Any] = {}

    def remember(turn: Turn) -> Any:
        heard[turn.step, turn.to] = turn.message
        return turn.message

    run_refresh({LIAR: remember})
    outcome = run_refresh({LIAR: lambda turn: heard[turn.step, turn.to] if turn.step >= step else turn.message})
    for i in HONEST:
        assert {verdict.culprit for verdict in verdicts(outcome, i)} == {LIAR}
    assert not outcome.results.keys() & HONEST


NEW, JOINED = to((1, 2), (1, 2, 3), 2), to((1, 2), (1, 2, 4), 2)
"""Party 3 receives and does not deal; party 4 is new."""


@pytest.mark.parametrize(
    "bend",
    [
        lambda r: replace(r, B=(G,), A=(G,)),
        lambda r: replace(r, B=(G, G), A=(G, G)),
        lambda r: replace(r, B=(G,)),
        lambda r: replace(r, A=(G,)),
        lambda r: replace(r, B=(IDENTITY,)),
    ],
    ids=["one of each", "a polynomial", "B", "A", "the identity"],
)
def test_a_party_that_deals_and_is_no_dealer_is_convicted(bend: Callable[[Reveal], Reveal]) -> None:
    outcome = run_reshare(NEW, liars={LIAR: committed(lambda _, r: bend(r))})
    convicted(outcome, "reshare.2", "who is no dealer deals nothing")


def test_a_party_that_hands_out_shares_and_is_no_dealer_is_convicted() -> None:
    convicted(run_reshare(NEW, liars={LIAR: gives(lambda v: 5, 1, 2)}), "reshare.2", "who is no dealer deals nothing")


def test_a_party_that_proves_and_is_no_dealer_is_convicted() -> None:
    outcome = run_reshare(NEW, liars={LIAR: at("reshare.3", lambda turn: Proof((sch.Proof(1),)))})
    convicted(outcome, "reshare.3", "one proof for each coefficient")


def test_a_value_for_who_receives_none_convicts_its_dealer() -> None:
    new = to((1, 2, 3), (1, 2, 4), 2)  # party 3 deals and leaves
    liar = 2
    lie = at("reshare.2", lambda t: Share(7) if t.to == 3 else t.message, secret=True)
    outcome = run_reshare(new, liars={liar: lie})
    convicted(outcome, "reshare.2", "no share for who receives none", by={3}, liar=liar)


def test_who_is_new_convicts_a_dealer_as_well_as_who_was_there() -> None:
    outcome = run_reshare(JOINED, liars={2: gives(lambda v: v ^ 1, 4)})
    convicted(outcome, "reshare.2", "the share lies on the polynomial", by={4}, liar=2)
    outcome = run_reshare(JOINED, liars={2: committed(OPENINGS["more than its share"][0])})
    convicted(outcome, "reshare.2", OWN, by={1, 4}, liar=2)


def test_all_liars_of_a_resharing_are_convicted() -> None:
    outcome = run_refresh({2: gives(lambda v: v ^ 1, 1), 3: committed(OPENINGS["more than its share"][0])})
    assert outcome.errors[1].culprits == {2, 3}
    assert {verdict.culprit for verdict in verdicts(outcome, 1)} == {2, 3}


@pytest.mark.parametrize("step", ["reshare.1", "reshare.2"])
def test_an_equivocation_in_a_resharing_convicts_its_sender_by_what_each_holds(step: str) -> None:
    """Rule R16: half of the committee must not end with other shares than the rest."""

    def other(turn: Turn) -> Any:
        return replace(turn.message, **({"u": bytes(32)} if step == "reshare.2" else {"hash": bytes(64)}))

    outcome = run_refresh({LIAR: at(step, lambda turn: Split({2: other(turn)}))})
    text = "did not all receive the same broadcasts"
    exposed(outcome, text, step, "signed two different contents of one round")
    assert all(outcome.spoke[i][-1] == f"{step}.echo" for i in HONEST)


@pytest.mark.parametrize("step", ["reshare.1.echo", "reshare.2.echo"])
def test_a_false_echo_in_a_resharing_convicts_its_sender(step: str) -> None:
    outcome = run_refresh({LIAR: at(step, lambda turn: replace(turn.message, hash=bytes(32)))})
    text = "did not all receive the same broadcasts"
    exposed(outcome, text, step, "the echo is of what was received")


@pytest.mark.parametrize("step", ["reshare.1", "reshare.1.echo", "reshare.2", "reshare.2.echo", "reshare.3"])
def test_a_message_of_a_resharing_that_does_not_decode_convicts_its_sender(step: str) -> None:
    convicted(run_refresh({LIAR: at(step, lambda turn: b"\xff" * 40)}), step, "")


def test_a_secret_of_a_resharing_that_does_not_decode_convicts_its_sender() -> None:
    convicted(run_refresh({LIAR: at("reshare.2", lambda turn: b"\x00", secret=True)}), "reshare.2", "")


def test_a_liar_that_lies_twice_is_convicted_once() -> None:
    twice = both(committed(OPENINGS["a short salt"][0]), gives(lambda v: v ^ 1, 1, 2))
    convicted(run_refresh({LIAR: twice}), "reshare.2", "a salt of 32 bytes")
