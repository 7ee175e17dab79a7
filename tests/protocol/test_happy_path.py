"""Honest parties make keys and sign."""

from __future__ import annotations

import hashlib
from itertools import combinations

import pytest

from oms_core.crypto.curve import mul_base
from oms_core.crypto.ecdsa import Signature, recover, verify, verify_independent
from oms_core.crypto.params import L112, TOY, Level
from oms_core.crypto.shamir import interpolate, lagrange
from oms_core.encoding import decode, encode
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Steps
from oms_core.protocol.shares import KeyMaterial
from oms_core.protocol.sign import sign
from tests.parties import arithmetic, key, run, sessions

DIGEST = hashlib.sha256(b"message").digest()


def sign_with(n: int, t: int, quorum: tuple[int, ...], level: Level = TOY, tweak: int = 0) -> dict[int, Signature]:
    made = sessions(quorum, level)

    def protocol(i: int) -> Steps[Signature]:
        share = key(n, t, level)[i].share
        presignature = yield from presign(made[i], share, arithmetic(n, t, i, level), tweak)
        return (yield from sign(made[i], presignature, DIGEST))

    outcome = run({i: protocol(i) for i in quorum})
    assert not outcome.errors, outcome.errors
    return outcome.results


@pytest.mark.parametrize(("n", "t"), [(5, 3), (3, 2)])
def test_the_shares_of_a_new_key_interpolate_to_it(n: int, t: int) -> None:
    made = key(n, t)
    X = made[1].share.public_key
    for quorum in combinations(range(1, n + 1), t):
        secret = sum(lagrange(j, quorum) * made[j].share.secret for j in quorum)
        assert mul_base(secret) == X
        assert interpolate({j: dict(made[1].share.public_shares)[j] for j in quorum}) == X
    assert len({material.share.chain_code for material in made.values()}) == 1
    assert len({material.epoch_hash for material in made.values()}) == 1


@pytest.mark.parametrize("quorum", list(combinations(range(1, 6), 3)))
def test_any_three_of_five_sign(quorum: tuple[int, ...]) -> None:
    signatures = sign_with(5, 3, quorum)
    assert len(set(signatures.values())) == 1
    signature = signatures[quorum[0]]
    X = key(5, 3)[1].share.public_key
    verify(X, DIGEST, signature)
    verify_independent(X, DIGEST, signature)
    assert recover(signature, DIGEST) == X


def test_more_signers_than_the_threshold_may_sign() -> None:
    assert len(set(sign_with(5, 3, (1, 2, 4, 5)).values())) == 1


def test_a_tweaked_presignature_signs_for_the_tweaked_key() -> None:
    tweak = 123456789
    signature = sign_with(3, 2, (2, 3), tweak=tweak)[2]
    verify(key(3, 2)[1].share.public_key + mul_base(tweak), DIGEST, signature)


def test_full_size_keys_sign() -> None:
    signature = sign_with(3, 2, (1, 3), L112)[1]
    verify(key(3, 2, L112)[1].share.public_key, DIGEST, signature)


def test_stored_material_reads_back_and_hides_its_secrets() -> None:
    import pickle

    material = key(3, 2)[1]
    assert decode(KeyMaterial, encode(material)) == material
    shown = repr(material) + str(material) + repr(material.share) + repr(material.aux)
    assert str(material.share.secret) not in shown
    assert str(material.aux.primes[0]) not in shown
    for secret in (material, material.share, material.aux, arithmetic(3, 2, 1).paillier):
        with pytest.raises(TypeError):
            pickle.dumps(secret)
