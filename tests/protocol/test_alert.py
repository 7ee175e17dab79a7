"""Presignatures that fail: whoever spoilt a sum cannot open it, and is convicted by that; nobody else is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from oms_core.crypto.curve import IDENTITY, G, Q
from oms_core.crypto.params import L112, TOY
from oms_core.protocol import presign as module
from oms_core.protocol.alert import Opened, Opening
from oms_core.protocol.presign_rounds import Products, Third
from oms_core.protocol.rounds import Record, Session, Steps, blame
from oms_core.protocol.shares import Presignature
from oms_core.zk import aff_g_star
from tests.parties import Lie, Turn, at, both
from tests.protocol.lies import announced, sums, wrong_chi, wrong_delta
from tests.protocol.runs import (
    ALL,
    HONEST,
    LIAR,
    Held,
    convicted,
    of_key,
    play,
    presigning,
    run_alert,
    run_presign,
    run_signing,
    unattributed,
    verdicts,
)

pytestmark = pytest.mark.attack

ALERTS = {"nonce": "presign.nonce-alert", "chi": "presign.chi-alert"}
TARGET = "w·B = B_k + e·T"
PLACES = [(liar, quorum) for n in (2, 3) for quorum in combinations(ALL, n) for liar in quorum]
each_alert = pytest.mark.parametrize("name", ALERTS)


@each_alert
@pytest.mark.parametrize(("liar", "quorum"), PLACES)
@pytest.mark.covers("P28")
def test_whoever_spoils_a_sum_is_convicted_in_every_place_of_every_quorum(
    name: str, liar: int, quorum: tuple[int, ...]
) -> None:
    outcome = run_alert(name, liar, quorum)
    convicted(outcome, ALERTS[name], TARGET, by=set(quorum) - {liar}, liar=liar)
    assert all(outcome.spoke[i][-1] == ALERTS[name] for i in quorum)


def _of_other_multiplier(turn: Turn) -> Third:
    """(γ + 1)·k where γ·k belongs."""
    return replace(turn.message, delta=(turn.message.delta + turn.memory["k"]) % Q)


def _without_a_mask(turn: Turn) -> Third:
    return replace(turn.message, delta=(turn.message.delta + turn.memory["masks"][1, "aff0"].y) % Q)


def _beside_the_modulus(turn: Turn) -> Third:
    """Rule R13: δ + N would have the same ciphertext."""
    return replace(turn.message, delta=(turn.message.delta + int(turn.memory["N"].N)) % Q)


@pytest.mark.parametrize(
    "change",
    [
        _of_other_multiplier,
        _without_a_mask,
        _beside_the_modulus,
        lambda turn: replace(turn.message, delta=0),
        lambda turn: replace(turn.message, delta=-turn.message.delta % Q),
    ],
    ids=["another multiplier", "a mask left out", "the modulus added", "zero", "negative"],
)
@pytest.mark.covers("P28")
def test_a_wrong_delta_convicts_its_sender(change: Callable[[Turn], Third]) -> None:
    convicted(run_presign({LIAR: sums(change)}), ALERTS["nonce"], TARGET)


def test_a_rushing_liar_that_makes_delta_vanish_is_convicted() -> None:
    protocols: dict[int, Steps[Presignature]] = {}

    def make(session: Session) -> Steps[Presignature]:
        protocols[session.me] = presigning(session)
        return protocols[session.me]

    def cancel(turn: Turn) -> Third:
        others = (protocols[i].gi_frame.f_locals["closing"].delta for i in HONEST)
        return replace(turn.message, delta=-sum(others) % Q)

    convicted(play(make, {LIAR: sums(cancel)}, **of_key()), ALERTS["nonce"], TARGET)


@pytest.mark.parametrize(
    "change",
    [
        lambda turn: replace(turn.message, S=IDENTITY),
        lambda turn: replace(turn.message, S=G),
        lambda turn: replace(turn.message, S=turn.message.S * (Q - 1)),
        lambda turn: replace(turn.message, S=turn.message.S + turn.memory["k"] * turn.memory["Gamma"]),
    ],
    ids=["the identity", "the base point", "negative", "another multiplier"],
)
def test_a_wrong_chi_convicts_its_sender(change: Callable[[Turn], Third]) -> None:
    convicted(run_presign({LIAR: sums(change)}), ALERTS["chi"], TARGET)


def with_accomplice(monkeypatch: pytest.MonkeyPatch, bend: Callable[[Turn, int, Products], Products]) -> Held:
    """Party 3 sends party 2 a product with another multiplier, and party 2 says nothing about the proof."""

    def lenient(record: Record, made: Any, ground: Any) -> None:
        if (record.session.me, made.step) != (2, "presign.2"):
            blame(record, made, ground)

    monkeypatch.setattr(module, "blame", lenient)
    for_accomplice = announced(lambda turn, j, products: bend(turn, j, products) if j == 2 else products)
    return run_presign({2: lambda turn: turn.message, 3: for_accomplice})


def test_a_wrong_multiplier_that_an_accomplice_lets_pass_convicts_who_multiplied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bend(turn: Turn, j: int, products: Products) -> Products:
        D, F, psi = turn.memory["product"](j, "aff0", turn.memory["gamma"] + 1, turn.memory["Gamma_i"])
        return replace(products, made=replace(products.made, D=D, F=F), psi=psi)

    convicted(with_accomplice(monkeypatch, bend), ALERTS["nonce"], "C^z·enc_0(z′; w) = A·D^e", by={1})


def test_a_wrong_share_multiplied_that_an_accomplice_lets_pass_convicts_who_multiplied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bend(turn: Turn, j: int, products: Products) -> Products:
        memory = turn.memory
        D, F, psi = memory["product"](j, "aff1", memory["x"] + 1, memory["of"].W[LIAR])
        return replace(products, made=replace(products.made, D_hat=D, F_hat=F), psi_hat=psi)

    convicted(with_accomplice(monkeypatch, bend), ALERTS["chi"], "C^z·enc_0(z′; w) = A·D^e", by={1})


@each_alert
def test_masks_as_large_as_a_liar_can_prove_do_not_frame_who_received_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule R13: an honest party opens a sum with its peers' masks in it, whatever they have chosen."""
    largest = 1 << TOY.ell_prime + TOY.epsilon - 257

    def bend(turn: Turn, j: int, products: Products) -> Products:
        memory = turn.memory
        with monkeypatch.context() as patch:
            patch.setattr(module, "symmetric", lambda bound: largest)
            D, F, psi = memory["product"](j, "aff0", memory["gamma"], memory["Gamma_i"])
            D_hat, F_hat, psi_hat = memory["product"](j, "aff1", memory["x"], memory["of"].W[LIAR])
        return Products(type(products.made)(D, F, D_hat, F_hat), psi, psi_hat)

    wrong = wrong_delta() if name == "nonce" else wrong_chi()
    convicted(run_presign({LIAR: both(announced(bend), wrong)}), ALERTS[name], TARGET)


