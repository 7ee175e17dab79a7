"""Liars in presigning: each check of spec §4.3 to §4.5 names exactly the one who fails it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto.curve import IDENTITY, G, Q
from oms_core.crypto.params import TOY
from oms_core.protocol import presign as module
from oms_core.protocol.presign_rounds import Ciphertexts, First, Products, Ranges, Second, Third
from oms_core.zk import aff_g, elog, enc_elg
from tests.parties import Lie, Turn, at
from tests.protocol.lies import announced
from tests.protocol.runs import HONEST, LIAR, convicted, exposed, run_presign, unattributed, verdicts

pytestmark = pytest.mark.attack


# Round 1


def first(change: Callable[[Turn], First]) -> Lie:
    return at("presign.1", change)


def keys(turn: Turn) -> Any:
    return turn.memory["N"]


@pytest.mark.parametrize("field", ["K", "G"])
@pytest.mark.parametrize(
    "value",
    [
        lambda N, c: 0,
        lambda N, c: int(N.N),
        lambda N, c: int(N.NN),
        lambda N, c: int(c + N.NN),
        lambda N, c: int(c - N.NN),
        lambda N, c: int(N.factors[0]),
    ],
    ids=["0", "N", "N²", "beyond N²", "negative", "a factor"],
)
def test_a_ciphertext_that_is_none_names_its_sender(field: str, value: Callable[[Any, int], int]) -> None:
    def lie(turn: Turn) -> First:
        return replace(turn.message, **{field: value(keys(turn), getattr(turn.message, field))})

    convicted(run_presign({LIAR: first(lie)}), "presign.1", "K and G are units modulo N²")


@pytest.mark.parametrize("field", ["Y", "A1", "B1"])
@pytest.mark.covers("R22")
def test_a_commitment_at_the_identity_names_its_sender(field: str) -> None:
    outcome = run_presign({LIAR: first(lambda turn: replace(turn.message, **{field: IDENTITY}))})
    convicted(outcome, "presign.1", "Y, A1 and B1 are not the identity")


@pytest.mark.parametrize("field", ["Y", "A1", "A2", "B1", "B2"])
def test_a_commitment_to_something_else_names_its_sender(field: str) -> None:
    outcome = run_presign(
        {LIAR: first(lambda turn: replace(turn.message, **{field: getattr(turn.message, field) + G}))}
    )
    convicted(outcome, "presign.1", "")


@pytest.mark.parametrize("field", ["K", "G"])
def test_an_encryption_of_something_else_names_its_sender(field: str) -> None:
    def lie(turn: Turn) -> First:
        N = keys(turn)
        return replace(turn.message, **{field: int(N.add(getattr(turn.message, field), 1 + N.N))})

    convicted(run_presign({LIAR: first(lie)}), "presign.1", "=")


def ranges(change: Callable[[Turn], Ranges]) -> Lie:
    return at("presign.1", change, secret=True)


def test_range_proofs_of_k_and_gamma_do_not_stand_in_for_each_other() -> None:
    outcome = run_presign({LIAR: ranges(lambda turn: Ranges(turn.message.G, turn.message.K))})
    convicted(outcome, "presign.1", "=")


@pytest.mark.parametrize("field", ["K", "G"])
def test_a_false_answer_in_the_equation_that_is_verified_in_a_batch_names_its_sender(field: str) -> None:
    def lie(turn: Turn) -> Ranges:
        proof = getattr(turn.message, field)
        return replace(turn.message, **{field: replace(proof, z2=int(proof.z2 * 2 % keys(turn).N))})

    convicted(run_presign({LIAR: ranges(lie)}), "presign.1", "Π^enc-elg: enc(z1; z2) = D·C^e")


@pytest.mark.parametrize("bits", [25_000, 1_000_000])
def test_an_answer_of_very_many_bits_is_refused_by_its_size(bits: int) -> None:
    """Rule R31: before anything is parsed or raised to a power."""

    def lie(turn: Turn) -> Ranges:
        return replace(turn.message, K=replace(turn.message.K, z3=1 << bits))

    outcome = run_presign({LIAR: ranges(lie)})
    if bits < 30_000:  # a packet is read up to twice its round's limit
        convicted(outcome, "presign.1", "are allowed")
    else:
        unattributed(outcome, "are allowed")


@pytest.mark.parametrize("field", ["K", "G"])
def test_a_range_proof_that_was_made_for_another_names_its_sender(field: str) -> None:
    def lie(turn: Turn) -> Ranges:
        other = 2 if turn.to == 1 else 1
        return replace(turn.message, **{field: getattr(turn.memory["ranges"](other), field)})

    convicted(run_presign({LIAR: ranges(lie)}), "presign.1", "")


def test_a_nonce_share_beyond_its_range_is_noticed_before_anything_is_multiplied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule R10: with the best proof that a liar can make for k of 900 bits, z1 leaves its range."""
    huge = 1 << 900

    def encrypted(turn: Turn) -> First:
        N, m, a, rho = keys(turn), turn.message, turn.memory["a"], turn.memory["rho"]
        return replace(m, K=int(N.encrypt(huge, rho)), A2=a * m.Y + huge * G)

    def proven(turn: Turn) -> Ranges:
        memory, bent = turn.memory, encrypted(replace(turn, message=turn.memory["mine"]))
        statement = enc_elg.Statement(keys(turn), bent.K, bent.Y, bent.A1, bent.A2, memory["tables"][turn.to])
        witness = enc_elg.Witness(huge, memory["rho"], memory["a"])
        with monkeypatch.context() as patch:
            patch.setattr(enc_elg, "in_range", lambda *_: True)
            proof = enc_elg.prove(TOY, memory["session"].context("enc0", LIAR, turn.to), statement, witness)
        return replace(turn.message, K=proof)

    def lie(turn: Turn) -> Any:
        if turn.step != "presign.1":
            return turn.message
        return encrypted(turn) if turn.to is None else proven(turn)

    outcome = run_presign({LIAR: lie})
    convicted(outcome, "presign.1", "z1 ∈ ±2^(ℓ+ε)")
    assert all(outcome.spoke[i][-1] == "presign.1.echo" for i in HONEST)


