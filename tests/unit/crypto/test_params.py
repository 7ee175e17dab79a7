"""The levels: their numbers are those of the specification, and a level that breaks an inequality cannot exist."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, replace

import pytest

from oms_core.crypto.params import CURVE_BITS, L112, L128, MAX_PARTIES, TOY, Level, level
from oms_core.errors import Malformed, Reason

SPECIFIED = {
    "L112": {
        "prime_bits": 1024,
        "kappa": 256,
        "ell": 256,
        "epsilon": 512,
        "ell_prime": 1280,
        "repetitions": 128,
        "epsilon_dec": 128,
    },
    "L128": {
        "prime_bits": 1536,
        "kappa": 256,
        "ell": 256,
        "epsilon": 512,
        "ell_prime": 1280,
        "repetitions": 128,
        "epsilon_dec": 256,
    },
}
LEVELS = [L112, L128]


@pytest.mark.parametrize("name", SPECIFIED)
def test_a_level_has_exactly_the_numbers_of_the_specification(name: str) -> None:
    assert asdict(level(name)) == {"name": name, **SPECIFIED[name]}


def test_moduli_have_2048_and_3072_bits() -> None:
    assert (L112.modulus_bits, L128.modulus_bits) == (2048, 3072)


def test_the_curve_and_the_largest_committee_are_fixed() -> None:
    assert (CURVE_BITS, MAX_PARTIES) == (256, 256)


@pytest.mark.parametrize("chosen", LEVELS, ids=lambda chosen: chosen.name)
def test_a_level_satisfies_every_inequality_of_the_specification(chosen: Level) -> None:
    nu = 8  # ⌈log2 256⌉
    assert chosen.ell >= 256
    assert chosen.epsilon >= chosen.ell + chosen.kappa
    assert chosen.ell_prime >= 3 * chosen.ell + chosen.epsilon
    masked = chosen.ell_prime + chosen.epsilon + 1 + nu + chosen.epsilon_dec + 2
    assert masked <= chosen.modulus_bits - 1
    assert chosen.modulus_bits >= 4 * chosen.ell
    assert 2 * (2 * chosen.ell + chosen.epsilon) <= chosen.modulus_bits
    chosen.check()


# Each of these breaks one inequality by one; its neighbour in KEPT is still allowed.
BROKEN = [
    (L112, {"ell": 255}),
    (L112, {"kappa": 255}),
    (L112, {"epsilon": 511}),
    (L112, {"kappa": 257}),
    (L112, {"ell_prime": 1279}),
    (L112, {"epsilon_dec": 245}),
    (L112, {"ell_prime": 1397}),
    (L112, {"prime_bits": 1023}),
    (L112, {"epsilon": 513, "ell_prime": 1281}),
    (L112, {"repetitions": 127}),
    (L112, {"epsilon_dec": 127}),
    (L128, {"epsilon_dec": 1269}),
    (L128, {"ell": 257}),
]
KEPT = [
    (L112, {"epsilon_dec": 244}),
    (L112, {"ell_prime": 1396}),
    (L112, {"repetitions": 129}),
    (L112, {"prime_bits": 1025, "epsilon": 513, "ell_prime": 1281}),
    (L128, {"epsilon_dec": 1268}),
    (L128, {"kappa": 257, "epsilon": 513, "ell_prime": 1281}),
    (L128, {"ell": 257, "epsilon": 513, "ell_prime": 1284}),
]


def label(value: Level | dict[str, int]) -> str:
    return value.name if isinstance(value, Level) else str(value)


@pytest.mark.parametrize(("base", "change"), BROKEN, ids=label)
def test_a_level_that_breaks_an_inequality_by_one_raises(base: Level, change: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        replace(base, **change).check()


@pytest.mark.parametrize(("base", "change"), KEPT, ids=label)
def test_a_level_that_just_keeps_every_inequality_is_consistent(base: Level, change: dict[str, int]) -> None:
    made = replace(base, **change)
    made.check()
    assert made != base


def test_a_level_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        L112.ell = 255


@pytest.mark.parametrize("name", ["TOY", "", "l112", "L112 ", "L112\n", "L256", "112", "x" * 1000])
def test_no_other_level_can_be_named_the_toy_least_of_all(name: str) -> None:
    with pytest.raises(Malformed, match="there are L112 and L128") as caught:
        level(name)
    assert caught.value.reason == Reason.CONFIG_INVALID
    assert len(caught.value.message) < 100


def test_the_toy_level_would_not_pass_the_check() -> None:
    with pytest.raises(AssertionError):
        TOY.check()