# Dishonest openings

Bend = Callable[[Opening], Opening]


def opened(change: Callable[[Opened], Opened]) -> Bend:
    return lambda o: replace(o, opened=(*o.opened[:-1], change(o.opened[-1])))


def received(**shift: int) -> Bend:
    return opened(lambda one: replace(one, received=_shifted(one.received, shift)))


def sent(**shift: int) -> Bend:
    return opened(lambda one: replace(one, sent=_shifted(one.sent, shift)))


def _shifted(made: Any, shift: dict[str, int]) -> Any:
    return replace(made, **{name: getattr(made, name) + by for name, by in shift.items()})


def sum_with(**change: Callable[[Any], Any]) -> Bend:
    return lambda o: replace(
        o, sum=replace(o.sum, **{name: bend(getattr(o.sum, name)) for name, bend in change.items()})
    )


def products_with(**change: Callable[[Any], Any]) -> Bend:
    def bend(o: Opening) -> Opening:
        last = o.products[-1]
        bent = replace(last, **{name: bend(getattr(last, name)) for name, bend in change.items()})
        return replace(o, products=(*o.products[:-1], bent))

    return bend


def emptied(proof: aff_g_star.Proof) -> aff_g_star.Proof:
    return aff_g_star.Proof(aff_g_star.Commitment((), (), ()), (), (), (), ())


