"""Paillier encryption with g = 1 + N (spec §2.7), by CRT where the factors are known.

A `PaillierSecret` is a `PaillierPublic` that computes faster: proofs take either, and both are hashed and encoded as N.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import gmpy2
from gmpy2 import mpz, powmod, powmod_sec

from oms_core.crypto.params import Level
from oms_core.crypto.sampling import is_unit
from oms_core.encoding import xof
from oms_core.errors import Malformed, ProofInvalid

_WEIGHT_BITS = 128
_PRIMORIAL = gmpy2.primorial(1 << 16)


class PaillierPublic:
    """A modulus N; plaintexts are centred in ±(N-1)/2, ciphertexts are units modulo N²."""

    def __init__(self, N: int) -> None:
        self.N = mpz(N)
        self.NN = self.N * self.N

    @classmethod
    def from_canonical(cls, value: object) -> PaillierPublic:
        """From the integer N. Raises `Malformed` for what cannot be a modulus; `check_public` does the rest."""
        if type(value) is not int or value < 15 or value % 2 == 0:
            raise Malformed("a modulus is an odd positive integer")
        return PaillierPublic(value)

    def __canonical__(self) -> int:
        return int(self.N)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PaillierPublic) and self.N == other.N

    def __hash__(self) -> int:
        return hash(self.N)

    def __repr__(self) -> str:
        return f"PaillierPublic({self.N.bit_length()} bits)"

    def raise_nonce(self, r: int) -> Any:
        """r^N mod N²."""
        return powmod(r, self.N, self.NN)

    def power(self, c: int, k: int) -> Any:
        """c^k mod N², the scalar multiple k ⊙ c; k may be negative. c has to be a unit."""
        return powmod(c, k, self.NN)

    def power_secret(self, c: int, k: int) -> Any:
        """As `power`, in a time that does not depend on k but for its size: for long-term secrets (rule R30)."""
        if k == 0:
            return mpz(1)
        return powmod_sec(c if k > 0 else gmpy2.invert(c, self.NN), abs(k), self.NN)

    def power_modulus(self, a: int, k: int) -> Any:
        """a^k mod N; k may be negative. a has to be a unit."""
        return powmod(a, k, self.N)

    def encrypt(self, m: int, r: int) -> Any:
        """(1 + mN)·r^N mod N² for a plaintext of any sign."""
        return (1 + m * self.N) % self.NN * self.raise_nonce(r) % self.NN

    def add(self, *ciphertexts: int) -> Any:
        """⊕: the product modulo N²."""
        product = mpz(1)
        for ciphertext in ciphertexts:
            product = product * ciphertext % self.NN
        return product

    def subtract(self, a: int, b: int) -> Any:
        """a ⊖ b. b has to be a unit."""
        return a * gmpy2.invert(b, self.NN) % self.NN

    def is_ciphertext(self, c: int) -> bool:
        """Whether c is a unit modulo N²."""
        return is_unit(c, self.NN)

    def is_nonce(self, r: int) -> bool:
        """Whether r is a unit modulo N."""
        return is_unit(r, self.N)

    def encrypts_all(self, equations: Sequence[tuple[int, int, int]]) -> bool:
        """Whether enc(m; r) = c for every (m, r, c), by one weighted product (spec §7.4, item 4).

        All equations have to come from one sender; every r and c has to be known to be a unit. The weights are hashed
        from all equations, so that whoever checks them comes to the same answer: an error of small order in a nonce,
        which no later step relies on, passes before everybody or before nobody. A wrong plaintext passes only if
        about 2^128 hashes were spent on it.
        """
        size = _WEIGHT_BITS // 8
        stream = xof("encryption weights", self, [list(one) for one in equations]).digest(size * len(equations))
        left_message, left_nonce, right = mpz(0), mpz(1), mpz(1)
        for number, (m, r, c) in enumerate(equations):
            if number == 0:
                left_message, left_nonce, right = mpz(m), mpz(r), mpz(c)
                continue
            weight = int.from_bytes(stream[number * size : (number + 1) * size], "big")
            left_message += weight * m
            left_nonce = left_nonce * self.power_modulus(r, weight) % self.N
            right = right * self.power(c, weight) % self.NN
        return bool(self.encrypt(left_message, left_nonce) == right)


class PaillierSecret(PaillierPublic):
    """The factors of N, two safe primes. Shows, encodes and compares as the public key alone."""

    def __init__(self, p: int, q: int) -> None:
        super().__init__(mpz(p) * mpz(q))
        p, q = mpz(p), mpz(q)
        self._p, self._q, self._pp, self._qq = p, q, p * p, q * q
        self._q_mod, self._p_mod = q % (p - 1), p % (q - 1)
        self._pp_inverse = gmpy2.invert(self._pp, self._qq)
        self._p_inverse = gmpy2.invert(p, q)
        self._order_p, self._order_q = p * (p - 1), q * (q - 1)
        self._h_p = gmpy2.invert((powmod(1 + self.N, p - 1, self._pp) - 1) // p, p)
        self._h_q = gmpy2.invert((powmod(1 + self.N, q - 1, self._qq) - 1) // q, q)
        self._root = gmpy2.invert(self.N, (p - 1) * (q - 1))

    @property
    def public(self) -> PaillierPublic:
        """The key without its factors."""
        return PaillierPublic(int(self.N))

    @property
    def factors(self) -> tuple[Any, Any]:
        """(p, q): secret, for proofs about the modulus and for sealing."""
        return self._p, self._q

    def raise_nonce(self, r: int) -> Any:
        """r^N mod N²; modulo p² it depends on r mod p only."""
        p, q = self._p, self._q
        u_p = powmod(powmod(r % p, self._q_mod, p), p, self._pp)
        u_q = powmod(powmod(r % q, self._p_mod, q), q, self._qq)
        return self._join(u_p, u_q)

    def power(self, c: int, k: int) -> Any:
        """c^k mod N² for a unit c."""
        return self._join(
            powmod(c % self._pp, k % self._order_p, self._pp), powmod(c % self._qq, k % self._order_q, self._qq)
        )

    def power_modulus(self, a: int, k: int) -> Any:
        """a^k mod N for a unit a."""
        p, q = self._p, self._q
        return self._join_modulus(powmod(a % p, k % (p - 1), p), powmod(a % q, k % (q - 1), q))

    def decrypt(self, c: int) -> Any:
        """The plaintext in ±(N-1)/2. Raises `Malformed` if c is not a unit modulo N²."""
        if not self.is_ciphertext(c):
            raise Malformed("a ciphertext is a unit modulo N²")
        p, q = self._p, self._q
        m_p = (powmod_sec(c % self._pp, p - 1, self._pp) - 1) // p * self._h_p % p
        m_q = (powmod_sec(c % self._qq, q - 1, self._qq) - 1) // q * self._h_q % q
        m = self._join_modulus(m_p, m_q)
        return m - self.N if m > self.N // 2 else m

    def nonce(self, c: int) -> Any:
        """The ρ of c = enc(y; ρ) (spec §2.7): the N-th root of c modulo N."""
        return powmod_sec(c % self.N, self._root, self.N)

    def root(self, a: int) -> Any:
        """The N-th root of a unit modulo N."""
        return powmod_sec(a, self._root, self.N)

    def _join(self, a_p: Any, a_q: Any) -> Any:
        return a_p + (a_q - a_p) * self._pp_inverse % self._qq * self._pp

    def _join_modulus(self, a_p: Any, a_q: Any) -> Any:
        return a_p + (a_q - a_p) * self._p_inverse % self._q * self._p

    def __repr__(self) -> str:
        return f"PaillierSecret({self.N.bit_length()} bits, …)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Paillier secret key is not pickled")


def check_modulus(N: int, level: Level, others: Iterable[int] = ()) -> None:
    """The public checks on a received modulus (spec §2.7). ``others`` are moduli that it may share no factor with.

    Raises `ProofInvalid` with the claim that fails.
    """
    N = mpz(N)
    if N <= 0 or N.bit_length() != level.modulus_bits:
        raise ProofInvalid(f"the modulus has {level.modulus_bits} bits")
    if N % 2 == 0 or gmpy2.gcd(N, _PRIMORIAL) != 1:
        raise ProofInvalid("the modulus has no prime factor below 2^16")
    if gmpy2.is_square(N) or gmpy2.is_prime(N, 25):
        raise ProofInvalid("the modulus is neither a square nor a prime")
    if any(gmpy2.gcd(N, other) != 1 for other in others):
        raise ProofInvalid("the modulus shares no factor with another one")
