"""Ring-Pedersen: tables and factors make commitments faster and change nothing; a received triple is looked at."""

from __future__ import annotations

import pickle

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.crypto.params import L112, TOY, Level
from oms_core.crypto.pedersen import PedersenPublic, PedersenSecret, PedersenTabled, check_pedersen, generate_pedersen
from oms_core.encoding import decode, digest, document, encode
from oms_core.errors import Malformed, ProofInvalid
from tests.primes import pedersen, primes

SECRET = pedersen(TOY, 1)
PUBLIC = SECRET.public
TABLED = PedersenTabled(PUBLIC, TOY)
N, S, T = (int(value) for value in (PUBLIC.N, PUBLIC.s, PUBLIC.t))
P, Q_HAT, LAM = (int(value) for value in SECRET.secret)


@document("holder/1")
class Holder:
    key: PedersenPublic


def plain(a: int, b: int) -> int:
    return pow(S, a, N) * pow(T, b, N) % N


a_exponents = st.integers(-(1 << TABLED._a_bits) - 2, (1 << TABLED._a_bits) + 2)
b_exponents = st.integers(-(1 << TABLED._b_bits) - 2, (1 << TABLED._b_bits) + 2)


@given(a_exponents, b_exponents)
@settings(max_examples=40)
def test_tables_and_factors_commit_as_plain_exponentiation_does(a: int, b: int) -> None:
    assert TABLED.commit(a, b) == SECRET.commit(a, b) == PUBLIC.commit(a, b) == plain(a, b)


def edges(bits: int) -> list[int]:
    """Zero, one, and everything around the last exponent that the tables hold, and far beyond."""
    near = [(1 << bits) + step for step in (-2, -1, 0, 1)]
    return [0, 1, -1, 63, 64, -64, *near, *(-value for value in near), 1 << bits + 50, -(1 << bits + 50)]


@pytest.mark.parametrize("a", edges(TABLED._a_bits))
def test_the_tables_are_right_at_and_beyond_the_edges_of_both_exponents(a: int) -> None:
    for b in edges(TABLED._b_bits):
        assert TABLED.commit(a, b) == plain(a, b), (a, b)


@pytest.mark.parametrize("level", [TOY, L112], ids=lambda level: level.name)
def test_the_tables_hold_every_exponent_that_a_proof_may_have(level: Level) -> None:
    tabled = TABLED if level is TOY else PedersenTabled(pedersen(level, 1).public, level)
    assert tabled._a_bits > level.ell_prime + level.epsilon
    assert tabled._a_bits > level.ell + level.epsilon + level.modulus_bits // 2
    assert tabled._b_bits > level.ell + level.epsilon + level.modulus_bits
    a, b = (1 << tabled._a_bits) - 1, 1 - (1 << tabled._b_bits)
    assert tabled.commit(a, b) == pedersen(level, 1).commit(a, b) == PedersenPublic.commit(tabled, a, b)


@given(st.integers(1, N - 1).filter(lambda a: gmpy2.gcd(a, N) == 1), st.integers(-(1 << 1200), 1 << 1200))
@settings(max_examples=30)
def test_the_owner_raises_any_unit_to_any_power_as_everybody_does(base: int, e: int) -> None:
    assert SECRET.power(base, e) == PUBLIC.power(base, e) == TABLED.power(base, e) == pow(base, e, N)


@pytest.mark.parametrize("key", [PUBLIC, SECRET, TABLED], ids=["public", "secret", "tabled"])
def test_the_verifiers_equation_holds_for_an_honest_answer_only(key: PedersenPublic) -> None:
    x, mu, alpha, m, e = 1 << 200, -(1 << 900), -(1 << 600), 1 << 950, -12345
    S_x, T_x = int(PUBLIC.commit(x, mu)), int(PUBLIC.commit(alpha, m))
    z, w = alpha + e * x, m + e * mu
    assert key.holds(z, w, T_x, S_x, e)
    for bent in ((z + 1, w, T_x, S_x, e), (z, w - 1, T_x, S_x, e), (z, w, T_x + 1, S_x, e), (z, w, T_x, S_x, e + 1)):
        assert not key.holds(*bent)


def test_nothing_holds_for_a_base_that_has_no_inverse() -> None:
    broken = PedersenPublic(PUBLIC.N, PUBLIC.s, gmpy2.mpz(P))
    assert not broken.holds(1, -1, gmpy2.mpz(1), gmpy2.mpz(1), 1)


def test_a_generated_key_has_a_square_t_and_s_in_its_group() -> None:
    p, q = primes(TOY, 1)[2:]
    secret = generate_pedersen(p, q)
    assert p * q == secret.N
    assert gmpy2.legendre(secret.t, p) == gmpy2.legendre(secret.t, q) == 1
    assert 0 <= secret.secret[2] < secret.group_order // 4
    assert secret.group_order == (p - 1) * (q - 1)
    assert pow(int(secret.t), int(secret.secret[2]), p * q) == secret.s
    check_pedersen(secret.public, TOY)


def test_two_keys_over_the_same_primes_are_different() -> None:
    p, q = primes(TOY, 1)[2:]
    assert generate_pedersen(p, q) != generate_pedersen(p, q)


def test_a_secret_key_shows_encodes_and_compares_as_the_public_triple() -> None:
    assert SECRET == PUBLIC == TABLED
    assert hash(SECRET) == hash(PUBLIC)
    assert digest("test", SECRET) == digest("test", PUBLIC) == digest("test", TABLED)
    assert decode(Holder, encode(Holder(SECRET))) == Holder(PUBLIC)
    assert all(str(value) not in repr(SECRET) for value in (P, Q_HAT, LAM))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(SECRET)


@pytest.mark.parametrize(
    "value", [None, 5, (N, S, T), [N, S], [N, S, T, 1], [N, S, 0], [N, -1, T], [0, S, T], [N, True, T], [N, "1", T]]
)
def test_what_cannot_be_a_triple_is_not_read_as_one(value: object) -> None:
    with pytest.raises(Malformed, match="three positive integers"):
        PedersenPublic.from_canonical(value)


@pytest.mark.parametrize("modulus", [N >> 1 | 1, N << 1 | 1, N + 1, 0])
def test_a_modulus_of_another_size_or_an_even_one_is_refused(modulus: int) -> None:
    with pytest.raises(ProofInvalid, match="is odd and has 1024 bits"):
        check_pedersen(PedersenPublic(modulus, S, T), TOY)


@pytest.mark.parametrize("no_unit", [0, -1, N, N + 1, P, N - Q_HAT])
def test_an_s_or_a_t_that_is_no_unit_is_refused(no_unit: int) -> None:
    for s, t in ((no_unit, T), (S, no_unit)):
        with pytest.raises(ProofInvalid, match="s and t are units"):
            check_pedersen(PedersenPublic(N, s, t), TOY)


@pytest.mark.parametrize(("s", "t"), [(1, T), (S, 1), (S, S), (T, T), (N - 1, T), (S, N - 1)], ids=range(6))
def test_an_s_or_a_t_that_hides_nothing_is_refused(s: int, t: int) -> None:
    with pytest.raises(ProofInvalid, match="not trivial and not equal"):
        check_pedersen(PedersenPublic(N, s, t), TOY)


def test_the_owner_of_a_trivial_exponent_is_refused_as_well() -> None:
    for lam in (0, 1):
        with pytest.raises(ProofInvalid, match="not trivial and not equal"):
            check_pedersen(PedersenSecret(P, Q_HAT, T, lam).public, TOY)