FROM_EACH = "opens what it has from each peer, and sent to each"
RECEIVED, SENT = "opens what it received", "opens what it sent"
EXACTLY = "exactly m first messages and m answers"
OPENINGS: dict[str, tuple[Bend, str]] = {
    "opens nothing": (lambda o: replace(o, opened=()), FROM_EACH),
    "opens nothing and proves nothing": (lambda o: replace(o, opened=(), products=()), FROM_EACH),
    "leaves a peer out": (lambda o: replace(o, opened=o.opened[1:]), FROM_EACH),
    "opens to a peer twice": (lambda o: replace(o, opened=(o.opened[0], *o.opened)), FROM_EACH),
    "opens in another order": (lambda o: replace(o, opened=o.opened[::-1]), FROM_EACH),
    "opens to itself": (opened(lambda one: replace(one, peer=LIAR)), FROM_EACH),
    "opens to nobody": (opened(lambda one: replace(one, peer=9)), FROM_EACH),
    "opens another D that it received": (received(D=1), RECEIVED),
    "opens another F that it received": (received(F=1), RECEIVED),
    "opens another D̂ that it received": (received(D_hat=1), RECEIVED),
    "opens another F̂ that it received": (received(F_hat=1), RECEIVED),
    "opens another D that it sent": (sent(D=1), SENT),
    "opens another F that it sent": (sent(F=1), SENT),
    "opens another D̂ that it sent": (sent(D_hat=1), SENT),
    "opens another F̂ that it sent": (sent(F_hat=1), SENT),
    "opens what it sent as received": (opened(lambda one: replace(one, received=one.sent)), RECEIVED),
    "opens what it received as sent": (opened(lambda one: replace(one, sent=one.received)), SENT),
    "opens one peer's as another's": (
        lambda o: replace(o, opened=tuple(replace(o.opened[0], peer=one.peer) for one in o.opened)),
        RECEIVED,
    ),
    "proves no product": (lambda o: replace(o, products=()), "one proof for each product"),
    "proves one product less": (lambda o: replace(o, products=o.products[1:]), "one proof for each product"),
    "proves one product more": (
        lambda o: replace(o, products=(*o.products, emptied(o.products[0]))),
        "one proof for each product",
    ),
    "cuts the answers about the sum": (sum_with(z=lambda z: z[1:]), EXACTLY),
    "empties the answers about the sum": (
        sum_with(z=lambda _: (), w=lambda _: (), nu=lambda _: (), commitment=lambda c: replace(c, A=(), B=(), C=())),
        EXACTLY,
    ),
    "cuts the first messages about the sum": (sum_with(commitment=lambda c: replace(c, A=c.A[1:])), EXACTLY),
    "adds an answer about the sum": (sum_with(nu=lambda nu: (*nu, nu[0])), EXACTLY),
    "answers about the sum out of range": (sum_with(w=lambda w: (w[0] + (1 << 1020), *w[1:])), "w ∈ ±2^b_w"),
    "answers about the multiplier out of range": (sum_with(z=lambda z: (1 << 600, *z[1:])), "z ∈ ±2^(ℓ+ε)"),
    "answers with a nonce of zero": (sum_with(nu=lambda nu: (0, *nu[1:])), "every ν is a unit"),
}
"""Of a liar with a wrong sum: what it opens, and what is found first."""


@pytest.mark.slow
@pytest.mark.parametrize("deed", OPENINGS)
def test_a_dishonest_opening_convicts_its_sender(deed: str) -> None:
    bend, reason = OPENINGS[deed]
    step = ALERTS["nonce"]
    convicted(run_alert("nonce", more=at(step, lambda turn: bend(turn.message))), step, reason)


