"""Ring-Pedersen commitments s^a·t^b mod N̂ (spec §2.7), with CRT for their owner and fixed-base tables for the rest."""

from __future__ import annotations

from typing import Any, NoReturn

import gmpy2
from gmpy2 import mpz, powmod, powmod_sec

from oms_core.crypto.params import Level
from oms_core.crypto.sampling import below, is_unit, unit
from oms_core.errors import Malformed, ProofInvalid

_WINDOW = 6  # bits a digit; the best in Python: 0.2 MB and about 25 ms to build at 2048 bits


class PedersenPublic:
    """The triple (N̂, s, t). ``s ∈ ⟨t⟩`` protects the prover; the factorisation protects the verifier, its owner."""

    def __init__(self, N: int, s: int, t: int) -> None:
        self.N, self.s, self.t = mpz(N), mpz(s), mpz(t)

    @classmethod
    def from_canonical(cls, value: object) -> PedersenPublic:
        """From the list [N̂, s, t]. Raises `Malformed`; `check_pedersen` does the rest."""
        if not isinstance(value, list) or len(value) != 3 or any(type(v) is not int or v < 1 for v in value):
            raise Malformed("ring-Pedersen parameters are three positive integers")
        return PedersenPublic(*value)

    def __canonical__(self) -> list[int]:
        return [int(self.N), int(self.s), int(self.t)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PedersenPublic) and self.__canonical__() == other.__canonical__()

    def __hash__(self) -> int:
        return hash((self.N, self.s, self.t))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.N.bit_length()} bits)"

    def commit(self, a: int, b: int) -> Any:
        """s^a·t^b mod N̂ for exponents of any sign."""
        return powmod(self.s, a, self.N) * powmod(self.t, b, self.N) % self.N

    def power(self, base: int, e: int) -> Any:
        """base^e mod N̂ for a unit base."""
        return powmod(base, e, self.N)

    def is_unit(self, a: int) -> bool:
        """Whether a is a unit modulo N̂."""
        return is_unit(a, self.N)

    def holds(self, z: int, w: int, T: int, S: int, e: int) -> bool:
        """Whether s^z·t^w = T·S^e mod N̂, for units T and S; nothing holds for a base that shares a factor with N̂."""
        try:
            return bool(self.commit(z, w) == T * self.power(S, e) % self.N)
        except ValueError:  # a negative exponent, and no inverse
            return False


class PedersenSecret(PedersenPublic):
    """The owner's side: factors and λ with s = t^λ. Shows, encodes and compares as the public triple alone."""

    def __init__(self, p: int, q: int, t: int, lam: int) -> None:
        p, q = mpz(p), mpz(q)
        super().__init__(p * q, powmod(t, lam, p * q), t)
        self._p, self._q, self._lam = p, q, mpz(lam)
        self._p_inverse = gmpy2.invert(p, q)

    @property
    def public(self) -> PedersenPublic:
        """The triple alone."""
        return PedersenPublic(int(self.N), int(self.s), int(self.t))

    @property
    def secret(self) -> tuple[Any, Any, Any]:
        """(p, q, λ): secret, for Π^prm and for sealing."""
        return self._p, self._q, self._lam

    @property
    def group_order(self) -> Any:
        """φ(N̂): secret."""
        return (self._p - 1) * (self._q - 1)

    def commit(self, a: int, b: int) -> Any:
        """As the public form, as t^(λa + b) by CRT."""
        exponent, p, q = self._lam * a + b, self._p, self._q
        t_p = powmod_sec(self.t % p, exponent % (p - 1) or p - 1, p)  # λ is a long-term secret (rule R30)
        t_q = powmod_sec(self.t % q, exponent % (q - 1) or q - 1, q)
        return t_p + (t_q - t_p) * self._p_inverse % q * p

    def power(self, base: int, e: int) -> Any:
        """base^e mod N̂ by CRT, for a unit base."""
        p, q = self._p, self._q
        a_p = powmod(base % p, e % (p - 1), p)
        a_q = powmod(base % q, e % (q - 1), q)
        return a_p + (a_q - a_p) * self._p_inverse % q * p

    def __repr__(self) -> str:
        return f"PedersenSecret({self.N.bit_length()} bits, …)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ring-Pedersen secret key is not pickled")


class PedersenTabled(PedersenPublic):
    """Another party's triple with tables of its powers: one commitment is about 900 multiplications (spec §7.4)."""

    def __init__(self, public: PedersenPublic, level: Level) -> None:
        super().__init__(int(public.N), int(public.s), int(public.t))
        self._a_bits = max(level.ell_prime, level.ell + level.modulus_bits // 2) + level.epsilon + 2
        self._b_bits = level.ell + level.epsilon + level.modulus_bits + 8
        self._s_powers, s_top = self._ladder(self.s, self._a_bits)
        self._t_powers, t_top = self._ladder(self.t, self._b_bits)
        self._offset = gmpy2.invert(s_top * t_top, self.N)

    def _ladder(self, base: Any, bits: int) -> tuple[list[Any], Any]:
        """base^(2^(w·i)) for every digit, and base^(2^bits), by repeated squaring."""
        powers, value = [], base
        for position in range(bits + 1):
            if position % _WINDOW == 0:
                powers.append(value)
            if position == bits:
                return powers, value
            value = value * value % self.N
        raise AssertionError

    def commit(self, a: int, b: int) -> Any:
        """s^a·t^b mod N̂ by the bucket method; exponents beyond the tables go the plain way."""
        if abs(a) >> self._a_bits or abs(b) >> self._b_bits:
            return super().commit(a, b)
        N, mask = self.N, (1 << _WINDOW) - 1
        buckets: list[Any] = [None] * (mask + 1)
        for exponent, powers in ((a + (1 << self._a_bits), self._s_powers), (b + (1 << self._b_bits), self._t_powers)):
            for power, digit in zip(powers, _digits(exponent, len(powers)), strict=True):
                held = buckets[digit]
                buckets[digit] = power if held is None else held * power % N
        running, result = mpz(1), mpz(1)
        for digit in range(mask, 0, -1):
            if buckets[digit] is not None:
                running = running * buckets[digit] % N
            result = result * running % N
        return result * self._offset % N


def _digits(value: int, count: int) -> list[int]:
    """``count`` digits of _WINDOW bits, least significant first: two octal digits each."""
    text = mpz(value).digits(8).zfill(2 * count)
    return [_PAIR[text[i : i + 2]] for i in range(2 * count - 2, -2, -2)]


_PAIR = {f"{value:02o}": value for value in range(1 << _WINDOW)}


def generate_pedersen(p: int, q: int) -> PedersenSecret:
    """Fresh s and t over two safe primes (spec §2.7): t a random square, s = t^λ."""
    N = mpz(p) * mpz(q)
    tau = unit(int(N))
    lam = below(int((mpz(p) - 1) * (mpz(q) - 1) // 4))
    return PedersenSecret(p, q, int(powmod(tau, 2, N)), lam)


def check_pedersen(public: PedersenPublic, level: Level) -> None:
    """The shape of a received triple, before Π^prm (spec §2.7, rule R8). Raises `ProofInvalid`."""
    if public.N.bit_length() != level.modulus_bits or public.N % 2 == 0:
        raise ProofInvalid(f"the ring-Pedersen modulus is odd and has {level.modulus_bits} bits")
    if not (public.is_unit(public.s) and public.is_unit(public.t)):
        raise ProofInvalid("s and t are units")
    if public.s == 1 or public.t == 1 or public.s == public.t or public.t == public.N - 1 or public.s == public.N - 1:
        raise ProofInvalid("s and t are not trivial and not equal")
