"""Published safe primes from tests/vectors, so that no test waits for key generation."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from oms_core.crypto.paillier import PaillierSecret
from oms_core.crypto.params import Level
from oms_core.crypto.pedersen import PedersenSecret, generate_pedersen


@cache
def _all() -> dict[str, list[str]]:
    loaded: dict[str, list[str]] = json.loads((Path(__file__).parent / "vectors" / "safe_primes.json").read_text())
    return loaded


def primes(level: Level, party: int) -> tuple[int, int, int, int]:
    """Four safe primes of the level's size for party 1, 2, …"""
    values = _all()[str(level.prime_bits)][4 * (party - 1) : 4 * party]
    p, q, p_hat, q_hat = (int(value, 16) for value in values)
    return p, q, p_hat, q_hat


@cache
def paillier(level: Level, party: int) -> PaillierSecret:
    """The Paillier key of a party."""
    p, q, _, _ = primes(level, party)
    return PaillierSecret(p, q)


@cache
def pedersen(level: Level, party: int) -> PedersenSecret:
    """A ring-Pedersen key of a party."""
    _, _, p, q = primes(level, party)
    return generate_pedersen(p, q)
