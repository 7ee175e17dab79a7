"""Honest parties make keys and sign."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import combinations

import pytest

from oms_core.crypto.bip32 import derive
from oms_core.crypto.curve import mul_base
from oms_core.crypto.ecdsa import Signature, recover, verify, verify_independent
from oms_core.crypto.params import L112, TOY, Level
from oms_core.crypto.shamir import interpolate, lagrange
from oms_core.encoding import encode
from oms_core.errors import Malformed, ProofInvalid
from oms_core.protocol.create_key import acknowledge, confirmation, make_key
from oms_core.protocol.presign import presign
from oms_core.protocol.rounds import Steps
from oms_core.protocol.shares import KeyMaterial, Moduli, SignedConfirmation, check_confirmations
from oms_core.protocol.sign import sign
from tests.parties import arithmetic, channels, identity, key, roster, run, sessions, start
from tests.primes import primes

DIGEST = hashlib.sha256(b"message").digest()


def sign_with(
    n: int, t: int, quorum: tuple[int, ...], level: Level = TOY, path: tuple[int, ...] = ()
) -> dict[int, Signature]:
    made = sessions(quorum, level)

    def protocol(i: int) -> Steps[Signature]:
        share = key(n, t, level)[i].share
        presignature = yield from presign(made[i], share, arithmetic(n, t, i, level), path)
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


@pytest.mark.parametrize("path", [(0,), (44, 60, 1, 2**31 - 1)])
def test_a_presignature_of_a_path_signs_for_the_key_of_that_path(path: tuple[int, ...]) -> None:
    signature = sign_with(3, 2, (2, 3), path=path)[2]
    share = key(3, 2)[1].share
    verify(derive(share.public_key, share.chain_code, path).public_key, DIGEST, signature)


def test_full_size_keys_sign() -> None:
    signature = sign_with(3, 2, (1, 3), L112)[1]
    verify(key(3, 2, L112)[1].share.public_key, DIGEST, signature)


def test_a_key_is_made_and_signs_through_signed_and_sealed_envelopes() -> None:
    parties, quorum = (1, 2, 3), (1, 3)
    creating = channels(parties, protocol="create-key")
    made = start(creating)

    def create(i: int) -> Steps[KeyMaterial]:
        material = yield from make_key(made[i], b"k" * 32, 2, roster(parties), primes(TOY, i))
        yield from acknowledge(made[i], confirmation("treasury", material))
        return material

    created = run({i: create(i) for i in parties}, channels=creating)
    assert not created.errors
    signing = channels(quorum, protocol="sign", epoch_hash=created.results[1].epoch_hash)
    session = start(signing)

    def make(i: int) -> Steps[Signature]:
        material = created.results[i]
        presignature = yield from presign(session[i], material.share, Moduli(i, TOY, material.aux))
        return (yield from sign(session[i], presignature, DIGEST))

    signed = run({i: make(i) for i in quorum}, channels=signing)
    assert signed.results[1] == signed.results[3]
    verify(created.results[2].share.public_key, DIGEST, signed.results[1])
    assert signed.spoke[1] == ["presign.1", "presign.1.echo", "presign.2", "presign.3", "presign.3.echo", "sign.1"]


def test_all_confirmations_of_a_key_are_about_the_same_key() -> None:
    said = {i: confirmation("treasury", key(3, 2)[i]) for i in (1, 2, 3)}
    signed = tuple(
        SignedConfirmation(said[i], identity(i).sign("key-confirmation", encode(said[i]))) for i in (1, 2, 3)
    )
    assert check_confirmations(signed, roster((1, 2, 3))).public_key == key(3, 2)[1].share.public_key
    other = replace(said[3], public_key=mul_base(5))
    lie = SignedConfirmation(other, identity(3).sign("key-confirmation", encode(other)))
    forged = SignedConfirmation(said[3], identity(2).sign("key-confirmation", encode(said[3])))
    for bad in (signed[:2], (*signed, signed[0]), (*signed[:2], signed[1]), (*signed[:2], lie), (*signed[:2], forged)):
        with pytest.raises((Malformed, ProofInvalid)):
            check_confirmations(bad, roster((1, 2, 3)))