# Round 2


def second(change: Callable[[Turn], Second]) -> Lie:
    return at("presign.2", change)


@pytest.mark.parametrize(
    "bend",
    [
        lambda hashes: (),
        lambda hashes: hashes[:1],
        lambda hashes: (*hashes, hashes[0]),
        lambda hashes: hashes[::-1],
        lambda hashes: ((LIAR, hashes[0][1]), *hashes[1:]),
        lambda hashes: (*hashes, (4, bytes(32))),
    ],
)
def test_hashes_of_products_for_other_receivers_name_their_sender(bend: Callable[[Any], Any]) -> None:
    outcome = run_presign({LIAR: second(lambda turn: replace(turn.message, products=bend(turn.message.products)))})
    convicted(outcome, "presign.2", "one product hash per receiver")


@pytest.mark.parametrize("field", ["D", "F", "D_hat", "F_hat"])
def test_products_that_were_not_announced_name_their_sender(field: str) -> None:
    def lie(turn: Turn) -> Products:
        made = turn.message.made
        return replace(turn.message, made=replace(made, **{field: getattr(made, field) + 1}))

    convicted(run_presign({LIAR: at("presign.2", lie, secret=True)}), "presign.2", "the products are those announced")


@pytest.mark.covers("R22")
def test_a_nonce_point_at_the_identity_names_its_sender() -> None:
    outcome = run_presign({LIAR: second(lambda turn: replace(turn.message, Gamma=IDENTITY))})
    convicted(outcome, "presign.2", "Γ is not the identity")


def test_a_nonce_point_other_than_the_committed_one_names_its_sender() -> None:
    outcome = run_presign({LIAR: second(lambda turn: replace(turn.message, Gamma=turn.message.Gamma + G))})
    convicted(outcome, "presign.2", "e·")


@pytest.mark.parametrize(("field", "shift"), [("z", 1), ("u", 1), ("z", Q), ("u", -Q)])
def test_a_false_proof_about_the_nonce_point_names_its_sender(field: str, shift: int) -> None:
    def lie(turn: Turn) -> Second:
        proof = turn.message.proof
        return replace(turn.message, proof=replace(proof, **{field: getattr(proof, field) + shift}))

    convicted(run_presign({LIAR: second(lie)}), "presign.2", "z, u ∈ [0, q)" if abs(shift) == Q else "=")


def with_multiplier(turn: Turn, j: int, products: Products) -> Products:
    """x + 1 in the place of x: would make the signature's failure a test of a guess."""
    D, F, psi = turn.memory["product"](j, "aff1", turn.memory["x"] + 1, turn.memory["of"].W[LIAR])
    return replace(products, made=replace(products.made, D_hat=D, F_hat=F), psi_hat=psi)


def with_other_gamma(turn: Turn, j: int, products: Products) -> Products:
    D, F, psi = turn.memory["product"](j, "aff0", turn.memory["gamma"] + 1, turn.memory["Gamma_i"])
    return replace(products, made=replace(products.made, D=D, F=F), psi=psi)


def with_other_key(turn: Turn, j: int, products: Products) -> Products:
    """A product with another receiver's K."""
    other = 2 if j == 1 else 1
    D, F, psi = turn.memory["product"](other, "aff0", turn.memory["gamma"], turn.memory["Gamma_i"])
    return replace(products, made=replace(products.made, D=D, F=F), psi=psi)


def with_other_mask(turn: Turn, j: int, products: Products) -> Products:
    N, mask = turn.memory["N"], turn.memory["masks"][j, "aff0"]
    return replace(products, made=replace(products.made, F=int(N.encrypt(mask.y + 1, mask.rho_y))))


def with_swapped_proofs(turn: Turn, j: int, products: Products) -> Products:
    return replace(products, psi=products.psi_hat, psi_hat=products.psi)


def with_swapped_products(turn: Turn, j: int, products: Products) -> Products:
    c = products.made
    return Products(Ciphertexts(c.D_hat, c.F_hat, c.D, c.F), products.psi_hat, products.psi)


