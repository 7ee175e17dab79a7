"""Security levels (spec §1.1). One table; it asserts its own consistency when it is imported."""

from __future__ import annotations

from dataclasses import dataclass

from oms_core.errors import Malformed, Reason

MAX_PARTIES = 256
CURVE_BITS = 256


@dataclass(frozen=True, slots=True)
class Level:
    """Sizes in bits: primes, moduli, κ, witness bound ℓ, slack ε, mask bound ℓ′; repetitions m; masking in Π^dec."""

    name: str
    prime_bits: int
    kappa: int
    ell: int
    epsilon: int
    ell_prime: int
    repetitions: int
    epsilon_dec: int

    @property
    def modulus_bits(self) -> int:
        """Exact size of every Paillier and ring-Pedersen modulus."""
        return 2 * self.prime_bits

    def check(self) -> None:
        """The inequalities of spec §1.1 for the largest committee. Raises AssertionError."""
        nu = (MAX_PARTIES - 1).bit_length()
        assert min(self.ell, self.kappa) >= CURVE_BITS
        assert self.epsilon >= self.ell + self.kappa
        assert self.ell_prime >= 3 * self.ell + self.epsilon
        assert self.ell_prime + self.epsilon + 1 + nu + self.epsilon_dec + 2 <= self.modulus_bits - 1
        assert self.modulus_bits >= 4 * self.ell
        assert 2 * self.ell + self.epsilon <= self.modulus_bits // 2
        assert min(self.repetitions, self.epsilon_dec) >= 128


L112 = Level("L112", 1024, 256, 256, 512, 1280, 128, 128)
L128 = Level("L128", 1536, 256, 256, 512, 1280, 128, 256)
for _level in (L112, L128):
    _level.check()

TOY = Level("TOY", 512, 128, 256, 320, 560, 16, 16)
"""Volume tests only: too small to protect anything. No configuration, message or command can name it."""

_BY_NAME = {L112.name: L112, L128.name: L128}


def level(name: str) -> Level:
    """The level of this name, L112 or L128. Raises `Malformed` (CONFIG_INVALID) for any other."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise Malformed(f"no security level {name[:16]!r}; there are L112 and L128", Reason.CONFIG_INVALID) from None
