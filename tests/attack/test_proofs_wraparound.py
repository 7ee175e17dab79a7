"""Rule R13: a plaintext may not wrap around the modulus inside Π^dec, and a peer's large masks may frame nobody.

The decrypted y is known modulo N only, the point T = y·B modulo q. If answers could be as long as N, whoever announced
T = (y + N)·B would look honest, the sum would still be wrong, and the blame procedure would end without a name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oms_core.crypto.curve import centered, mul_base, random_scalar
from oms_core.crypto.params import L112, L128, MAX_PARTIES, TOY, Level
from oms_core.crypto.sampling import symmetric, unit
from oms_core.crypto.transcript import Challenge
from oms_core.errors import ProofInvalid
from oms_core.zk import aff_g, dec
from tests.primes import paillier
from tests.unit.zk.cases import CONTEXT, aff_g_parts, dec_parts

SIZES = pytest.mark.parametrize("level", [TOY, L112], ids=lambda level: level.name)


def wide(level: Level) -> Level:
    """The range as published elsewhere: ε bits to hide y instead of ε_dec."""
    return replace(level, epsilon_dec=level.epsilon)


def announced(level: Level) -> tuple[dec.Statement, dec.Witness]:
    """A liar's statement: the honest ciphertexts with T for y + N, and the witness that fits it."""
    x, w = dec_parts(level)
    y = w.y + int(x.N0.N)
    return replace(x, T=y * x.B), replace(w, y=y)


def verify_as_published(level: Level, x: dec.Statement, proof: dec.Proof) -> bool:
    """The three equations, with answers allowed up to 2^(ℓ′+ε+1+ν+ε)."""
    com, bits = proof.commitment, dec.mask_bits(wide(level), x.signers)
    e = Challenge("dec", CONTEXT, x, com).bits(level.repetitions)
    return all(
        abs(z) <= 1 << level.ell + level.epsilon
        and abs(w) <= 1 << bits
        and mul_base(z) == com.C[k] + e[k] * x.X
        and w * x.B == com.B[k] + e[k] * x.T
        and x.N0.add(x.N0.encrypt(w, nu), x.N0.power(x.K, -z)) == x.N0.add(com.A[k], x.D ** e[k])
        for k, (z, w, nu) in enumerate(zip(proof.z, proof.w, proof.nu, strict=True))
    )


@SIZES
@pytest.mark.covers("R13")
def test_a_plaintext_beyond_the_modulus_passes_the_published_range_and_not_ours(level: Level) -> None:
    x, w = announced(level)
    forged = dec.prove(wide(level), CONTEXT, x, w, paillier(level, 1))
    assert verify_as_published(level, x, forged)
    with pytest.raises(ProofInvalid, match="w ∈"):
        dec.verify(level, CONTEXT, x, forged)


@pytest.mark.covers("R13")
def test_answers_for_the_smaller_plaintext_do_not_show_the_point_of_the_larger() -> None:
    x, w = announced(TOY)
    bits = dec.mask_bits(TOY, x.signers)
    cut = dec.prove(TOY, CONTEXT, x, replace(w, y=w.y - int(x.N0.N)), paillier(TOY, 1))
    assert all(abs(answer) <= 1 << bits for answer in cut.w)
    with pytest.raises(ProofInvalid, match="w·B = B_k"):
        dec.verify(TOY, CONTEXT, x, cut)


@pytest.mark.covers("R13")
def test_no_number_of_signers_makes_room_for_a_second_plaintext() -> None:
    # ν grows with the number of signers; a number that is absurd would widen the range until y + N fits.
    x, w = announced(TOY)
    crowd = replace(x, signers=1 << 200)
    forged = dec.prove(TOY, CONTEXT, crowd, w, paillier(TOY, 1))
    with pytest.raises(ProofInvalid, match="N0/2"):
        dec.verify(TOY, CONTEXT, crowd, forged)


@pytest.mark.covers("R13")
@pytest.mark.parametrize("level", [L112, L128], ids=lambda level: level.name)
def test_the_largest_committee_leaves_no_room_for_a_second_plaintext(level: Level) -> None:
    bits = dec.mask_bits(level, MAX_PARTIES)
    assert 1 << bits + 2 < 1 << level.modulus_bits - 1
    with pytest.raises(AssertionError):
        wide(L112).check()


@pytest.mark.covers("R13")
def test_a_mask_as_large_as_a_peer_can_prove_does_not_make_an_honest_decryption_fail() -> None:
    # The peer's mask is far beyond ±2^ℓ′, and its Π^aff-g still passes.
    large = (1 << TOY.ell_prime + TOY.epsilon - 257) - 1
    x, w = aff_g_parts(TOY, y=large)
    aff_g.verify(TOY, CONTEXT, x, aff_g.prove(TOY, CONTEXT, x, w))
    for masks in ([large, large], [-large, -large], [1 << TOY.ell_prime + TOY.epsilon + 1] * 2):
        statement, witness = honest_among(TOY, masks)
        assert abs(witness.y) >= sum(map(abs, masks)) // 2
        dec.verify(TOY, CONTEXT, statement, dec.prove(TOY, CONTEXT, statement, witness, paillier(TOY, 1)))


def honest_among(level: Level, masks: list[int]) -> tuple[dec.Statement, dec.Witness]:
    """An honest party's decryption after a nonce alert, with these masks from its peers and its own subtracted."""
    own: Any = paillier(level, 1)
    x, k, B = centered(random_scalar()), centered(random_scalar()), mul_base(random_scalar())
    K = own.encrypt(k, unit(int(own.N)))
    D = 1
    for mask in masks:
        product = own.add(own.power(K, centered(random_scalar())), own.encrypt(mask, unit(int(own.N))))
        mine = own.encrypt(symmetric(1 << level.ell_prime), unit(int(own.N)))
        D = own.add(D, own.subtract(product, mine))
    total = own.add(own.power(K, x), D)
    y = int(own.decrypt(total))
    statement = dec.Statement(own.public, int(K), int(D), mul_base(x), y * B, B, len(masks) + 1)
    return statement, dec.Witness(x, y, int(own.nonce(total)))
