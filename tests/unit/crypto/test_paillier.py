"""Paillier: the factors make it faster and change nothing, and a received modulus is looked at before it is used."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.crypto.paillier import PaillierPublic, PaillierSecret, check_modulus
from oms_core.crypto.params import L112, TOY
from oms_core.crypto.sampling import unit
from oms_core.encoding import decode, digest, document, encode
from oms_core.errors import Malformed, ProofInvalid
from tests.primes import paillier, primes

SECRET = paillier(TOY, 1)
PUBLIC = SECRET.public
N = int(SECRET.N)
HALF = (N - 1) // 2

plaintexts = st.integers(-HALF, HALF)
exponents = st.integers(-(1 << 1300), 1 << 1300)
units = st.integers(1, N - 1).filter(lambda a: gmpy2.gcd(a, N) == 1)


@document("holder/1")
class Holder:
    key: PaillierPublic


@given(plaintexts, units)
@settings(max_examples=30)
def test_the_factors_encrypt_as_the_modulus_alone_does_and_as_the_definition_says(m: int, r: int) -> None:
    c = PUBLIC.encrypt(m, r)
    assert SECRET.encrypt(m, r) == c == pow(1 + N, m, N * N) * pow(r, N, N * N) % (N * N)
    assert SECRET.raise_nonce(r) == PUBLIC.raise_nonce(r)


@given(plaintexts, units, exponents)
@settings(max_examples=30)
def test_the_factors_raise_to_powers_as_the_modulus_alone_does(m: int, r: int, k: int) -> None:
    c = PUBLIC.encrypt(m, r)
    assert SECRET.power(c, k) == PUBLIC.power(c, k) == pow(int(c), k, N * N)
    assert SECRET.power_modulus(r, k) == PUBLIC.power_modulus(r, k) == pow(r, k, N)


@given(plaintexts, units)
@settings(max_examples=30)
def test_decryption_gives_back_the_plaintext_with_its_sign_and_the_nonce(m: int, r: int) -> None:
    c = PUBLIC.encrypt(m, r)
    assert SECRET.decrypt(c) == m
    assert SECRET.nonce(c) == r
    assert PUBLIC.encrypt(SECRET.decrypt(c), SECRET.nonce(c)) == c
    assert pow(int(SECRET.root(r)), N, N) == r


@pytest.mark.parametrize("m", [0, 1, -1, HALF - 1, HALF, -HALF + 1, -HALF])
def test_the_ends_of_the_range_decrypt_to_themselves(m: int) -> None:
    assert SECRET.decrypt(PUBLIC.encrypt(m, unit(N))) == m


@pytest.mark.parametrize("m", [HALF + 1, -HALF - 1, N, -N, 5 * N + 3, 1 << 1100])
def test_what_is_beyond_the_range_decrypts_to_its_centred_remainder(m: int) -> None:
    centred = (m + HALF) % N - HALF
    assert SECRET.decrypt(PUBLIC.encrypt(m, unit(N))) == centred


def test_at_a_real_size_the_factors_change_nothing_either() -> None:
    secret = paillier(L112, 1)
    r, m = unit(int(secret.N)), -(1 << 1300) - 7
    c = secret.public.encrypt(m, r)
    assert c == secret.encrypt(m, r)
    assert (secret.decrypt(c), secret.nonce(c)) == (m, r)
    assert secret.power(c, -(1 << 600)) == secret.public.power(c, -(1 << 600))


small = st.integers(-(1 << 400), 1 << 400)


@given(small, small, small)
@settings(max_examples=30)
def test_ciphertexts_add_subtract_and_scale_as_their_plaintexts(a: int, b: int, k: int) -> None:
    A, B = PUBLIC.encrypt(a, unit(N)), PUBLIC.encrypt(b, unit(N))
    assert SECRET.decrypt(PUBLIC.add(A, B)) == a + b
    assert SECRET.decrypt(PUBLIC.add(A, B, A)) == a + b + a
    assert SECRET.decrypt(PUBLIC.subtract(A, B)) == a - b
    assert SECRET.decrypt(PUBLIC.add(PUBLIC.power(A, k), B)) == a * k + b


def test_nothing_added_up_is_an_encryption_of_nothing() -> None:
    assert PUBLIC.add() == 1 == PUBLIC.encrypt(0, 1)


P_FACTOR = primes(TOY, 1)[0]


@pytest.mark.parametrize("c", [0, -1, N, P_FACTOR, N * N, N * N + 1, N * (N - 1)])
def test_what_is_no_unit_below_the_square_is_no_ciphertext_and_is_not_decrypted(c: int) -> None:
    assert not PUBLIC.is_ciphertext(c)
    with pytest.raises(Malformed, match="a ciphertext is a unit modulo N²"):
        SECRET.decrypt(c)


@pytest.mark.parametrize("r", [0, -1, N, N + 1, P_FACTOR, N - P_FACTOR])
def test_what_is_no_unit_below_the_modulus_is_no_nonce(r: int) -> None:
    assert not PUBLIC.is_nonce(r)
    assert PUBLIC.is_nonce(1)
    assert PUBLIC.is_nonce(N - 1)


def equations(count: int) -> list[tuple[int, int, int]]:
    made = [(m - 3, unit(N)) for m in range(count)]
    return [(m, r, int(PUBLIC.encrypt(m, r))) for m, r in made]


@pytest.mark.parametrize("key", [PUBLIC, SECRET], ids=["public", "secret"])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_equations_that_all_hold_pass_together(key: PaillierPublic, count: int) -> None:
    assert key.encrypts_all(equations(count))


@pytest.mark.parametrize("key", [PUBLIC, SECRET], ids=["public", "secret"])
@pytest.mark.parametrize("wrong", range(3))
def test_one_wrong_plaintext_nonce_or_ciphertext_fails_all_equations(key: PaillierPublic, wrong: int) -> None:
    bends: list[Callable[[int, int, int], tuple[int, int, int]]] = [
        lambda m, r, c: (m + 1, r, c),
        lambda m, r, c: (m, r * 2 % N, c),
        lambda m, r, c: (m, r, int(PUBLIC.add(c, PUBLIC.encrypt(1, 1)))),
    ]
    for bend in bends:
        made = equations(3)
        made[wrong] = bend(*made[wrong])
        assert not key.encrypts_all(made)


def test_two_wrong_plaintexts_do_not_cancel_out() -> None:
    (a, r, A), (b, s, B) = equations(2)
    assert not PUBLIC.encrypts_all([(a + 1, r, A), (b - 1, s, B)])


def test_a_secret_key_shows_encodes_and_compares_as_the_public_one() -> None:
    assert SECRET == PUBLIC
    assert hash(SECRET) == hash(PUBLIC)
    assert digest("test", SECRET) == digest("test", PUBLIC)
    assert decode(Holder, encode(Holder(SECRET))) == Holder(PUBLIC)
    assert type(decode(Holder, encode(Holder(SECRET))).key) is PaillierPublic
    assert all(str(int(factor)) not in repr(SECRET) for factor in SECRET.factors)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(SECRET)


@pytest.mark.parametrize("value", [None, True, "15", b"\x0f", 15.0, 0, 1, 13, -N, 16, N + 1])
def test_what_cannot_be_a_modulus_is_not_read_as_one(value: object) -> None:
    with pytest.raises(Malformed, match="a modulus is an odd positive integer"):
        PaillierPublic.from_canonical(value)


def test_an_honest_modulus_is_accepted_beside_all_others() -> None:
    others = [int(paillier(L112, j).N) for j in (2, 3)]
    check_modulus(int(paillier(L112, 1).N), L112, others)
    check_modulus(N, TOY)


p, q, p_hat, q_hat = primes(TOY, 1)
BITS = 2 * TOY.prime_bits


def with_factor(factor: int) -> int:
    """A modulus of the right size with this factor and a prime one."""
    return factor * int(gmpy2.prev_prime((1 << BITS) // factor))


@pytest.mark.parametrize(
    ("modulus", "claim"),
    [
        (N >> 2 | 1, "1024 bits"),
        (N << 1 | 1, "1024 bits"),
        (0, "1024 bits"),
        (1, "1024 bits"),
        (N + 1, "no prime factor below"),
        (with_factor(3), "no prime factor below"),
        (with_factor(257), "no prime factor below"),
        (with_factor(65521), "no prime factor below"),
        (with_factor(1), "neither a square nor a prime"),
        (int(gmpy2.prev_prime(1 << BITS // 2)) ** 2, "neither a square nor a prime"),
    ],
    ids=range(10),
)
def test_a_modulus_of_another_shape_is_refused(modulus: int, claim: str) -> None:
    with pytest.raises(ProofInvalid, match=claim):
        check_modulus(modulus, TOY)


def test_the_first_prime_above_the_trial_limit_is_left_to_the_proofs() -> None:
    check_modulus(with_factor(65537), TOY)


@pytest.mark.parametrize("other", [N, p * p_hat, q * q_hat, q], ids=range(4))
def test_a_modulus_that_shares_a_factor_with_another_is_refused(other: int) -> None:
    with pytest.raises(ProofInvalid, match="shares no factor"):
        check_modulus(N, TOY, [p_hat * q_hat, other])


def test_the_order_of_the_factors_makes_no_difference() -> None:
    swapped = PaillierSecret(q, p)
    c = PUBLIC.encrypt(-12345, 678)
    assert swapped == SECRET
    assert (swapped.decrypt(c), swapped.nonce(c)) == (-12345, 678)
