"""Liars in key generation: each check of spec §3.1 names exactly the one who fails it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto import shamir
from oms_core.crypto.curve import IDENTITY, G, Q
from oms_core.errors import LocalError, Malformed
from oms_core.protocol.keygen import Commit, Proof, Reveal, commitment, keygen
from oms_core.protocol.rounds import Session, Steps
from oms_core.protocol.shares import KeyShare
from tests.parties import Lie, Turn, at, both, roster, run, sessions
from tests.protocol.runs import ALL, HONEST, LIAR, convicted, play, run_keygen, unattributed, verdicts

pytestmark = pytest.mark.attack


def committed(bend: Callable[[Reveal], Reveal]) -> Lie:
    """Commits to a bent opening, and opens just that."""

    def lie(turn: Turn) -> Any:
        if turn.step == "keygen.1":
            return Commit(commitment(turn.memory["ssid"], turn.memory["me"], bend(turn.memory["mine"])))
        return bend(turn.message) if turn.step == "keygen.2" and turn.to is None else turn.message

    return lie


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda r: replace(r, F=(*r.F, G)), "exactly t Feldman commitments"),
        (lambda r: replace(r, F=r.F[:-1]), "exactly t Feldman commitments"),
        (lambda r: replace(r, F=()), "exactly t Feldman commitments"),
        (lambda r: replace(r, F=(IDENTITY, *r.F[1:])), "no Feldman commitment is the identity"),
        (lambda r: replace(r, F=(*r.F[:-1], IDENTITY)), "no Feldman commitment is the identity"),
        (lambda r: replace(r, A=IDENTITY), "no first message is the identity"),
        (lambda r: replace(r, A_constant=IDENTITY), "no first message is the identity"),
        (lambda r: replace(r, rid=r.rid[1:]), "random strings of 32 bytes"),
        (lambda r: replace(r, rid=b""), "random strings of 32 bytes"),
        (lambda r: replace(r, chain_code=r.chain_code + b"0"), "random strings of 32 bytes"),
        (lambda r: replace(r, u=b""), "random strings of 32 bytes"),
        (lambda r: replace(r, F=(r.F[0] + G, *r.F[1:])), "the share lies on the polynomial"),
    ],
)
def test_an_opening_that_was_committed_to_but_is_out_of_shape_names_its_sender(
    bend: Callable[[Reveal], Reveal], reason: str
) -> None:
    convicted(run_keygen({LIAR: committed(bend)}), "keygen.2", reason)


@pytest.mark.parametrize(
    "bend",
    [
        lambda r: replace(r, rid=bytes(32)),
        lambda r: replace(r, chain_code=bytes(32)),
        lambda r: replace(r, F=(r.F[0] + G, *r.F[1:])),
        lambda r: replace(r, A=r.A + G),
        lambda r: replace(r, A_constant=r.A_constant + G),
        lambda r: replace(r, u=bytes(32)),
    ],
)
def test_an_opening_that_was_not_committed_to_names_its_sender(bend: Callable[[Reveal], Reveal]) -> None:
    outcome = run_keygen({LIAR: at("keygen.2", lambda turn: bend(turn.message))})
    convicted(outcome, "keygen.2", "the opening matches the commitment")


@pytest.mark.covers("K02")
def test_a_copied_commitment_and_opening_name_the_copyist() -> None:
    protocols: dict[int, Steps[KeyShare]] = {}

    def make(session: Session) -> Steps[KeyShare]:
        protocols[session.me] = keygen(session, b"k" * 32, 2, roster(ALL))
        return protocols[session.me]

    def lie(turn: Turn) -> Any:
        frame = protocols[1].gi_frame  # a rushing liar sees the honest message first
        if frame is None or turn.to is not None:
            return turn.message
        theirs = frame.f_locals["mine"]
        return {"keygen.1": Commit(commitment(turn.memory["ssid"], 1, theirs)), "keygen.2": theirs}.get(
            turn.step, turn.message
        )

    convicted(play(make, {LIAR: lie}, protocol="create"), "keygen.2", "the opening matches the commitment")


@pytest.mark.covers("K07")
def test_a_share_off_the_polynomial_names_its_sender() -> None:
    outcome = run_keygen({LIAR: at("keygen.2", lambda t: replace(t.message, value=(t.message.value + 1) % Q), True)})
    convicted(outcome, "keygen.2", "the share lies on the polynomial")


@pytest.mark.parametrize("shift", [Q, -Q, 1 << 300])
def test_a_share_that_is_not_reduced_names_its_sender(shift: int) -> None:
    outcome = run_keygen({LIAR: at("keygen.2", lambda t: replace(t.message, value=t.message.value + shift), True)})
    convicted(outcome, "keygen.2", "the share is in [0, q)")


def test_a_bad_share_for_one_alone_names_its_sender_there() -> None:
    def lie(turn: Turn) -> Any:
        return replace(turn.message, value=turn.message.value ^ 1) if turn.to == 1 else turn.message

    outcome = run_keygen({LIAR: at("keygen.2", lie, secret=True)})
    convicted(outcome, "keygen.2", "the share lies on the polynomial", by={1})
    unattributed(outcome, "no packet of party 1 at keygen.3", by={2})


@pytest.mark.parametrize("field", ["share", "constant"])
@pytest.mark.parametrize("shift", [1, Q])
def test_a_false_proof_of_knowledge_names_its_sender(field: str, shift: int) -> None:
    def lie(turn: Turn) -> Proof:
        proof = getattr(turn.message, field)
        return replace(turn.message, **{field: replace(proof, z=proof.z + shift)})

    reason = "z ∈ [0, q)" if shift == Q else "z·G = A + e·X"
    convicted(run_keygen({LIAR: at("keygen.3", lie)}), "keygen.3", reason)


def test_two_liars_of_different_kinds_are_both_named() -> None:
    off = at("keygen.2", lambda t: replace(t.message, value=t.message.value ^ 1), secret=True)
    outcome = run_keygen({2: off, 3: committed(lambda r: replace(r, F=r.F[:-1]))})
    assert outcome.errors[1].culprits == {2, 3}
    assert {verdict.culprit for verdict in verdicts(outcome, 1)} == {2, 3}


def test_a_party_that_lies_twice_is_named_once() -> None:
    off = at("keygen.2", lambda t: replace(t.message, value=t.message.value ^ 1), secret=True)
    convicted(run_keygen({LIAR: both(committed(lambda r: replace(r, rid=b"")), off)}), "keygen.2", "32 bytes")


def coefficients(monkeypatch: pytest.MonkeyPatch, values: list[int]) -> None:
    """The polynomials' coefficients, party after party."""
    source = itertools.chain(values)
    monkeypatch.setattr(shamir, "random_scalar", lambda: next(source))


