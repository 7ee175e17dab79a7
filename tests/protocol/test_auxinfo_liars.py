"""Liars in the set-up of the moduli: each check of spec §3.2 and §2.7 names exactly the one who fails it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import gmpy2
import pytest

from oms_core.crypto.paillier import PaillierPublic, PaillierSecret
from oms_core.crypto.params import TOY
from oms_core.crypto.pedersen import PedersenPublic
from oms_core.errors import LocalError
from oms_core.protocol import auxinfo as module
from oms_core.protocol.auxinfo import Commit, Factors, Reveal, auxinfo, commitment
from oms_core.zk import fac, mod, prm
from tests.parties import Lie, Turn, at, run, sessions
from tests.primes import primes
from tests.protocol.runs import ALL, HONEST, LIAR, convicted, play, run_auxinfo, unattributed, verdicts

pytestmark = pytest.mark.attack

BITS = TOY.modulus_bits
Bend = Callable[[Reveal], Reveal]


def committed(bend: Bend) -> Lie:
    """Commits to a bent opening, and opens just that."""
    bent = cache(lambda mine: bend(mine))

    def lie(turn: Turn) -> Any:
        if turn.step == "auxinfo.1":
            return Commit(commitment(turn.memory["session"].ssid, turn.memory["me"], bent(turn.memory["mine"])))
        return bent(turn.message) if turn.step == "auxinfo.2" else turn.message

    return lie


def modulus(change: Callable[[int], int]) -> Bend:
    return lambda r: replace(r, paillier=PaillierPublic(change(int(r.paillier.N))))


def triple(change: Callable[[int, int, int], tuple[int, int, int]]) -> Bend:
    return lambda r: replace(r, pedersen=PedersenPublic(*change(*r.pedersen.__canonical__())))


def product(small: int) -> int:
    """A modulus of the right size with a small factor."""
    return small * int(gmpy2.next_prime((1 << BITS - 1) // small + (1 << BITS - 60)))


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (modulus(lambda N: N * 4 + 1), "the modulus has"),
        (modulus(lambda N: N // 2 | 1), "the modulus has"),
        (modulus(lambda N: 1 << 14_000 | 1), "the modulus has"),
        (modulus(lambda N: product(3)), "no prime factor below 2^16"),
        (modulus(lambda N: product(65521)), "no prime factor below 2^16"),
        (modulus(lambda N: int(gmpy2.next_prime(3 << BITS - 2))), "neither a square nor a prime"),
        (modulus(lambda N: int(gmpy2.next_prime(3 << BITS // 2 - 2)) ** 2), "neither a square nor a prime"),
        (lambda r: replace(r, paillier=PaillierPublic(int(r.pedersen.N))), "shares no factor"),
        (triple(lambda N, s, t: (N * 4 + 1, s, t)), "the modulus has"),
        (triple(lambda N, s, t: (int(gmpy2.next_prime(3 << BITS - 2)), s, t)), "neither a square nor a prime"),
        (triple(lambda N, s, t: (N + 1, s, t)), "no prime factor below 2^16"),
        (triple(lambda N, s, t: (N, s, 1)), "not trivial"),
        (triple(lambda N, s, t: (N, 1, t)), "not trivial"),
        (triple(lambda N, s, t: (N, t, t)), "not trivial"),
        (triple(lambda N, s, t: (N, N - 1, t)), "not trivial"),
        (triple(lambda N, s, t: (N, s, N - 1)), "not trivial"),
        (triple(lambda N, s, t: (N, s + N, t)), "units"),
        (triple(lambda N, s, t: (N, s, t + N)), "units"),
        (triple(lambda N, s, t: (N, N, t)), "units"),
        (triple(lambda N, s, t: (N, t, s)), "t^z = A·s^e"),
        (triple(lambda N, s, t: (N, N - s, t)), "t^z = A·s^e"),
        (lambda r: replace(r, proof=prm.Proof((), ())), "exactly m"),
        (lambda r: replace(r, proof=replace(r.proof, z=(*r.proof.z[:-1], r.proof.z[-1] + 1))), "t^z = A·s^e"),
        (lambda r: replace(r, proof=replace(r.proof, A=(0, *r.proof.A[1:]))), "units modulo N̂"),
        (lambda r: replace(r, rho=r.rho[1:]), "32 bytes"),
        (lambda r: replace(r, u=b""), "32 bytes"),
    ],
)
def test_moduli_that_are_not_well_formed_name_their_owner(bend: Bend, reason: str) -> None:
    convicted(run_auxinfo({LIAR: committed(bend)}), "auxinfo.2", reason)


@pytest.mark.parametrize("value", [0, -5, 14])
def test_a_modulus_that_is_no_modulus_does_not_even_decode(value: int) -> None:
    convicted(run_auxinfo({LIAR: committed(modulus(lambda N: value))}), "auxinfo.2", "odd positive integer")


@pytest.mark.parametrize(
    "bend",
    [
        lambda r: replace(r, rho=bytes(32)),
        lambda r: replace(r, u=bytes(32)),
        triple(lambda N, s, t: (N, s * s % N, t)),
        modulus(lambda N: N + 2),
    ],
)
def test_an_opening_that_was_not_committed_to_names_its_sender(bend: Bend) -> None:
    outcome = run_auxinfo({LIAR: at("auxinfo.2", lambda turn: bend(turn.message))})
    convicted(outcome, "auxinfo.2", "the opening matches the commitment")


def test_a_modulus_without_its_factors_names_its_sender() -> None:
    """N of another party's key: all public checks hold, Π^mod cannot be made."""
    p, q, _, _ = primes(TOY, 4)
    convicted(run_auxinfo({LIAR: committed(modulus(lambda N: p * q))}), "auxinfo.3", "N")