def with_batched_answer(turn: Turn, j: int, products: Products) -> Products:
    return replace(products, psi=replace(products.psi, w_y=int(products.psi.w_y * 2 % turn.memory["N"].N)))


def with_no_ciphertext(turn: Turn, j: int, products: Products) -> Products:
    return replace(products, made=replace(products.made, D=0))


def with_no_mask(turn: Turn, j: int, products: Products) -> Products:
    return replace(products, made=replace(products.made, F_hat=int(turn.memory["N"].NN)))


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (with_multiplier, "z1·G = B_x + e·X"),
        (with_other_gamma, "z1·G = B_x + e·X"),
        (with_other_key, ""),
        (with_other_mask, "="),
        (with_swapped_proofs, "="),
        (with_swapped_products, "="),
        (with_batched_answer, "Π^aff-g: enc_1(z2; w_y) = B_y·Y^e"),
        (with_no_ciphertext, "C, D and A are units modulo N0²"),
        (with_no_mask, "Y and B_y are units modulo N1²"),
    ],
)
def test_a_wrong_product_names_its_sender(bend: Callable[[Turn, int, Products], Products], reason: str) -> None:
    convicted(run_presign({LIAR: announced(bend)}), "presign.2", reason)


@pytest.mark.parametrize("which", ["multiplier", "mask"])
def test_a_multiplier_or_mask_beyond_its_range_names_its_sender(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules R10 and R11: a product that wraps around the modulus would answer a question about k."""

    def bend(turn: Turn, j: int, products: Products) -> Products:
        memory = turn.memory
        with monkeypatch.context() as patch:
            patch.setattr(aff_g, "in_range", lambda *_: True)
            if which == "mask":
                patch.setattr(module, "symmetric", lambda bound: bound << 400)
                D, F, psi = memory["product"](j, "aff1", memory["x"], memory["of"].W[LIAR])
            else:
                D, F, psi = memory["product"](j, "aff1", memory["x"] + (Q << 600), memory["of"].W[LIAR])
        return replace(products, made=replace(products.made, D_hat=D, F_hat=F), psi_hat=psi)

    reason = "z2 ∈ ±2^(ℓ′+ε)" if which == "mask" else "z1 ∈ ±2^(ℓ+ε)"
    convicted(run_presign({LIAR: announced(bend)}), "presign.2", reason)


# Round 3


def third(change: Callable[[Turn], Third]) -> Lie:
    return at("presign.3", change)


@pytest.mark.parametrize("shift", [Q, -Q, 1 << 1000])
def test_a_sum_that_is_not_reduced_names_its_sender(shift: int) -> None:
    outcome = run_presign({LIAR: third(lambda turn: replace(turn.message, delta=turn.message.delta + shift))})
    convicted(outcome, "presign.3", "δ ∈ [0, q)")


@pytest.mark.covers("R22")
def test_a_delta_point_at_the_identity_names_its_sender() -> None:
    outcome = run_presign({LIAR: third(lambda turn: replace(turn.message, Delta=IDENTITY))})
    convicted(outcome, "presign.3", "Δ is not the identity")


def test_a_delta_point_other_than_that_of_the_committed_k_names_its_sender() -> None:
    outcome = run_presign({LIAR: third(lambda turn: replace(turn.message, Delta=turn.message.Delta + G))})
    convicted(outcome, "presign.3", "e·")


@pytest.mark.parametrize(("field", "shift"), [("z", 1), ("u", 1), ("z", Q), ("u", -Q)])
def test_a_false_proof_about_the_delta_point_names_its_sender(field: str, shift: int) -> None:
    def lie(turn: Turn) -> Third:
        proof = turn.message.proof
        return replace(turn.message, proof=replace(proof, **{field: getattr(proof, field) + shift}))

    convicted(run_presign({LIAR: third(lie)}), "presign.3", "z, u ∈ [0, q)" if abs(shift) == Q else "=")


def test_a_proof_from_round_2_does_not_serve_in_round_3() -> None:
    def lie(turn: Turn) -> Third:
        memory = turn.memory
        statement, witness = memory["of_k"], elog.Witness(memory["k"], memory["a"])
        proof = elog.prove(memory["session"].context("elogR2", LIAR), statement, witness)
        return replace(turn.message, proof=proof)

    convicted(run_presign({LIAR: third(lie)}), "presign.3", "z·G = A + e·L")


def test_a_false_echo_of_round_2_stops_everyone() -> None:
    lie = third(lambda turn: replace(turn.message, echo=replace(turn.message.echo, hash=bytes(32))))
    text = "did not all receive the same broadcasts in presign.2"
    exposed(run_presign({LIAR: lie}), text, "presign.3", "the echo is of what was received")


def test_two_liars_of_different_kinds_are_both_named() -> None:
    hashes = second(lambda turn: replace(turn.message, products=()))
    outcome = run_presign({2: hashes, 3: announced(with_multiplier)})
    assert outcome.errors[1].culprits == {2, 3}
    assert {verdict.culprit for verdict in verdicts(outcome, 1)} == {2, 3}