def test_contributions_that_cancel_make_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    coefficients(monkeypatch, [5, 7, Q - 5, 11])
    unattributed(run_keygen(parties=(1, 2)), "the key or a share of it vanished")


def test_a_polynomial_that_degenerates_makes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    coefficients(monkeypatch, [5, 7, 9, Q - 7])
    unattributed(run_keygen(parties=(1, 2)), "two shares are equal")


def test_a_share_that_vanishes_makes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    coefficients(monkeypatch, [5, 7, 9, Q - 21])  # f(1) = 14 - 14
    unattributed(run_keygen(parties=(1, 2)), "a share of it vanished")


def test_a_share_of_my_own_that_is_off_is_my_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit flipped in memory blames no peer."""
    honest = shamir.Polynomial.__call__

    def off(self: shamir.Polynomial, index: int) -> int:
        return honest(self, index) ^ (index == 1 and self is spoiled[0])

    spoiled: list[shamir.Polynomial] = []
    made = shamir.Polynomial.__init__

    def remember(self: shamir.Polynomial, terms: int, constant: int | None = None) -> None:
        made(self, terms, constant)
        spoiled.append(self)

    monkeypatch.setattr(shamir.Polynomial, "__init__", remember)
    monkeypatch.setattr(shamir.Polynomial, "__call__", off)
    with pytest.raises(LocalError):
        run_keygen()


@pytest.mark.parametrize("threshold", [0, 1, 4, -1])
def test_a_threshold_that_does_not_fit_the_parties_is_refused(threshold: int) -> None:
    with pytest.raises(Malformed):
        run_keygen(threshold=threshold)


def test_a_key_without_everyones_identity_is_refused() -> None:
    with pytest.raises(Malformed):
        run({1: keygen(sessions(ALL)[1], b"k" * 32, 2, roster((1, 2)))})


def test_the_liar_can_stop_a_key_but_nobody_speaks_after_the_round_that_shows_it() -> None:
    outcome = run_keygen({LIAR: at("keygen.2", lambda t: replace(t.message, rid=bytes(32)))})
    assert all(outcome.spoke[i][-1] == "keygen.2.echo" for i in HONEST)