PRODUCTS: dict[str, tuple[Bend, str]] = {
    "proves its products in another order": (lambda o: replace(o, products=o.products[::-1]), ""),
    "cuts the answers about a product": (products_with(z_y=lambda z: z[1:]), EXACTLY),
    "cuts the first messages about a product": (products_with(commitment=lambda c: replace(c, R=c.R[:-1])), EXACTLY),
    "empties the proof about a product": (
        lambda o: replace(o, products=(*o.products[:-1], emptied(o.products[-1]))),
        EXACTLY,
    ),
    "answers about a product out of range": (products_with(z_y=lambda z: (1 << 1000, *z[1:])), "z′ ∈ ±2^(ℓ′+ε)"),
    "answers about a product with a nonce of zero": (products_with(w=lambda w: (0, *w[1:])), "every w is a unit"),
    "answers about a mask with a nonce of zero": (products_with(lam=lambda lam: (0, *lam[1:])), "every λ is a unit"),
    "proves the sum by nothing": (sum_with(z=lambda z: z[::-1], w=lambda w: w[::-1]), "="),
    "opens nothing": OPENINGS["opens nothing"],
}


@pytest.mark.slow
@pytest.mark.parametrize("deed", PRODUCTS)
def test_an_honest_sum_with_a_dishonest_opening_convicts_as_well_as_the_wrong_sum(deed: str) -> None:
    """Party 2 has spoilt the sum; party 3 has not, and does not open as it has to."""
    bend, reason = PRODUCTS[deed]
    outcome = run_presign({2: wrong_chi(), 3: at(ALERTS["chi"], lambda turn: bend(turn.message))})
    assert outcome.errors[1].culprits == {2, 3}
    found = {verdict.culprit: verdict for verdict in verdicts(outcome, 1)}
    assert set(found) == {2, 3}
    assert found[2].reason == TARGET
    assert reason in found[3].reason
    assert {verdict.step for verdict in found.values()} == {ALERTS["chi"]}


@each_alert
@pytest.mark.parametrize("junk", [b"", b"\xff" * 40], ids=["empty", "junk"])
def test_an_opening_that_does_not_decode_convicts_its_sender(name: str, junk: bytes) -> None:
    convicted(run_alert(name, more=at(ALERTS[name], lambda turn: junk)), ALERTS[name], "")


@each_alert
def test_a_liar_that_falls_silent_in_an_alert_is_not_named_and_nothing_is_proven(name: str) -> None:
    def lose(step: str, packets: dict[int, dict[int, bytes]]) -> None:
        if step == ALERTS[name]:
            for i in HONEST:
                del packets[i][LIAR]

    wrong = wrong_delta() if name == "nonce" else wrong_chi()
    outcome = run_presign({LIAR: wrong}, relay=lose)
    unattributed(outcome, f"no packet of party 3 at {ALERTS[name]}")


def test_a_liar_that_is_silent_towards_one_party_is_convicted_by_the_other() -> None:
    def lose(step: str, packets: dict[int, dict[int, bytes]]) -> None:
        if step == ALERTS["nonce"]:
            del packets[1][LIAR]

    outcome = run_presign({LIAR: wrong_delta()}, relay=lose)
    unattributed(outcome, "no packet of party 3", by={1})
    convicted(outcome, ALERTS["nonce"], TARGET, by={2})


@each_alert
def test_all_who_spoil_a_sum_together_are_convicted(name: str) -> None:
    wrong: Callable[[int], Lie] = wrong_delta if name == "nonce" else wrong_chi
    outcome = run_presign({2: wrong(1), 3: wrong(2)})
    assert outcome.errors[1].culprits == {2, 3}
    assert {verdict.culprit for verdict in verdicts(outcome, 1)} == {2, 3}


def test_liars_whose_wrong_chis_cancel_are_convicted_when_they_sign() -> None:
    """No sum fails, so there is no alert; but each share of the signature is held against its own commitment."""
    outcome = run_signing({2: wrong_chi(1), 3: wrong_chi(-1)})
    assert outcome.spoke[1][-1] == "sign.1"
    assert outcome.errors[1].culprits == {2, 3}
    assert {(v.culprit, v.step) for v in verdicts(outcome, 1)} == {(2, "sign.1"), (3, "sign.1")}


def test_liars_whose_wrong_deltas_cancel_change_nothing() -> None:
    outcome = run_signing({2: wrong_delta(1), 3: wrong_delta(-1)})
    assert set(outcome.results) == set(ALL)


@pytest.mark.slow
@each_alert
def test_whoever_spoils_a_sum_at_full_size_is_convicted(name: str) -> None:
    outcome = run_alert(name, 2, (1, 2), L112)
    convicted(outcome, ALERTS[name], TARGET, by={1}, liar=2)
