"""Exponentiation with long-term secrets takes the constant-time way of GMP (R30); the rest is said in DESIGN.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gmpy2
import pytest

from oms_core.crypto import paillier as paillier_module
from oms_core.crypto import pedersen as pedersen_module
from oms_core.crypto.curve import centered
from oms_core.crypto.params import TOY
from oms_core.crypto.shamir import lagrange
from tests.parties import arithmetic, key, run, sessions
from tests.primes import paillier, pedersen, primes
from tests.protocol.runs import presigning


class Watched:
    """What goes through the variable-time function."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.exponents: set[int] = set()
        for module in (paillier_module, pedersen_module):
            patch.setattr(module, "powmod", self._watched(gmpy2.powmod))

    def _watched(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def powmod(base: Any, exponent: Any, modulus: Any) -> Any:
            self.exponents.add(int(exponent))
            return real(base, exponent, modulus)

        return powmod


@pytest.mark.covers("R30")
def test_decrypting_and_opening_take_no_variable_time_with_the_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    secret, ring = paillier(TOY, 1), pedersen(TOY, 1)
    c = secret.encrypt(-5, 7)
    watched = Watched(monkeypatch)
    assert secret.decrypt(c) == -5
    assert secret.nonce(c) == 7
    assert ring.commit(3, -4) == ring.public.commit(3, -4)
    p, q, p_hat, q_hat = primes(TOY, 1)
    assert not {p - 1, q - 1, p_hat - 1, q_hat - 1, int(ring.secret[2])} & watched.exponents


@pytest.mark.covers("R30")
def test_a_presigning_takes_no_variable_time_with_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    quorum = (1, 2)
    made = sessions(quorum)
    for i in quorum:
        assert arithmetic(3, 2, i).their_pedersen
    watched = Watched(monkeypatch)
    outcome = run({i: presigning(made[i]) for i in quorum})
    assert set(outcome.results) == set(quorum)
    for i in quorum:
        x = centered(key(3, 2)[i].share.secret * lagrange(i, quorum))
        assert not {x, -x, abs(x)} & watched.exponents