@pytest.mark.parametrize("which", ["paillier", "pedersen"])
def test_a_copy_of_my_own_modulus_names_the_copyist_to_me(which: str) -> None:
    """Party 3 has got hold of party 1's moduli beforehand. Neither party 2 nor a judge can tell who robbed whom."""
    p, q, p_hat, q_hat = primes(TOY, 1)
    N = p * q if which == "paillier" else p_hat * q_hat
    outcome = run_auxinfo({LIAR: committed(modulus(lambda _: N))})
    convicted(outcome, "auxinfo.2", "shares no factor", by={1}, offline=False)
    assert outcome.culprits({2}) <= {LIAR}


def test_a_prime_that_two_others_share_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parties 2 and 3 both know the factors: one of them was robbed, and party 1 cannot know which."""
    monkeypatch.setattr(module, "_check_own", lambda *_: None)
    shared = primes(TOY, 2)[0]
    own = {1: primes(TOY, 1), 2: primes(TOY, 2), 3: (shared, *primes(TOY, 3)[1:])}
    outcome = play(lambda s: auxinfo(s, own[s.me]), protocol="create")
    assert outcome.errors[2].culprits == {3}
    unattributed(outcome, "no packet of party 2 at auxinfo.3", by={1})
    liars = {2: lambda turn: turn.message}  # goes on, as one who knows no better
    monkeypatch.setattr(module, "check_modulus", lambda *_: None)
    outcome = play(lambda s: auxinfo(s, own[s.me]), liars, protocol="create")
    unattributed(outcome, "moduli of parties 2 and 3 share a factor", by={1})


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda p: replace(p, w=0), "Jacobi"),
        (lambda p: replace(p, w=p.w * p.w), "Jacobi"),
        (lambda p: replace(p, answers=p.answers[1:]), "exactly m answers"),
        (lambda p: replace(p, answers=()), "exactly m answers"),
        (lambda p: replace(p, answers=(*p.answers, p.answers[0])), "exactly m answers"),
        (lambda p: replace(p, answers=(p.answers[1], *p.answers[1:])), "z^N = y"),
        (lambda p: replace(p, answers=(replace(p.answers[0], b=2), *p.answers[1:])), "a, b ∈ {0, 1}"),
        (lambda p: replace(p, answers=(replace(p.answers[0], x=0), *p.answers[1:])), "units modulo N"),
        (lambda p: replace(p, answers=(replace(p.answers[0], a=1 - p.answers[0].a), *p.answers[1:])), "x^4"),
    ],
)
def test_a_false_proof_about_the_paillier_modulus_names_its_sender(
    bend: Callable[[mod.Proof], mod.Proof], reason: str
) -> None:
    convicted(run_auxinfo({LIAR: at("auxinfo.3", lambda turn: bend(turn.message))}), "auxinfo.3", reason)


def test_a_proof_about_the_modulus_from_another_run_names_its_sender() -> None:
    def lie(turn: Turn) -> mod.Proof:
        secret: PaillierSecret = turn.memory["paillier"]
        context = replace(turn.memory["session"].context("mod", LIAR), extra=bytes(32))
        return mod.prove(TOY, context, secret)

    convicted(run_auxinfo({LIAR: at("auxinfo.3", lie)}), "auxinfo.3", "z^N = y")


@pytest.mark.parametrize(
    ("field", "reason"),
    [("z1", "A·P^e"), ("z2", "B·Q^e"), ("w1", "A·P^e"), ("w2", "B·Q^e"), ("v", "T·(s^N0)^e")],
)
def test_a_false_proof_about_the_factors_names_its_sender(field: str, reason: str) -> None:
    def lie(turn: Turn) -> Factors:
        return Factors(replace(turn.message.proof, **{field: getattr(turn.message.proof, field) + 1}))

    convicted(run_auxinfo({LIAR: at("auxinfo.3", lie, secret=True)}), "auxinfo.3", reason)


def test_a_proof_about_the_factors_that_was_made_for_another_names_its_sender() -> None:
    def lie(turn: Turn) -> Factors:
        memory, other = turn.memory, 2 if turn.to == 1 else 1
        context = memory["session"].context("fac", LIAR, other, memory["rho"])
        return Factors(fac.prove(TOY, context, memory["reveals"][other].pedersen, memory["paillier"]))

    convicted(run_auxinfo({LIAR: at("auxinfo.3", lie, secret=True)}), "auxinfo.3", "")


def test_a_liar_about_the_modulus_and_one_about_the_factors_are_both_named() -> None:
    def lie(turn: Turn) -> Factors:
        return Factors(replace(turn.message.proof, z1=turn.message.proof.z1 + 1))

    jacobi = at("auxinfo.3", lambda turn: replace(turn.message, w=0))
    outcome = run_auxinfo({2: at("auxinfo.3", lie, secret=True), 3: jacobi})
    assert outcome.errors[1].culprits == {2, 3}
    assert {verdict.culprit for verdict in verdicts(outcome, 1)} == {2, 3}


def test_bad_moduli_are_noticed_before_anything_is_proven_under_them() -> None:
    outcome = run_auxinfo({LIAR: committed(triple(lambda N, s, t: (N, s, 1)))})
    assert all(outcome.spoke[i][-1] == "auxinfo.2.echo" for i in HONEST)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: (p[0], p[0], p[2], p[3]),
        lambda p: (p[0], p[1], p[0], p[3]),
        lambda p: (p[0] - 2, p[1], p[2], p[3]),
        lambda p: (int(gmpy2.next_prime(p[0])), p[1], p[2], p[3]),
        lambda p: (p[0] >> 1, p[1], p[2], p[3]),
        lambda p: (23, p[1], p[2], p[3]),
    ],
)
def test_own_primes_that_are_unfit_are_never_published(spoil: Any) -> None:
    with pytest.raises(LocalError):
        run({1: auxinfo(sessions(ALL)[1], spoil(primes(TOY, 1)))})


def test_own_primes_that_are_close_together_are_never_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_safe_prime", lambda _: True)
    p, q, p_hat, q_hat = primes(TOY, 1)
    for close in ((p, p + (1 << 400), p_hat, q_hat), (p, q, p_hat, p_hat - (1 << 400))):
        with pytest.raises(LocalError, match="too close"):
            run({1: auxinfo(sessions(ALL)[1], close)})
